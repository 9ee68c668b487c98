// Package oci makes OCI images from verified binaries. Their bytes depend on the
// input alone: equal inputs give equal images, on any host, in any order of the lists
// and of the work.
//
// # What an image consists of
//
// An image is an index (image-spec v1.1,
// https://github.com/opencontainers/image-spec/blob/v1.1.1/spec.md) with one
// manifest for each platform. The layers of a manifest are, from the bottom:
//
//  1. those of the base for the platform, if there is one: the same bytes. Their
//     media types are OCI's also where they were Docker's, since the manifest is
//     OCI's.
//  2. what the options of the release file stand for, if anything: /etc/passwd and
//     /etc/group with root, nobody and the user, and the user's home (only without
//     a base); /tmp; the certification authorities; the time zones.
//  3. the files of the release file, if any.
//  4. each binary, in a layer of its own.
//
// Layers that hold the same are one blob, whichever images and platforms they
// belong to. A layer has the files and the folders that lead to them, unless the
// base has these, in bytewise order of their names (a folder's ends in a slash).
// Owner and group are 0, and the user's in its home; the modification time is that
// of the commit. The tar stream is USTAR, PAX where an entry does not fit, and
// compressed by the same pinned compressor as archives. So the file in the layer
// is, byte for byte, the binary that was compared: writing fails if it is not.
//
// What is taken from the configuration of a base is the environment, the labels
// that are not standard annotations (those describe the base itself), the working
// directory, ports, volumes, the stop signal and the history. Its entrypoint,
// command, user, health check, shell and build triggers are not.
//
// # Sizes
//
// Unpacked and packed, in kilobytes: users and /tmp 5 and 0.3; certificates 175
// and 102; the time zones of Go 1.26 821 and 107.
//
// # The image layout
//
// [Write] makes an OCI image layout
// (https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md): a
// folder with oci-layout, index.json and blobs/sha256. index.json has one
// descriptor for each image, of its index, in bytewise order of these annotations:
//
//	org.opencontainers.image.ref.name       repository:tag, with the first tag
//	io.containerd.image.name                the same: what containerd imports it as
//	com.github.twicebuild.twice.repository  the repository
//	com.github.twicebuild.twice.tags        all tags, separated by spaces, in the
//	                                        order of the release file
//
// A complete name rather than a tag alone, since a layout can hold images of
// several repositories; and one descriptor for all tags, since many tools want a
// layout to have just one, unless they are told which image to take.
//
// # What is refused
//
// Before anything is written, all at once: an image that could not start. Its
// binaries must be for its platform; a loader (PT_INTERP) and shared libraries
// (DT_NEEDED) that they ask for must be there, and so must the interpreter of a
// script; the entrypoint must be there and be executable for the user. Files must
// not fall on each other, and a file that a base has behind a symbolic link must be
// named by its real path: unpacking would replace the link.
package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/image"
)

// Annotations of the descriptors in index.json; see the package comment.
const (
	RefNameAnnotation    = "org.opencontainers.image.ref.name"
	ContainerdAnnotation = "io.containerd.image.name"
	RepositoryAnnotation = "com.github.twicebuild.twice.repository"
	TagsAnnotation       = "com.github.twicebuild.twice.tags"
)

// annotationPrefix is what the names of standard annotations begin with
// (https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md).
const annotationPrefix = "org.opencontainers.image."

// Input is everything that images are made from.
type Input struct {
	Images []matrix.ImagePlan
	// Bases holds every base of Images but scratch, by ImagePlan.Base.
	Bases map[string]*Base
	// Binaries holds every binary of Images for every target of theirs.
	Binaries []Binary
	// Files holds the files of the source tree, by ImageFile.Source.
	Files map[string]Content
	// Zoneinfo is lib/time/zoneinfo.zip of the Go distribution that built the
	// binaries. It is needed where an image has time zones.
	Zoneinfo []byte
	// Title, Revision and Version are the values of standard annotations: the
	// project, the commit, the version. One that is empty is left out.
	Title, Revision, Version string
	// Created is the time of the commit: of every file and of the images. It
	// loses what it has below the second.
	Created time.Time
	// Jobs is how many layers are compressed at once; at least 1.
	Jobs int
}

