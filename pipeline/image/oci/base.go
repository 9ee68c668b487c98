package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/matrix/reference"
	"github.com/twicebuild/twice/pipeline/artifact"
)

// Bounds of a base. The greatest images that people build on have some
// gigabytes.
const (
	maxManifest = 4 << 20
	maxConfig   = 8 << 20
	maxLayers   = 127       // what runtimes can stack
	maxLayer    = 8 << 30   // compressed
	maxUnpacked = 32 << 30  // all layers of a platform
	maxWindow   = 128 << 20 // of zstd: more is refused by the usual tools too
)

// Remote reaches the registries that have the bases.
type Remote struct {
	// Transport carries every request, and decides whether plain HTTP is allowed. The
	// library asks for plain HTTP where a host is this machine, is in a private network
	// or ends in .local.
	Transport http.RoundTripper
	// Keychain has the credentials.
	Keychain  authn.Keychain
	UserAgent string
	// Check, unless it is nil, is asked before anything of a base is read, with
	// the reference of the release file and the digest of the index (or of the
	// manifest, where the base has no index). A base that it returns an error for
	// is not used.
	Check func(ctx context.Context, reference string, digest artifact.Digest) error
}

func (r *Remote) newPuller() (*remote.Puller, error) {
	return remote.NewPuller(remote.WithTransport(r.Transport), remote.WithAuthFromKeychain(r.Keychain), remote.WithUserAgent(r.UserAgent))
}

// Resolve returns the digest of the image that a reference with a tag stands for in the
// registry now. [Lock.Resolve] calls it.
func (r *Remote) Resolve(ctx context.Context, base string) (artifact.Digest, error) {
	fail := func(err error) (artifact.Digest, error) { return "", fmt.Errorf("base %s: %w", base, err) }
	ref, err := reference.Parse(base)
	if err != nil {
		return fail(err)
	}

	tag, err := name.NewTag(ref.Repository+":"+ref.Tag, name.StrictValidation)
	if err != nil {
		return fail(err)
	}

	puller, err := r.newPuller()
	if err != nil {
		return fail(err)
	}
	// The digest is that of the bytes, whatever a header says that it is.
	desc, err := puller.Get(ctx, tag)
	if err != nil {
		return fail(err)
	}
	if _, err := parseDocument(desc.Manifest, string(desc.MediaType)); err != nil {
		return fail(err)
	}
	return artifact.Of(desc.Manifest), nil
}

// Base is an image to add to, for some platforms. Its bytes are in the store that
// it was read into.
type Base struct {
	// Reference is written as in the release file, and Digest is the digest of the
	// index, or of the manifest where there is no index.
	Reference string
	Digest    artifact.Digest
	store     *artifact.Store
	images    map[platform.Platform]*baseImage // by the platform that was asked for
}

// baseImage is a base for one platform.
type baseImage struct {
	digest artifact.Digest // of the manifest
	config v1.ConfigFile
	layers []v1.Descriptor // as they are written to manifests
	tree   *tree
}

// ReadBase reads the image that digest names from the registry of base, for each
// of the platforms, into store. The image for a platform is the one with the same
// variant, or else the best of [platform.Platform.Fallbacks]. It is an error if
// there is none. Every byte is compared with the digest that names it, beginning
// with the given one. A tag in base is not looked up.
func (r *Remote) ReadBase(ctx context.Context, store *artifact.Store, base string, digest artifact.Digest, platforms []platform.Platform) (*Base, error) {
	b := &Base{Reference: base, Digest: digest, store: store, images: map[platform.Platform]*baseImage{}}
	if err := b.readPlatforms(ctx, r, platforms); err != nil {
		return nil, fmt.Errorf("base %s: %w", base, err)
	}
	return b, nil
}

