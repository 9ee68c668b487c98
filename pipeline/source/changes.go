package source

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

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
