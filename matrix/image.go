package matrix

import (
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/matrix/reference"
	"github.com/twicebuild/twice/matrix/tomlfile"
)

// Container is a table [[image]]: an OCI image for one or more platforms, made
// from binaries of the release.
type Container struct {
	// Repository is where the image is published: a registry's host, a slash and
	// a name. Required. No host is implied.
	//
	//	repository = "registry.example.com/acme/tool"
	Repository string `toml:"repository,required"`
	// Tags are templates for tags. Default: the version, with "-" for "+", which
	// a tag cannot hold.
	//
	//	tags = ["{{.Version}}", "latest"]
	Tags []string `toml:"tags"`
	// Binaries are names of the binaries in the image. Default: the only one; it
	// is required where there are several.
	//
	//	binaries = ["tool"]
	Binaries []string `toml:"binaries"`
	// Platforms are globs for the targets to make the image for, all of which
	// must be for linux. Default: the linux targets that every binary of the
	// image is built for. Targets are written as everywhere in this file
	// (linux/arm/7), platforms of images as registries know them follow from them
	// (linux/arm/v7); see [Target.Platform]. Two targets of one platform are an
	// error.
	//
	//	platforms = ["linux/amd64", "linux/arm64"]
	Platforms []string `toml:"platforms"`
	// Base is the image to add to: "scratch" (the default), which is empty, or a
	// reference with a digest, a tag or both. The digest of a tag is read from the
	// lock file beside the release file, never from the registry. The base's own
	// layers are kept as they are.
	//
	//	base = "registry.example.com/distroless/static:nonroot"
	Base string `toml:"base"`
	// BaseKey is a file with the public key that has to have signed the base,
	// relative to the release file's folder; or BaseIdentity and BaseIssuer are
	// whom a certificate of the public Sigstore instance has to be for. Signatures
	// are looked for as Sigstore bundles that refer to the image (OCI 1.1), which is
	// what twice and cosign 3 attach. Default: the base's signature is not looked at.
	//
	//	base_key = "keys/base.pub"
	BaseKey      string `toml:"base_key"`
	BaseIdentity string `toml:"base_identity"`
	BaseIssuer   string `toml:"base_issuer"`
	// Dir is the folder of the binaries in the image. Default "/usr/local/bin".
	Dir string `toml:"dir"`
	// Entrypoint is the command that the image runs. It begins with an absolute
	// path. Default: the first of the binaries.
	//
	//	entrypoint = ["/usr/local/bin/tool", "serve"]
	Entrypoint []string `toml:"entrypoint"`
	// Cmd are arguments after those of the entrypoint, which whoever runs the
	// image can replace. Default none; those of the base are not taken over.
	Cmd []string `toml:"cmd"`
	// User is whom the entrypoint runs as: "nonroot" (the default, which is
	// 65532:65532), "root", or numbers: "1000" or "1000:1000". Names are not
	// looked up in a base, and clusters that refuse root want a number.
	User string `toml:"user"`
	// Env are variables for the entrypoint; values are templates. They add to
	// those of the base. Without a base there is a usual PATH.
	//
	//	env = { TOOL_HOME = "/var/lib/tool" }
	Env map[string]string `toml:"env"`
	// Workdir is the working directory, an absolute path. Default: the base's, or
	// "/".
	Workdir string `toml:"workdir"`
	// Ports are ports that the program listens on, as documentation: "8080" or
	// "8080/tcp", "53/udp", "5000/sctp". Default: the base's.
	Ports []string `toml:"ports"`
	// Labels go into the image's configuration, Annotations into its manifests and
	// index; values are templates. The standard ones of the OCI image
	// specification are set in both: title (the project), version, revision,
	// created, source, licenses, base.name and base.digest. Of these, only title
	// can be given here, and so can the other standard ones: description, url,
	// documentation, vendor, authors.
	//
	//	annotations = { "org.opencontainers.image.description" = "Does things." }
	Labels      map[string]string `toml:"labels"`
	Annotations map[string]string `toml:"annotations"`
	// Source is the URL of the source code. Default: not said.
	//
	//	source = "https://git.example.com/acme/tool"
	Source string `toml:"source"`
	// Licenses are the licences of what is in the image, as an SPDX license
	// expression (https://spdx.dev/learn/handling-license-info). Default: not
	// said.
	//
	//	licenses = "Apache-2.0"
	Licenses string `toml:"licenses"`
	// Certificates adds the certification authorities of Mozilla's list, as
	// /etc/ssl/certs/ca-certificates.crt. They come with twice, and change with
	// its version. Default: true without a base, otherwise false.
	Certificates *bool `toml:"certificates"`
	// Timezones adds the time zones of the Go toolchain that builds the release,
	// below /usr/share/zoneinfo. That is 0.8 MB in 600 files, and 0.1 MB to
	// download. Default false.
	Timezones *bool `toml:"timezones"`
	// Tmp adds the folder /tmp, for everyone to write to. Default: true without a
	// base, otherwise false.
	Tmp *bool `toml:"tmp"`
	// Files are more files, each under a heading [[image.file]].
	Files []ContainerFile `toml:"file"`
}