// Binary is a binary for a target.
type Binary struct {
	Target matrix.Target
	// Name is that of the release file, as in matrix.ImageBinary.
	Name string
	Content
}

// What was made, in the words of package image.
type (
	Image    = image.Image
	Manifest = image.Manifest
	Layer    = image.Layer
)

// Write makes the images and an image layout in dir, which must not exist or be
// empty. It returns them in the order of index.json. Nothing is written if an
// image is refused (see the package comment); after another error, what is in dir
// is no layout, as index.json comes last.
func Write(ctx context.Context, dir string, in Input) ([]Image, error) {
	a, err := prepare(in)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s: not empty", dir)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("images: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	a.out = layoutWriter{dir}
	return a.assemble(ctx)
}

// Digests does what [Write] does, without keeping it: the bytes are made and
// hashed.
func Digests(ctx context.Context, in Input) ([]Image, error) {
	a, err := prepare(in)
	if err != nil {
		return nil, err
	}
	return a.assemble(ctx)
}

// Compare returns in what two lists of images differ, one line a difference. It returns
// nothing if they are the same. For layers it says whether they differ before
// compression, too.
func Compare(a, b []Image) []string {
	var list []string
	differ := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if len(a) != len(b) {
		return []string{fmt.Sprintf("%d images, and %d", len(a), len(b))}
	}
	for i := range a {
		x, y := a[i], b[i]
		name := x.Repository + ":" + strings.Join(x.Tags, ",")
		if x.Repository != y.Repository || !slices.Equal(x.Tags, y.Tags) || len(x.Manifests) != len(y.Manifests) {
			differ("%s: not the image that %s:%s is", name, y.Repository, strings.Join(y.Tags, ","))
			continue
		}
		n := len(list)
		for j := range x.Manifests {
			m, o := x.Manifests[j], y.Manifests[j]
			at := name + " " + m.Platform
			if m.Platform != o.Platform || m.Target != o.Target || len(m.Layers) != len(o.Layers) {
				differ("%s: other platforms or layers", at)
				continue
			}
			k := len(list)
			for l := range m.Layers {
				p, q := m.Layers[l], o.Layers[l]
				what := fmt.Sprintf("%s: layer %d (%s)", at, l, strings.Join(p.Files, ", "))
				switch {
				case p.DiffID != q.DiffID:
					differ("%s: %s and %s before compression", what, p.DiffID.Short(), q.DiffID.Short())
				case p.Digest != q.Digest || p.Size != q.Size:
					differ("%s: the same before compression, %s and %s after it", what, p.Digest.Short(), q.Digest.Short())
				case p.Base != q.Base || !slices.Equal(p.Files, q.Files):
					differ("%s: other files", what)
				}
			}
			switch {
			case len(list) > k:
			case m.Config != o.Config:
				differ("%s: configuration %s and %s", at, m.Config.Short(), o.Config.Short())
			case m.Digest != o.Digest || m.Size != o.Size:
				differ("%s: manifest %s and %s", at, m.Digest.Short(), o.Digest.Short())
			}
		}
		if len(list) == n && (x.Digest != y.Digest || x.Size != y.Size || x.Key != y.Key) {
			differ("%s: index %s and %s", name, x.Digest.Short(), y.Digest.Short())
		}
	}
	return list
}

// assembly is work that was found to make sense.
type assembly struct {
	in     Input
	mtime  time.Time
	images []preparedImage
	out    layoutWriter
	made   map[string]Layer // by layer.key
}

type preparedImage struct {
	plan      matrix.ImagePlan
	base      *Base // nil without one
	platforms []preparedPlatform
}

// preparedPlatform is an image for one platform.
type preparedPlatform struct {
	matrix.ImagePlatform
	base   *baseImage // nil without one
	layers []layer
}

