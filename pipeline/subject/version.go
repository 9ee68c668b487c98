package subject

import (
	"bytes"
	"io"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/semver"
)

// Version is the version of something around an executable. It is a stranger's word and serves
// only for a guess.
type Version struct {
	// Version has the form of a version of a Go module: "v1.2.3" or "v1.2.3-rc.1".
	Version string
	// From says in English whose version it is: "the npm package".
	From string
}

const (
	// maxVersions bounds the versions of an executable.
	maxVersions = 8
	// maxControl is how much of a package's control file is read for its version,
	// in bytes.
	maxControl = 64 << 10
	// maxVersionText bounds a text in which versions are looked for, in bytes.
	maxVersionText = 1024
)

// versionRE finds a version in a text such as "tool_1.2.3-rc.1_linux_amd64.tar.gz",
// "1:1.2.3~rc1-2" of Debian or "1.2.3_rc1-r0" of Alpine. After the numbers, only the usual names
// of pre-releases are taken for a part of the version.
var versionRE = regexp.MustCompile(`(?:^|[^0-9A-Za-z.]|v)(\d{1,9}\.\d{1,9}\.\d{1,9})(?:[-~_]((?:alpha|beta|rc|pre|preview|dev)(?:[.-]?\d{1,9}(?:\.\d{1,9}){0,3})?))?(?:$|[^0-9A-Za-z.]|\.[A-Za-z])`)

var plainPreRE = regexp.MustCompile(`^([a-z]+)(\d+)$`)

// versionsIn returns the versions in a text, as versions of Go modules. If the whole text is a
// version, that comes first: "1.2.3-1" is one, and "1.2.3" as Debian numbers it.
func versionsIn(s string) []string {
	if len(s) > maxVersionText {
		return nil
	}

	var list []string
	add := func(v string) {
		if semver.IsValid(v) && semver.Canonical(v) == v && !slices.Contains(list, v) {
			list = append(list, v)
		}
	}

	add("v" + strings.TrimPrefix(s, "v"))
	for _, m := range versionRE.FindAllStringSubmatch(s, maxVersions) {
		v := "v" + m[1]
		if m[2] == "" {
			add(v)
			continue
		}

		// Debian and Alpine write rc1 where a Go module has rc.1, so both are guesses.
		add(v + "-" + m[2])
		if p := plainPreRE.FindStringSubmatch(m[2]); p != nil {
			add(v + "-" + p[1] + "." + p[2])
		}
	}

	return list
}

// addVersion notes a version that the metadata of a package says, or of an image for a platform.
func (o *opening) addVersion(platform, text, from string) {
	for _, v := range versionsIn(strings.TrimSpace(text)) {
		if list := o.stated[platform]; len(list) < maxVersions {
			o.stated[platform] = append(list, Version{v, from})
		}
	}
}

// control looks for the version of a package of Debian or Alpine in a member of a tar archive. It
// returns the member as it was, so that such a name hides nothing.
func (o *opening) control(at location, name string, r io.Reader) (io.Reader, error) {
	key, from := "", ""
	switch inner := at.containers[len(at.containers)-1]; {
	case inner.Kind == Member && strings.HasPrefix(inner.Name, "control.tar") && path.Clean(name) == "control":
		key, from = "Version:", "the Debian package"
	case name == ".PKGINFO" && inner.Kind != Member:
		key, from = "pkgver =", "the Alpine package"
	default:
		return r, nil
	}

	head, err := io.ReadAll(io.LimitReader(r, maxControl))
	if err != nil {
		return nil, err
	}

	for line := range strings.Lines(string(head)) {
		if version, ok := strings.CutPrefix(line, key); ok {
			o.addVersion("", version, from)
			break
		}
	}

	return io.MultiReader(bytes.NewReader(head), r), nil
}

// versions returns the versions that are around an executable. The versions that something states
// come before those that are numbers in a name.
func (o *opening) versions(e *Executable) []Version {
	list := slices.Clone(o.stated[e.Platform])
	add := func(text, from string) {
		for _, v := range versionsIn(text) {
			list = append(list, Version{v, from})
		}
	}

	elements := func(p, from string) {
		parts := strings.Split(p, "/")
		slices.Reverse(parts)
		for _, part := range parts[:min(len(parts), 6)] {
			add(part, from)
		}
	}

	for _, c := range e.Containers {
		switch c.Kind {
		case Package:
			add(c.Name[strings.LastIndexByte(c.Name, '@')+1:], "the npm package")
		case Image:
			last, _, _ := strings.Cut(c.Name[strings.LastIndexByte(c.Name, '/')+1:], "@")
			if _, tag, ok := strings.Cut(last, ":"); ok {
				add(tag, "the image's tag")
			}
		case URL:
			if u, err := url.Parse(c.Name); err == nil {
				elements(u.Path, "the address")
			}
		case File, Folder:
			elements(filepath.ToSlash(c.Name), "the "+string(c.Kind)+"'s path")
		}
	}

	where := "its path in the archive"
	switch {
	case len(e.Containers) == 0 || e.Containers[0].Kind == Universal:
		where = "the file's path"
	case e.Platform != "":
		where = "its path in the image"
	case e.Containers[0].Kind == Folder:
		where = "its path in the folder"
	}
	elements(filepath.ToSlash(e.Name), where)

	// A version keeps its first place, which is that of the most telling source.
	seen := map[string]bool{}
	list = slices.DeleteFunc(list, func(v Version) bool {
		again := seen[v.Version]
		seen[v.Version] = true
		return again
	})

	return list[:min(len(list), maxVersions)]
}