// ContainerFile is a table [[image.file]]: a file of the source tree, as hooks
// left it, that goes into an image.
type ContainerFile struct {
	// Source is its path, relative to the release file's folder. Required.
	//
	//	source = "configs/tool.toml"
	Source string `toml:"source,required"`
	// Path is the absolute path in the image. Required. The owner is root.
	//
	//	path = "/etc/tool/tool.toml"
	Path string `toml:"path,required"`
	// Mode is the file mode in octal. Default "0644". Modes that change the user
	// or group of a process are refused.
	//
	//	mode = "0755"
	Mode string `toml:"mode"`
}

// Scratch is the base of images that have none.
const Scratch = "scratch"

// NonRoot is the user and the group of an image where the release file names
// none: what distroless images call nonroot.
const NonRoot = 65532

// ImagePlan is one image, with nothing left to decide but the content of its
// files and of its base.
type ImagePlan struct {
	// Key is the path of its table in the release file: image[0].
	Key        string
	Repository string
	// Tags are in the order of the release file; there is at least one.
	Tags []string
	// Base is Scratch, or a reference with a tag, a digest or both.
	Base string
	// BaseTrust says who has to have signed it; nobody, if it is the zero value.
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

// BaseTrust is whom to believe about a base: a key, or an identity that the
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

// Bounds of the work that images make.
const (
	maxImages         = 100
	maxImagePlatforms = 100
)

var (
	licensesForm = regexp.MustCompile(`^[A-Za-z0-9.+():-]+( [A-Za-z0-9.+():-]+)*$`)
	portForm     = regexp.MustCompile(`^([1-9][0-9]{0,4})(/(?:tcp|udp|sctp))?$`)
	userForm     = regexp.MustCompile(`^(0|[1-9][0-9]{0,9})(?::(0|[1-9][0-9]{0,9}))?$`)
	modeForm     = regexp.MustCompile(`^0?[0-7]{3}$`)
	variableForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// baseName accepts scratch and references.
func baseName(s string) error {
	if s == Scratch {
		return nil
	}
	_, err := reference.Parse(s)
	return err
}

// imagePath accepts clean absolute paths.
func imagePath(s string) error {
	switch {
	case len(s) > 1024:
		return fmt.Errorf("%.80q...: a path of more than 1024 bytes", s)
	case !path.IsAbs(s) || path.Clean(s) != s:
		return fmt.Errorf("%q is no clean absolute path", s)
	case strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("%q holds a control character", s)
	}
	for elem := range strings.SplitSeq(s, "/") {
		switch {
		case len(elem) > 255:
			return fmt.Errorf("%.80q...: a path element of more than 255 bytes", s)
		case strings.HasPrefix(elem, ".wh."):
			// https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#whiteouts
			return fmt.Errorf("%q: a name that begins with .wh. removes a file of an image", s)
		}
	}
	return nil
}

// filePath is imagePath for what is no folder.
func filePath(s string) error {
	if s == "/" {
		return fmt.Errorf("%q is a folder", s)
	}
	return imagePath(s)
}

// optionalPath is imagePath where "" leaves the matter to the base.
func optionalPath(s string) error {
	if s == "" {
		return nil
	}
	return imagePath(s)
}

// parseUser reads the user of an image.
func parseUser(s string) (uid, gid uint32, err error) {
	switch s {
	case "nonroot":
		return NonRoot, NonRoot, nil
	case "root":
		return 0, 0, nil
	}
	m := userForm.FindStringSubmatch(s)
	if m == nil {
		return 0, 0, fmt.Errorf(`%q is no user: want nonroot, root, or numbers such as "1000" or "1000:1000"`, s)
	}
	if m[2] == "" {
		m[2] = m[1]
	}
	var ids [2]uint32
	for i := range ids {
		n, err := strconv.ParseInt(m[i+1], 10, 32)
		if err != nil {
			return 0, 0, fmt.Errorf("%q: %s is more than %d", s, m[i+1], 1<<31-1)
		}
		ids[i] = uint32(n)
	}
	return ids[0], ids[1], nil
}

// parsePort reads a port and returns it with its protocol.
func parsePort(s string) (string, error) {
	m := portForm.FindStringSubmatch(s)
	if m == nil {
		return "", fmt.Errorf(`%q is no port: want a number, or one with a protocol such as "53/udp"`, s)
	}
	if n, err := strconv.ParseUint(m[1], 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%q: ports end at 65535", s)
	}
	if m[2] == "" {
		return s + "/tcp", nil
	}
	return s, nil
}

// parseMode reads the mode of a file.
func parseMode(s string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(s, 8, 9)
	if err != nil || !modeForm.MatchString(s) {
		return 0, fmt.Errorf(`%q is no mode of a file: want "0644" or the like, without bits for another user or group`, s)
	}
	return fs.FileMode(n), nil
}

func sourceURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.ContainsFunc(s, unicode.IsSpace) {
		return fmt.Errorf("%q is no https URL without credentials", s)
	}
	return nil
}

func licenses(s string) error {
	if !licensesForm.MatchString(s) || strings.Count(s, "(") != strings.Count(s, ")") {
		return fmt.Errorf(`%q is no SPDX license expression, such as "Apache-2.0" or "MIT OR BSD-3-Clause"`, s)
	}
	return nil
}

// standardAnnotations are the keys below org.opencontainers, which the
// specification reserves
// (https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md),
// and for those that are not free to be given, where their value comes from.
var standardAnnotations = map[string]string{
	"title": "", "description": "", "url": "", "documentation": "", "vendor": "", "authors": "",
	"source":      "use the key source",
	"licenses":    "use the key licenses",
	"created":     "it is the time of the commit",
	"revision":    "it is the commit",
	"version":     "it is the version of the release",
	"ref.name":    "use the key tags",
	"base.name":   "use the key base",
	"base.digest": "use the key base",
}

// annotationKey judges a key of labels or annotations.
func annotationKey(s string) (hint string, err error) {
	if s == "" || len(s) > 255 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("the key is not made of 1 to 255 printable ASCII characters")
	}
	if !strings.HasPrefix(s, "org.opencontainers.") {
		return "", nil
	}
	name, image := strings.CutPrefix(s, "org.opencontainers.image.")
	hint, known := standardAnnotations[name]
	switch {
	case !image || !known:
		return "the names below org.opencontainers are the specification's", fmt.Errorf("unknown standard annotation")
	case hint != "":
		return hint, fmt.Errorf("twice sets this one")
	}
	return "", nil
}

