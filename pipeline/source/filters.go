package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/twicebuild/twice/pipeline/fsx"
)

// filterDrivers returns the filter driver of each of the names that has one.
func filterDrivers(ctx context.Context, p gitContext, names []string) (map[string]string, error) {
	out, err := p.run(ctx, joinNUL(names), "check-attr", "--cached", "-z", "--stdin", "filter")
	if err != nil {
		return nil, err
	}
	return parseFilters(out, names)
}

// parseFilters reads the answer of git check-attr -z about the filters of names.
func parseFilters(out []byte, names []string) (map[string]string, error) {
	f := splitNUL(out) // path, "filter", value, and so on
	if len(f) != 3*len(names) {
		return nil, fmt.Errorf("git check-attr: %d fields about %d files", len(f), len(names))
	}

	drivers := map[string]string{}
	for i, name := range names {
		if f[3*i] != name || f[3*i+1] != "filter" {
			return nil, fmt.Errorf("git check-attr: an answer about %.200q of %.200q, and not about the filter of %.200q", f[3*i+1], f[3*i], name)
		}
		if v := f[3*i+2]; v != "unspecified" && v != "unset" {
			drivers[name] = v
		}
	}
	return drivers, nil
}

// refuseFilters returns an error if a file of the tree is stored in another form
// than it has in the work tree: the driver is a command of the user's machine.
func (o *opener) refuseFilters(ctx context.Context, r *repository) error {
	var names []string
	attributes := false
	for _, e := range r.entries {
		if strings.HasPrefix(e.mode, "100") {
			names = append(names, e.path)
			attributes = attributes || path.Base(e.path) == ".gitattributes"
		}
	}

	if !attributes {
		return nil
	}

	// The attributes of the tree count, and not those of the work tree.
	p := r.store.with("GIT_INDEX_FILE=" + filepath.Join(r.scratch, "tree.index"))
	if _, err := p.run(ctx, nil, "read-tree", r.tree); err != nil {
		return r.readError(err)
	}

	drivers, err := filterDrivers(ctx, p, names)
	if err != nil {
		return err
	}

	var lfs, other []string
	for _, name := range names {
		switch driver, ok := drivers[name]; {
		case ok && driver == "lfs":
			lfs = append(lfs, name)
		case ok:
			other = append(other, name)
		}
	}

	if len(other) > 0 {
		return usageError("remove the filter attribute from these files", "%s: git filter %q on %s: only what git itself stores can be built", r.root, drivers[other[0]], listNames(other))
	}
	if len(lfs) > 0 && !o.opts.LFSPointers {
		return usageError(`lfs = "pointers" in [source] of release.toml builds the pointer text as it is`, "%s: in Git LFS, and so not in the commit: %s", r.root, listNames(lfs))
	}

	return nil
}

// acceptSmudged tells the view's index about files in Git LFS whose content on
// disk is the one that the pointer in the index names: they are not modified.
// Git itself would have to run git-lfs to know.
func (r *repository) acceptSmudged(ctx context.Context, index []entry) error {
	out, err := r.view.run(ctx, nil, "diff-files", "-z", "--name-only", "--ignore-submodules=all")
	if err != nil {
		return err
	}

	touched := splitNUL(out)
	drivers, err := filterDrivers(ctx, r.view, touched)
	if err != nil {
		return err
	}

	oids := map[string]string{}
	for _, e := range index {
		oids[e.path] = e.oid
	}

	var same []string
	for _, name := range touched {
		if drivers[name] != "lfs" {
			continue
		}

		size, err := r.store.runLine(ctx, "cat-file", "-s", oids[name])
		if err != nil {
			return r.readError(err)
		}

		ok := false
		if len(size) < 4 { // a pointer is less than 1024 bytes long
			pointer, err := r.store.run(ctx, nil, "cat-file", "blob", oids[name])
			if err != nil {
				return r.readError(err)
			}
			if ok, err = smudgedFrom(filepath.Join(r.root, filepath.FromSlash(name)), pointer); err != nil {
				return err
			}
		}

		if ok {
			same = append(same, name)
		} else if _, err := os.Lstat(filepath.Join(r.root, filepath.FromSlash(name))); err == nil {
			return usageError("commit it", "%s: modified, and in Git LFS: only git-lfs can tell what it would be in a commit", name)
		}
	}

	return r.setFlag(ctx, "--assume-unchanged", same)
}

// smudgedFrom reports whether the file called name has the content that an LFS
// pointer stands for. https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
func smudgedFrom(name string, pointer []byte) (bool, error) {
	var want string
	for line := range strings.Lines(string(pointer)) {
		if oid, ok := strings.CutPrefix(line, "oid sha256:"); ok {
			want = strings.TrimSpace(oid)
		}
	}

	info, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return false, nil
	}
	if err != nil {
		return false, err
	}

	f, _, err := fsx.OpenNamed(name)
	if err != nil {
		return false, err
	}
	defer f.Close()

	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return false, err
	}
	return want != "" && want == hex.EncodeToString(h.Sum(nil)), nil
}