func (b *Base) readPlatforms(ctx context.Context, r *Remote, platforms []platform.Platform) error {
	ref, err := reference.Parse(b.Reference)
	if err != nil {
		return err
	}
	if _, err := artifact.ParseDigest(string(b.Digest)); err != nil {
		return err
	}

	repo, err := name.NewRepository(ref.Repository, name.StrictValidation)
	if err != nil {
		return err
	}

	// A base whose signature is refused must not be parsed.
	if r.Check != nil {
		if err := r.Check(ctx, b.Reference, b.Digest); err != nil {
			return err
		}
	}

	puller, err := r.newPuller()
	if err != nil {
		return err
	}

	from := &repository{ctx, puller, repo, b.store}
	top, err := from.fetchDocument(b.Digest, "")
	if err != nil {
		return err
	}

	// Platforms can share a manifest, which is read once.
	read := map[artifact.Digest]*baseImage{}
	for _, p := range platforms {
		desc, err := top.choose(p, b.Digest)
		if err != nil {
			return err
		}

		digest := artifact.Digest(desc.Digest.String())
		if read[digest] == nil {
			doc := top
			if top.isIndex() {
				if doc, err = from.fetchDocument(digest, string(desc.MediaType)); err != nil {
					return err
				}
				if doc.isIndex() || doc.size != desc.Size {
					return fmt.Errorf("%s: the manifest for %s is not the one of the index", digest.Short(), p)
				}
			}
			if read[digest], err = from.readImage(doc, digest); err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
		}

		img := read[digest]
		if err := img.checkPlatform(p, top.isIndex()); err != nil {
			return err
		}
		b.images[p] = img
	}
	return nil
}

// document is a manifest or an index, of which only one of the lists is there.
type document struct {
	MediaType string          `json:"mediaType"`
	Manifests []v1.Descriptor `json:"manifests"`
	Config    *v1.Descriptor  `json:"config"`
	Layers    []v1.Descriptor `json:"layers"`
	size      int64
}

func (d *document) isIndex() bool { return d.Config == nil }

// parseDocument reads a manifest or an index that was announced with a media
// type. A document that can be taken for both is refused: two programs might see two
// images (https://github.com/opencontainers/image-spec/security/advisories/GHSA-77vh-xpmg-72qh).
func parseDocument(data []byte, announced string) (*document, error) {
	if len(data) > maxManifest {
		return nil, fmt.Errorf("a manifest of more than %d bytes", maxManifest)
	}
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}

	d.size = int64(len(data))
	kind := types.MediaType(announced)
	if d.MediaType != "" && d.MediaType != announced {
		return nil, fmt.Errorf("manifest: announced as %q, and calls itself %q", announced, d.MediaType)
	}

	switch kind {
	case types.OCIImageIndex, types.DockerManifestList:
		if d.Config == nil && d.Layers == nil && d.Manifests != nil {
			return &d, nil
		}
	case types.OCIManifestSchema1, types.DockerManifestSchema2:
		if d.Config != nil && d.Layers != nil && d.Manifests == nil {
			return &d, nil
		}
	default:
		return nil, fmt.Errorf("manifest: a document of type %q", kind)
	}

	return nil, fmt.Errorf("manifest: not what its type %s says", kind)
}

// choose returns the descriptor of the manifest for a platform. self is the
// digest of d, which is that manifest if d is no index.
func (d *document) choose(want platform.Platform, self artifact.Digest) (v1.Descriptor, error) {
	if !d.isIndex() {
		digest, err := v1.NewHash(string(self))
		return v1.Descriptor{Digest: digest, Size: d.size}, err
	}

	found := map[platform.Platform][]v1.Descriptor{}
	var have []string
	for _, desc := range d.Manifests {
		if desc.Platform == nil {
			continue
		}
		// A descriptor without a platform that is known is no image: an attestation
		// says unknown/unknown.
		p, err := platform.Parse(platformText(desc.Platform.OS, desc.Platform.Architecture, desc.Platform.Variant))
		if err != nil {
			continue
		}
		if found[p] == nil {
			have = append(have, p.String())
		}
		found[p] = append(found[p], desc)
	}

	for _, p := range want.Fallbacks() {
		switch list := found[p]; len(list) {
		case 0:
		case 1:
			return list[0], nil
		default:
			return v1.Descriptor{}, fmt.Errorf("%d images for %s", len(list), p)
		}
	}

	return v1.Descriptor{}, fmt.Errorf("no image for %s (there are: %s)", want, strings.Join(have, ", "))
}

