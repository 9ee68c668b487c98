package source

import (
	"bytes"
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
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/fsx"
)

// userSettingKeys are the settings that decide what git calls modified or ignored in
// a work tree that it made under them. None of them names a command. For
// instance, files checked out with core.autocrlf=true have CRLF on disk, and
// only git with that setting knows that they are unmodified.
var userSettingKeys = []string{
	"core.autocrlf", "core.eol", "core.excludesfile", "core.attributesfile", "core.filemode", "core.symlinks",
	"core.ignorecase", "core.precomposeunicode", "core.longpaths",
}

// takeUserSettings takes the settings in userSettingKeys over from the repository's and
// the user's own configuration, and the files beside it that have a say.
func (o *opener) takeUserSettings(ctx context.Context, user gitContext, r *repository) error {
	user.env = append(o.git.userConfigEnv(), user.env[len(closedEnv()):]...)
	out, err := user.run(ctx, nil, "config", "--list", "--includes", "-z")
	if err != nil {
		return fmt.Errorf("read the user's git configuration: %w", err)
	}

	last := map[string]string{} // of several values the last one counts
	for _, kv := range splitNUL(out) {
		k, v, hasValue := strings.Cut(kv, "\n")
		if !hasValue {
			v = "true"
		}
		last[k] = v
	}

	for _, k := range userSettingKeys {
		if v, ok := last[k]; ok {
			r.view.config = append(r.view.config, k+"="+v)
		}
	}
	if o.remote == "" && o.repositories == 1 {
		o.remote = last["remote.origin.url"]
	}

	// The view has its own index and attributes, which git may refresh.
	viewDir := filepath.Join(r.scratch, "view", ".git")
	if err := os.MkdirAll(filepath.Join(viewDir, "info"), 0o777); err != nil {
		return err
	}
	if err := r.copyUserFiles(viewDir); err != nil {
		return err
	}
	if err := o.excludeOutputs(r, viewDir); err != nil {
		return err
	}

	switch strings.ToLower(last["core.sparsecheckout"]) {
	case "true", "yes", "on", "1":
		return r.checkHiddenFiles(ctx)
	}
	return nil
}

