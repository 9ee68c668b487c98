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

	"github.com/twicebuild/twice/matrix/reference"
	"github.com/twicebuild/twice/matrix/tomlfile"
)

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

// checkBase accepts "scratch" and references.
func checkBase(s string) error {
	if s == Scratch {
		return nil
	}
	_, err := reference.Parse(s)
	return err
}

// checkImagePath accepts clean absolute paths.
func checkImagePath(s string) error {
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

// checkFilePath accepts clean absolute paths of files.
func checkFilePath(s string) error {
	if s == "/" {
		return fmt.Errorf("%q is a folder", s)
	}
	return checkImagePath(s)
}

// checkOptionalPath accepts clean absolute paths, and "" for the path of the base.
func checkOptionalPath(s string) error {
	if s == "" {
		return nil
	}
	return checkImagePath(s)
}

// parseUser reads the user of an image and returns its numbers.
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

// checkSourceURL accepts addresses of web pages that hold no credentials.
func checkSourceURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.ContainsFunc(s, unicode.IsSpace) {
		return fmt.Errorf("%q is no https URL without credentials", s)
	}
	return nil
}

// checkLicenses accepts what looks like an SPDX license expression.
func checkLicenses(s string) error {
	if !licensesForm.MatchString(s) || strings.Count(s, "(") != strings.Count(s, ")") {
		return fmt.Errorf(`%q is no SPDX license expression, such as "Apache-2.0" or "MIT OR BSD-3-Clause"`, s)
	}
	return nil
}

// standardAnnotations are the names below org.opencontainers.image, which the
// specification reserves
// (https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md). Where a
// release file cannot give the annotation, the text says where its value comes from.
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