func platformText(os, arch, variant string) string {
	if variant == "" {
		return os + "/" + arch
	}
	return os + "/" + arch + "/" + variant
}

// checkPlatform returns an error unless an image says itself that it is for p. Where an
// index has chosen the image, the index knows the variant: many configurations say none.
func (b *baseImage) checkPlatform(p platform.Platform, chosen bool) error {
	text := platformText(b.config.OS, b.config.Architecture, b.config.Variant)
	own, err := platform.Parse(text)
	if err != nil || own.OS != p.OS || own.Arch != p.Arch || !chosen && !slices.Contains(p.Fallbacks(), own) {
		return fmt.Errorf("no image for %s: its configuration says %s", p, text)
	}
	return nil
}

// repository reads the parts of a base from a registry into a store.
type repository struct {
	ctx    context.Context
	puller *remote.Puller
	name   name.Repository
	store  *artifact.Store
}

// fetchDocument reads the manifest or index that d names.
func (r *repository) fetchDocument(d artifact.Digest, announced string) (*document, error) {
	desc, err := r.puller.Get(r.ctx, r.name.Digest(string(d)))
	if err != nil {
		return nil, err
	}
	if got := artifact.Of(desc.Manifest); got != d {
		return nil, fmt.Errorf("the registry has %s where %s was asked for", got.Short(), d.Short())
	}
	if announced == "" {
		announced = string(desc.MediaType)
	}
	return parseDocument(desc.Manifest, announced)
}

// readImage reads everything that a manifest names.
func (r *repository) readImage(doc *document, digest artifact.Digest) (*baseImage, error) {
	img := &baseImage{digest: digest, tree: newTree()}
	if len(doc.Layers) > maxLayers {
		return nil, fmt.Errorf("more than %d layers", maxLayers)
	}
	if err := checkDescriptor(*doc.Config, maxConfig); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}

	// Artifacts that are no images, such as charts, have manifests of the same type.
	if t := doc.Config.MediaType; t != types.OCIConfigJSON && t != types.DockerConfigJSON {
		return nil, fmt.Errorf("a configuration of type %q: no image of a container", t)
	}

	var g errgroup.Group
	g.SetLimit(4)
	g.Go(func() error { return r.fetchBlob(*doc.Config) })
	for i, l := range doc.Layers {
		t, err := layerType(l.MediaType)
		if err == nil {
			err = checkDescriptor(l, maxLayer)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("layer %d: %w", i, err), g.Wait())
		}

		img.layers = append(img.layers, v1.Descriptor{MediaType: t, Size: l.Size, Digest: l.Digest, Annotations: l.Annotations})
		g.Go(func() error { return r.fetchBlob(l) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}

	if err := r.readConfig(*doc.Config, &img.config); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}

	ids := img.config.RootFS.DiffIDs
	if len(ids) != len(img.layers) {
		return nil, fmt.Errorf("the configuration has %d layers, the manifest %d", len(ids), len(img.layers))
	}

	left := int64(maxUnpacked)
	for i, l := range img.layers {
		if err := r.readLayer(l, artifact.Digest(ids[i].String()), img.tree, &left); err != nil {
			return nil, fmt.Errorf("layer %s: %w", l.Digest, err)
		}
	}
	return img, nil
}

