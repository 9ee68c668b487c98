package subject

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/registry"
	"github.com/twicebuild/twice/pipeline/safetext"
)

const (
	maxConfig = 8 << 20
	maxLayers = 127 // what runtimes can stack
	// attempts is how often a blob is fetched before that is an error.
	attempts = 3
)

// repository is the place that an image comes from.
type repository struct {
	o *opening
	// blob stores what a descriptor names, unless it is there, and compares it with
	// the descriptor.
	blob func(v1.Descriptor) (blob, error)
}

// remoteRepository is a repository of a registry.
type remoteRepository struct {
	o      *opening
	puller *remote.Puller
	repo   name.Repository
}

// image opens an image. Of an index it opens the manifests for the platforms.
func (o *opening) image(ref string) error {
	top, err := registry.Resolve(o.ctx, ref, o.cfg.Registry)
	if err != nil {
		return err
	}
	r, err := o.repository(top.Repository)
	if err != nil {
		return err
	}

	o.subject.Kind, o.subject.Digest = Image, top.Digest
	at := location{}.within(Container{Kind: Image, Name: ref, Digest: top.Digest, Size: top.Size})
	if types.MediaType(top.MediaType).IsImage() {
		return r.manifest(at, top, o.cfg.Platforms)
	}

	chosen, err := choosePlatforms(top.Platforms, o.cfg.Platforms)
	if err != nil {
		return err
	}
	for _, p := range chosen {
		m, err := registry.Resolve(o.ctx, top.Repository+"@"+string(p.Digest), o.cfg.Registry)
		if err != nil {
			return err
		}

		// The index is only a claim about the manifest, so the two must agree.
		if !types.MediaType(m.MediaType).IsImage() || m.MediaType != p.MediaType || m.Size != p.Size {
			return fmt.Errorf("%s: not the image of %d bytes that the index says is for %s", p.Digest, p.Size, safetext.QuoteWord(p.Name))
		}

		at := at.within(Container{Kind: System, Name: p.Name, Digest: p.Digest, Size: p.Size})
		at.platform = p.Name
		if err := r.manifest(at, m, nil); err != nil {
			return fmt.Errorf("%s: %w", safetext.QuoteWord(p.Name), err)
		}
	}

	return nil
}

// choosePlatforms returns the manifests of an index for the platforms, or all those for linux if
// none is given. It leaves out an entry that has no platform or is no image: an attestation says
// that it is for unknown/unknown.
func choosePlatforms(list []registry.Platform, want []platform.Platform) ([]registry.Platform, error) {
	found := map[platform.Platform][]registry.Platform{}
	var have []string
	for _, p := range list {
		own, err := platform.Parse(p.Name)
		if err != nil || !types.MediaType(p.MediaType).IsImage() {
			continue
		}
		if found[own] == nil {
			have = append(have, own.String())
		}
		found[own] = append(found[own], p)
	}

	missing := func(what string) error {
		return fmt.Errorf("no image for %s (there are: %s)", what, strings.Join(have, ", "))
	}

	var chosen []registry.Platform
	add := func(p platform.Platform) bool {
		for _, c := range found[p] { // more than one of a platform: any of them can be what somebody runs
			if !slices.ContainsFunc(chosen, func(o registry.Platform) bool { return o.Digest == c.Digest }) {
				chosen = append(chosen, c)
			}
		}
		return len(found[p]) > 0
	}

	if len(want) == 0 {
		for _, p := range slices.SortedFunc(maps.Keys(found), platform.Platform.Compare) {
			if p.OS == "linux" {
				add(p)
			}
		}
		if len(chosen) == 0 {
			return nil, missing("linux")
		}
	}

	for _, p := range want {
		if !slices.ContainsFunc(p.Fallbacks(), add) {
			return nil, missing(p.String())
		}
	}

	return chosen, nil
}

