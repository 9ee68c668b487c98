// Package artifact names bytes by their content.
//
// A [Digest] is the SHA-256 of some bytes. It is written "sha256:" and 64 lower-case hexadecimal
// digits, as in the OCI image specification
// (https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests). An [Artifact] is
// a name, a kind and a Digest. The stages of the pipeline give artifacts to each other instead of
// paths. A [Store] holds the bytes.
package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"
)

// Digest is the SHA-256 of an artifact's bytes: "sha256:" and 64 lower-case
// hexadecimal digits. The zero value names nothing and equals no real digest.
type Digest string

const digestPrefix = "sha256:"

// ParseDigest accepts exactly the form that [Digest] documents.
func ParseDigest(s string) (Digest, error) {
	hexPart, ok := strings.CutPrefix(s, digestPrefix)
	if !ok || len(hexPart) != 2*sha256.Size || strings.ToLower(hexPart) != hexPart {
		return "", fmt.Errorf("digest %q: want sha256: and 64 lower-case hexadecimal digits", s)
	}
	if _, err := hex.DecodeString(hexPart); err != nil {
		return "", fmt.Errorf("digest %q: %w", s, err)
	}
	return Digest(s), nil
}

// Of returns the digest of b.
func Of(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(digestPrefix + hex.EncodeToString(sum[:]))
}

// Hex returns the hexadecimal part, as sha256sum prints it.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), digestPrefix) }

// Short returns the first twelve hexadecimal digits, for people to read.
func (d Digest) Short() string {
	h := d.Hex()
	return h[:min(12, len(h))]
}

// Hasher computes a Digest of what is written through it. [NewHasher] makes one. The zero value
// cannot be used.
type Hasher struct {
	w    io.Writer
	h    hash.Hash
	size int64
}

// NewHasher returns a Hasher that passes every write on to w.
func NewHasher(w io.Writer) *Hasher { return &Hasher{w: w, h: sha256.New()} }

// Write hashes what w accepted.
func (h *Hasher) Write(p []byte) (int, error) {
	n, err := h.w.Write(p)
	h.h.Write(p[:n])
	h.size += int64(n)
	return n, err
}

// Digest returns the digest of everything written so far.
func (h *Hasher) Digest() Digest { return Digest(digestPrefix + hex.EncodeToString(h.h.Sum(nil))) }

// Size returns the number of bytes written so far.
func (h *Hasher) Size() int64 { return h.size }

// Kind says what an artifact is.
type Kind string

// The kinds of artifact that a release consists of.
const (
	Binary    Kind = "binary"    // an executable that the linker wrote
	Archive   Kind = "archive"   // a .tar.gz, .tar.zst or .zip
	SBOM      Kind = "sbom"      // a list of what a binary is made of
	Checksums Kind = "checksums" // a list of digests in the format of sha256sum
	File      Kind = "file"      // a file of the source tree that goes into archives and images
)

// Artifact is bytes with a name, a kind and a digest.
type Artifact struct {
	// Name is a slash-separated path. In a release record it is relative to dist, in an archive
	// to the folder that everything is in.
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Digest names the bytes.
	Digest Digest `json:"digest"`
	// Size is the number of bytes.
	Size int64 `json:"size"`
	// Executable tells whether the file's mode is 0755 instead of 0644. A release has no other
	// modes.
	Executable bool `json:"executable,omitempty"`
}
