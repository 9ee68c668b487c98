//go:build unix

package registry

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// What is no file of a layout is not opened: a pipe that nobody writes to, a device, a
// file that seems to have terabytes.
func TestUnfitLayout(t *testing.T) {
	for what, thing := range map[string]struct {
		put  func(name string) error
		want string
	}{
		"a pipe":        {func(name string) error { return syscall.Mkfifo(name, 0o644) }, "but a pipe"},
		"a folder":      {func(name string) error { return os.Mkdir(name, 0o755) }, "but a folder"},
		"a device":      {func(name string) error { return os.Symlink("/dev/zero", name) }, "is a link"},
		"a sparse file": {func(name string) error { return errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, 8<<40)) }, "bytes"},
	} {
		for where, find := range map[string]func(im image) string{
			"the marker":     func(im image) string { return filepath.Join(im.dir, "oci-layout") },
			"the list":       func(im image) string { return filepath.Join(im.dir, "index.json") },
			"the index":      func(im image) string { return im.file(im.digest) },
			"a manifest":     func(im image) string { return im.file(im.members[0]) },
			"a layer":        func(im image) string { return layerOf(t, im) },
			"another's blob": func(im image) string { return im.file(artifact.Of([]byte("x"))) },
		} {
			t.Run(what+" for "+where, func(t *testing.T) {
				im := newImage(t)
				name := find(im)
				if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
				if err := thing.put(name); err != nil {
					t.Fatal(err)
				}
				done := make(chan error, 1)
				go func() {
					_, err := planImages(t.Context(), im.dir, []Image{im.to("r.example/tool", "v1")})
					done <- err
				}()
				select {
				case err := <-done:
					if fine := where == "another's blob"; fine != (err == nil) || !fine && !strings.Contains(err.Error(), thing.want) {
						t.Errorf("%v, want %q", err, thing.want)
					}
				case <-time.After(10 * time.Second):
					t.Fatal("it waits, or reads all of it")
				}
			})
		}
	}
}

// layerOf is the file of a layer: the largest blob.
func layerOf(t *testing.T, im image) string {
	t.Helper()
	largest := slices.MaxFunc(blobsOf(t, im, im.to("r.example/x")), func(a, b *blob) int { return cmp.Compare(a.desc.Size, b.desc.Size) })
	return im.file(artifact.Digest(largest.desc.Digest.String()))
}
