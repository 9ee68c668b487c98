package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// Annotations of the descriptors in index.json; see the package comment.
const (
	RefNameAnnotation    = "org.opencontainers.image.ref.name"
	ContainerdAnnotation = "io.containerd.image.name"
	RepositoryAnnotation = "com.github.twicebuild.twice.repository"
	TagsAnnotation       = "com.github.twicebuild.twice.tags"
)

// layoutWriter is a folder for an image layout. Without a folder nothing is kept.
type layoutWriter struct{ dir string }

func (l layoutWriter) discards() bool { return l.dir == "" }

// writeBlob hashes what write writes, and keeps it under its digest.
func (l layoutWriter) writeBlob(write func(io.Writer) error) (artifact.Digest, int64, error) {
	if l.discards() {
		h := artifact.NewHasher(io.Discard)
		err := write(h)
		return h.Digest(), h.Size(), err
	}

	// Outside of blobs/sha256, where every name is a digest.
	f, err := os.CreateTemp(l.dir, "blob-")
	if err != nil {
		return "", 0, err
	}
	h := artifact.NewHasher(f)
	err = errors.Join(write(h), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(l.dir, "blobs", "sha256", h.Digest().Hex()))
	}
	if err != nil {
		return "", 0, errors.Join(err, os.Remove(f.Name()))
	}
	return h.Digest(), h.Size(), nil
}

// writeIndex writes what makes the folder a layout.
func (l layoutWriter) writeIndex(images []Image) error {
	if l.discards() {
		return nil
	}
	files, err := LayoutFiles(images)
	if err != nil {
		return err
	}
	for _, name := range []string{"oci-layout", "index.json"} {
		if err := os.WriteFile(filepath.Join(l.dir, name), files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// LayoutFiles are the contents of the two files, beside the blobs, of the layout that
// [Write] makes of images: oci-layout and index.json.
func LayoutFiles(images []Image) (map[string][]byte, error) {
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	for _, img := range images {
		digest, err := v1.NewHash(string(img.Digest))
		if err != nil {
			return nil, err
		}
		if len(img.Tags) == 0 {
			return nil, fmt.Errorf("%s: without a tag", img.Repository)
		}
		ref := img.Repository + ":" + img.Tags[0]
		index.Manifests = append(index.Manifests, v1.Descriptor{
			MediaType: types.OCIImageIndex, Size: img.Size, Digest: digest,
			Annotations: map[string]string{
				RefNameAnnotation:    ref,
				ContainerdAnnotation: ref,
				RepositoryAnnotation: img.Repository,
				TagsAnnotation:       strings.Join(img.Tags, " "),
			},
		})
	}
	data, err := json.MarshalIndent(index, "", "  ")
	return map[string][]byte{
		"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}` + "\n"),
		"index.json": append(data, '\n'),
	}, err
}
