// Package reference reads the references of images: a repository of a registry
// with a tag, a digest or both.
package reference

import (
	"fmt"
	"regexp"
	"strings"
)

// The grammar of references is that of the distribution project
// (https://pkg.go.dev/github.com/distribution/reference), with upper bounds and
// without names that have no host. The grammar of tags is also the specification's
// (https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests).
var (
	repositoryForm = regexp.MustCompile(`^([a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)+$`)
	tagForm        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	digestForm     = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// CheckRepository accepts a registry's host, a slash and a name.
func CheckRepository(s string) error {
	host, _, _ := strings.Cut(s, "/")
	switch {
	case len(s) > 255 || !repositoryForm.MatchString(s):
		return fmt.Errorf("%.300q is no repository: want a registry's host, a slash and a name in lower case", s)
	case !strings.ContainsAny(host, ".:") && host != "localhost":
		return fmt.Errorf("%q: %q is not the host of a registry", s, host)
	}
	return nil
}

// CheckTag accepts what a registry takes for a tag.
func CheckTag(s string) error {
	if !tagForm.MatchString(s) {
		return fmt.Errorf("%.140q is no tag: want at most 128 letters, digits, %q, not beginning with %q or %q", s, "._-", ".", "-")
	}
	return nil
}

// Reference says which image of a registry is meant.
type Reference struct {
	// Repository is a registry's host, a slash and a name.
	Repository string
	// Tag and Digest are "" where the reference has none. At least one is there.
	// A Digest is "sha256:" and 64 lower-case hexadecimal digits.
	Tag, Digest string
}

// Parse reads repository:tag, repository@digest or
// repository:tag@digest. Nothing is implied: a reference without a host, or with
// neither tag nor digest, is an error.
func Parse(s string) (Reference, error) {
	name, digest, pinned := strings.Cut(s, "@")
	if pinned && !digestForm.MatchString(digest) {
		return Reference{}, fmt.Errorf("%.400q: want sha256: and 64 lower-case hexadecimal digits after the @", s)
	}

	// A colon in the host stands before a port, and has a slash after it.
	r := Reference{Repository: name, Digest: digest}
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		r.Repository, r.Tag = name[:i], name[i+1:]
		if err := CheckTag(r.Tag); err != nil {
			return Reference{}, err
		}
	}

	if err := CheckRepository(r.Repository); err != nil {
		return Reference{}, err
	}
	if r.Tag == "" && !pinned {
		return Reference{}, fmt.Errorf("%q names neither a tag nor a digest", s)
	}
	return r, nil
}

// String returns what [Parse] reads.
func (r Reference) String() string {
	s := r.Repository
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}
