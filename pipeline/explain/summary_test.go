package explain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// put stores bytes.
func put(t testing.TB, s *artifact.Store, b []byte) artifact.Artifact {
	t.Helper()
	d, size, err := s.Put(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return artifact.Artifact{Name: "x", Kind: artifact.Binary, Digest: d, Size: size}
}

// TestArtifacts plants faults around the edges of what is read at once: the place
// and the number of bytes must be right.
func TestArtifacts(t *testing.T) {
	for _, size := range []int{1, 1000, bufferSize - 1, bufferSize, bufferSize + 1, 2*bufferSize + 17} {
		good := make([]byte, size)
		rand.NewChaCha8([32]byte{1}).Read(good)
		type fault struct {
			data              []byte
			offset, differing int
		}
		faults := []fault{{good[:size-1], size - 1, 1}, {nil, 0, size}, {append(slices.Clone(good), 0), size, 1}}
		for _, at := range []int{0, size / 2, size - 1, bufferSize - 1, bufferSize} {
			if at < size {
				b := slices.Clone(good)
				b[at] ^= 1
				faults = append(faults, fault{b, at, 1})
			}
		}
		for i, f := range faults {
			s := artifact.NewStore(t.TempDir())
			a, b := put(t, s, good), put(t, s, f.data)
			for range 2 {
				sum, err := Artifacts(t.Context(), s, a, b, Options{})
				if err != nil || sum.Offset != int64(f.offset) || sum.Differing != int64(f.differing) || len(sum.Causes) == 0 {
					t.Errorf("%d bytes, fault %d: %+v, %v", size, i, sum, err)
				}
				a, b = b, a
			}
		}
	}
}

func TestArtifactsStored(t *testing.T) {
	dir := t.TempDir()
	s := artifact.NewStore(dir)
	a, b := put(t, s, []byte("aaaa")), put(t, s, []byte("bbbb"))
	change := func(d artifact.Digest, data string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, d.Hex()), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, data := range []string{"bbbc", "bbb", "bbbbb", "", "aaaa"} {
		change(b.Digest, data)
		for _, pair := range [][2]artifact.Artifact{{a, b}, {b, a}} {
			if sum, err := Artifacts(t.Context(), s, pair[0], pair[1], Options{}); !errors.Is(err, ErrStored) {
				t.Errorf("changed to %q: %+v, %v", data, sum, err)
			}
		}
	}
	change(b.Digest, "bbbb")

	// What cannot be read cannot be explained, and that is no error.
	if err := os.Remove(filepath.Join(dir, a.Digest.Hex())); err != nil {
		t.Fatal(err)
	}
	sum, err := Artifacts(t.Context(), s, a, b, Options{})
	if err != nil || sum.Offset != -1 || !strings.Contains(sum.String(), "no explanation: ") {
		t.Errorf("%+v, %v", sum, err)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := Artifacts(ctx, s, b, put(t, s, []byte("c")), Options{}); !errors.Is(err, enough) {
		t.Errorf("%v", err)
	}
}

// TestSummary shows what goes into a record, and that a terminal can show it.
func TestSummary(t *testing.T) {
	s := artifact.NewStore(t.TempDir())
	a, b := put(t, s, []byte("\x00built on alpha-host\x00\u202e")), put(t, s, []byte("\x00built on beta-\x1b[2Jhost\x00\u202e"))
	sum, err := Artifacts(t.Context(), s, a, b, Options{Hints: []Hint{{"host name", "alpha-", "beta-\x1b["}}})
	if err != nil || !sum.Shows("alpha-", "beta-\x1b[") || sum.Shows("beta", "alpha") || (*Summary)(nil).Shows("", "") {
		t.Fatalf("%+v, %v", sum, err)
	}
	text := sum.String()
	if !strings.Contains(text, "the host name, which was another on purpose, is in the file [varied, likely]") || !strings.Contains(text, `B: beta-\x1b[`) ||
		!strings.Contains(text, "the first at offset 10 (0xa)") || strings.HasSuffix(text, "\n") || strings.Contains(text, "\x1b") {
		t.Errorf("%s", text)
	}
	data, err := json.Marshal(sum)
	if err != nil || bytes.ContainsFunc(data, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("%s, %v", data, err)
	}
	var back Summary
	if err := json.Unmarshal(data, &back); err != nil || back.String() != text {
		t.Errorf("%s, %v", data, err)
	}

	// A section is named, and a long list is cut.
	x := build(t, plain)
	y := slices.Clone(x)
	f := functionAt(t, y, "main.work")
	y[f.Offset+3] ^= 0x10
	if sum, err = Artifacts(t.Context(), s, put(t, s, x), put(t, s, y), Options{}); err != nil || sum.Section != ".text" || !strings.Contains(sum.String(), ", in .text") {
		t.Errorf("%+v, %v", sum, err)
	}
	long := Comparison{Causes: make([]Cause, 100), Notes: make([]string, 100)}
	if sum := long.Summary(); len(sum.Causes) != maxSummary || len(sum.Notes) != maxSummary {
		t.Errorf("%d causes, %d notes", len(sum.Causes), len(sum.Notes))
	}
}
