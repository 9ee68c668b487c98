package toolchain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/dirhash"

	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/gocmd"
)

// askDatabase makes the go command fetch the record of a module without the
// module: a go.mod that requires it needs the hash of its go.mod, and the
// record has both hashes.
func (f *finder) askDatabase(ctx context.Context) (string, error) {
	dir := f.clientDir()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	gomod := fmt.Sprintf("module client\n\ngo 1.21\n\nrequire %s %s\n", f.mod.Path, f.mod.Version)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(gomod), 0o644); err != nil {
		return "", err
	}

	if _, err := f.isolatedClient().Run(ctx, dir, "list", "-m", "-json", f.mod.Path); err != nil {
		return "", fmt.Errorf("ask the checksum database: %w", err)
	}
	p, sum, err := collectProof(f.downloads(), f.mod, f.key)
	if err != nil {
		return "", err
	}

	// The rename makes the proof visible as a whole.
	data, err := p.encode()
	if err != nil {
		return "", err
	}
	tmp := filepath.Join(f.cachePath(".partial"), "proof.json")
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, f.cachePath(".proof.json")); err != nil {
		return "", err
	}
	return sum, nil
}

// download fetches, proves and unpacks the toolchain.
func (f *finder) download(ctx context.Context) error {
	answer, err := f.isolatedClient().Download(ctx, f.mod.String(), f.clientDir())
	if err == nil && answer.Error != "" {
		err = errors.New(answer.Error)
	}
	if err != nil {
		return f.listRefused(fmt.Errorf("download: %w", err),
			"is there a network, and is this a release of Go? A distribution's own Go counts only where the release file allows unpublished toolchains")
	}

	zipFile := filepath.Join(f.downloads(), filepath.FromSlash(f.mod.Path), "@v", f.mod.Version+".zip")
	if info, err := os.Lstat(zipFile); err != nil || !info.Mode().IsRegular() || info.Size() > maxUnpacked {
		return errors.Join(errors.New("download: no usable zip"), err)
	}
	sum, err := dirhash.HashZip(zipFile, dirhash.Hash1)
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	if sum != f.sum {
		return fmt.Errorf("download: the zip's hash is %s, and the checksum database states %s", sum, f.sum)
	}

	goroot := filepath.Join(f.cachePath(".partial"), "goroot")
	if err := os.Mkdir(goroot, 0o755); err != nil {
		return err
	}
	if err := unpack(ctx, zipFile, f.zipPrefix(), goroot); err != nil {
		return err
	}

	// This proves what was unpacked, and that both ways to the hash are the same.
	if _, err := f.prove(ctx, goroot, false); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	if err := f.checkVersion(goroot); err != nil {
		return fmt.Errorf("unpack: VERSION %w", err)
	}
	return os.Rename(goroot, f.cachePath(""))
}

// withLock runs do while no other process does the same. do finds an empty folder
// f.cachePath(".partial"), which is removed afterwards.
func (f *finder) withLock(ctx context.Context, do func() error) (err error) {
	lock, err := fsx.Lock(ctx, f.cachePath(".lock"), f.OnWait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()

	// While the lock is held, nobody else is at work on this folder.
	if err := os.RemoveAll(f.cachePath(".partial")); err != nil {
		return err
	}
	if err := os.Mkdir(f.cachePath(".partial"), 0o755); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(f.cachePath(".partial"))) }()
	return do()
}

// downloads is where the go command of isolatedClient leaves what it has downloaded.
func (f *finder) downloads() string {
	return filepath.Join(f.cachePath(".partial"), "mod", "cache", "download")
}

// clientDir is the folder in which the go command is a client.
func (f *finder) clientDir() string { return filepath.Join(f.cachePath(".partial"), "client") }

// isolatedClient returns the client with an empty module cache, and without the
// settings that would switch the checks off.
func (f *finder) isolatedClient() gocmd.Go {
	partial := f.cachePath(".partial")
	return f.client.With(
		"GOMODCACHE="+filepath.Join(partial, "mod"),
		"GOPATH="+filepath.Join(partial, "gopath"), // the go command keeps the tree's head here
		"GOFLAGS=-mod=mod -modcacherw",
		"GO111MODULE=on",
		"GOWORK=off",
		"GOTOOLCHAIN=local",
		// Not empty, for an empty variable leaves the user's go/env file in force.
		"GONOPROXY=none",
		"GONOSUMDB=none",
		"GOINSECURE=none",
	)
}
