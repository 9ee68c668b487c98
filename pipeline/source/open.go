package source

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// Open reads the repository whose work tree dir lies in: HEAD, or with
// opts.Snapshot the tracked content of the work tree. It writes to opts.Scratch
// alone (git may set the time of a loose object in the repository that a
// snapshot has in common with it). An error may have a Remedy() string.
//
// Open refuses a bare repository, one without a commit, a shallow one, an
// unfinished merge, modified and untracked files (unless Options.Snapshot is set),
// filter drivers (see Options.LFSPointers), a submodule that is not checked
// out or has changes of its own, a file name that is not UTF-8, a tree without
// go.mod in the module's folder, and objects that are missing.
//
// Files that the user told git to leave alone (git update-index
// --assume-unchanged or --skip-worktree) count as unmodified, as they do for git.
func Open(ctx context.Context, git Git, dir string, opts Options) (*Repo, error) {
	if err := git.checkVersion(ctx); err != nil {
		return nil, err
	}

	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open source: %w", err)
	}

	o, err := newOpener(git, opts)
	if err != nil {
		return nil, fmt.Errorf("open source: %w", err)
	}

	top, err := o.discover(ctx, dir, "")
	if err != nil {
		return nil, err
	}
	if top.shallow {
		return nil, usageError("git fetch --unshallow", "%s: %w: its history, which decides about versions, is cut off", top.root, ErrShallow)
	}
	for _, p := range o.ignore {
		if _, ok := pathWithin(p, top.root); ok {
			return nil, usageError("choose another --out", "output folder %s: the repository %s lies in it", p, top.root)
		}
	}

	module, err := top.moduleDir(dir, opts.Dir)
	if err != nil {
		return nil, err
	}
	if err := o.inspect(ctx, top, 0); err != nil {
		return nil, err
	}
	if err := top.checkModule(module); err != nil && !opts.NoModule {
		return nil, err
	}

	r := &Repo{
		top:       top,
		identity:  recipe.Source{Commit: top.commit, Tree: top.tree, Dir: module},
		modified:  top.modified,
		untracked: top.untracked,
	}

	if r.time, err = top.commitTime(ctx); err != nil {
		return nil, err
	}

	atHead, merged, err := top.listTags(ctx)
	if err != nil {
		return nil, err
	}
	r.tagsAtHead = atHead
	r.tag, _ = pickTag(atHead, module)
	_, r.highestVersion = pickTag(merged, module)
	if r.Dirty() {
		r.tag = ""
	}
	r.remote = cleanURL(o.remote)
	return r, nil
}

// opener has what a repository and its submodules share while they are opened.
type opener struct {
	git          Git
	opts         Options
	ignore       []string // absolute, without symbolic links
	scratch      string
	repositories int    // how many were found
	remote       string // origin's URL of the first repository, as configured
}

// newOpener checks the folders in opts.
func newOpener(git Git, opts Options) (*opener, error) {
	scratch, err := filepath.Abs(opts.Scratch)
	if err == nil && opts.Scratch == "" {
		err = errors.New("no scratch folder given")
	}
	if err == nil {
		err = emptyFolder(scratch)
	}
	if err != nil {
		return nil, err
	}

	o := &opener{git: git, opts: opts, scratch: scratch}
	for _, p := range opts.Ignore {
		if !filepath.IsAbs(p) {
			return nil, fmt.Errorf("ignored path %s is not absolute", p)
		}

		// Both the folder and the symbolic link that it may be are ours.
		real, err := realPath(p)
		if err != nil {
			return nil, err
		}
		parent, err := realPath(filepath.Dir(p))
		if err != nil {
			return nil, err
		}
		o.ignore = append(o.ignore, real, filepath.Join(parent, filepath.Base(p)))
	}
	return o, nil
}

