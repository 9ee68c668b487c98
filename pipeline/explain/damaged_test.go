package explain

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"
)

// TestDamagedPair compares an archive with what is left of it: nothing is said about
// members that could not be read.
func TestDamagedPair(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"first", "second", "third"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: 3000}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes.Repeat([]byte(name[:1]), 3000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	damaged := bytes.Clone(whole)
	damaged[bytes.LastIndex(whole, []byte("third\x00"))+148] ^= 1
	for what, c := range map[string]struct {
		a, b         []byte
		state, notes string
	}{
		"cut off in a member": {whole, whole[:5000], "not read in B", "B cannot be read to its end"},
		"the other way round": {whole[:5000], whole, "not read in A", "A cannot be read to its end"},
		"a wrong header":      {whole, damaged, "not read in B", "invalid tar header"},
	} {
		r := explainBytes(t, c.a, c.b, Options{})
		x := r.Comparison
		found := false
		for _, m := range x.Archive.Members {
			found = found || m.Name == "third" && m.State == c.state
			if strings.HasPrefix(m.State, "only in") {
				t.Errorf("%s: %s: %s", what, m.Name, m.State)
			}
		}
		if !found || !strings.Contains(strings.Join(x.Notes, "; "), c.notes) {
			t.Errorf("%s: %+v, %q", what, x.Archive.Members, x.Notes)
		}
		for _, cause := range x.Causes {
			if cause.ID == "content" && cause.Confidence == Certain {
				t.Errorf("%s: %+v", what, cause)
			}
		}
	}
}
