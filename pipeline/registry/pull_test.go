package registry

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// TestPuller reads an image, in spite of a registry that cuts an answer short, and
// not from one that has other bytes.
func TestPuller(t *testing.T) {
	s := newServer(t, true)
	img, err := random.Image(1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	repo := s.host + "/acme/tool"
	ref, err := name.ParseReference(repo + ":1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	m, err := Resolve(t.Context(), repo+":1", patient())
	if err != nil {
		t.Fatal(err)
	}
	p, err := OpenPuller(t.Context(), m.Repository, patient())
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := p.Manifest(t.Context(), m.Digest); err != nil || artifact.Of(raw) != m.Digest {
		t.Errorf("%s, %v", raw, err)
	}
	none := artifact.Of([]byte("none"))
	if _, err := p.Manifest(t.Context(), none); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := p.Manifest(t.Context(), "1"); err == nil {
		t.Error("a tag is taken for a digest")
	}

	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	h, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	size, err := layers[0].Size()
	if err != nil {
		t.Fatal(err)
	}
	rc, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	want, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	digest := artifact.Digest(h.String())
	file := filepath.Join(t.TempDir(), "blob")
	fetch := func(d artifact.Digest, size int64) error {
		t.Helper()
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := p.Blob(t.Context(), d, size, f); err != nil {
			return err
		}
		got, err := os.ReadFile(file)
		if err == nil && string(got) != string(want) {
			t.Errorf("%d bytes, want %d", len(got), len(want))
		}
		return err
	}
	if err := fetch(digest, size); err != nil {
		t.Error(err)
	}
	answers := 0
	answer := func(bodies ...string) {
		answers = 0
		s.breakWith(func(step string, w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || filepath.Base(r.URL.Path) != string(digest) || answers >= len(bodies) {
				return false
			}
			answers++
			io.WriteString(w, bodies[answers-1])
			return true
		})
	}
	answer(string(want[:len(want)-1]), string(want)+"x", "")
	if err := fetch(digest, size); err != nil || answers != 3 {
		t.Errorf("%v after %d bad answers", err, answers)
	}
	answer("1", "2", "3", "4", "5")
	if err := fetch(digest, size); err == nil {
		t.Error("other bytes are accepted")
	}
	answer()
	if fetch(digest, size+1) == nil || fetch(digest, size-1) == nil || fetch(none, 1) == nil || fetch("sha256:1", 1) == nil {
		t.Error("another size or digest is accepted")
	}
}
