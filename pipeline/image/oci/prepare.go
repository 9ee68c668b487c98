package oci

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
)

// assembly is the work on images that can be made.
type assembly struct {
	input      Input
	mtime      time.Time
	images     []preparedImage
	layout     layoutWriter
	layerByKey map[string]Layer // by layer.key
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

// prepare finds out what each layer will hold. The error tells of everything that is wrong with
// the images.
func prepare(in Input) (*assembly, error) {
	a := &assembly{input: in, mtime: time.Unix(in.Created.Unix(), 0).UTC(), layerByKey: map[string]Layer{}}
	if a.mtime.Unix() < 0 || a.mtime.After(tarLast) {
		return nil, fmt.Errorf("images: time %s: tar holds times from 1970 to 2242", a.mtime.Format(time.RFC3339))
	}
	if in.Jobs < 1 {
		return nil, fmt.Errorf("images: %d jobs", in.Jobs)
	}

	// The archive of time zones is read once, however many images have them.
	var zones []entry
	if slices.ContainsFunc(in.Images, func(p matrix.ImagePlan) bool { return p.Timezones }) {
		var err error
		if zones, err = timezones(in.Zoneinfo); err != nil {
			return nil, fmt.Errorf("images: %w", err)
		}
	}

	c := contentFinder{in: in, startNeeds: map[artifact.Digest]startNeeds{}, binaries: map[matrix.Target]map[string]Content{}}
	for _, b := range in.Binaries {
		if c.binaries[b.Target] == nil {
			c.binaries[b.Target] = map[string]Content{}
		}
		c.binaries[b.Target][b.Name] = b.Content
	}

	// All faults are found before anything is made.
	var errs []error
	for _, plan := range in.Images {
		img, imageErrs := c.prepareImage(plan, in.Bases[plan.Base], optionFiles(plan, zones))
		for _, err := range imageErrs {
			errs = append(errs, prefixErrors(plan.Key+": ", err))
		}
		a.images = append(a.images, img)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}

	// index.json has the images in this order, whatever that of the release file is.
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
	startNeeds map[artifact.Digest]startNeeds
}

// prepareImage resolves an image for each of its platforms. It returns all faults.
func (c *contentFinder) prepareImage(plan matrix.ImagePlan, base *Base, options []entry) (preparedImage, []error) {
	img := preparedImage{plan: plan, base: base}
	if base == nil && plan.Base != matrix.Scratch {
		return img, []error{fmt.Errorf("base %s was not read", plan.Base)}
	}
	if len(plan.Tags) == 0 || len(plan.Platforms) == 0 {
		return img, []error{errors.New("no tags, or no platforms")}
	}

	// The index lists its manifests in this order, whatever that of the release file is.
	platforms := slices.SortedFunc(slices.Values(plan.Platforms), func(x, y matrix.ImagePlatform) int { return x.Platform.Compare(y.Platform) })
	var errs []error
	for i, p := range platforms {
		if i > 0 && platforms[i-1].Platform == p.Platform {
			errs = append(errs, fmt.Errorf("%s is there twice", p.Platform))
			continue
		}
		ready, err := c.preparePlatform(plan, p, base, options)
		if err != nil {
			errs = append(errs, prefixErrors(p.Platform.String()+": ", err))
		}
		img.platforms = append(img.platforms, ready)
	}
	return img, errs
}

// preparePlatform resolves one platform of an image. The error tells of all faults.
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
	return ready, c.checkStarts(plan, p.Platform, t)
}

// checkStarts returns an error unless the entrypoint and the binaries of an image with the
// files of t can start. The error tells of all faults.
func (c *contentFinder) checkStarts(plan matrix.ImagePlan, p platform.Platform, t *tree) error {
	starts := map[string]bool{}
	for _, b := range plan.Binaries {
		starts[b.Path] = true
	}

	// An entrypoint from a base is not read: it was not built here.
	var errs []error
	if len(plan.Entrypoint) == 0 {
		errs = append(errs, errors.New("no entrypoint"))
	} else if err := t.checkExecutable(plan.Entrypoint[0], int(plan.UID), int(plan.GID)); err != nil {
		errs = append(errs, fault.WithRemedy(fault.Usage(fmt.Errorf("entrypoint %w", err)), "begin the entrypoint with the path of a file in the image"))
	} else if n := t.Lookup(plan.Entrypoint[0]); n != nil && n.Value.entry != nil {
		starts[plan.Entrypoint[0]] = true
	}

	for _, at := range slices.Sorted(maps.Keys(starts)) {
		if err := c.checkStart(p, t, t.Lookup(at).Value.entry.Content); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", at, err))
		}
	}
	return errors.Join(errs...)
}

func (c *contentFinder) checkStart(p platform.Platform, t *tree, file Content) error {
	need, ok := c.startNeeds[file.Digest]
	if !ok {
		var err error
		if need, err = readStartNeeds(file); err != nil {
			return err
		}
		c.startNeeds[file.Digest] = need
	}
	return need.checkStart(p, t)
}
