package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/image/oci"
)

// readBaseLock reads the lock file in dir, the folder of the release file. The lock is
// nil if there is none.
func readBaseLock(dir string) (*oci.Lock, error) {
	data, err := fsx.ReadNamed(filepath.Join(dir, oci.LockName), oci.MaxLock)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	lock, err := oci.DecodeLock(data)
	if err != nil {
		return nil, fault.Usage(fmt.Errorf("%s: %w", oci.LockName, err))
	}
	return lock, nil
}

// LockBases writes the lock file beside the release file. The file holds the digests of the bases
// that are named by a tag. A locked digest stays, unless update is set and the tag was moved.
// LockBases returns the tags that were moved.
func LockBases(ctx context.Context, cfg Config, update bool) (*oci.Lock, []oci.MovedTag, error) {
	file, err := readReleaseFile(cfg.ConfigFile)
	if err != nil {
		return nil, nil, err
	}
	dir := filepath.Dir(cfg.ConfigFile)
	old, err := readBaseLock(dir)
	if err != nil {
		return nil, nil, err
	}

	var bases []string
	for _, img := range file.Containers {
		bases = append(bases, img.Base)
	}

	next, moved, err := old.Resolve(ctx, bases, cfg.Remote.Resolve)
	if err != nil {
		return nil, nil, err
	}

	if len(next.Images) == 0 && old == nil {
		return next, nil, nil // an empty lock needs no file
	}

	if update {
		next.AcceptMoves(moved)
	}

	data, err := next.Encode()
	if err != nil {
		return nil, nil, err
	}
	return next, moved, fsx.Replace(filepath.Join(dir, oci.LockName), 0o644, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
