package pipeline

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// checkedReader reads stored bytes. At their end, it fails if they are not the bytes that were compared.
type checkedReader struct {
	a artifact.Artifact
	f *os.File
	h *artifact.Hasher
}

// openChecked opens a stored artifact.
func openChecked(s *artifact.Store, a artifact.Artifact) (*checkedReader, error) {
	f, err := s.Open(a.Digest)
	if err != nil {
		return nil, err
	}
	return &checkedReader{a, f, artifact.NewHasher(io.Discard)}, nil
}

func (r *checkedReader) Read(p []byte) (int, error) {
	n, err := r.f.Read(p)
	r.h.Write(p[:n])
	if err == io.EOF && r.h.Digest() != r.a.Digest {
		err = fmt.Errorf("%s changed in the workspace: it was %s and is %s", r.a.Name, r.a.Digest.Short(), r.h.Digest().Short())
	}
	return n, err
}

func (r *checkedReader) Close() error { return r.f.Close() }

// copyOut copies a stored artifact to file. It fails if the bytes are not those that were
// compared.
func (o *Outcome) copyOut(a artifact.Artifact, file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}

	in, err := openChecked(o.run.local.Store, a)
	if err != nil {
		return err
	}
	defer in.Close()

	mode := fs.FileMode(0o644)
	if a.Executable {
		mode = 0o755
	}

	out, err := fsx.CreateNew(file, mode)
	if err != nil {
		return err
	}

	// The mode is set again because the umask may have narrowed it.
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(mode), out.Close())
}
