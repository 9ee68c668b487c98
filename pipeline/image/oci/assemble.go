package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
)

// assemble makes what was prepared.
func (a *assembly) assemble(ctx context.Context) ([]Image, error) {
	if err := a.makeLayers(ctx); err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}

	var images []Image
	for _, img := range a.images {
		made, err := a.makeImage(img)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", img.plan.Key, err)
		}
		images = append(images, made)
	}

	// index.json makes the folder a layout, so it comes last.
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if err := a.layout.writeIndex(images); err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	return images, nil
}

// makeLayers makes every layer once, and copies the layers of bases.
func (a *assembly) makeLayers(ctx context.Context) error {
	type job struct {
		key  string
		made Layer
		run  func(ctx context.Context, made *Layer) error
	}
	var jobs []*job

	// Images and platforms share layers.
	seen := map[string]bool{}
	add := func(key string, run func(context.Context, *Layer) error) {
		if !seen[key] {
			seen[key] = true
			jobs = append(jobs, &job{key: key, run: run})
		}
	}

	for _, img := range a.images {
		for _, p := range img.platforms {
			for _, l := range p.layers {
				add(l.key(), func(ctx context.Context, made *Layer) error { return a.makeLayer(ctx, l, made) })
			}
			if p.base == nil || a.layout.discards() {
				continue
			}

			for _, d := range p.base.layers {
				add(d.Digest.String(), func(ctx context.Context, _ *Layer) error { return a.copyBase(ctx, img.base.store, d) })
			}
		}
	}

	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(a.input.Jobs)
	for _, j := range jobs {
		g.Go(func() error { return j.run(ctx, &j.made) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, j := range jobs {
		a.layerByKey[j.key] = j.made
	}

	return nil
}

func (a *assembly) makeLayer(ctx context.Context, l layer, made *Layer) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}

	var err error
	made.Digest, made.Size, err = a.layout.writeBlob(func(w io.Writer) error {
		var err error
		made.DiffID, err = l.write(ctx, w, a.mtime)
		return err
	})

	// Some hundred time zones count as one folder; a reader of the record wants to see the other
	// files.
	for _, e := range l.entries {
		zone := strings.HasPrefix(e.path, zoneinfoDir+"/") && e.system
		switch {
		case zone && !slices.Contains(made.Files, zoneinfoDir):
			made.Files = append(made.Files, zoneinfoDir)
		case !zone && !e.dir:
			made.Files = append(made.Files, e.path)
		}
	}

	slices.Sort(made.Files)
	return err
}

func (a *assembly) copyBase(ctx context.Context, store *artifact.Store, d v1.Descriptor) error {
	digest := artifact.Digest(d.Digest.String())
	c := Content{Digest: digest, Size: d.Size, Open: func() (Reader, error) { return store.Open(digest) }}
	_, _, err := a.layout.writeBlob(func(w io.Writer) error { return c.copyTo(ctx, w) })
	if err != nil {
		return fmt.Errorf("layer %s of a base: %w", digest.Short(), err)
	}
	return nil
}

// makeImage makes the manifests and the index of an image.
func (a *assembly) makeImage(img preparedImage) (Image, error) {
	plan := img.plan
	made := Image{Key: plan.Key, Repository: plan.Repository, Tags: slices.Clone(plan.Tags)}

	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	if img.base != nil {
		index.Annotations = a.standardAnnotations(plan, plan.Annotations, img.base.Digest)
	} else {
		index.Annotations = a.standardAnnotations(plan, plan.Annotations, "")
	}

	for _, p := range img.platforms {
		m, desc, err := a.makeManifest(plan, p)
		if err != nil {
			return Image{}, fmt.Errorf("%s: %w", p.Platform, err)
		}
		made.Manifests = append(made.Manifests, m)
		index.Manifests = append(index.Manifests, desc)
	}

	desc, err := a.writeDocument(index, types.OCIImageIndex)
	if err != nil {
		return Image{}, err
	}

	made.Digest, made.Size = artifact.Digest(desc.Digest.String()), desc.Size
	return made, nil
}

// makeManifest makes the configuration and the manifest of an image for a platform.
func (a *assembly) makeManifest(plan matrix.ImagePlan, p preparedPlatform) (Manifest, v1.Descriptor, error) {
	made := Manifest{Platform: p.Platform.String(), Target: p.Target}
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Layers: []v1.Descriptor{}}

	// The base's layers come first, in the manifest as in the configuration.
	var from v1.ConfigFile
	var baseDigest artifact.Digest
	if p.base != nil {
		from, baseDigest = p.base.config, p.base.digest
		for i, d := range p.base.layers {
			manifest.Layers = append(manifest.Layers, d)
			made.Layers = append(made.Layers, Layer{
				Digest: artifact.Digest(d.Digest.String()), Size: d.Size, DiffID: artifact.Digest(from.RootFS.DiffIDs[i].String()), Base: true,
			})
		}
	}

	config := a.imageConfig(plan, p.Platform, from, baseDigest)
	for _, l := range p.layers {
		layer := a.layerByKey[l.key()]

		digest, err := v1.NewHash(string(layer.Digest))
		if err != nil {
			return Manifest{}, v1.Descriptor{}, err
		}
		diffID, err := v1.NewHash(string(layer.DiffID))
		if err != nil {
			return Manifest{}, v1.Descriptor{}, err
		}

		made.Layers = append(made.Layers, layer)
		manifest.Layers = append(manifest.Layers, v1.Descriptor{MediaType: types.OCILayer, Size: layer.Size, Digest: digest})
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID)
		config.History = append(config.History, v1.History{Created: v1.Time{Time: a.mtime}, CreatedBy: "twice", Comment: l.history})
	}

	// The manifest names the configuration by its digest, which is complete now.
	var err error
	if manifest.Config, err = a.writeDocument(config, types.OCIConfigJSON); err != nil {
		return Manifest{}, v1.Descriptor{}, err
	}
	manifest.Annotations = a.standardAnnotations(plan, plan.Annotations, baseDigest)
	desc, err := a.writeDocument(manifest, types.OCIManifestSchema1)
	if err != nil {
		return Manifest{}, v1.Descriptor{}, err
	}

	// The index says for which platform the manifest is.
	desc.Platform = &v1.Platform{OS: p.Platform.OS, Architecture: p.Platform.Arch, Variant: p.Platform.Variant}

	made.Config = artifact.Digest(manifest.Config.Digest.String())
	made.Digest, made.Size = artifact.Digest(desc.Digest.String()), desc.Size
	return made, desc, nil
}

// writeDocument writes a JSON document as a blob.
func (a *assembly) writeDocument(doc any, t types.MediaType) (v1.Descriptor, error) {
	data, err := json.Marshal(doc)
	if err != nil {
		return v1.Descriptor{}, err
	}

	d, size, err := a.layout.writeBlob(func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		return v1.Descriptor{}, err
	}

	digest, err := v1.NewHash(string(d))
	return v1.Descriptor{MediaType: t, Size: size, Digest: digest}, err
}