// checkAnnotationKey checks a key of labels or annotations.
func checkAnnotationKey(s string) (hint string, err error) {
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

// checkImages checks the tables [[image]].
func (p *parser) checkImages() {
	var names []string
	for _, b := range p.f.Binaries {
		names = append(names, b.Name)
	}

	if len(p.f.Containers) > maxImages {
		p.reject("image", "", "more than %d images", maxImages)
		return
	}
	for i := range p.f.Containers {
		p.checkImage(tomlfile.Element("image", i), &p.f.Containers[i], names)
	}
}

// checkBaseTrust checks who has to have signed a base.
func (p *parser) checkBaseTrust(key string, c *Container) {
	any := false
	for name, v := range map[string]string{"base_key": c.BaseKey, "base_identity": c.BaseIdentity, "base_issuer": c.BaseIssuer} {
		k := tomlfile.Key(key, name)
		any = any || p.hasKey(k)
		if v == "" && p.hasKey(k) && p.accepted(k) {
			p.reject(k, "leave it out for the default", "empty")
		}
	}

	switch {
	case !any:
	case c.Base == Scratch && !p.hasKey(tomlfile.Key(key, "base")):
		p.reject(tomlfile.Key(key, "base"), "name one, or leave out who signs it", "there is none, so nobody signs it")
	case c.BaseKey != "" && c.BaseIdentity+c.BaseIssuer != "":
		p.reject(tomlfile.Key(key, "base_key"), "leave out one of the two", "there is an identity as well")
	case c.BaseKey == "" && (c.BaseIdentity == "") != (c.BaseIssuer == ""):
		p.reject(tomlfile.Key(key, "base_identity"), "give both base_identity and base_issuer", "an identity is worth what its issuer is")
	case c.BaseKey != "":
		if !isLocalPath(c.BaseKey) || c.BaseKey == "." {
			p.reject(tomlfile.Key(key, "base_key"), "", "%q is no clean path with slashes, relative to the release file's folder", c.BaseKey)
		}
	}
}

// checkImage checks one table [[image]]. names are those of the file's binaries.
func (p *parser) checkImage(key string, c *Container, names []string) {
	// text fills in the default of a value and checks it. Without a default, the value
	// may be left out.
	text := func(name string, s *string, standard string, check func(string) error) {
		k := tomlfile.Key(key, name)
		p.fillDefault(k, s, standard)
		if err := check(*s); err != nil && p.accepted(k) && (*s != "" || standard != "") {
			p.reject(k, "", "%v", err)
		}
	}

	// filled refuses an empty list.
	filled := func(name string, list []string) {
		if k := tomlfile.Key(key, name); list != nil && len(list) == 0 && p.accepted(k) {
			p.reject(k, "leave it out for the default", "empty")
		}
	}

	if k := tomlfile.Key(key, "repository"); p.accepted(k) {
		if err := reference.CheckRepository(c.Repository); err != nil {
			p.reject(k, `write it as "registry.example.com/name"`, "%v", err)
		}
	}
	text("base", &c.Base, Scratch, checkBase)
	p.checkBaseTrust(key, c)
	text("dir", &c.Dir, "/usr/local/bin", checkFilePath)
	text("user", &c.User, "nonroot", func(s string) error { _, _, err := parseUser(s); return err })
	text("workdir", &c.Workdir, "", checkOptionalPath)
	text("source", &c.Source, "", checkSourceURL)
	text("licenses", &c.Licenses, "", checkLicenses)

	filled("tags", c.Tags)
	if c.Tags == nil {
		c.Tags = []string{defaultTag}
	}
	for j, tag := range c.Tags {
		p.checkTemplate(tomlfile.Element(tomlfile.Key(key, "tags"), j), tag, fieldScope{}, reference.CheckTag)
	}

	filled("binaries", c.Binaries)
	if k := tomlfile.Key(key, "binaries"); c.Binaries == nil && p.accepted(k) && p.accepted("binary") {
		if len(names) > 1 {
			p.reject(k, "name those that go into the image", "missing: there are %d binaries", len(names))
		}
		c.Binaries = names
	}

	p.checkAllKnown(tomlfile.Key(key, "binaries"), c.Binaries, names, "binary")

	filled("platforms", c.Platforms)
	if len(c.Platforms) > maxImagePlatforms {
		p.reject(tomlfile.Key(key, "platforms"), "", "more than %d globs", maxImagePlatforms)
		c.Platforms = nil
	}
	for j, g := range c.Platforms {
		p.checkGlob(tomlfile.Element(tomlfile.Key(key, "platforms"), j), g)
	}

	filled("entrypoint", c.Entrypoint)
	if k := tomlfile.Element(tomlfile.Key(key, "entrypoint"), 0); len(c.Entrypoint) > 0 && p.accepted(k) {
		if err := checkFilePath(c.Entrypoint[0]); err != nil {
			p.reject(k, "the entrypoint begins with the path of a file in the image", "%v", err)
		}
	}

	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		k := tomlfile.Key(tomlfile.Key(key, "env"), name)
		if !variableForm.MatchString(name) {
			p.reject(k, "", "not the name of a variable")
		}
		p.checkTemplate(k, c.Env[name], fieldScope{}, checkEnvValue)
	}

	seen := map[string]int{}
	for j, port := range c.Ports {
		k := tomlfile.Element(tomlfile.Key(key, "ports"), j)
		canonical, err := parsePort(port)
		if _, twice := seen[canonical]; err == nil && twice {
			err = fmt.Errorf("%s is listed twice", canonical)
		}
		if err != nil && p.accepted(k) {
			p.reject(k, "", "%v", err)
		}
		seen[canonical] = j
	}

	for table, m := range map[string]map[string]string{"labels": c.Labels, "annotations": c.Annotations} {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			k := tomlfile.Key(tomlfile.Key(key, table), name)
			if hint, err := checkAnnotationKey(name); err != nil {
				p.reject(k, hint, "%v", err)
			}
			p.checkTemplate(k, m[name], fieldScope{}, nil)
		}
	}

	// No two files have the same path in the image.
	taken := map[string]string{}
	for _, name := range c.Binaries {
		taken[path.Join(c.Dir, name)] = "the binary " + name
	}
	for j := range c.Files {
		f := &c.Files[j]
		fkey := tomlfile.Element(tomlfile.Key(key, "file"), j)
		if k := tomlfile.Key(fkey, "source"); p.accepted(k) && (!isLocalPath(f.Source) || f.Source == "." || isPattern(f.Source)) {
			p.reject(k, "", "%q is no clean path with slashes, relative to the release file's folder, of one file", f.Source)
		} else if inGit(f.Source) && p.accepted(k) {
			p.reject(k, "", "%q: %s", f.Source, notInCommit)
		}

		k := tomlfile.Key(fkey, "path")
		switch err := checkFilePath(f.Path); {
		case !p.accepted(k):
		case err != nil:
			p.reject(k, "", "%v", err)
		case taken[f.Path] != "":
			p.reject(k, "", "%s is the path of %s too", f.Path, taken[f.Path])
		default:
			taken[f.Path] = fkey
		}

		k = tomlfile.Key(fkey, "mode")
		p.fillDefault(k, &f.Mode, "0644")
		if _, err := parseMode(f.Mode); err != nil && p.accepted(k) {
			p.reject(k, "", "%v", err)
		}
	}
}

// defaultTag is the version, in which a tag cannot hold "+".
const defaultTag = `{{.Version | replace "+" "-"}}`
