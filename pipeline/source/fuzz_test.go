package source

import (
	"bufio"
	"bytes"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzGitAnswers reads what git could print. What is accepted stays within the
// tree, names objects by what are names of objects, and is about what was asked.
func FuzzGitAnswers(f *testing.F) {
	const oid = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391" // the empty file
	asked := []string{"a", "sub/b"}
	for _, s := range []string{
		"100644 blob " + oid + "\ta\x00120000 blob " + oid + "\tsub/b\x00160000 commit " + oid + "\tc\x00",
		"100644 blob " + oid + "\ta\x00100644 blob " + oid + "\ta/b\x00",
		"100644 blob " + oid + "\t../a\x00",
		"100644 " + oid + " 0\ta\x00100644 " + oid + " 2\tsub/b\x00",
		" M a\x00?? sub/b\x00?? c/\x00",
		"a\x00filter\x00lfs\x00sub/b\x00filter\x00unspecified\x00",
		oid + " refs/tags/v1.2.3\n" + oid + " refs/tags/cmd/v0.1.0\n",
		oid + " refs/heads/main\n",
		"1767323045",
		oid + " blob 0\n\n",
		oid + " missing\n",
		oid + " blob 9999999999999\n\n",
	} {
		f.Add([]byte(s))
	}
	local := func(t *testing.T, name string) {
		if !filepath.IsLocal(name) || strings.ContainsRune(name, 0) {
			t.Errorf("accepted the path %q", name)
		}
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		if list, err := parseTreeFiles(answer); err == nil {
			for i, e := range list {
				local(t, e.path)
				if i > 0 && list[i-1].path >= e.path || path.Clean(e.path) != e.path || !utf8.ValidString(e.path) || !oidPattern.MatchString(e.oid) {
					t.Errorf("accepted %+v of %d", e, len(list))
				}
				for dir := path.Dir(e.path); dir != "."; dir = path.Dir(dir) {
					if slices.ContainsFunc(list, func(o entry) bool { return o.path == dir }) {
						t.Errorf("%q is below a file", e.path)
					}
				}
			}
		}
		if list, unmerged, err := parseIndex(answer); err == nil {
			if len(unmerged) > len(list) {
				t.Errorf("%d of %d unmerged", len(unmerged), len(list))
			}
			for _, e := range list {
				local(t, e.path)
				if !oidPattern.MatchString(e.oid) {
					t.Errorf("accepted the object %q", e.oid)
				}
			}
		}
		if modified, untracked, err := parseStatus(answer); err == nil {
			for _, name := range slices.Concat(modified, untracked) {
				local(t, name)
			}
		}
		if drivers, err := parseFilters(answer, asked); err == nil {
			for name := range drivers {
				if !slices.Contains(asked, name) {
					t.Errorf("a filter of %q", name)
				}
			}
		}
		if list, err := parseRefs(answer); err == nil {
			for _, r := range list {
				if !oidPattern.MatchString(r.oid) || !strings.HasPrefix(r.name, "refs/tags/") || strings.ContainsAny(r.name, "\x00\n ") {
					t.Errorf("accepted %+v", r)
				}
			}
			var tags []string
			for _, r := range list {
				tags = append(tags, strings.TrimPrefix(r.name, "refs/tags/"))
			}
			if tag, version := pickTag(tags, "cmd"); (tag == "") != (version == "") || tag != "" && !slices.Contains(tags, tag) {
				t.Errorf("picked %q, %q", tag, version)
			}
		}
		if at, err := parseCommitTime(string(answer)); err == nil && (at.Year() < 1970 || at.Year() > 9999) {
			t.Errorf("accepted the time %s", at)
		}
		// Nothing but the object itself passes for it.
		if err := checkObjects(bufio.NewReader(bytes.NewReader(answer)), []string{oid}, "sha1"); err == nil {
			head, rest, _ := strings.Cut(string(answer), "\n")
			if f := strings.Fields(head); len(f) != 3 || f[0] != oid || f[1] != "blob" || strings.Trim(f[2], "+-0") != "" || !strings.HasPrefix(rest, "\n") {
				t.Errorf("%q passes for the empty file", answer)
			}
		}
	})
}