// layerType returns the OCI name of a layer's media type. Docker's layers are the
// same bytes under another name, which does not belong into a manifest of OCI's
// type.
func layerType(t types.MediaType) (types.MediaType, error) {
	switch t {
	case types.OCILayer, types.DockerLayer:
		return types.OCILayer, nil
	case types.OCIUncompressedLayer, types.DockerUncompressedLayer:
		return types.OCIUncompressedLayer, nil
	case types.OCILayerZStd:
		return t, nil
	}
	return "", fmt.Errorf("of type %q, which cannot be passed on", t)
}

func checkDescriptor(d v1.Descriptor, limit int64) error {
	if _, err := artifact.ParseDigest(d.Digest.String()); err != nil {
		return err
	}
	if d.Size < 0 || d.Size > limit {
		return fmt.Errorf("%d bytes: want at most %d", d.Size, limit)
	}
	return nil
}

// fetchBlob brings a blob into the store, unless it is there.
func (r *repository) fetchBlob(d v1.Descriptor) error {
	want := artifact.Digest(d.Digest.String())
	if f, err := r.store.Open(want); err == nil {
		return f.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}

	blob, err := r.puller.Layer(r.ctx, r.name.Digest(string(want)))
	if err != nil {
		return err
	}
	body, err := blob.Compressed()
	if err != nil {
		return fmt.Errorf("blob %s: %w", want.Short(), err)
	}

	// One byte more than announced is enough to notice that there is more.
	got, size, err := r.store.Put(io.LimitReader(contextReader{r.ctx, body}, d.Size+1))
	if err := errors.Join(err, body.Close()); err != nil {
		return fmt.Errorf("blob %s: %w", want.Short(), err)
	}
	if got != want || size != d.Size {
		return fmt.Errorf("blob %s: the registry sent other bytes", want.Short())
	}
	return nil
}

func (r *repository) readConfig(d v1.Descriptor, c *v1.ConfigFile) error {
	f, err := r.store.Open(artifact.Digest(d.Digest.String()))
	if err != nil {
		return err
	}

	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}

	if int64(len(data)) != d.Size {
		return fmt.Errorf("%d bytes, not the %d of the manifest", len(data), d.Size)
	}
	return json.Unmarshal(data, c)
}

// readLayer reads a layer from the store into t, and compares it with its digests. It
// subtracts the unpacked size of the layer from left.
func (r *repository) readLayer(d v1.Descriptor, diffID artifact.Digest, t *tree, left *int64) error {
	f, err := r.store.Open(artifact.Digest(d.Digest.String()))
	if err != nil {
		return err
	}
	defer f.Close()

	// Both digests are taken in one reading: that of the blob, and that of what it unpacks to.
	packed := artifact.NewHasher(io.Discard)
	in := io.TeeReader(io.LimitReader(contextReader{r.ctx, f}, d.Size+1), packed)
	stream := in
	switch d.MediaType {
	case types.OCILayer:
		zr, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		defer zr.Close()
		stream = zr
	case types.OCILayerZStd:
		zr, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return err
		}
		defer zr.Close()
		stream = zr
	}

	h := artifact.NewHasher(io.Discard)
	unpacked := io.TeeReader(io.LimitReader(stream, *left+1), h)
	if err := t.applyLayer(unpacked); err != nil {
		return err
	}
	// The digest also covers the bytes after the end of the archive.
	if _, err := io.Copy(io.Discard, unpacked); err != nil {
		return err
	}

	if *left -= h.Size(); *left < 0 {
		return fmt.Errorf("more than %d bytes unpacked", int64(maxUnpacked))
	}
	if h.Digest() != diffID {
		return fmt.Errorf("unpacked it is %s, and the configuration says %s", h.Digest().Short(), diffID.Short())
	}

	// The blob's digest covers also what the decompressor did not read.
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	if got := packed.Digest(); string(got) != d.Digest.String() || packed.Size() != d.Size {
		return fmt.Errorf("%s with %d bytes, not the %d of the manifest", got.Short(), packed.Size(), d.Size)
	}
	return nil
}