// copyUserFiles copies the index, attributes and exclusions of the work tree to the
// view's git folder.
func (r *repository) copyUserFiles(viewDir string) error {
	copies := map[string]string{filepath.Join(r.gitDir, "index"): "index"}
	for _, name := range []string{"info/attributes", "info/exclude"} {
		copies[filepath.Join(r.commonDir, filepath.FromSlash(name))] = name
	}
	list, err := os.ReadDir(r.gitDir)
	if err != nil {
		return err
	}
	for _, f := range list {
		if strings.HasPrefix(f.Name(), "sharedindex.") { // the other part of a split index
			copies[filepath.Join(r.gitDir, f.Name())] = f.Name()
		}
	}

	for from, to := range copies {
		to = filepath.Join(viewDir, filepath.FromSlash(to))
		info, err := os.Stat(from)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = copyFile(from, to)
		}
		// Git looks into files that are not older than the index, because they
		// may have changed in the same tick of the clock; see
		// https://git-scm.com/docs/racy-git. With a time from before the copy, it
		// looks into more of them if the index was written meanwhile.
		if err == nil {
			err = os.Chtimes(to, info.ModTime(), info.ModTime())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// excludeOutputs keeps git from walking through our own outputs. findChanges filters
// them again, because a .gitignore may say otherwise.
func (o *opener) excludeOutputs(r *repository, viewDir string) error {
	var own bytes.Buffer
	for _, p := range o.ignore {
		if rel, ok := pathWithin(r.root, p); ok && !strings.Contains(rel, "\n") {
			fmt.Fprintf(&own, "\n/%s", globQuote(rel))
		}
	}
	f, err := os.OpenFile(filepath.Join(viewDir, "info", "exclude"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	_, err = own.WriteTo(f)
	return errors.Join(err, f.Close())
}

// checkHiddenFiles makes git look at files that a sparse checkout says are not there but
// are, as git itself does since 2.36.
func (r *repository) checkHiddenFiles(ctx context.Context) error {
	out, err := r.view.run(ctx, nil, "ls-files", "-z", "-t")
	if err != nil {
		return err
	}

	var there []string
	for _, rec := range splitNUL(out) {
		if name, ok := strings.CutPrefix(rec, "S "); ok {
			if _, err := os.Lstat(filepath.Join(r.root, filepath.FromSlash(name))); err == nil {
				there = append(there, name)
			}
		}
	}

	return r.setFlag(ctx, "--no-skip-worktree", there)
}

// setFlag gives files of the view's index a flag.
func (r *repository) setFlag(ctx context.Context, flag string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	_, err := r.view.run(ctx, joinNUL(names), "update-index", flag, "-z", "--stdin")
	return err
}

// inspect compares the work tree with HEAD, opens the submodules, and decides
// what is to be laid out: r.tree, r.entries, and r.submodules.
func (o *opener) inspect(ctx context.Context, r *repository, depth int) error {
	head, err := r.listFiles(ctx, r.tree)
	if err != nil {
		return err
	}
	index, err := r.listIndex(ctx)
	if err != nil {
		return err
	}

	// Git would run git in each submodule, under the configuration it finds
	// there; they are opened below, like the repository they are in.
	var links []entry
	var linkNames []string
	for _, e := range index {
		if e.mode == gitlink {
			links = append(links, e)
			linkNames = append(linkNames, e.path)
		}
	}
	if err := r.setFlag(ctx, "--skip-worktree", linkNames); err != nil {
		return err
	}
	if o.opts.LFSPointers {
		if err := r.acceptSmudged(ctx, index); err != nil {
			return err
		}
	}

	if err := r.findChanges(ctx, o.ignore); err != nil {
		return err
	}

	r.modified = append(r.modified, changedLinks(head, links)...)
	moved, err := o.openSubmodules(ctx, r, links, depth)
	if err != nil {
		return err
	}
	slices.Sort(r.modified)
	r.modified = slices.Compact(r.modified)

	switch {
	case depth > 0: // the outermost repository decides
	case !o.opts.Snapshot && len(r.modified) > 0:
		return usageError("commit, or --snapshot", "%s: modified: %s", r.root, listNames(r.modified))
	case !o.opts.Snapshot && len(r.untracked) > 0:
		return usageError("commit or ignore them, or --snapshot", "%s: untracked: %s", r.root, listNames(r.untracked))
	case o.opts.Snapshot && len(r.modified) > 0:
		if err := r.takeSnapshot(ctx, moved); err != nil {
			return fmt.Errorf("snapshot of %s: %w", r.root, err)
		}
	}

	r.entries = head
	if r.dirty {
		if r.entries, err = r.listFiles(ctx, r.tree); err != nil {
			return err
		}
	}

	return o.refuseFilters(ctx, r)
}

// changedLinks returns the paths of the submodules that differ between the files of
// HEAD and the links of the index: those that were added, removed or moved.
func changedLinks(head, links []entry) []string {
	var list []string
	for _, e := range slices.Concat(links, head) {
		if e.mode == gitlink {
			list = append(list, e.mode+" "+e.oid+" "+e.path)
		}
	}
	slices.Sort(list)

	// A submodule that is in HEAD and in the index alike is there twice.
	var changed []string
	for i, l := range list {
		if (i == 0 || list[i-1] != l) && (i+1 == len(list) || list[i+1] != l) {
			changed = append(changed, strings.SplitN(l, " ", 3)[2])
		}
	}
	return changed
}

// openSubmodules opens the submodules that the index links to, and adds their changes
// to those of r. It returns input for git update-index about those whose commit is not
// that of the index.
func (o *opener) openSubmodules(ctx context.Context, r *repository, links []entry, depth int) (moved []string, err error) {
	for _, link := range links {
		name := link.path
		if depth == maxDepth {
			return nil, fmt.Errorf("submodule %s: more than %d submodules deep", name, maxDepth)
		}
		sub, err := o.openSubmodule(ctx, r, name, depth)
		if err != nil {
			return nil, err
		}

		if sub.commit != link.oid {
			r.modified = append(r.modified, name)
			moved = append(moved, gitlink+" "+sub.commit+"\t"+name)
		}

		// A snapshot names a commit of each submodule, and such changes are in none.
		if o.opts.Snapshot && len(sub.modified) > 0 {
			return nil, usageError("commit them in the submodule", "submodule %s: uncommitted changes cannot be part of a snapshot: %s", name, listNames(sub.modified))
		}

		for _, m := range sub.modified {
			r.modified = append(r.modified, path.Join(name, m))
		}
		for _, u := range sub.untracked {
			r.untracked = append(r.untracked, name+"/"+u)
		}
		r.submodules = append(r.submodules, submodule{name, sub})
	}
	return moved, nil
}

// listIndex lists the view's index.
func (r *repository) listIndex(ctx context.Context) ([]entry, error) {
	out, err := r.view.run(ctx, nil, "ls-files", "-z", "--stage")
	if err != nil {
		return nil, err
	}
	list, unmerged, err := parseIndex(out)
	if err != nil {
		return nil, err
	}
	if len(unmerged) > 0 {
		return nil, usageError("finish the merge and commit", "%s: unmerged: %s", r.root, listNames(slices.Compact(unmerged)))
	}
	return list, nil
}

// parseIndex reads the answer of git ls-files -z --stage, and names what is not
// merged.
func parseIndex(out []byte) (list []entry, unmerged []string, err error) {
	for _, rec := range splitNUL(out) {
		// "mode oid stage<TAB>path"
		meta, name, _ := strings.Cut(rec, "\t")
		f := strings.Split(meta, " ")
		if len(f) != 3 || !filepath.IsLocal(filepath.FromSlash(name)) || !oidPattern.MatchString(f[1]) {
			return nil, nil, fmt.Errorf("git ls-files: unexpected record %.500q", rec)
		}

		if f[2] != "0" {
			unmerged = append(unmerged, name)
		}
		list = append(list, entry{mode: f[0], oid: f[1], path: name})
	}
	return list, unmerged, nil
}

// findChanges fills r.modified and r.untracked. It leaves out submodules.
func (r *repository) findChanges(ctx context.Context, ignore []string) error {
	out, err := r.view.run(ctx, nil, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=all")
	if err != nil {
		return err
	}

	modified, untracked, err := parseStatus(out)
	if err != nil {
		return err
	}
	r.modified = append(r.modified, modified...)

	for _, name := range untracked {
		at := filepath.Join(r.root, filepath.FromSlash(name))
		if !slices.ContainsFunc(ignore, func(own string) bool { _, ok := pathWithin(own, at); return ok }) {
			r.untracked = append(r.untracked, name)
		}
	}
	return nil
}

// parseStatus reads the answer of git status --porcelain=v1 -z --no-renames.
func parseStatus(out []byte) (modified, untracked []string, err error) {
	for _, rec := range splitNUL(out) {
		if len(rec) < 4 || rec[2] != ' ' || !filepath.IsLocal(filepath.FromSlash(rec[3:])) {
			return nil, nil, fmt.Errorf("git status: unexpected record %.500q", rec)
		}
		if rec[:2] == "??" {
			untracked = append(untracked, rec[3:])
		} else {
			modified = append(modified, rec[3:])
		}
	}
	return modified, untracked, nil
}

// openSubmodule opens the repository at path name of r's work tree. Its name in
// .gitmodules and its place in the git folder do not matter, so nothing that
// these files say is followed.
func (o *opener) openSubmodule(ctx context.Context, r *repository, name string, depth int) (*repository, error) {
	dir := filepath.Join(r.root, filepath.FromSlash(name))
	const remedy = "git submodule update --init --recursive"
	if real, err := filepath.EvalSymlinks(dir); err != nil || real != dir {
		return nil, usageError(remedy, "submodule %s: not checked out", name)
	}
	if _, err := os.Lstat(filepath.Join(dir, ".git")); err != nil {
		return nil, usageError(remedy, "submodule %s: not checked out", name)
	}
	sub, err := o.discover(ctx, dir, filepath.Dir(dir))
	if err != nil {
		return nil, usageError(remedy, "submodule %s: %w", name, err)
	}

	if sub.root != dir {
		return nil, fmt.Errorf("submodule %s: its work tree is said to be %s", name, sub.root)
	}
	if sub.format != r.format {
		return nil, fmt.Errorf("submodule %s: object format %s in a repository with %s", name, sub.format, r.format)
	}

	sub.shallow = true // nothing asks for the history of a submodule
	if err := o.inspect(ctx, sub, depth+1); err != nil {
		return nil, fmt.Errorf("submodule %s: %w", name, err)
	}
	return sub, nil
}

// takeSnapshot makes r.tree the tracked content of the work tree. Its new objects
// are in the store.
func (r *repository) takeSnapshot(ctx context.Context, moved []string) error {
	if _, err := r.view.run(ctx, nil, "add", "-u", "--", "."); err != nil {
		return err
	}

	// The submodules are hidden from git here, so the index gets their commits by hand.
	if len(moved) > 0 {
		if _, err := r.view.run(ctx, joinNUL(moved), "update-index", "-z", "--index-info"); err != nil {
			return err
		}
	}

	tree, err := r.view.runOID(ctx, nil, "write-tree")
	if err != nil {
		return err
	}

	r.dirty = tree != r.tree
	r.tree = tree
	return nil
}

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

// globQuote makes every character of a name stand for itself in a pattern.
func globQuote(name string) string {
	return globQuoter.Replace(name)
}

var globQuoter = strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`, ` `, `\ `)

// copyFile copies bytes, not attributes.
func copyFile(from, to string) error {
	in, _, err := fsx.OpenNamed(from)
	if err != nil {
		return err
	}
	defer in.Close()

	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
