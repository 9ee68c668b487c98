package subject

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/registry"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// Names in an OCI image layout
// (https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md).
const (
	layoutName = "oci-layout"
	indexName  = "index.json"
	blobsName  = "blobs/sha256/"

	maxLayoutFile = 4 << 20 // bytes of an index or a manifest
	maxManifests  = 1000    // that are read to find the images
)

// isLayout reports whether a folder is an image layout.
func isLayout(root *os.Root) bool {
	info, err := root.Lstat(layoutName)
	return err == nil && info.Mode().IsRegular()
}

// layout opens the images of an image layout, for the platforms.
func (o *opening) layout(ref string, root *os.Root) error {
	marker, err := o.small(root, layoutName)
	if err != nil {
		return err
	}

	var version struct {
		V string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(marker, &version); err != nil || version.V != "1.0.0" {
		return fmt.Errorf("%s: version %.40q, and only 1.0.0 is known", layoutName, version.V)
	}

	raw, err := o.small(root, indexName)
	if err != nil {
		return err
	}
	index, err := registry.ParseManifest(raw, string(types.OCIImageIndex))
	if err != nil {
		return fmt.Errorf("%s: %w", indexName, err)
	}

	o.subject.Kind, o.subject.Digest = Image, index.Digest
	r := &repository{o, func(d v1.Descriptor) (blob, error) { return o.layoutBlob(root, d) }}
	at := location{}.within(Container{Kind: Image, Name: ref, Digest: index.Digest, Size: index.Size})

	left := maxManifests
	images, err := r.flat(index, &left)
	if err != nil {
		return err
	}
	chosen, err := choosePlatforms(images, o.cfg.Platforms)
	if err != nil {
		return err
	}

	for _, p := range chosen {
		m, err := r.load(p)
		if err != nil {
			return err
		}
		at := at.within(Container{Kind: System, Name: p.Name, Digest: p.Digest, Size: p.Size})
		at.platform = p.Name
		if err := r.manifest(at, m, nil); err != nil {
			return fmt.Errorf("%s: %w", safetext.QuoteWord(p.Name), err)
		}
	}

	// Files beside the blobs are in no image, and somebody may run them.
	return o.walk(root, location{}.within(Container{Kind: Folder, Name: ref}), path.Dir(blobsName))
}

// flat returns the images of an index and of the indexes in it. An image without a platform gets
// the one that its configuration says. At most left manifests are read, so that indexes in indexes
// come to an end.
func (r *repository) flat(index *registry.Manifest, left *int) ([]registry.Platform, error) {
	var list []registry.Platform
	for _, p := range index.Platforms {
		t := types.MediaType(p.MediaType)
		if !t.IsIndex() && (!t.IsImage() || p.Name != "") {
			list = append(list, p)
			continue
		}

		if *left--; *left < 0 {
			return nil, fmt.Errorf("more than %d manifests: %w", maxManifests, ErrLimit)
		}
		m, err := r.load(p)
		if err != nil {
			return nil, err
		}

		if t.IsImage() {
			if p.Name, err = r.platform(m); err != nil {
				return nil, fmt.Errorf("%s: %w", p.Digest, err)
			}
			list = append(list, p)
			continue
		}

		inner, err := r.flat(m, left)
		if err != nil {
			return nil, err
		}
		list = append(list, inner...)
	}

	return list, nil
}

// platform returns the platform of an image by its configuration. It is "" for a manifest that is
// no image of a container.
func (r *repository) platform(m *registry.Manifest) (string, error) {
	var doc v1.Manifest
	if err := json.Unmarshal(m.Raw, &doc); err != nil {
		return "", err
	}
	if t := doc.Config.MediaType; t != types.OCIConfigJSON && t != types.DockerConfigJSON {
		return "", nil
	}
	c, err := r.config(doc.Config)
	if err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	return platformOf(c), nil
}

// load reads the manifest or index that an index refers to.
func (r *repository) load(p registry.Platform) (*registry.Manifest, error) {
	if p.Size > maxLayoutFile {
		return nil, fmt.Errorf("%s: more than %d bytes: %w", p.Digest, maxLayoutFile, ErrLimit)
	}
	if err := r.o.count(string(p.Digest)); err != nil {
		return nil, err
	}

	h, err := v1.NewHash(string(p.Digest))
	if err != nil {
		return nil, err
	}
	raw, err := r.content(v1.Descriptor{Digest: h, Size: p.Size}, maxLayoutFile)
	if err != nil {
		return nil, err
	}

	m, err := registry.ParseManifest(raw, p.MediaType)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Digest, err)
	}
	return m, nil
}

// layoutBlob stores a blob of a layout.
func (o *opening) layoutBlob(root *os.Root, desc v1.Descriptor) (blob, error) {
	digest, err := artifact.ParseDigest(desc.Digest.String())
	if err != nil {
		return blob{}, err
	}

	if size, there := o.spooled[digest]; there {
		return blob{digest: digest, size: size}, nil
	}

	f, err := openIn(root, blobsName+digest.Hex(), o.limits.Spool)
	if err != nil {
		return blob{}, fault.WithRemedy(fmt.Errorf("%s: %s", digest, reason(err)), "the folder must be the whole image layout")
	}
	defer f.Close()

	b, err := o.spool(f, desc.Size)
	if err == nil && (b.size != desc.Size || b.digest != digest) {
		err = fmt.Errorf("%s is %s with %d bytes, and not the %d that the manifest says", safetext.QuoteWord(blobsName+digest.Hex()), b.digest, b.size, desc.Size)
	}
	return b, err
}

// small reads a small file of a layout.
func (o *opening) small(root *os.Root, name string) ([]byte, error) {
	f, err := openIn(root, name, maxLayoutFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", name, reason(err))
	}
	data, err := readBounded(o.reader(f), maxLayoutFile)
	return data, errors.Join(err, f.Close())
}