// repository prepares to read the blobs of a repository, given its full name.
func (o *opening) repository(full string) (*repository, error) {
	var options []name.Option
	if o.cfg.Registry.Insecure {
		options = append(options, name.Insecure)
	}
	repo, err := name.NewRepository(full, options...)
	if err != nil {
		return nil, err
	}

	list := []remote.Option{
		remote.WithTransport(o.guard(repo.RegistryStr(), o.cfg.Registry.Insecure)),
		remote.WithUserAgent("twice"),
		// The library's own repetitions would go on after the end of the context.
		remote.WithRetryPredicate(func(error) bool { return false }),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
	}

	if o.cfg.Registry.Keychain != nil {
		list = append(list, remote.WithAuthFromKeychain(o.cfg.Registry.Keychain))
	}
	puller, err := remote.NewPuller(list...)
	return &repository{o, (&remoteRepository{o, puller, repo}).blob}, err
}

// versionLabel is the label in which an image says which version of its program it has
// (https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md).
const versionLabel = "org.opencontainers.image.version"

// manifest reads an image for one platform. The platform must be one of want unless that is empty.
func (r *repository) manifest(at location, m *registry.Manifest, want []platform.Platform) error {
	// Package registry has refused a manifest that can be read in two ways.
	var doc v1.Manifest
	if err := json.Unmarshal(m.Raw, &doc); err != nil {
		return err
	}
	if t := doc.Config.MediaType; t != types.OCIConfigJSON && t != types.DockerConfigJSON {
		return fmt.Errorf("a configuration of type %.200q: no image of a container", t)
	}
	if len(doc.Layers) > maxLayers {
		return fmt.Errorf("more than %d layers: %w", maxLayers, ErrLimit)
	}

	config, err := r.config(doc.Config)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}

	// The digests of unpacked layers show that a layer is the one that the image runs with.
	ids := config.RootFS.DiffIDs
	if len(ids) != len(doc.Layers) {
		return fmt.Errorf("the configuration has %d layers, the manifest %d", len(ids), len(doc.Layers))
	}

	// An image without an index says its platform only in the configuration.
	if at.platform == "" {
		at.platform = platformOf(config)
		if err := checkPlatform(at.platform, want); err != nil {
			return err
		}
		at = at.within(Container{Kind: System, Name: at.platform, Digest: m.Digest, Size: m.Size})
	}

	o := r.o
	o.addVersion(at.platform, config.Config.Labels[versionLabel], "the image's label "+versionLabel)

	// A later layer may replace or remove files, so all are applied before any file counts.
	t := newTree()
	for i, desc := range doc.Layers {
		if err := r.layer(t, desc, ids[i]); err != nil {
			return fmt.Errorf("layer %s: %w", desc.Digest, err)
		}
	}

	return t.Walk(func(p string, n *node) error {
		if n.IsFolder() {
			return nil
		}

		c := n.Value.candidate
		if c == nil {
			o.countOther(p, n.Value.kind, n.Value.executable)
			return nil
		}

		found, err := o.keep(at.within(c.layer), p, c.blob, nil)
		if err == nil && !found {
			o.countOther(p, formatUnknown, true)
		}
		return err
	})
}

// platformOf returns the platform that a configuration says.
func platformOf(c *v1.ConfigFile) string {
	return strings.TrimSuffix(c.OS+"/"+c.Architecture+"/"+c.Variant, "/")
}

// checkPlatform returns an error unless an image without an index is for one of the platforms.
func checkPlatform(said string, want []platform.Platform) error {
	own, err := platform.Parse(said)
	if err == nil && (len(want) == 0 || slices.ContainsFunc(want, func(p platform.Platform) bool { return slices.Contains(p.Fallbacks(), own) })) {
		return nil
	}
	if err != nil && len(want) == 0 {
		return fmt.Errorf("the configuration says that it is for %s", safetext.QuoteWord(said))
	}
	return fmt.Errorf("no image for %s: there is no index, and the configuration says %s", want[0], safetext.QuoteWord(said))
}

// config fetches the configuration of an image.
func (r *repository) config(desc v1.Descriptor) (*v1.ConfigFile, error) {
	data, err := r.content(desc, maxConfig)
	if err != nil {
		return nil, err
	}
	var c v1.ConfigFile
	return &c, json.Unmarshal(data, &c)
}

// content fetches the blob that desc names and returns it, if it has no more than limit bytes.
func (r *repository) content(desc v1.Descriptor, limit int64) ([]byte, error) {
	if desc.Size > limit {
		return nil, fmt.Errorf("more than %d bytes: %w", limit, ErrLimit)
	}
	b, err := r.blob(desc)
	if err != nil {
		return nil, err
	}
	f, err := r.o.store.Open(b.digest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f, limit)
}