// tarLast is the last second that eleven octal digits hold.
var tarLast = time.Unix(1<<33-1, 0)

// prepare finds out what each layer will hold, and what is wrong with the images.
func prepare(in Input) (*assembly, error) {
	a := &assembly{in: in, mtime: time.Unix(in.Created.Unix(), 0).UTC(), made: map[string]Layer{}}
	if a.mtime.Unix() < 0 || a.mtime.After(tarLast) {
		return nil, fmt.Errorf("images: time %s: tar holds times from 1970 to 2242", a.mtime.Format(time.RFC3339))
	}
	if in.Jobs < 1 {
		return nil, fmt.Errorf("images: %d jobs", in.Jobs)
	}
	var zones []entry
	if slices.ContainsFunc(in.Images, func(p matrix.ImagePlan) bool { return p.Timezones }) {
		var err error
		if zones, err = timezones(in.Zoneinfo); err != nil {
			return nil, fmt.Errorf("images: %w", err)
		}
	}
	c := contentFinder{in: in, startNeeds: map[artifact.Digest]needs{}, binaries: map[matrix.Target]map[string]Content{}}
	for _, b := range in.Binaries {
		if c.binaries[b.Target] == nil {
			c.binaries[b.Target] = map[string]Content{}
		}
		c.binaries[b.Target][b.Name] = b.Content
	}

	// All faults are found before anything is made.
	var errs []error
	for _, plan := range in.Images {
		img := preparedImage{plan: plan, base: in.Bases[plan.Base]}
		if img.base == nil && plan.Base != matrix.Scratch {
			errs = append(errs, fmt.Errorf("%s: base %s was not read", plan.Key, plan.Base))
			continue
		}
		if len(plan.Tags) == 0 || len(plan.Platforms) == 0 {
			errs = append(errs, fmt.Errorf("%s: no tags, or no platforms", plan.Key))
			continue
		}
		options := optionFiles(plan, zones)
		platforms := slices.SortedFunc(slices.Values(plan.Platforms), func(x, y matrix.ImagePlatform) int { return x.Platform.Compare(y.Platform) })
		for i, p := range platforms {
			if i > 0 && platforms[i-1].Platform == p.Platform {
				errs = append(errs, fmt.Errorf("%s: %s is there twice", plan.Key, p.Platform))
				continue
			}
			ready, err := c.preparePlatform(plan, p, img.base, options)
			if err != nil {
				errs = append(errs, prefixErrors(fmt.Sprintf("%s: %s: ", plan.Key, p.Platform), err))
			}
			img.platforms = append(img.platforms, ready)
		}
		a.images = append(a.images, img)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}

	slices.SortFunc(a.images, func(x, y preparedImage) int { return strings.Compare(refName(x.plan), refName(y.plan)) })
	for i := 1; i < len(a.images); i++ {
		if name := refName(a.images[i].plan); name == refName(a.images[i-1].plan) {
			return nil, fmt.Errorf("images: two are %s", name)
		}
	}
	return a, nil
}

// prefixErrors puts text before every error that err joins.
func prefixErrors(text string, err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var list []error
		for _, e := range joined.Unwrap() {
			list = append(list, prefixErrors(text, e))
		}
		return errors.Join(list...)
	}
	return fmt.Errorf("%s%w", text, err)
}

func refName(p matrix.ImagePlan) string { return p.Repository + ":" + p.Tags[0] }

// contentFinder finds the content of files, and what it needs to start.
type contentFinder struct {
	in         Input
	binaries   map[matrix.Target]map[string]Content
	startNeeds map[artifact.Digest]needs
}

