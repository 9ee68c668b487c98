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
)

// explained is one of the two things to explain: a file, or else a tree.
type explained struct {
	file  *explain.File
	tree  explain.Tree
	close func() error
}

// explain says what differs between what two arguments name.
func (a *app) explain(ctx context.Context, args [2]string, opt registry.Options) (_ *explain.Report, err error) {
	temp, err := os.MkdirTemp("", "twice-explain-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	var x [2]explained
	for i, arg := range args {
		if x[i], err = a.named(ctx, arg, temp, opt); err != nil {
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

// named opens a file, a folder, or an image in a registry.
func (a *app) named(ctx context.Context, arg, temp string, opt registry.Options) (explained, error) {
	name := a.at(arg)
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		if _, rerr := reference.Parse(arg); rerr == nil {
			a.progress.Stage("reading " + clean(arg))
			defer a.progress.Hide()
			return image(ctx, arg, temp, opt)
		}
	}
	if err == nil && info.IsDir() {
		root, err := os.OpenRoot(name)
		if err != nil {
			return explained{}, err
		}
		tree, err := explain.Folder(ctx, short(name), root.FS())
		if err != nil {
			return explained{}, errors.Join(err, root.Close())
		}
		return explained{tree: tree, close: root.Close}, nil
	}
	f, info, err := fsx.OpenNamed(name)
	if errors.Is(err, fs.ErrNotExist) {
		return explained{}, fault.Usage(err)
	}
	if err != nil {
		return explained{}, err
	}
	return explained{file: &explain.File{Name: short(name), Content: f, Size: info.Size()}, close: f.Close}, nil
}

// image reads an image's manifests. Its layers are fetched to temp when they are
// wanted.
func image(ctx context.Context, ref, temp string, opt registry.Options) (explained, error) {
	m, err := registry.Resolve(ctx, ref, opt)
	if err != nil {
		return explained{}, err
	}
	p, err := registry.OpenPuller(ctx, m.Repository, opt)
	if err != nil {
		return explained{}, err
	}
	tree, err := explain.Image(ctx, ref, m.Digest, pulled{p, temp})
	return explained{tree: tree, close: func() error { return nil }}, err
}

// pulled has the parts of images in a repository.
type pulled struct {
	*registry.Puller
	temp string
}

// Blob fetches a blob to a file, which goes when it is closed.
func (p pulled) Blob(ctx context.Context, d explain.Descriptor) (explain.Content, error) {
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
