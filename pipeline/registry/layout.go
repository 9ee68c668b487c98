package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// imageLayout is the folder of an image layout whose index.json was read.
type imageLayout struct {
	dir string
	// roots are the descriptors of index.json.
	roots []v1.Descriptor
	// hashed are the blobs that hold what they should.
	hashed map[v1.Hash]int64
}

func openLayout(dir string) (*imageLayout, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("image layout: %w", err)
	}
	defer root.Close()

	raw, err := fsx.ReadRegular(root, "oci-layout", maxManifest)
	if err != nil {
		return nil, fmt.Errorf("image layout: %w", err)
	}

	var marker struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(raw, &marker); err != nil {
		return nil, fmt.Errorf("image layout: %s: oci-layout: %w", dir, err)
	}
	if marker.Version != "1.0.0" {
		return nil, fmt.Errorf("image layout: %s: oci-layout: version %q: want 1.0.0", dir, marker.Version)
	}

	if raw, err = fsx.ReadRegular(root, "index.json", maxManifest); err != nil {
		return nil, fmt.Errorf("image layout: %w", err)
	}

	// The folder may be a stranger's, so index.json is checked like an index from a registry.
	m, err := parseManifest(raw, types.OCIImageIndex)
	if err != nil {
		return nil, fmt.Errorf("image layout: %s: index.json: %w", dir, err)
	}

	return &imageLayout{dir: dir, roots: m.Manifests, hashed: map[v1.Hash]int64{}}, nil
}

func readBounded(r io.Reader, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return raw, err
}

// Layout lists the content of an image layout, as the layout itself describes it.
type Layout struct {
	// Images are those of its index.json.
	Images []LayoutImage
	// Blobs are the sizes of all that these lead to, as far as its manifests can be read.
	Blobs map[artifact.Digest]int64
}

// LayoutImage is an image or an index that a layout's index.json names.
type LayoutImage struct {
	// Name is what it is called there, and may be empty.
	Name   string
	Digest artifact.Digest
}

// ReadLayout reads the manifests of an image layout, which may be a stranger's. Other
// blobs are not read. A manifest that cannot be read leads to nothing here; it is an
// error for those who read the blobs.
func ReadLayout(ctx context.Context, dir string) (*Layout, error) {
	l, err := openLayout(dir)
	if err != nil {
		return nil, err
	}

	if len(l.roots) > maxPlatforms {
		return nil, fmt.Errorf("image layout: %s: index.json: more than %d images", dir, maxPlatforms)
	}

	found := &Layout{Blobs: map[artifact.Digest]int64{}}
	for _, d := range l.roots {
		found.Images = append(found.Images, LayoutImage{d.Annotations["org.opencontainers.image.ref.name"], artifact.Digest(d.Digest.String())})
	}

	for next := l.roots; len(next) > 0; {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}

		// A layout can name a blob many times, so each counts once.
		d := next[0]
		next = next[1:]

		digest := artifact.Digest(d.Digest.String())
		if _, known := found.Blobs[digest]; known {
			continue
		}
		if found.Blobs[digest] = d.Size; len(found.Blobs) > maxLayoutBlobs {
			return nil, fmt.Errorf("image layout: %s: more than %d blobs", dir, maxLayoutBlobs)
		}
		if !d.MediaType.IsIndex() && !d.MediaType.IsImage() {
			continue
		}
		if _, m, err := l.readManifest(d); err == nil {
			next = slices.Concat(next, listOptional(m.Config), m.Layers, m.Manifests)
		}
	}
	return found, nil
}

// maxLayoutBlobs bounds the blobs of a layout.
const maxLayoutBlobs = 100_000

// readManifest reads a manifest that desc names.
func (l *imageLayout) readManifest(desc v1.Descriptor) (rawManifest, *manifest, error) {
	if desc.Size > maxManifest {
		return rawManifest{}, nil, fmt.Errorf("manifest %s: more than %d bytes", desc.Digest, maxManifest)
	}

	f, err := l.openBlob(desc)
	if err != nil {
		return rawManifest{}, nil, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	defer f.Close()
	raw, err := readBounded(f, maxManifest)
	if err != nil {
		return rawManifest{}, nil, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}

	// The file may have changed since its size was looked at.
	if got := artifact.Of(raw); string(got) != desc.Digest.String() || int64(len(raw)) != desc.Size {
		return rawManifest{}, nil, fmt.Errorf("manifest %s: the file has digest %s and %d bytes, not %d", desc.Digest, got, len(raw), desc.Size)
	}

	m, err := parseManifest(raw, desc.MediaType)
	if err != nil {
		return rawManifest{}, nil, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}

	return newRawManifest(raw, desc.MediaType), m, nil
}

// MaxBlob bounds a blob of an image, in bytes.
const MaxBlob = 8 << 30

// openBlob opens the file of a blob, which has the size that desc says. The folder may
// be a stranger's, so only a regular file is opened, and no link is followed.
func (l *imageLayout) openBlob(desc v1.Descriptor) (io.ReadCloser, error) {
	if desc.Size > MaxBlob {
		return nil, fmt.Errorf("more than %d bytes", int64(MaxBlob))
	}

	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()

	f, info, err := fsx.OpenRegular(root, path.Join("blobs", "sha256", desc.Digest.Hex), MaxBlob)
	if err != nil {
		return nil, err
	}

	if info.Size() != desc.Size {
		f.Close()
		return nil, fmt.Errorf("the file has %d bytes, and its descriptor says %d", info.Size(), desc.Size)
	}

	return f, nil
}

// verifyBlob reads a blob, and compares it with its descriptor.
func (l *imageLayout) verifyBlob(ctx context.Context, d v1.Descriptor) error {
	size, known := l.hashed[d.Digest]
	if !known {
		f, err := l.openBlob(d)
		if err != nil {
			return fmt.Errorf("blob %s: %w", d.Digest, err)
		}
		defer f.Close()

		// One byte more than announced tells that the file is longer.
		h := artifact.NewHasher(io.Discard)
		if _, err := io.Copy(h, fsx.Until(ctx, io.LimitReader(f, d.Size+1))); err != nil {
			return fmt.Errorf("blob %s: %w", d.Digest, err)
		}
		if got := h.Digest(); string(got) != d.Digest.String() {
			return fmt.Errorf("blob %s: the file has digest %s", d.Digest, got)
		}

		size = h.Size()
		l.hashed[d.Digest] = size
	}

	// Another manifest can name the same blob with another size.
	if size != d.Size {
		return fmt.Errorf("blob %s: the file has %d bytes, and its descriptor says %d", d.Digest, size, d.Size)
	}
	return nil
}