// blob fetches the blob that desc names, unless it is already stored.
func (r *remoteRepository) blob(desc v1.Descriptor) (blob, error) {
	digest := artifact.Digest(desc.Digest.String())
	if _, err := artifact.ParseDigest(string(digest)); err != nil {
		return blob{}, err
	}

	if size, there := r.o.spooled[digest]; there {
		return blob{digest: digest, size: size}, nil
	}

	for attempt := 1; ; attempt++ {
		b, err := r.fetch(desc)
		if err == nil && (b.size != desc.Size || b.digest != digest) {
			return blob{}, fmt.Errorf("the registry sent %d bytes with digest %s, and not the %d that were asked for", b.size, b.digest, desc.Size)
		}

		// A wrong blob, a limit or a refusal would come again. Only a failure of the server may
		// pass.
		var status *transport.Error
		final := err == nil || errors.Is(err, ErrLimit) || r.o.ctx.Err() != nil || errors.As(err, &status) && status.StatusCode < 500
		if final || attempt == attempts {
			return b, r.withoutURL(err)
		}
	}
}

// withoutURL returns an error of the registry without the URL, which may have a token, and without
// anything else that the registry sent.
func (r *remoteRepository) withoutURL(err error) error {
	if err == nil || r.o.ctx.Err() != nil {
		return r.o.withoutURL(err)
	}
	if status := (*transport.Error)(nil); errors.As(err, &status) {
		return fmt.Errorf("the registry says %d %s", status.StatusCode, http.StatusText(status.StatusCode))
	}
	return withoutURL(err)
}

// fetch fetches a blob once.
func (r *remoteRepository) fetch(desc v1.Descriptor) (blob, error) {
	layer, err := r.puller.Layer(r.o.ctx, r.repo.Digest(desc.Digest.String()))
	if err != nil {
		return blob{}, err
	}
	rc, err := layer.Compressed()
	if err != nil {
		return blob{}, err
	}
	b, err := r.o.spool(rc, desc.Size)
	return b, errors.Join(err, rc.Close())
}

// layer reads a layer into t.
func (r *repository) layer(t *tree, desc v1.Descriptor, diffID v1.Hash) error {
	kind := formatUnknown
	switch desc.MediaType {
	case types.OCILayer, types.DockerLayer:
		kind = formatGzip
	case types.OCILayerZStd:
		kind = formatZstd
	case types.OCIUncompressedLayer, types.DockerUncompressedLayer:
	default:
		return fmt.Errorf("of type %.200q, which is not known", desc.MediaType)
	}

	b, err := r.blob(desc)
	if err != nil {
		return err
	}
	f, err := r.o.store.Open(b.digest)
	if err != nil {
		return err
	}
	defer f.Close()

	c := Container{Kind: Layer, Name: string(b.digest), Format: strings.TrimSuffix("tar."+string(kind), "."), Digest: b.digest, Size: b.size}
	return r.o.layer(t, c, kind, f, artifact.Digest(diffID.String()))
}

// layer reads a layer into t. Its unpacked bytes must have the digest diffID.
func (o *opening) layer(t *tree, c Container, kind format, r io.Reader, diffID artifact.Digest) error {
	packed := &counter{r: o.reader(r)}
	m := &meter{o: o, r: packed}
	if kind.compressed() {
		plain, err := kind.info().decompress(packed)
		if err != nil {
			return err
		}
		defer plain.Close()
		m.r, m.packed = plain, func() int64 { return packed.n }
	}

	h := artifact.NewHasher(io.Discard)
	unpacked := io.TeeReader(m, h)
	if err := o.apply(t, c, unpacked, m); err != nil {
		return err
	}
	// Bytes after the end of the archive belong to the digest, and runtimes do not look at them.
	if _, err := io.Copy(io.Discard, unpacked); err != nil {
		return err
	}

	if h.Digest() != diffID {
		return fmt.Errorf("unpacked it is %s, and the configuration says %s", h.Digest(), safetext.QuoteWord(string(diffID)))
	}

	return nil
}
