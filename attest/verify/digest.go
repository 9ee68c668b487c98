package verify

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// maxContent is the size in bytes up to which a file's content is kept. Some signatures need
// the content.
const maxContent = 1 << 20

// digestFile hashes a regular file of at most limit bytes, until the context ends.
func digestFile(ctx context.Context, name string, limit int64) (attest.Artifact, error) {
	f, info, err := fsx.OpenNamed(name)
	if err != nil {
		return attest.Artifact{}, err
	}
	defer f.Close()

	tooLarge := fmt.Errorf("%s: more than %d GiB", name, limit>>30)
	if info.Size() > limit { // a sparse file takes hours to read
		return attest.Artifact{}, tooLarge
	}

	var content limitedBuffer
	h := artifact.NewHasher(&content)
	if _, err := io.Copy(h, fsx.Until(ctx, io.LimitReader(f, limit+1))); err != nil {
		return attest.Artifact{}, fmt.Errorf("%s: %w", name, err)
	}
	if h.Size() > limit {
		return attest.Artifact{}, tooLarge
	}

	about := attest.Artifact{Digest: h.Digest()}
	if h.Size() <= maxContent {
		about.Content = content.data
	}
	return about, nil
}

// digestBoth returns the SHA-256 of a regular file of at most limit bytes, and its SHA-512 in
// hexadecimal.
func digestBoth(ctx context.Context, name string, limit int64) (artifact.Digest, string, error) {
	f, _, err := fsx.OpenNamed(name)
	if err != nil {
		return "", "", err
	}
	defer f.Close()

	sum := sha512.New()
	h := artifact.NewHasher(sum)
	if _, err := io.Copy(h, fsx.Until(ctx, io.LimitReader(f, limit+1))); err != nil {
		return "", "", fmt.Errorf("%s: %w", name, err)
	}
	return h.Digest(), hex.EncodeToString(sum.Sum(nil)), nil
}

// limitedBuffer keeps the first maxContent bytes.
type limitedBuffer struct{ data []byte }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	b.data = append(b.data, p[:min(len(p), maxContent-len(b.data))]...)
	return len(p), nil
}