// discover finds the repository of folder dir. It does not look in the folder
// ceiling, an absolute path, or above, unless that is empty.
func (o *opener) discover(ctx context.Context, dir, ceiling string) (*repository, error) {
	user := gitContext{git: o.git, dir: dir, env: closedEnv()}
	if ceiling != "" {
		user = user.with("GIT_CEILING_DIRECTORIES=" + ceiling)
	}
	r, err := o.locate(ctx, user)
	if err != nil {
		return nil, err
	}

	// From here on the repository's own configuration has no effect, except for
	// the values that takeUserSettings takes over.
	if err := o.makeGitFolders(ctx, r); err != nil {
		return nil, err
	}
	for _, p := range []gitContext{r.store, r.view} {
		if _, err := p.run(ctx, nil, "update-ref", "--no-deref", "HEAD", r.commit); err != nil {
			return nil, r.readError(err)
		}
	}
	if r.tree, err = r.store.runOID(ctx, nil, "rev-parse", "--verify", "HEAD^{tree}"); err != nil {
		return nil, r.readError(err)
	}

	// The user's settings and tags are the last two things asked of the
	// repository itself.
	if err := o.takeUserSettings(ctx, user, r); err != nil {
		return nil, err
	}
	if ceiling == "" {
		err = r.copyTags(ctx, user)
	}
	return r, err
}

// locate asks git about the repository of user.dir: where it is, and which commit
// is at HEAD.
func (o *opener) locate(ctx context.Context, user gitContext) (*repository, error) {
	dir := user.dir
	out, err := user.runLine(ctx, "rev-parse", "--path-format=absolute", "--is-bare-repository", "--is-inside-work-tree",
		"--is-shallow-repository", "--show-object-format", "--absolute-git-dir", "--git-common-dir")
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, usageError("twice builds commits: run it in a git repository, or name a --module of the module proxy", "%s: no usable git repository: %w", dir, err)
	}

	f := strings.Split(out, "\n")
	switch {
	case len(f) != 6:
		return nil, fmt.Errorf("%s: git rev-parse: unexpected answer %q", dir, out)
	case f[0] == "true":
		return nil, usageError("run in a clone of it that has a work tree", "%s: a bare repository", f[4])
	case f[1] != "true":
		return nil, fmt.Errorf("%s: not in the work tree of a git repository", dir)
	}
	r := &repository{git: o.git, shallow: f[2] != "false", format: f[3], gitDir: f[4], commonDir: f[5]}
	if r.format != "sha1" && r.format != "sha256" {
		return nil, fmt.Errorf("%s: unknown object format %q", dir, r.format)
	}

	top, err := user.runLine(ctx, "rev-parse", "--path-format=absolute", "--show-toplevel")
	if err != nil {
		return nil, err
	}
	if r.root, err = filepath.EvalSymlinks(top); err != nil {
		return nil, err
	}
	if strings.ContainsAny(r.root+r.commonDir, "\n\x00") {
		return nil, fmt.Errorf("repository %q: unsupported character in its path", r.root)
	}

	if r.commit, err = user.runOID(ctx, nil, "rev-parse", "--verify", "--quiet", "--end-of-options", "HEAD^{commit}"); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, usageError("commit something first", "%s: no commit at HEAD", r.root)
	}
	return r, nil
}

// makeGitFolders makes the two git folders of our own, through which r is read.
func (o *opener) makeGitFolders(ctx context.Context, r *repository) error {
	r.scratch = filepath.Join(o.scratch, strconv.Itoa(o.repositories))
	storeDir, viewDir := filepath.Join(r.scratch, "store"), filepath.Join(r.scratch, "view")
	o.repositories++
	for _, args := range [][]string{{"--bare", storeDir}, {viewDir}} {
		args = append([]string{"init", "-q", "--template=", "--initial-branch=none", "--object-format=" + r.format}, args...)
		if _, err := (gitContext{git: o.git, dir: o.scratch, env: closedEnv()}).run(ctx, nil, args...); err != nil {
			return err
		}
	}

	// The store borrows the objects, and the view looks at the work tree.
	objects := filepath.ToSlash(filepath.Join(r.commonDir, "objects"))
	if err := os.MkdirAll(filepath.Join(storeDir, "objects", "info"), 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(storeDir, "objects", "info", "alternates"), []byte(objects+"\n"), 0o666); err != nil {
		return err
	}
	r.store = gitContext{git: o.git, dir: storeDir, env: append(closedEnv(), "GIT_DIR="+storeDir), config: strictConfig}

	viewDir = filepath.Join(viewDir, ".git")
	r.view = gitContext{git: o.git, dir: r.root, env: slices.Concat(o.git.userConfigEnv(), []string{
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_DIR=" + viewDir, "GIT_WORK_TREE=" + r.root, "GIT_INDEX_FILE=" + filepath.Join(viewDir, "index"),
		"GIT_OBJECT_DIRECTORY=" + filepath.Join(storeDir, "objects"),
	})}
	return nil
}

