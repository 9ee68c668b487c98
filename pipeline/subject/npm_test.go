package subject

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// fakeNPM is an npm command that is a shell script, which finds the folder for
// the package in $out, its name in $spec, and the files beside the script in
// $here.
func fakeNPM(t *testing.T, script string, files map[string]string) NPM {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no shell")
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	cp, err := exec.LookPath("cp")
	if err != nil {
		t.Skip(err)
	}
	here := t.TempDir()
	grep, err := exec.LookPath("grep")
	if err != nil {
		t.Skip(err)
	}
	for name, content := range files {
		write(t, filepath.Join(here, name), content)
	}
	prologue := "#!" + sh + "\nhere=" + here + `
printf '%s\n' "$@" >"$here/args"
pwd >"$here/pwd"
grep -q '^{}' package.json || exit 9 # or npm looks for a project upwards
for arg; do
	case $arg in --pack-destination=*) out=${arg#*=};; esac
	spec=$arg
done
`
	path := filepath.Join(here, "npm")
	if err := os.WriteFile(path, []byte(prologue+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return NPM{Path: path, Env: []string{"PATH=" + strings.Join([]string{filepath.Dir(cp), filepath.Dir(sh), filepath.Dir(grep)}, ":"), "here=" + here}}
}

func sri(content string) string {
	sum := sha512.Sum512([]byte(content))
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

const deliver = `cp "$here/tgz" "$out/anything.tgz"; cat "$here/json"`

func TestNPM(t *testing.T) {
	tgz := gz(tarOf(member{name: "package/package.json", body: "{}"}, member{name: "package/bin/esbuild", body: program('e')}, member{name: "top", body: program('t')}))
	answer := `[{"id":"@esbuild/linux-x64@0.25.0","name":"@esbuild/linux-x64","version":"0.25.0","integrity":"` + sri(tgz) + `","files":[]}]`
	npm := fakeNPM(t, deliver, map[string]string{"tgz": tgz, "json": answer})
	s, err := opened(t, "npm:@esbuild/linux-x64@0.25.0", Config{NPM: npm})
	want(t, s, err, "bin/esbuild e", "top t")
	if err != nil {
		t.FailNow()
	}
	e := s.Executables[0]
	if got := e.String(); got != "npm:@esbuild/linux-x64@0.25.0  bin/esbuild" {
		t.Error(got)
	}
	if c := e.Containers[0]; s.Kind != Package || c.Kind != Package || c.Digest != artifact.Of([]byte(tgz)) || c.Integrity != sri(tgz) || c.Format != "tar.gz" {
		t.Errorf("%+v", c)
	}
	here := filepath.Dir(npm.Path)
	args, err := os.ReadFile(filepath.Join(here, "args"))
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Split(strings.TrimSpace(string(args)), "\n")
	if n := len(list); list[0] != "pack" || list[n-2] != "--" || list[n-1] != "@esbuild/linux-x64@0.25.0" || !strings.Contains(string(args), "\n--ignore-scripts\n") {
		t.Errorf("%q", list)
	}
	if pwd, err := os.ReadFile(filepath.Join(here, "pwd")); err != nil || !strings.Contains(string(pwd), "subject-") {
		t.Errorf("it ran in %q, %v", pwd, err)
	}

	// The other form of the answer.
	npm = fakeNPM(t, deliver, map[string]string{"tgz": tgz, "json": `{"a":{"name":"a","version":"1.0.0","integrity":"` + sri(tgz) + `"}}`})
	s, err = opened(t, "npm:a@1.0.0", Config{NPM: npm})
	want(t, s, err, "bin/esbuild e", "top t")
}

func TestNPMFaults(t *testing.T) {
	tgz := gz(tarOf(member{name: "package/a", body: program('a')}))
	good := `[{"name":"a","version":"1.0.0","integrity":"` + sri(tgz) + `"}]`
	for _, c := range []struct{ what, script, json, say string }{
		{"nothing wrong", deliver, good, ""},
		{"other bytes", deliver, strings.Replace(good, sri(tgz), sri("other"), 1), "has integrity"},
		{"sha1 alone", deliver, strings.Replace(good, sri(tgz), "sha1-AAAA", 1), "want sha512-"},
		{"no integrity", deliver, `[{"name":"a","version":"1.0.0"}]`, "want sha512-"},
		{"other version", deliver, strings.Replace(good, "1.0.0", "1.0.1", 1), "about another package"},
		{"other name", deliver, strings.Replace(good, `"a"`, `"b"`, 1), "about another package"},
		{"two packages", deliver, good[:len(good)-1] + "," + good[1:], "about another package"},
		{"no JSON", deliver, "a-1.0.0.tgz", "its answer"},
		{"no file", `cat "$here/json"`, good, "left 0 files"},
		{"two files", `>"$out/x"; ` + deliver, good, "left 2 files"},
		{"a link", `ln -s "$here/tgz" "$out/x"; cat "$here/json"`, good, "regular file"},
		{"a folder", `mkdir "$out/x"; cat "$here/json"`, good, "regular file"},
		{"failure", `cat "$here/json"; echo "npm error code E404" >&2; exit 1`, `{"error":{"code":"E404","summary":"Not found \u001b[2J"}}`, `npm pack: "E404 Not found \x1b[2J": exit status 1`},
		{"failure without JSON", `echo broken >&2; echo more >&2; exit 3`, "", "npm pack: broken: exit status 3"},
		{"silent failure", `exit 4`, "", "npm pack: exit status 4"},
	} {
		npm := fakeNPM(t, c.script, map[string]string{"tgz": tgz, "json": c.json})
		npm.Env[0] += ":/bin:/usr/bin"
		s, err := opened(t, "npm:a@1.0.0", Config{NPM: npm})
		if c.say == "" {
			want(t, s, err, "a a")
		} else if err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: got %v, want %q", c.what, err, c.say)
		}
	}
	_, err := opened(t, "npm:a@1.0.0", Config{})
	refused(t, err, "there is no npm client")
	_, err = opened(t, "npm:a@1.0.0", Config{NPM: NPM{Path: "npm"}})
	refused(t, err, "want an absolute path")
}

func TestNPMCanceled(t *testing.T) {
	npm := fakeNPM(t, "sleep 60 & wait", nil)
	npm.Env[0] += ":/bin:/usr/bin"
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := Open(ctx, "npm:a@1.0.0", Config{Dir: t.TempDir(), NPM: npm}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("it took %s", d)
	}
}

func TestParseNPM(t *testing.T) {
	for _, good := range []string{"esbuild@0.25.0", "@esbuild/linux-x64@0.25.0", "a@1.2.3-rc.1", "a@1.2.3+build.4", "JSONStream@1.3.5", "@a/b.c_d~e@0.0.0"} {
		if n, v, err := parseNPM(good); err != nil || n+"@"+v != good {
			t.Errorf("%s: %q %q %v", good, n, v, err)
		}
	}
	for _, bad := range []string{
		"", "@", "a", "@a/b", "a@", "a@latest", "a@1", "a@1.2", "a@1.2+a.b", "a@^1.2.3", "a@*", "a@v1.2.3", "a@01.2.3", "a@1.2.3 ", "a@1.2.3\n",
		"--registry=https://evil.example@1.2.3", "-g@1.2.3", "../a@1.2.3", "./a@1.2.3", "/a@1.2.3", "a/b@1.2.3", "@a/../b@1.2.3", "@a/b/c@1.2.3",
		"git+ssh://host/a@1.2.3", "https://host/a.tgz@1.2.3", "file:a@1.2.3", "npm:a@1.2.3", "a b@1.2.3", "a@npm:b@1.2.3", "a@file:b", ".a@1.2.3",
		"@-a/b@1.2.3", "@a/-b@1.2.3", "a\x00@1.2.3", strings.Repeat("a", 215) + "@1.2.3", "a@1.2.3-" + strings.Repeat("a", 300),
	} {
		if _, _, err := parseNPM(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzParseNPM(f *testing.F) {
	for _, s := range []string{"@esbuild/linux-x64@0.25.0", "a@1.2.3-rc.1+b", "-a@1.2.3", "a@latest", "@a/b@", "@@@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, version, err := parseNPM(s)
		if err != nil {
			return
		}
		if name+"@"+version != s || strings.HasPrefix(s, "-") || strings.HasPrefix(s, ".") || strings.HasPrefix(s, "/") || strings.ContainsAny(s, " :\\\x00\n") ||
			strings.Count(name, "/") > 1 || strings.Contains(name, "/") != strings.HasPrefix(name, "@") || version[0] < '0' || version[0] > '9' {
			t.Errorf("%q was accepted", s)
		}
	})
}