// preparePlatform resolves one platform of an image. All faults are found.
func (c *contentFinder) preparePlatform(plan matrix.ImagePlan, p matrix.ImagePlatform, base *Base, options []entry) (preparedPlatform, error) {
	ready, t := preparedPlatform{ImagePlatform: p}, newTree()
	if base != nil {
		if ready.base = base.images[p.Platform]; ready.base == nil {
			return ready, fmt.Errorf("base %s was not read for it", base.Reference)
		}
		t = ready.base.tree.clone()
	}

	var errs []error
	add := func(history string, files ...entry) {
		if len(files) == 0 {
			return
		}
		l, err := newLayer(t, history, files)
		if err != nil {
			errs = append(errs, err)
		}
		ready.layers = append(ready.layers, l)
	}

	add("base files", options...)
	var files []entry
	for _, f := range plan.Files {
		content, ok := c.in.Files[f.Source]
		if !ok {
			errs = append(errs, fmt.Errorf("%s: there is no file %s", f.Path, f.Source))
			continue
		}
		files = append(files, entry{path: f.Path, mode: int64(f.Mode.Perm()), Content: content})
	}
	add("files", files...)
	for _, b := range plan.Binaries {
		content, ok := c.binaries[p.Target][b.Name]
		if !ok {
			errs = append(errs, fmt.Errorf("%s: there is no %s for %s", b.Path, b.Name, p.Target))
			continue
		}
		add(b.Path, entry{path: b.Path, mode: 0o755, Content: content})
	}
	if len(errs) > 0 {
		return ready, errors.Join(errs...)
	}

	// The tree is complete, so it is known what can start.
	starts := map[string]bool{}
	for _, b := range plan.Binaries {
		starts[b.Path] = true
	}
	if len(plan.Entrypoint) == 0 {
		errs = append(errs, errors.New("no entrypoint"))
	} else if err := t.checkExecutable(plan.Entrypoint[0], int(plan.UID), int(plan.GID)); err != nil {
		errs = append(errs, fault.Usage(fmt.Errorf("entrypoint %w", err), "begin the entrypoint with the path of a file in the image"))
	} else if n := t.Lookup(plan.Entrypoint[0]); n != nil && n.Value.entry != nil {
		starts[plan.Entrypoint[0]] = true
	}
	for _, at := range slices.Sorted(maps.Keys(starts)) {
		if err := c.checkStart(p.Platform, t, t.Lookup(at).Value.entry.Content); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", at, err))
		}
	}
	return ready, errors.Join(errs...)
}