// images checks the tables [[image]].
func (p *parser) images() {
	var names []string
	for _, b := range p.f.Binaries {
		names = append(names, b.Name)
	}
	if len(p.f.Containers) > maxImages {
		p.reject("image", "", "more than %d images", maxImages)
		return
	}
	for i := range p.f.Containers {
		p.image(tomlfile.Element("image", i), &p.f.Containers[i], names)
	}
}

// baseTrust checks who has to have signed a base.
func (p *parser) baseTrust(key string, c *Container) {
	any := false
	for name, v := range map[string]string{"base_key": c.BaseKey, "base_identity": c.BaseIdentity, "base_issuer": c.BaseIssuer} {
		k := tomlfile.Key(key, name)
		any = any || p.given(k)
		if v == "" && p.given(k) && p.ok(k) {
			p.reject(k, "leave it out for the default", "empty")
		}
	}
	switch {
	case !any:
	case c.Base == Scratch && !p.given(tomlfile.Key(key, "base")):
		p.reject(tomlfile.Key(key, "base"), "name one, or leave out who signs it", "there is none, so nobody signs it")
	case c.BaseKey != "" && c.BaseIdentity+c.BaseIssuer != "":
		p.reject(tomlfile.Key(key, "base_key"), "leave out one of the two", "there is an identity as well")
	case c.BaseKey == "" && (c.BaseIdentity == "") != (c.BaseIssuer == ""):
		p.reject(tomlfile.Key(key, "base_identity"), "give both base_identity and base_issuer", "an identity is worth what its issuer is")
	case c.BaseKey != "":
		if !inside(c.BaseKey) || c.BaseKey == "." {
			p.reject(tomlfile.Key(key, "base_key"), "", "%q is no clean path with slashes, relative to the release file's folder", c.BaseKey)
		}
	}
}

