package source

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Checkout writes the tree to dest, which must not exist or be empty, creating
// files in the given order and with the process's umask. There dest has a git
// folder of its own with the whole history and all tags but no remote, a
// detached HEAD at the commit, and nothing that refers to where it came from.
// Git calls it clean if and only if the Repo is not Dirty. Submodules have git
// folders of their own with one commit and no history.
//
// Several Checkouts may run at once. After an error what is in dest is of no use.
func (r *Repo) Checkout(ctx context.Context, dest string, order Order) error {
	dest, err := filepath.Abs(dest)
	if err == nil {
		err = emptyFolder(dest)
	}
	if err == nil {
		dest, err = filepath.EvalSymlinks(dest)
	}
	if err == nil {
		err = r.top.checkout(ctx, dest, order)
	}
	if err != nil {
		return fmt.Errorf("checkout of %.12s: %w", r.identity.Commit, err)
	}
	return nil
}

func (r *repository) checkout(ctx context.Context, dest string, order Order) error {
	pack, err := r.packObjects(ctx)
	if err != nil {
		return err
	}

	gitDir := filepath.Join(dest, ".git")
	p := gitContext{git: r.git, dir: dest, env: closedEnv(), config: strictConfig}
	if _, err := p.run(ctx, nil, "init", "-q", "--template=", "--initial-branch=none", "--object-format="+r.format, dest); err != nil {
		return err
	}
	p = p.with("GIT_DIR="+gitDir, "GIT_WORK_TREE="+dest)
	if err := r.fillGitDir(gitDir, pack); err != nil {
		return err
	}
	if _, err := p.run(ctx, nil, "update-ref", "--no-deref", "HEAD", r.commit); err != nil {
		return err
	}
	if _, err := p.run(ctx, nil, "read-tree", r.tree); err != nil {
		return err
	}

	names := r.fileNames()
	if err := order.apply(names); err != nil {
		return err
	}
	if _, err := p.run(ctx, joinNUL(names), "checkout-index", "-z", "--stdin"); err != nil {
		return err
	}

	for _, sub := range r.submodules {
		at, err := realFolder(dest, sub.path)
		if err == nil {
			err = sub.checkout(ctx, at, order)
		}
		if err != nil {
			return fmt.Errorf("submodule %s: %w", sub.path, err)
		}
	}

	return r.confirmClean(ctx, p)
}

// fileNames lists the files of the tree, sorted.
func (r *repository) fileNames() []string {
	var names []string
	for _, e := range r.entries {
		if e.mode != gitlink {
			names = append(names, e.path)
		}
	}
	return names
}

// Extract writes the files of the tree to dest, as Checkout does, and no git
// folders. It is for callers that only read the source, and need no history.
func (r *Repo) Extract(ctx context.Context, dest string) error {
	dest, err := filepath.Abs(dest)
	if err == nil {
		err = emptyFolder(dest)
	}
	if err == nil {
		dest, err = filepath.EvalSymlinks(dest)
	}
	if err == nil {
		err = r.top.extract(ctx, dest)
	}
	if err != nil {
		return fmt.Errorf("files of %.12s: %w", r.identity.Commit, err)
	}
	return nil
}

func (r *repository) extract(ctx context.Context, dest string) error {
	if _, err := r.proveObjects(ctx); err != nil {
		return err
	}

	p := r.store.with("GIT_WORK_TREE="+dest, "GIT_INDEX_FILE="+filepath.Join(r.scratch, "extract.index"))
	p.dir = dest
	if _, err := p.run(ctx, nil, "read-tree", r.tree); err != nil {
		return r.readError(err)
	}
	if _, err := p.run(ctx, joinNUL(r.fileNames()), "checkout-index", "-z", "--stdin"); err != nil {
		return r.readError(err)
	}

	for _, sub := range r.submodules {
		at, err := realFolder(dest, sub.path)
		if err == nil {
			err = sub.extract(ctx, at)
		}
		if err != nil {
			return fmt.Errorf("submodule %s: %w", sub.path, err)
		}
	}
	return nil
}

