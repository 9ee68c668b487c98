package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/twicebuild/twice/pipeline/recipe"
)

// Options say what to take from a repository. Scratch is required.
type Options struct {
	// Dir is the main module's folder relative to the folder given to [Open],
	// with slashes; "" is that folder itself.
	Dir string
	// Snapshot takes the tracked content as it is in the work tree where it
	// differs from HEAD, and leaves out untracked files. Without it both are
	// errors.
	Snapshot bool
	// LFSPointers lays out Git LFS pointers as the text they are. Without it,
	// files under Git LFS are an error. Other filter drivers always are.
	LFSPointers bool
	// NoModule says that the module's folder need not have a go.mod.
	NoModule bool
	// Ignore are absolute paths of our own outputs; they and what is below
	// them never count as untracked. They need not exist.
	Ignore []string
	// Scratch is an empty folder for temporary objects. The Repo needs it for
	// as long as it is used; the caller removes it.
	Scratch string
}

// Repo is a commit of a git repository, or a snapshot that comes after it.
type Repo struct {
	top                 *repository
	identity            recipe.Source
	tag, highestVersion string // the tag at the commit; the highest version before it
	tagsAtHead          []string
	time                time.Time
	remote              string
	modified, untracked []string
}

// repository is one git repository: the main one or, in it, a submodule.
type repository struct {
	git       Git
	root      string // work tree, absolute, without symbolic links
	gitDir    string // of this work tree
	commonDir string // git folder with the objects
	format    string // "sha1" or "sha256"

	scratch string     // a folder of our own for this repository
	store   gitContext // bare; closed configuration; borrows the objects
	view    gitContext // the user's work tree through a copy of the index

	shallow    bool   // no history: not there, or for a submodule not wanted
	dirty      bool   // tree is not that of commit
	commit     string // HEAD
	tree       string // what is to be laid out
	entries    []entry
	tagObjects []string // object ids of the tags
	submodules []submodule

	modified, untracked []string

	mu   sync.Mutex
	pack string // path without suffix, once there is one
}

// submodule is a repository at a path of another one's tree.
type submodule struct {
	path string
	*repository
}

// entry is a file of a tree.
type entry struct {
	mode, oid, path string
}

const gitlink = "160000"

// maxDepth bounds submodules in submodules.
const maxDepth = 8

// ErrShallow is the error of [Open] about a repository whose history is cut off.
var ErrShallow = errors.New("a shallow clone")

var oidPattern = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// Identity returns what names the content: commit, tree, and the module's folder.
func (r *Repo) Identity() recipe.Source { return r.identity }

// Tag returns the tag that releases this very content, such as "v1.2.3" or, for a
// module in a folder, "cmd/tool/v1.2.3"; "" if there is none. Of several tags
// at the commit it is the one with the highest version.
func (r *Repo) Tag() string { return r.tag }

// Version returns a semantic version without the leading v, fit for file names: that
// of Tag or, without one, a version between the highest tag before the commit
// and the next, made from the commit alone; see snapshotVersion.
func (r *Repo) Version() string {
	if r.tag != "" {
		return strings.TrimPrefix(path.Base(r.tag), "v")
	}
	return snapshotVersion(r.highestVersion, r.time, r.identity.Commit, r.Dirty())
}

// Time returns the committer's time of the commit, in UTC.
func (r *Repo) Time() time.Time { return r.time }

// Dirty reports whether the content differs from the commit's.
func (r *Repo) Dirty() bool { return r.top.dirty }

// TagsAtHead returns the names of all tags at HEAD, sorted, whatever they look like
// and whether or not the content is that of the commit.
func (r *Repo) TagsAtHead() []string { return slices.Clone(r.tagsAtHead) }

// HighestVersion returns the highest version, such as "v1.2.3", that a tag at the commit or
// at one before it gives to the module; "" if there is none.
func (r *Repo) HighestVersion() string { return r.highestVersion }

// Linked reports whether the work tree has no .git folder of its own: that of
// git worktree add and that of a submodule have a file instead, which says where
// the repository is.
func (r *Repo) Linked() bool {
	info, err := os.Stat(filepath.Join(r.top.root, ".git"))
	return err != nil || !info.IsDir()
}

// Modified lists the files of a snapshot that differ from the commit: ten names at
// most, with slashes, relative to Root.
func (r *Repo) Modified() []string { return firstNames(r.modified) }

// Untracked lists the files that a snapshot leaves out, in the form of Modified.
func (r *Repo) Untracked() []string { return firstNames(r.untracked) }

// Remote returns the URL of the remote called origin without any credentials; ""
// if there is none or it is a folder of this machine.
func (r *Repo) Remote() string { return r.remote }

// Root returns the absolute path of the work tree, without symbolic links.
func (r *Repo) Root() string { return r.top.root }

func firstNames(names []string) []string {
	return names[:min(len(names), maxNames):min(len(names), maxNames)]
}

// listFiles lists a tree's files and submodules, sorted by path. It is an error if they
// could not be laid out faithfully.
func (r *repository) listFiles(ctx context.Context, tree string) ([]entry, error) {
	out, err := r.store.run(ctx, nil, "ls-tree", "-r", "-z", "--full-tree", tree)
	if err != nil {
		return nil, r.readError(err)
	}
	return parseTreeFiles(out)
}

// parseTreeFiles reads the answer of git ls-tree -r -z.
func parseTreeFiles(out []byte) ([]entry, error) {
	var list []entry
	for _, rec := range splitNUL(out) {
		e, _, err := parseTreeRecord(rec)
		if err != nil {
			return nil, err
		}
		if !utf8.ValidString(e.path) {
			return nil, usageError("rename it", "file name %q: not valid UTF-8", e.path)
		}
		list = append(list, e)
	}
	return list, checkEntries(list)
}

// parseTreeRecord reads a record of git ls-tree -z: "mode type oid<TAB>path".
func parseTreeRecord(rec string) (e entry, kind string, err error) {
	meta, name, ok := strings.Cut(rec, "\t")
	f := strings.Split(meta, " ")
	if !ok || len(f) != 3 || name == "" || !oidPattern.MatchString(f[2]) {
		return entry{}, "", fmt.Errorf("git ls-tree: unexpected record %q", rec)
	}
	return entry{mode: f[0], oid: f[2], path: name}, f[1], nil
}

// checkEntries sorts list and refuses modes that git does not write, two
// entries of one name, and a file that is also a folder: a forged tree can
// have these, and a symbolic link that is also a folder leads elsewhere.
func checkEntries(list []entry) error {
	slices.SortFunc(list, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	names := make(map[string]bool, len(list))
	for _, e := range list {
		switch e.mode {
		case "100644", "100755", "100664", "120000", gitlink:
		default:
			return fmt.Errorf("tree entry %q: unknown mode %s", e.path, e.mode)
		}

		if !filepath.IsLocal(filepath.FromSlash(e.path)) || path.Clean(e.path) != e.path {
			return fmt.Errorf("tree entry %q: not a path within the tree", e.path)
		}
		if names[e.path] {
			return fmt.Errorf("tree entry %q: there are two of them", e.path)
		}
		names[e.path] = true
	}

	// A file of one name and a folder of that name would be laid out one over the other.
	for _, e := range list {
		for dir := path.Dir(e.path); dir != "."; dir = path.Dir(dir) {
			if names[dir] {
				return fmt.Errorf("tree entry %q: %q is not a folder", e.path, dir)
			}
		}
	}

	return nil
}
