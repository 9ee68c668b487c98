//go:build unix

package verify

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twicebuild/twice/attest"
)

// A bundle that grows while it is read is read up to the limit, and no further.
func TestGrowingBundle(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.sigstore.json")
	if err := os.WriteFile(name, []byte(`{"a":"`), 0o600); err != nil {
		t.Fatal(err)
	}
	end := make(chan struct{})
	done := make(chan error)
	go func() {
		w, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
		for err == nil {
			select {
			case <-end:
				done <- w.Close()
				return
			default:
				if info, serr := w.Stat(); serr == nil && info.Size() > 4*attest.MaxSize {
					err = w.Truncate(1)
				} else {
					_, err = w.WriteString(strings.Repeat("x", 1<<20))
				}
			}
		}
		<-end
		done <- err
	}()
	for range 50 {
		x := newBundleIndex()
		b, err := x.read(name)
		if err == nil && b.unfit == nil {
			t.Error("it is a bundle")
		}
		if x.bytes > attest.MaxSize+1 {
			t.Errorf("%d bytes were read", x.bytes)
		}
	}
	close(end)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
