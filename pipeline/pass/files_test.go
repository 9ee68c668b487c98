package pass

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/twicebuild/twice/pipeline/artifact"
)

func TestFiles(t *testing.T) {
	l := newLocal(t, Confinement{}, map[string]string{"conf/LICENSE": "x", "conf/doc/a.1": "y", "conf/doc/b.1": "z", "secret": "s"})
	l.ConfigDir = "conf"
	s, err := l.Open(t.Context(), A)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, err := s.Files([]string{"doc/*", "LICENSE", "LIC*", "nothing"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range got {
		names = append(names, a.Name)
	}
	if want := []string{"LICENSE", "doc/a.1", "doc/b.1"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	if got[0].Digest != artifact.Of([]byte("x")) {
		t.Errorf("%+v", got[0])
	}
	// No way leads out of the folder of the release file.
	if err := os.Symlink("../secret", filepath.Join(s.Tree(), "conf", "link")); err != nil {
		t.Skip(err)
	}
	for _, glob := range []string{"link", "../secret", "../*", "[", "/etc/passwd"} {
		if got, err := s.Files([]string{glob}); err == nil && len(got) > 0 {
			t.Errorf("%s: %+v", glob, got)
		}
	}
}
