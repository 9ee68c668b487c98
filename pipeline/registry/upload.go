package registry

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/twicebuild/twice/pipeline/httpguard"
)

// upload sends a blob, or has it mounted from another repository of the
// registry. It returns whether bytes were sent.
func (s *session) upload(ctx context.Context, b *blob, from *name.Repository, m *meter) (sent bool, err error) {
	ref := s.repo.Digest(b.desc.Digest.String())
	err = s.retry(ctx, "upload blob "+ref.Name(), func(ctx context.Context) error {
		l := &uploadAttempt{blob: b, meter: m}
		err := s.pusher.Upload(ctx, s.repo, l.mountableFrom(from))
		sent = l.endAttempt(err == nil)
		return err
	})
	return sent, err
}

// uploadAttempt is one attempt to send a blob. The library may open it more than once,
// and read on when the attempt is over.
type uploadAttempt struct {
	*blob
	meter *meter

	mu      sync.Mutex
	opened  bool
	ended   bool
	counted int64 // bytes that the meter has from this attempt
}

// mountableFrom returns the layer as the library wants it, to be mounted if repo is set.
func (l *uploadAttempt) mountableFrom(repo *name.Repository) v1.Layer {
	if repo == nil {
		return l
	}
	return &remote.MountableLayer{Layer: l, Reference: repo.Digest(l.desc.Digest.String())}
}

// endAttempt ends the attempt, corrects the meter, and reports whether the blob was
// sent.
func (l *uploadAttempt) endAttempt(ok bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if ok && l.opened {
		l.meter.add(l.desc.Size - l.counted)
	} else {
		l.meter.add(-l.counted)
	}
	return ok && l.opened
}

func (l *uploadAttempt) countRead(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.counted += n
		l.meter.add(n)
	}
}

// Digest implements v1.Layer, as the methods below do.
func (l *uploadAttempt) Digest() (v1.Hash, error)             { return l.desc.Digest, nil }
func (l *uploadAttempt) DiffID() (v1.Hash, error)             { return v1.Hash{}, errors.ErrUnsupported }
func (l *uploadAttempt) Size() (int64, error)                 { return l.desc.Size, nil }
func (l *uploadAttempt) MediaType() (types.MediaType, error)  { return l.desc.MediaType, nil }
func (l *uploadAttempt) Uncompressed() (io.ReadCloser, error) { return nil, errors.ErrUnsupported }

// Compressed returns the bytes, from their beginning.
func (l *uploadAttempt) Compressed() (io.ReadCloser, error) {
	rc, err := l.open()
	if err != nil {
		return nil, httpguard.Refuse("%v", err)
	}

	// The library begins anew, so what it has read before counts no more.
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opened = true
	if !l.ended {
		l.meter.add(-l.counted)
		l.counted = 0
	}

	return &countedReader{rc, l}, nil
}

// countedReader reports what is read of a layer.
type countedReader struct {
	io.ReadCloser
	l *uploadAttempt
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.l.countRead(int64(n))
	return n, err
}

// meter counts blobs and bytes for Progress and Result.
type meter struct {
	mu       sync.Mutex
	progress Progress
	counts   Result
	report   func(Progress)
}

func newMeter(report func(Progress), images []*imagePlan) *meter {
	m := &meter{report: report}
	for _, im := range images {
		for _, b := range im.blobs {
			m.progress.BlobsTotal++
			m.progress.BytesTotal += b.desc.Size
		}
	}
	return m
}

// add counts bytes on the way.
func (m *meter) add(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.progress.Bytes += n
	m.notify()
}

// readBack counts bytes that the registry has given back.
func (m *meter) readBack(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts.ReadBytes += n
}

// finish counts a blob that is there. The bytes of one that was sent are
// counted already.
func (m *meter) finish(b *blob, sent bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.progress.Blobs++

	if sent {
		m.counts.Sent++
		m.counts.SentBytes += b.desc.Size
	} else {
		m.counts.Present++
		m.progress.Bytes += b.desc.Size
	}

	m.notify()
}

func (m *meter) notify() {
	if m.report != nil {
		m.report(m.progress)
	}
}

func (m *meter) result() Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts
}
