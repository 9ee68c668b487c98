package fsx

import (
	"context"
	"fmt"
	"time"

	"github.com/gofrs/flock"
)

// NewLock returns the lock that the file name stands for. The file is made when it is needed. No
// link is followed, and a pipe in its place is not waited for.
func NewLock(name string) *flock.Flock { return flock.New(name, flock.SetFlag(lockFlags)) }

// Lock takes the lock that the file name stands for. If another process has it, Lock calls waits
// once and then waits for as long as ctx lives. holder is that process, or zero if it is not known.
func Lock(ctx context.Context, name string, waits func(holder int)) (*flock.Flock, error) {
	l := NewLock(name)
	free, err := l.TryLock()
	if err == nil && !free {
		if waits != nil {
			waits(holder(name))
		}
		_, err = l.TryLockContext(ctx, 50*time.Millisecond)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return l, nil
}
