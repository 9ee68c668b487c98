package explain

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// program is what a test builds. Programs without imports take seconds only.
type program struct {
	files map[string]string              // added to, or replacing, those of base; "" removes one
	args  []string                       // of go build
	env   []string                       // added to the environment
	dir   string                         // empty: a temporary one, which -trimpath keeps out
	out   func(t testing.TB, dir string) // called before the build
	cmd   []string                       // instead of go build ARGS
}

const (
	goMod  = "module example.test/tiny\n\ngo 1.26\n"
	mainGo = `package main

var version = "none"
var date = "unknown"

func main() { println(version, date, work(len(version))) }

//go:noinline
func work(n int) int {
	for i := range n {
		n += i * 7
	}
	return n
}
`
)

var built struct {
	sync.Mutex
	files map[string][]byte
}

// build builds a program, once. The result must not be changed.
func build(t testing.TB, p program) []byte {
	t.Helper()
	key := fmt.Sprint(p.files, p.args, p.env, p.dir, p.cmd, p.out != nil)
	built.Lock()
	defer built.Unlock()
	if data, ok := built.files[key]; ok && p.out == nil {
		return data
	}
	files := map[string]string{"go.mod": goMod, "main.go": mainGo}
	maps.Copy(files, p.files)
	dir := p.dir
	if dir == "" {
		dir = t.TempDir()
	}
	for name, text := range files {
		if text != "" {
			write(t, filepath.Join(dir, name), text)
		}
	}
	if p.out != nil {
		p.out(t, dir)
	}
	out := filepath.Join(t.TempDir(), "out")
	args := p.cmd
	if args == nil {
		args = append([]string{"build", "-o", out}, p.args...)
	} else {
		args = append([]string{args[0], "-o", out}, args[1:]...)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = environ(p.env...)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, msg)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if built.files == nil {
		built.files = map[string][]byte{}
	}
	built.files[key] = data
	return data
}

// environ is the environment of the tests without what would change a build.
func environ(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return strings.HasPrefix(name, "GIT_") || slices.Contains([]string{"GOFLAGS", "GOAMD64", "GOEXPERIMENT", "GOWORK", "CGO_ENABLED", "GOOS", "GOARCH", "GOFIPS140"}, name)
	})
	env = append(env, "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOPROXY=off", "GOTOOLCHAIN=local",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.test", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.test")
	return append(env, more...)
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run runs a command in a folder.
func run(t testing.TB, dir string, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = environ(env...)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, msg)
	}
}

// commit makes a repository of a folder, or adds a commit to it.
func commit(t testing.TB, dir, date string, tags ...string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git")
	}
	env := []string{"GIT_AUTHOR_DATE=" + date, "GIT_COMMITTER_DATE=" + date}
	if _, err := os.Stat(filepath.Join(dir, ".git")); err != nil {
		run(t, dir, env, "git", "init", "-q")
	}
	run(t, dir, env, "git", "add", "-A")
	run(t, dir, env, "git", "commit", "-q", "--allow-empty", "-m", "a commit")
	for _, tag := range tags {
		run(t, dir, env, "git", "tag", tag)
	}
}

// proxy writes modules to a folder that is a module proxy, and returns the
// environment to use it with. A module is "path@version", and its files.
func proxy(t testing.TB, modules map[string]map[string]string) []string {
	t.Helper()
	dir := t.TempDir()
	lists := map[string]string{}
	for m, files := range modules {
		path, version, _ := strings.Cut(m, "@")
		var buf bytes.Buffer
		z := zip.NewWriter(&buf)
		for _, name := range slices.Sorted(maps.Keys(files)) {
			w, err := z.Create(m + "/" + name)
			if err == nil {
				_, err = w.Write([]byte(files[name]))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		base := filepath.Join(dir, path, "@v", version)
		write(t, base+".zip", buf.String())
		write(t, base+".mod", files["go.mod"])
		write(t, base+".info", fmt.Sprintf("{\"Version\":%q}", version))
		lists[path] += version + "\n"
	}
	for path, list := range lists {
		write(t, filepath.Join(dir, path, "@v", "list"), list)
	}
	cache := filepath.Join(t.TempDir(), "mod")
	return []string{"GOPROXY=file://" + filepath.ToSlash(dir), "GOSUMDB=off", "GOMODCACHE=" + cache, "GOFLAGS=-modcacherw -mod=mod"}
}

// explainBytes explains two files in memory and checks what holds of any report.
func explainBytes(t testing.TB, a, b []byte, o Options) *Report {
	t.Helper()
	file := func(name string, data []byte) File { return File{name, bytes.NewReader(data), int64(len(data))} }
	r, err := Files(context.Background(), file("a", a), file("b", b), o)
	if err != nil {
		t.Fatal(err)
	}
	check(t, r, a, b)
	return r
}

// check checks what holds of any report.
func check(t testing.TB, r *Report, a, b []byte) {
	t.Helper()
	if r.Equal != bytes.Equal(a, b) {
		t.Fatalf("equal is %t", r.Equal)
	}
	if r.Equal != (len(r.Causes) == 0) || r.Equal != (r.Offset == -1) || r.Equal != (r.Differing == 0) {
		t.Errorf("equal %t, %d causes, offset %d, %d bytes differ", r.Equal, len(r.Causes), r.Offset, r.Differing)
	}
	possible := false
	last := causeKind(-1)
	for _, c := range r.Causes {
		if c.A != "" && c.A == c.B {
			t.Errorf("cause %+v has one value in both", c)
		}
		n, known := kindOf(c.ID)
		if !known || c.Text == "" || c.Confidence != Certain && c.Confidence != Likely && c.Confidence != Possible {
			t.Errorf("cause %+v", c)
		}
		if p := c.Confidence == Possible; p != possible && possible {
			t.Errorf("cause %s, %s, stands behind a possible one", c.ID, c.Confidence)
		} else if p != possible {
			possible, last = p, -1
		}
		if n < last {
			t.Errorf("cause %s is out of order", c.ID)
		}
		last = n
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	if err := r.Fprint(&page); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"json": text, "page": bytes.ReplaceAll(page.Bytes(), []byte("\n"), nil)} {
		if i := bytes.IndexFunc(data, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
			t.Errorf("%s has an unprintable character: %q", name, data[max(0, i-40):min(len(data), i+40)])
		}
	}
	if len(text) > 4<<20 {
		t.Errorf("%d bytes of JSON", len(text))
	}
	if !testing.Short() {
		checkHTML(t, r)
	}
}

// top is the identifier of the first cause.
func top(r *Report) string {
	if len(r.Causes) == 0 {
		return ""
	}
	return r.Causes[0].ID
}
