package matrix

import (
	"io/fs"
	"path"
	"slices"

	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/matrix/reference"
	"github.com/twicebuild/twice/matrix/tomlfile"
)

// ImagePlan is one image. Nothing is left to decide; the content of its files and
// of its base is not known here.
type ImagePlan struct {
	// Key is the path of its table in the release file: image[0].
	Key        string
	Repository string
	// Tags are in the order of the release file; there is at least one.
	Tags []string
	// Base is Scratch, or a reference with a tag, a digest or both.
	Base string
	// BaseTrust says who has to have signed the base. The zero value is nobody.
	BaseTrust       BaseTrust
	Entrypoint, Cmd []string
	UID, GID        uint32
	// Env are NAME=value pairs, sorted.
	Env []string
	// Workdir is "" where the base decides.
	Workdir string
	// Ports are "8080/tcp", sorted and without repetitions.
	Ports               []string
	Labels, Annotations map[string]string
	Source, Licenses    string
	// Certificates, Timezones and Tmp tell what is added.
	Certificates, Timezones, Tmp bool
	// Files are in the order of the release file.
	Files []ImageFile
	// Binaries are in the order of the release file; there is at least one.
	Binaries []ImageBinary
	// Platforms are in the order of [platform.Platform.Compare]; there is at least one.
	Platforms []ImagePlatform
}

// BaseTrust names who has to have signed a base: a key, or an identity that the
// issuer vouches for.
type BaseTrust struct{ Key, Identity, Issuer string }

// ImageFile is a file of the source tree in an image.
type ImageFile struct {
	// Source is the path in the source tree, Path the absolute one in the image.
	Source, Path string
	Mode         fs.FileMode
}

// ImageBinary is a binary in an image.
type ImageBinary struct {
	// Name is that of the Build, Path the absolute one in the image.
	Name, Path string
}

// ImagePlatform is a platform of an image, and the target that the binaries of
// that platform are built for.
type ImagePlatform struct {
	Platform platform.Platform
	Target   Target
}

// Images expands the tables [[image]] for builds, which are all that
// [File.Builds] returned. Templates are expanded with v, whose Binary and Target
// are not used. An image has a platform for each of its targets. It is an
// error if a target has no [Target.Platform] or that of another target, if a
// binary of the image is not built for it, and if two images have one repository
// and tag. The error, if there is one, is of type [tomlfile.Errors].
func (f *File) Images(builds []Build, v Vars) ([]ImagePlan, error) {
	p := f.faults()
	var plans []ImagePlan
	tagged := map[string]string{} // references to keys
	for i := range f.Containers {
		plan := f.expandImage(p, tomlfile.Element("image", i), &f.Containers[i], v)
		for j, tag := range plan.Tags {
			key, ref := tomlfile.Element(tomlfile.Key(plan.Key, "tags"), j), plan.Repository+":"+tag
			if other, taken := tagged[ref]; taken {
				p.add(key, "", "%s is also what %s makes", ref, other)
			}
			tagged[ref] = key
		}
		plan.Platforms = f.expandPlatforms(p, plan.Key, &f.Containers[i], builds)
		plans = append(plans, plan)
	}

	if err := p.err(); err != nil {
		return nil, err
	}
	return plans, nil
}