// fillGitDir puts the objects and the tags into a new git folder.
func (r *repository) fillGitDir(gitDir, pack string) error {
	for _, suffix := range []string{".pack", ".rev", ".idx"} { // the .idx last: it makes the pack visible
		err := copyFile(pack+suffix, filepath.Join(gitDir, "objects", "pack", filepath.Base(pack)+suffix))
		if err != nil && !(suffix == ".rev" && errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}

	if len(r.tagObjects) > 0 {
		if err := copyFile(filepath.Join(r.store.dir, "packed-refs"), filepath.Join(gitDir, "packed-refs")); err != nil {
			return err
		}
	}

	if r.shallow {
		if err := os.WriteFile(filepath.Join(gitDir, "shallow"), []byte(r.commit+"\n"), 0o666); err != nil {
			return err
		}
	}

	// Git runs here later: in the go command for its stamp, or in a hook.
	f, err := os.OpenFile(filepath.Join(gitDir, "config"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("[core]\n\tautocrlf = false\n\teol = lf\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n")
	return errors.Join(err, f.Close())
}

// confirmClean has git compare all that was written with the index, which knows
// nothing of the files yet, and the index with HEAD. Some trees cannot be laid
// out so that git calls them clean, such as one with CRLF in a file whose
// attributes say that it has none; the go command's stamp would then depend on
// the time it took to get here.
func (r *repository) confirmClean(ctx context.Context, p gitContext) error {
	out, err := p.run(ctx, nil, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=none")
	if err != nil {
		return err
	}

	var wrong []string
	list := splitNUL(out)
	for _, rec := range list {
		if len(rec) < 4 || rec[1] != ' ' || !r.dirty {
			wrong = append(wrong, strings.TrimLeft(rec[min(2, len(rec)):], " "))
		}
	}

	if len(wrong) > 0 {
		return usageError("git add --renormalize . and commit, if these are line endings; else two names that this file system takes for one",
			"cannot be laid out as git would have it: %s", listNames(wrong))
	}
	if r.dirty && len(list) == 0 {
		return errors.New("a snapshot with changes was laid out, and git sees none")
	}
	return nil
}

// realFolder makes folder name in root and returns its path. It follows no
// symbolic link.
func realFolder(root, name string) (string, error) {
	at := root
	for part := range strings.SplitSeq(name, "/") {
		at = filepath.Join(at, part)
		if err := os.Mkdir(at, 0o777); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrExist) {
			return "", err
		}

		info, err := os.Lstat(at)
		if err != nil {
			return "", err
		}
		if !info.IsDir() {
			return "", fmt.Errorf("%s: not a folder", at)
		}
	}
	return at, nil
}

// packObjects proves the tree and packs what a checkout needs, once.
func (r *repository) packObjects(ctx context.Context) (pack string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pack != "" {
		return r.pack, nil
	}

	oids, err := r.proveObjects(ctx)
	if err != nil {
		return "", err
	}

	args := []string{"pack-objects", "-q", "--delta-base-offset", filepath.Join(r.scratch, "pack")}
	if !r.shallow {
		args = slices.Insert(args, 1, "--revs")
		oids = append([]string{r.commit, r.tree}, r.tagObjects...)
	}

	// With --revs git packs what can be reached from these objects, and without it these alone.
	id, err := r.store.runOID(ctx, strings.NewReader(strings.Join(oids, "\n")+"\n"), args...)
	if err != nil {
		return "", r.readError(err)
	}

	r.pack = filepath.Join(r.scratch, "pack-"+id)
	return r.pack, nil
}

// proveObjects reads the commit and every object of the tree and holds each to its
// name. Git checks an object's hash when it receives it and hardly ever again,
// so a damaged or forged object store would go unnoticed. It returns their
// names, without repetition.
func (r *repository) proveObjects(ctx context.Context) ([]string, error) {
	oids := []string{r.commit, r.tree}
	out, err := r.store.run(ctx, nil, "ls-tree", "-r", "-t", "-z", "--full-tree", r.tree)
	if err != nil {
		return nil, r.readError(err)
	}

	for _, rec := range splitNUL(out) {
		e, kind, err := parseTreeRecord(rec)
		if err != nil {
			return nil, err
		}
		if kind != "commit" {
			oids = append(oids, e.oid)
		}
	}
	slices.Sort(oids)
	oids = slices.Compact(oids)

	readCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	msg := boundedBuffer{max: 64 << 10}

	cmd := r.store.command(readCtx, "cat-file", "--batch", "--buffer")
	cmd.Stdin, cmd.Stderr = strings.NewReader(strings.Join(oids, "\n")+"\n"), &msg
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, gitError(ctx, "cat-file", nil, err)
	}

	err = checkObjects(bufio.NewReaderSize(pipe, 64<<10), oids, r.format)
	if err != nil {
		cancel() // or it would wait for a reader
	}
	if werr := cmd.Wait(); err == nil && werr != nil {
		err = gitError(ctx, "cat-file", msg.buf.Bytes(), werr)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, r.readError(err)
	}
	return oids, nil
}

// checkObjects reads the answer of git cat-file --batch about oids.
func checkObjects(in *bufio.Reader, oids []string, format string) error {
	for _, oid := range oids {
		head, err := in.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("object %s: %w", oid, unexpectedEOF(err))
		}
		f := strings.Fields(string(head))
		if len(f) == 2 && f[1] == "missing" {
			return fmt.Errorf("object %s is missing", oid)
		}
		if len(f) != 3 || f[0] != oid {
			return fmt.Errorf("object %s: unexpected answer %q", oid, head)
		}

		size, err := strconv.ParseInt(f[2], 10, 64)
		if err != nil || size < 0 {
			return fmt.Errorf("object %s: unexpected answer %q", oid, head)
		}

		// The name of an object is the hash of its type, its size and its content.
		h := sha1.New()
		if format == "sha256" {
			h = sha256.New()
		}
		fmt.Fprintf(h, "%s %d\x00", f[1], size)
		if _, err := io.CopyN(h, in, size); err != nil {
			return fmt.Errorf("object %s: %w", oid, unexpectedEOF(err))
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != oid {
			return fmt.Errorf("object %s: its content has the name %s: the object store is damaged", oid, got)
		}
		if c, err := in.ReadByte(); err != nil || c != '\n' {
			return fmt.Errorf("object %s: longer than announced", oid)
		}
	}
	return nil
}

func unexpectedEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