// readError explains why an object of a repository may not be there.
func (r *repository) readError(err error) error {
	return fault.WithRemedy(fmt.Errorf("%s: read objects: %w", r.root, err), "if this is a partial clone, make a full one: git clone without --filter")
}

// moduleDir returns the folder of the main module in the repository. The module may
// lie in a folder below dir, which is where the user is.
func (r *repository) moduleDir(dir, below string) (string, error) {
	prefix, ok := pathWithin(r.root, dir)
	if !ok {
		return "", fmt.Errorf("%s: outside the work tree %s", dir, r.root)
	}
	module := path.Join(prefix, below)
	if !filepath.IsLocal(filepath.FromSlash(module)) || path.IsAbs(below) {
		return "", fmt.Errorf("module folder %q: outside the repository %s", below, r.root)
	}
	return module, nil
}

// checkModule returns an error unless the tree has a go.mod in folder dir.
func (r *repository) checkModule(dir string) error {
	name := path.Join(dir, "go.mod")
	i, ok := slices.BinarySearchFunc(r.entries, name, func(e entry, name string) int { return strings.Compare(e.path, name) })
	switch {
	case !ok:
		return usageError("commit go.mod, or name the module's folder in the release file", "%s: not in the tree of commit %.12s", name, r.commit)
	case !strings.HasPrefix(r.entries[i].mode, "100"):
		return fmt.Errorf("%s: not a regular file in the tree of commit %.12s", name, r.commit)
	}
	return nil
}

// commitTime returns the committer's time.
func (r *repository) commitTime(ctx context.Context) (time.Time, error) {
	out, err := r.store.runLine(ctx, "log", "-1", "--format=%ct", "HEAD")
	if err != nil {
		return time.Time{}, r.readError(err)
	}
	t, err := parseCommitTime(out)
	if err != nil {
		return time.Time{}, fmt.Errorf("commit %.12s: %w", r.commit, err)
	}
	return t, nil
}

// parseCommitTime reads seconds since 1970.
func parseCommitTime(s string) (time.Time, error) {
	sec, err := strconv.ParseInt(s, 10, 64)
	// A year of more than four digits does not fit a version, nor most formats.
	if err != nil || sec < 0 || sec >= time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).Unix() {
		return time.Time{}, fmt.Errorf("committer time %.200q out of range", s)
	}
	return time.Unix(sec, 0).UTC(), nil
}

// cleanURL returns a remote's URL without credentials, or "" for what is not
// the address of a host: a folder's path must not be published.
func cleanURL(raw string) string {
	if strings.Contains(raw, "://") {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" {
			return ""
		}
		switch u.Scheme {
		case "http", "https":
			u.User = nil
		case "ssh", "git+ssh", "ssh+git", "git":
			if u.User != nil {
				u.User = url.User(u.User.Username()) // "git", by custom
			}
		default:
			return ""
		}

		// A query can hold a token, too.
		u.RawQuery, u.Fragment, u.RawFragment, u.ForceQuery = "", "", "", false
		return u.String()
	}
	// host:path or user@host:path, git's short form of ssh.
	m := scpPattern.FindStringSubmatch(raw)
	if m == nil {
		return ""
	}
	return raw
}

var scpPattern = regexp.MustCompile(`^([A-Za-z0-9._-]+@)?[A-Za-z0-9][A-Za-z0-9.-]+:[^:@\s\\][^@\s\\]*$`)
