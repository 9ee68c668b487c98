package source

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// copyTags copies the repository's tags into the store.
func (r *repository) copyTags(ctx context.Context, user gitContext) error {
	out, err := user.run(ctx, nil, "for-each-ref", "--format=%(objectname) %(refname)", "refs/tags")
	if err != nil {
		return err
	}

	refs, err := parseRefs(out)
	if err != nil || len(refs) == 0 {
		return err
	}

	var in bytes.Buffer
	for _, ref := range refs {
		fmt.Fprintf(&in, "create %s\x00%s\x00", ref.name, ref.oid)
		r.tagObjects = append(r.tagObjects, ref.oid)
	}
	if _, err := r.store.run(ctx, &in, "update-ref", "-z", "--stdin"); err != nil {
		return r.readError(err)
	}

	_, err = r.store.run(ctx, nil, "pack-refs", "--all")
	return err
}

// ref is a tag's full name, and the object that it names.
type ref struct{ name, oid string }

// parseRefs reads the answer of git for-each-ref about tags.
func parseRefs(out []byte) (list []ref, err error) {
	for line := range strings.Lines(string(out)) {
		oid, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok || !oidPattern.MatchString(oid) || !strings.HasPrefix(name, "refs/tags/") || strings.ContainsAny(name, " \x00") {
			return nil, fmt.Errorf("git for-each-ref: unexpected answer %.500q", line)
		}
		list = append(list, ref{name, oid})
	}
	return list, nil
}

// listTags lists the tags at the commit, and those at it or at its ancestors.
func (r *repository) listTags(ctx context.Context) (at, merged []string, err error) {
	for _, q := range []struct {
		flag string
		list *[]string
	}{{"--points-at=", &at}, {"--merged=", &merged}} {
		out, err := r.store.run(ctx, nil, "for-each-ref", "--format=%(refname)", q.flag+r.commit, "refs/tags")
		if err != nil {
			return nil, nil, r.readError(err)
		}
		for line := range strings.Lines(string(out)) {
			*q.list = append(*q.list, strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "refs/tags/"))
		}
	}
	return at, merged, nil
}

var majorVersionDir = regexp.MustCompile(`^v[0-9]+$`)

// pickTag returns the tag with the highest version for a module in folder dir,
// and that version, both "" if there is none. As in the Go module reference
// (go.dev/ref/mod#vcs-version), tags of a module in a folder begin with the
// folder's name, less a major version suffix. A repository that only has plain
// tags means them for everything in it.
//
// A version is a canonical semantic version with a leading v. Build metadata
// ("+...") is not: the Go command does not accept it in tags either.
func pickTag(tags []string, dir string) (tag, version string) {
	prefixes := []string{""}
	if dir != "." {
		if majorVersionDir.MatchString(path.Base(dir)) && path.Dir(dir) != "." {
			prefixes = append([]string{path.Dir(dir) + "/"}, prefixes...)
		}
		prefixes = append([]string{dir + "/"}, prefixes...)
	}

	for _, prefix := range prefixes {
		for _, t := range tags {
			v, ok := strings.CutPrefix(t, prefix)
			if !ok || semver.Canonical(v) != v || v == "" {
				continue
			}
			if version == "" || semver.Compare(v, version) > 0 {
				tag, version = t, v
			}
		}

		if tag != "" {
			break
		}
	}
	return tag, version
}

// snapshotVersion makes a version for a commit without a tag. It lies between
// base, the highest version before the commit ("" if there is none), and the
// next one, as a pseudo-version does (go.dev/ref/mod#pseudo-versions):
//
//	no base      0.0.0-snapshot.20260102150405.gabc123def456
//	v1.2.3       1.2.4-snapshot.20260102150405.gabc123def456
//	v1.3.0-rc.1  1.3.0-rc.1.0.snapshot.20260102150405.gabc123def456
//
// The time is the committer's in UTC; ".dirty" at the end says that the content
// is not the commit's. The g (from git describe) keeps a hash that is all
// digits from being a number, which must not begin with 0.
func snapshotVersion(base string, t time.Time, commit string, dirty bool) string {
	next := "0.0.0-"
	if pre := semver.Prerelease(base); pre != "" {
		next = strings.TrimPrefix(base, "v") + ".0."
	} else if base != "" {
		i := strings.LastIndexByte(base, '.') + 1
		next = strings.TrimPrefix(base[:i], "v") + increment(base[i:]) + "-"
	}

	v := next + "snapshot." + t.UTC().Format("20060102150405") + ".g" + commit[:12]
	if dirty {
		v += ".dirty"
	}
	return v
}

// increment adds one to a decimal number of any length.
func increment(decimal string) string {
	d := []byte(decimal)
	for i := len(d) - 1; i >= 0; i-- {
		if d[i] != '9' {
			d[i]++
			return string(d)
		}
		d[i] = '0'
	}
	return "1" + string(d)
}
