package subject

import (
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/mod/semver"
)

func TestVersionsIn(t *testing.T) {
	for text, want := range map[string]string{
		"1.2.3":                            "v1.2.3",
		"v1.2.3":                           "v1.2.3",
		"v1.2.3-rc.1":                      "v1.2.3-rc.1",
		"7.0.0-dev.20260707.2":             "v7.0.0-dev.20260707.2",
		"1.2.3-1":                          "v1.2.3-1 v1.2.3",
		"1.2.3-alpine":                     "v1.2.3-alpine v1.2.3",
		"1:1.2.3-2+b1":                     "v1.2.3",
		"1:1.2.3~rc1-2":                    "v1.2.3-rc1 v1.2.3-rc.1",
		"1.2.3_rc2-r0":                     "v1.2.3-rc2 v1.2.3-rc.2",
		"1.2.3-r4":                         "v1.2.3-r4 v1.2.3",
		"1.2.3+ds":                         "v1.2.3",
		"tool_1.2.3_linux_amd64.tar.gz":    "v1.2.3",
		"tool-v1.2.3.tgz":                  "v1.2.3",
		"tool_1.2.3-rc.1_linux_arm64.zip":  "v1.2.3-rc.1",
		"tool-1.2.3-linux-amd64":           "v1.2.3",
		"tool@1.2.3":                       "v1.2.3",
		"a-1.2.3 and b-4.5.6":              "v1.2.3 v4.5.6",
		"":                                 "",
		"latest":                           "",
		"1.2":                              "",
		"1.2.3.4":                          "",
		"01.2.3":                           "",
		"x1.2.3":                           "",
		"1.2.3e":                           "",
		"v1.2.3/../../x":                   "v1.2.3",
		"-1.2.3":                           "v1.2.3",
		"1.2.3-'; rm -rf /":                "v1.2.3",
		"x-9999999999.0.0":                 "",
		strings.Repeat("1.2.3 ", 1<<10):    "",
		strings.Repeat("x", 1000) + "1.2.": "",
	} {
		if got := strings.Join(versionsIn(text), " "); got != want {
			t.Errorf("%.60q: %q, want %q", text, got, want)
		}
	}
}

// FuzzVersionsIn: whatever a text is, what comes out are a few versions as Go
// modules have them.
func FuzzVersionsIn(f *testing.F) {
	for _, s := range []string{"1.2.3", "tool_1.2.3-rc1_linux.tar.gz", "1:1.2.3~beta2-1", "v1.2.3-'\x00", "1.2.3.4.5.6"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list := versionsIn(text)
		if len(list) > 2*maxVersions+1 {
			t.Errorf("%d versions", len(list))
		}
		for _, v := range list {
			if !semver.IsValid(v) || semver.Canonical(v) != v || strings.ContainsAny(v, "+/ \x00'") {
				t.Errorf("%q", v)
			}
		}
	})
}

// versionsOf are those of the first executable, as "version by from".
func versionsOf(t *testing.T, s *Subject, err error) []string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, v := range s.Executables[0].Versions {
		list = append(list, v.Version+" by "+v.From)
	}
	return list
}

func TestVersions(t *testing.T) {
	a := member{name: "tool-1.9.9/bin/a", body: program('a')}
	pkginfo := member{name: ".PKGINFO", body: "# a comment\npkgname = tool\npkgver = 1.2.3-r0\npkgver = 6.6.6\n"}
	control := member{name: "./control", body: "Package: tool\nVersion: 1:1.2.3+ds-1\nDescription: not\n Version: 6.6.6\n"}
	elsewhere := member{name: "share/control", body: "Version: 6.6.6\n"}
	debVersion := member{name: "debian-binary", body: "2.0\n"}
	long := make([]member, 30)
	for i := range long {
		long[i] = member{name: "x", body: "text"}
	}
	for _, c := range []struct {
		name, content string
		want          []string
	}{
		{"tool", program('a'), nil},
		{"tool-v1.2.3", program('a'), []string{"v1.2.3 by the file's path"}},
		{"v1.2.3/bin/tool", program('a'), []string{"v1.2.3 by the file's path"}},
		{"x.tar", tarOf(a), []string{"v1.9.9 by its path in the archive"}},
		{"x_1.2.3.tar.gz", gz(tarOf(a)), []string{"v1.2.3 by the file's path", "v1.9.9 by its path in the archive"}},
		{"x.apk", gz(tarOf(pkginfo, a)), []string{"v1.2.3-r0 by the Alpine package", "v1.2.3 by the Alpine package", "v1.9.9 by its path in the archive"}},
		{"x.deb", arOf(debVersion, member{name: "control.tar", body: tarOf(control)}, member{name: "data.tar", body: tarOf(elsewhere, a)}),
			[]string{"v1.2.3 by the Debian package", "v1.9.9 by its path in the archive"}},
		// The order of the members makes no difference.
		{"late.apk", gz(tarOf(a, pkginfo)), []string{"v1.2.3-r0 by the Alpine package", "v1.2.3 by the Alpine package", "v1.9.9 by its path in the archive"}},
	} {
		s, err := openedFile(t, c.name, c.content, Limits{})
		if got := versionsOf(t, s, err); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}

	// A program is not hidden by being called as what states the version, and a
	// long one is read as it is.
	large := "\x00asm\x01\x00\x00\x00\x00\xf0\xa2\x04\x01a" + strings.Repeat("x", 70_000-2) // more than maxControl
	for _, body := range []string{program('p'), large} {
		s, err := openedFile(t, "x.apk", gz(tarOf(member{name: ".PKGINFO", body: body})), Limits{})
		if err != nil || len(s.Executables) != 1 || s.Executables[0].Name != ".PKGINFO" || s.Executables[0].Size != int64(len(body)) {
			t.Fatalf("%d bytes: %v", len(body), err)
		}
	}
	// So many that they are cut.
	name := strings.Repeat("1.2.3/2.3.4-3.4.5/", 3) + "4.5.6/5.6.7/6.7.8/7.8.9/8.9.10/9.10.11/10.11.12"
	s, err := openedFile(t, "x_9.9.9.tar", tarOf(member{name: name, body: program('a')}), Limits{})
	if got := versionsOf(t, s, err); len(got) > maxVersions || got[0] != "v9.9.9 by the file's path" {
		t.Errorf("%q", got)
	}
}

func TestImageVersions(t *testing.T) {
	s := newShelf(t)
	l := layer(member{name: "bin/tool", body: program('a')})
	label := func(text string) func(*v1.Manifest, *v1.ConfigFile) {
		return func(_ *v1.Manifest, c *v1.ConfigFile) {
			c.Config.Labels = map[string]string{versionLabel: text, "org.opencontainers.image.title": "6.6.6"}
		}
	}
	amd := s.image(t, "amd", "linux/amd64", label("1.2.3"), l)
	arm := s.image(t, "arm", "linux/arm64", label("v2.0.0\x1b[31m"+strings.Repeat("x", 2000)), l)
	s.index(t, "1.2.4-alpine", amd, arm)
	sub, err := opened(t, s.repo+":1.2.4-alpine", Config{})
	if err != nil || len(sub.Executables) != 2 {
		t.Fatal(err)
	}
	want := []string{"v1.2.3 by the image's label " + versionLabel, "v1.2.4-alpine by the image's tag", "v1.2.4 by the image's tag"}
	if got := versionsOf(t, sub, nil); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	sub.Executables = sub.Executables[1:]
	if got := versionsOf(t, sub, nil); !slices.Equal(got, want[1:]) {
		t.Errorf("%q, want %q", got, want[1:])
	}
}