func (c *contentFinder) checkStart(p platform.Platform, t *tree, file Content) error {
	need, ok := c.startNeeds[file.Digest]
	if !ok {
		var err error
		if need, err = needsOf(file); err != nil {
			return err
		}
		c.startNeeds[file.Digest] = need
	}
	return need.checkStart(p, t)
}

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
	if err := a.out.writeIndex(images); err != nil {
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
			if p.base == nil || a.out.discards() {
				continue
			}
			for _, d := range p.base.layers {
				add(d.Digest.String(), func(ctx context.Context, _ *Layer) error { return a.copyBase(ctx, img.base.store, d) })
			}
		}
	}

	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(a.in.Jobs)
	for _, j := range jobs {
		g.Go(func() error { return j.run(ctx, &j.made) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, j := range jobs {
		a.made[j.key] = j.made
	}
	return nil
}

func (a *assembly) makeLayer(ctx context.Context, l layer, made *Layer) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	var err error
	made.Digest, made.Size, err = a.out.writeBlob(func(w io.Writer) error {
		var err error
		made.DiffID, err = l.write(ctx, w, a.mtime)
		return err
	})
	for _, e := range l.entries {
		zone := strings.HasPrefix(e.path, zoneinfo+"/") && e.system
		switch {
		case zone && !slices.Contains(made.Files, zoneinfo):
			made.Files = append(made.Files, zoneinfo)
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
	_, _, err := a.out.writeBlob(func(w io.Writer) error { return c.copyTo(ctx, w) })
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
		layer := a.made[l.key()]
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
	var err error
	if manifest.Config, err = a.writeDocument(config, types.OCIConfigJSON); err != nil {
		return Manifest{}, v1.Descriptor{}, err
	}
	manifest.Annotations = a.standardAnnotations(plan, plan.Annotations, baseDigest)
	desc, err := a.writeDocument(manifest, types.OCIManifestSchema1)
	if err != nil {
		return Manifest{}, v1.Descriptor{}, err
	}
	desc.Platform = &v1.Platform{OS: p.Platform.OS, Architecture: p.Platform.Arch, Variant: p.Platform.Variant}
	made.Config = artifact.Digest(manifest.Config.Digest.String())
	made.Digest, made.Size = artifact.Digest(desc.Digest.String()), desc.Size
	return made, desc, nil
}

// defaultPath is the PATH of an image without a base: that of Docker.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// imageConfig returns the configuration of an image, made from that of its base, with
// the base's layers alone.
func (a *assembly) imageConfig(plan matrix.ImagePlan, p platform.Platform, base v1.ConfigFile, baseDigest artifact.Digest) v1.ConfigFile {
	env := slices.Clone(base.Config.Env)
	if plan.Base == matrix.Scratch {
		env = []string{defaultPath}
	}
	for _, v := range plan.Env {
		name, _, _ := strings.Cut(v, "=")
		i := slices.IndexFunc(env, func(have string) bool { return strings.HasPrefix(have, name+"=") })
		if i < 0 {
			env = append(env, v)
		} else {
			env[i] = v
		}
	}

	labels := map[string]string{}
	for name, value := range base.Config.Labels {
		if !strings.HasPrefix(name, annotationPrefix) {
			labels[name] = value
		}
	}
	maps.Copy(labels, a.standardAnnotations(plan, plan.Labels, baseDigest))

	ports := base.Config.ExposedPorts
	if plan.Ports != nil {
		ports = map[string]struct{}{}
		for _, port := range plan.Ports {
			ports[port] = struct{}{}
		}
	}

	workdir := plan.Workdir
	if workdir == "" {
		workdir = base.Config.WorkingDir
	}
	if workdir == "" {
		workdir = "/"
	}
	return v1.ConfigFile{
		OS: p.OS, Architecture: p.Arch, Variant: p.Variant,
		Created: v1.Time{Time: a.mtime},
		History: slices.Clone(base.History),
		RootFS:  v1.RootFS{Type: "layers", DiffIDs: slices.Clone(base.RootFS.DiffIDs)},
		Config: v1.Config{
			Entrypoint: plan.Entrypoint, Cmd: plan.Cmd, Env: env, Labels: labels, ExposedPorts: ports,
			User: fmt.Sprintf("%d:%d", plan.UID, plan.GID), WorkingDir: workdir,
			Volumes: base.Config.Volumes, StopSignal: base.Config.StopSignal,
		},
	}
}

// standardAnnotations adds the standard annotations to those of the release file, of which a
// title is the only one that it may have.
func (a *assembly) standardAnnotations(plan matrix.ImagePlan, given map[string]string, base artifact.Digest) map[string]string {
	m := map[string]string{}
	set := func(name, value string) {
		if value != "" {
			m[annotationPrefix+name] = value
		}
	}
	set("title", a.in.Title)
	maps.Copy(m, given)
	set("created", a.mtime.Format(time.RFC3339))
	set("revision", a.in.Revision)
	set("version", a.in.Version)
	set("source", plan.Source)
	set("licenses", plan.Licenses)
	if base != "" {
		name, _, _ := strings.Cut(plan.Base, "@")
		set("base.name", name)
		set("base.digest", string(base))
	}
	return m
}

// writeDocument writes a JSON document as a blob.
func (a *assembly) writeDocument(doc any, t types.MediaType) (v1.Descriptor, error) {
	data, err := json.Marshal(doc)
	if err != nil {
		return v1.Descriptor{}, err
	}
	d, size, err := a.out.writeBlob(func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		return v1.Descriptor{}, err
	}
	digest, err := v1.NewHash(string(d))
	return v1.Descriptor{MediaType: t, Size: size, Digest: digest}, err
}

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
