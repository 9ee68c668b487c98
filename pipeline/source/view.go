package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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

	out, err := fsx.CreateNew(to, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
