package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// lockOut makes this run the only one that writes out.
func lockOut(cache, out string) (*flock.Flock, error) {
	dir := filepath.Join(cache, "locks")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(out))
	l := flock.New(filepath.Join(dir, hex.EncodeToString(sum[:16])))
	free, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", out, err)
	}
	if !free {
		return nil, fmt.Errorf("another run of twice is writing %s", out)
	}
	return l, nil
}