// expandImage returns the plan of an image, without its platforms.
func (f *File) expandImage(p *faults, key string, c *Container, v Vars) ImagePlan {
	v.Target, v.Binary = Target{}, ""
	scratch := c.Base == Scratch
	plan := ImagePlan{
		Key: key, Repository: c.Repository,
		Base: c.Base, BaseTrust: BaseTrust{c.BaseKey, c.BaseIdentity, c.BaseIssuer},
		Entrypoint: slices.Clone(c.Entrypoint), Cmd: slices.Clone(c.Cmd),
		Workdir: c.Workdir, Source: c.Source, Licenses: c.Licenses,
		Certificates: valueOr(c.Certificates, scratch), Timezones: valueOr(c.Timezones, false), Tmp: valueOr(c.Tmp, scratch),
		Labels: map[string]string{}, Annotations: map[string]string{},
	}

	fault := func(name string, err error) {
		if err != nil {
			p.add(tomlfile.Key(key, name), "", "%v", err)
		}
	}

	var err error
	plan.UID, plan.GID, err = parseUser(c.User)
	fault("user", err)
	for j := range c.Tags {
		plan.Tags = append(plan.Tags, f.expand(p, tomlfile.Element(tomlfile.Key(key, "tags"), j), v, reference.CheckTag))
	}

	for _, name := range c.Binaries {
		plan.Binaries = append(plan.Binaries, ImageBinary{Name: name, Path: path.Join(c.Dir, name)})
	}
	if plan.Entrypoint == nil && len(plan.Binaries) > 0 {
		plan.Entrypoint = []string{plan.Binaries[0].Path}
	}

	for name := range c.Env {
		plan.Env = append(plan.Env, name+"="+f.expand(p, tomlfile.Key(tomlfile.Key(key, "env"), name), v, checkEnvValue))
	}
	slices.Sort(plan.Env)

	for _, s := range c.Ports {
		port, err := parsePort(s)
		fault("ports", err)
		plan.Ports = append(plan.Ports, port)
	}
	slices.Sort(plan.Ports)

	for name := range c.Labels {
		plan.Labels[name] = f.expand(p, tomlfile.Key(tomlfile.Key(key, "labels"), name), v, nil)
	}

	for name := range c.Annotations {
		plan.Annotations[name] = f.expand(p, tomlfile.Key(tomlfile.Key(key, "annotations"), name), v, nil)
	}

	for _, file := range c.Files {
		mode, err := parseMode(file.Mode)
		fault("file", err)
		plan.Files = append(plan.Files, ImageFile{Source: file.Source, Path: file.Path, Mode: mode})
	}

	return plan
}

// expandPlatforms returns the platforms of an image, in their order.
func (f *File) expandPlatforms(p *faults, key string, c *Container, builds []Build) []ImagePlatform {
	// The targets in their order, and the binaries of the image that each has.
	wanted := map[string]bool{}
	for _, name := range c.Binaries {
		wanted[name] = true
	}

	var targets []Target
	built := map[Target]map[string]bool{}
	for _, b := range builds {
		if built[b.Target] == nil {
			targets = append(targets, b.Target)
			built[b.Target] = map[string]bool{}
		}
		if wanted[b.Binary] {
			built[b.Target][b.Binary] = true
		}
	}

	// The targets that the release file chooses, and the key that chose each.
	from := map[Target]string{}
	if c.Platforms == nil {
		for _, t := range targets {
			if t.OS == "linux" && len(built[t]) == len(c.Binaries) {
				from[t] = key
			}
		}
		if len(from) == 0 {
			p.add(key, "name them in platforms", "there is no linux target that every binary of the image is built for")
		}
	}

	for j, s := range c.Platforms {
		k, n := tomlfile.Element(tomlfile.Key(key, "platforms"), j), 0
		for _, t := range targets {
			if !f.globs[k].match(t) {
				continue
			}
			n++
			if _, ok := from[t]; ok {
				continue
			}
			from[t] = k
			for _, name := range c.Binaries {
				if !built[t][name] {
					p.add(k, "", "%s is not built for %s", name, t)
				}
			}
		}
		if n == 0 {
			p.add(k, "", "%s matches no target", s)
		}
	}

	// Two targets may be one platform, and an index has one manifest for it.
	var list []ImagePlatform
	seen := map[platform.Platform]Target{}
	for _, t := range targets {
		k, ok := from[t]
		if !ok {
			continue
		}
		runsOn, err := t.Platform()
		if err != nil {
			p.add(k, "name the targets of the image in platforms", "%v", err)
			continue
		}
		if other, taken := seen[runsOn]; taken {
			p.add(k, "name one of them in platforms", "%s and %s are both the platform %s", other, t, runsOn)
			continue
		}
		seen[runsOn] = t
		list = append(list, ImagePlatform{Platform: runsOn, Target: t})
	}

	slices.SortFunc(list, func(a, b ImagePlatform) int { return a.Platform.Compare(b.Platform) })
	return list
}
