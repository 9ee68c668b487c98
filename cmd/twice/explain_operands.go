package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/twicebuild/twice/matrix/reference"
	"github.com/twicebuild/twice/pipeline/explain"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/registry"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// operand is one of the two things to explain: a file, or else a tree.
type operand struct {
	file  *explain.File
	tree  explain.Tree
	close func() error
}

// explain reports what differs between the two things that the arguments name.
func (a *app) explain(ctx context.Context, args [2]string, opt registry.Options) (_ *explain.Report, err error) {
	temp, err := os.MkdirTemp("", "twice-explain-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()

	var x [2]operand
	for i, arg := range args {
		if x[i], err = a.openOperand(ctx, arg, temp, opt); err != nil {
			return nil, err
		}
		defer x[i].close()
	}

	o := explain.Options{TempDir: temp}
	switch {
	case x[0].file != nil && x[1].file != nil:
		return explain.Files(ctx, *x[0].file, *x[1].file, o)
	case x[0].file == nil && x[1].file == nil:
		return explain.Trees(ctx, x[0].tree, x[1].tree, o)
	}
	return nil, fault.WithRemedy(fault.Usage(fmt.Errorf("%s and %s: one of them is a file, the other a folder or an image", args[0], args[1])), "name two files, or two folders, or two images")
}

// openOperand opens a file, a folder, or an image in a registry.
func (a *app) openOperand(ctx context.Context, arg, temp string, opt registry.Options) (operand, error) {
	name := a.inDir(arg)
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		if _, rerr := reference.Parse(arg); rerr == nil {
			a.progress.Stage("reading " + safetext.Clean(arg))
			defer a.progress.Hide()
			return openImage(ctx, arg, temp, opt)
		}
	}

	if err == nil && info.IsDir() {
		root, err := os.OpenRoot(name)
		if err != nil {
			return operand{}, err
		}
		tree, err := explain.Folder(ctx, displayPath(name), root.FS())
		if err != nil {
			return operand{}, errors.Join(err, root.Close())
		}
		return operand{tree: tree, close: root.Close}, nil
	}

	f, info, err := fsx.OpenNamed(name)
	if errors.Is(err, fs.ErrNotExist) {
		return operand{}, fault.Usage(err)
	}
	if err != nil {
		return operand{}, err
	}
	return operand{file: &explain.File{Name: displayPath(name), Content: f, Size: info.Size()}, close: f.Close}, nil
}

// openImage reads an image's manifests. Its layers are fetched to temp when they are needed.
func openImage(ctx context.Context, ref, temp string, opt registry.Options) (operand, error) {
	m, err := registry.Resolve(ctx, ref, opt)
	if err != nil {
		return operand{}, err
	}
	p, err := registry.OpenPuller(ctx, m.Repository, opt)
	if err != nil {
		return operand{}, err
	}
	tree, err := explain.Image(ctx, ref, m.Digest, remoteParts{p, temp})
	return operand{tree: tree, close: func() error { return nil }}, err
}

// remoteParts fetches the parts of images in a repository.
type remoteParts struct {
	*registry.Puller
	temp string
}

// Blob fetches a blob to a file. The file is removed when it is closed.
func (p remoteParts) Blob(ctx context.Context, d explain.Descriptor) (explain.Content, error) {
	if d.Size < 0 || d.Size > registry.MaxBlob {
		return nil, fmt.Errorf("%s: a blob of %d bytes, of more than %d", d.Digest, d.Size, int64(registry.MaxBlob))
	}
	f, err := os.CreateTemp(p.temp, "blob-")
	if err != nil {
		return nil, err
	}

	c := blobFile{f, d.Size}
	if err := p.Puller.Blob(ctx, d.Digest, d.Size, f); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// blobFile is a file that is removed when it is closed.
type blobFile struct {
	*os.File
	size int64
}

func (b blobFile) Size() int64 { return b.size }

func (b blobFile) Close() error { return errors.Join(b.File.Close(), os.Remove(b.Name())) }