// image checks one table; names are those of the file's binaries.
func (p *parser) image(key string, c *Container, names []string) {
	// text checks a value that is not there by default, or fills in what is.
	text := func(name string, s *string, standard string, check func(string) error) {
		k := tomlfile.Key(key, name)
		p.fill(k, s, standard)
		if err := check(*s); err != nil && p.ok(k) && (*s != "" || standard != "") {
			p.reject(k, "", "%v", err)
		}
	}
	// filled refuses an empty list.
	filled := func(name string, list []string) {
		if k := tomlfile.Key(key, name); list != nil && len(list) == 0 && p.ok(k) {
			p.reject(k, "leave it out for the default", "empty")
		}
	}
	if k := tomlfile.Key(key, "repository"); p.ok(k) {
		if err := reference.CheckRepository(c.Repository); err != nil {
			p.reject(k, `write it as "registry.example.com/name"`, "%v", err)
		}
	}
	text("base", &c.Base, Scratch, baseName)
	p.baseTrust(key, c)
	text("dir", &c.Dir, "/usr/local/bin", filePath)
	text("user", &c.User, "nonroot", func(s string) error { _, _, err := parseUser(s); return err })
	text("workdir", &c.Workdir, "", optionalPath)
	text("source", &c.Source, "", sourceURL)
	text("licenses", &c.Licenses, "", licenses)

	filled("tags", c.Tags)
	if c.Tags == nil {
		c.Tags = []string{defaultTag}
	}
	for j, tag := range c.Tags {
		p.template(tomlfile.Element(tomlfile.Key(key, "tags"), j), tag, where{}, reference.CheckTag)
	}

	filled("binaries", c.Binaries)
	if k := tomlfile.Key(key, "binaries"); c.Binaries == nil && p.ok(k) && p.ok("binary") {
		if len(names) > 1 {
			p.reject(k, "name those that go into the image", "missing: there are %d binaries", len(names))
		}
		c.Binaries = names
	}
	p.listed(tomlfile.Key(key, "binaries"), c.Binaries, names, "binary")
	filled("platforms", c.Platforms)
	if len(c.Platforms) > maxImagePlatforms {
		p.reject(tomlfile.Key(key, "platforms"), "", "more than %d globs", maxImagePlatforms)
		c.Platforms = nil
	}
	for j, g := range c.Platforms {
		p.glob(tomlfile.Element(tomlfile.Key(key, "platforms"), j), g)
	}

	filled("entrypoint", c.Entrypoint)
	if k := tomlfile.Element(tomlfile.Key(key, "entrypoint"), 0); len(c.Entrypoint) > 0 && p.ok(k) {
		if err := filePath(c.Entrypoint[0]); err != nil {
			p.reject(k, "the entrypoint begins with the path of a file in the image", "%v", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		k := tomlfile.Key(tomlfile.Key(key, "env"), name)
		if !variableForm.MatchString(name) {
			p.reject(k, "", "not the name of a variable")
		}
		p.template(k, c.Env[name], where{}, envValue)
	}
	seen := map[string]int{}
	for j, port := range c.Ports {
		k := tomlfile.Element(tomlfile.Key(key, "ports"), j)
		canonical, err := parsePort(port)
		if _, twice := seen[canonical]; err == nil && twice {
			err = fmt.Errorf("%s is listed twice", canonical)
		}
		if err != nil && p.ok(k) {
			p.reject(k, "", "%v", err)
		}
		seen[canonical] = j
	}
	for table, m := range map[string]map[string]string{"labels": c.Labels, "annotations": c.Annotations} {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			k := tomlfile.Key(tomlfile.Key(key, table), name)
			if hint, err := annotationKey(name); err != nil {
				p.reject(k, hint, "%v", err)
			}
			p.template(k, m[name], where{}, nil)
		}
	}

	// Each file has a place of its own.
	taken := map[string]string{}
	for _, name := range c.Binaries {
		taken[path.Join(c.Dir, name)] = "the binary " + name
	}
	for j := range c.Files {
		f := &c.Files[j]
		fkey := tomlfile.Element(tomlfile.Key(key, "file"), j)
		if k := tomlfile.Key(fkey, "source"); p.ok(k) && (!inside(f.Source) || f.Source == "." || isPattern(f.Source)) {
			p.reject(k, "", "%q is no clean path with slashes, relative to the release file's folder, of one file", f.Source)
		} else if inGit(f.Source) && p.ok(k) {
			p.reject(k, "", "%q: %s", f.Source, notInCommit)
		}
		k := tomlfile.Key(fkey, "path")
		switch err := filePath(f.Path); {
		case !p.ok(k):
		case err != nil:
			p.reject(k, "", "%v", err)
		case taken[f.Path] != "":
			p.reject(k, "", "%s is the path of %s too", f.Path, taken[f.Path])
		default:
			taken[f.Path] = fkey
		}
		k = tomlfile.Key(fkey, "mode")
		p.fill(k, &f.Mode, "0644")
		if _, err := parseMode(f.Mode); err != nil && p.ok(k) {
			p.reject(k, "", "%v", err)
		}
	}
}

const defaultTag = `{{.Version | replace "+" "-"}}`

// Images expands the tables [[image]] for builds, which are all those that
// [File.Builds] returned. Templates are expanded with v, of which Binary and
// Target are not used. An image has a platform for each of its targets. It is an
// error if a target has no [Target.Platform] or that of another target, if a
// binary of the image is not built for it, and if two images have one repository
// and tag. The error, if there is one, is of type [tomlfile.Errors].
func (f *File) Images(builds []Build, v Vars) ([]ImagePlan, error) {
	p := f.faults()
	var plans []ImagePlan
	tagged := map[string]string{} // references to keys
	for i := range f.Containers {
		plan := f.imagePlan(p, tomlfile.Element("image", i), &f.Containers[i], v)
		for j, tag := range plan.Tags {
			key, ref := tomlfile.Element(tomlfile.Key(plan.Key, "tags"), j), plan.Repository+":"+tag
			if other, taken := tagged[ref]; taken {
				p.add(key, "", "%s is also what %s makes", ref, other)
			}
			tagged[ref] = key
		}
		plan.Platforms = f.platforms(p, plan.Key, &f.Containers[i], builds)
		plans = append(plans, plan)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return plans, nil
}

// imagePlan resolves everything but the platforms.
func (f *File) imagePlan(p *faults, key string, c *Container, v Vars) ImagePlan {
	v.Target, v.Binary = Target{}, ""
	scratch := c.Base == Scratch
	plan := ImagePlan{
		Key: key, Repository: c.Repository, Base: c.Base, BaseTrust: BaseTrust{c.BaseKey, c.BaseIdentity, c.BaseIssuer}, Entrypoint: slices.Clone(c.Entrypoint), Cmd: slices.Clone(c.Cmd),
		Workdir: c.Workdir, Source: c.Source, Licenses: c.Licenses,
		Certificates: or(c.Certificates, scratch), Timezones: or(c.Timezones, false), Tmp: or(c.Tmp, scratch),
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
		plan.Env = append(plan.Env, name+"="+f.expand(p, tomlfile.Key(tomlfile.Key(key, "env"), name), v, envValue))
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

// platforms selects the targets of an image.
func (f *File) platforms(p *faults, key string, c *Container, builds []Build) []ImagePlatform {
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
	from := map[Target]string{} // to the key that chose it
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
