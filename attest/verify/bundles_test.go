//go:build linux && !race

package verify

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// What is kept of a bundle is less than it takes to write it down.
func TestBundleClaims(t *testing.T) {
	statement := `{"predicateType":"` + strings.Repeat("x", 10_000) + `","subject":[` + strings.Repeat(`{"digest":{"sha256":"`+strings.Repeat("0", 64)+`"}},`, 1023) + `{}]}`
	data := fmt.Appendf(nil, `{"dsseEnvelope":{"payload":%q}}`, base64.StdEncoding.EncodeToString([]byte(statement)))
	dir := t.TempDir()
	const n = 50
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.sigstore.json", i)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	index := newBundleIndex()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	found, err := index.inFolder(dir)
	if err != nil || len(found) != n || len(found[0].subjects) != 1023 {
		t.Fatalf("%d bundles, %v", len(found), err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(index)
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > int64(n*len(data))/2 {
		t.Errorf("%d bytes are kept of %d", kept, n*len(data))
	}
}
