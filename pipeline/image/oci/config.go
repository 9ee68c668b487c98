package oci

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/pipeline/artifact"
)

// annotationPrefix begins the name of every standard annotation
// (https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md).
const annotationPrefix = "org.opencontainers.image."

// defaultPath is the PATH of an image without a base: that of Docker.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// imageConfig returns the configuration of an image, made from that of its base, with
// the base's layers alone.
func (a *assembly) imageConfig(plan matrix.ImagePlan, p platform.Platform, base v1.ConfigFile, baseDigest artifact.Digest) v1.ConfigFile {
	env := slices.Clone(base.Config.Env)
	if plan.Base == matrix.Scratch {
		env = []string{defaultPath}
	}

	// A variable of the release file keeps the place of the base's variable of that name.
	for _, v := range plan.Env {
		name, _, _ := strings.Cut(v, "=")
		i := slices.IndexFunc(env, func(have string) bool { return strings.HasPrefix(have, name+"=") })
		if i < 0 {
			env = append(env, v)
		} else {
			env[i] = v
		}
	}

	// Standard annotations among the base's labels describe the base itself.
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

// standardAnnotations returns the annotations of the release file, which are given, and the
// standard ones. Of these the release file may have a title only.
func (a *assembly) standardAnnotations(plan matrix.ImagePlan, given map[string]string, base artifact.Digest) map[string]string {
	m := map[string]string{}
	set := func(name, value string) {
		if value != "" {
			m[annotationPrefix+name] = value
		}
	}

	// The release file may have its own title, but no other of these.
	set("title", a.input.Title)
	maps.Copy(m, given)

	set("created", a.mtime.Format(time.RFC3339))
	set("revision", a.input.Revision)
	set("version", a.input.Version)
	set("source", plan.Source)
	set("licenses", plan.Licenses)

	if base != "" {
		name, _, _ := strings.Cut(plan.Base, "@")
		set("base.name", name)
		set("base.digest", string(base))
	}
	return m
}
