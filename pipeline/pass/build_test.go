package pass

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// hookProgram is the first argument of this binary where a hook runs it.
const hookProgram = "hook-program"

// Confined children are this binary, and so are some hooks.
func TestMain(m *testing.M) {
	Main()
	if len(os.Args) > 2 && os.Args[1] == hookProgram {
		os.Exit(runHook(os.Args[2:]))
	}
	os.Exit(m.Run())
}

func TestTail(t *testing.T) {
	const limit = 100
	for _, size := range []int{0, 1, 49, 50, 51, 99, 100, 101, 149, 150, 151, 1000, 12345} {
		for _, chunk := range []int{1, 7, 50, 64, 1000, 20000} {
			var in strings.Builder
			for in.Len() < size {
				fmt.Fprintf(&in, "%d ", in.Len())
			}
			text := in.String()[:size]
			out := &tail{limit: limit}
			for part := range slices.Chunk([]byte(text), chunk) {
				if n, err := out.Write(part); n != len(part) || err != nil {
					t.Fatalf("Write of %d bytes = %d, %v", len(part), n, err)
				}
			}
			got := out.String()
			if out.dropped == 0 {
				if got != text {
					t.Errorf("%d bytes by %d: %q, want %q", size, chunk, got, text)
				}
				continue
			}
			note := fmt.Sprintf("\n... %d bytes left out ...\n", out.dropped)
			head, rest, ok := strings.Cut(got, note)
			if !ok || len(head) != limit/2 || len(rest) < limit/2 || len(rest) > limit {
				t.Errorf("%d bytes by %d: %q", size, chunk, got)
			}
			if len(head)+out.dropped+len(rest) != size || !strings.HasPrefix(text, head) || !strings.HasSuffix(text, rest) {
				t.Errorf("%d bytes by %d: lost or made up some: %q", size, chunk, got)
			}
		}
	}
}

// execName is what the go command does: the commands that it prints with -n
// say so.
func TestExecName(t *testing.T) {
	dir := t.TempDir()
	const mod = "example.com/m/v3"
	packages := []string{"", "/cmd/a", "/cmd/tool/v2", "/v10", "/cmd/v1", "/cmd/v0", "/cmd/v02", "/cmd/vx", "/x.y", "/cmd/n.test"}
	files := map[string]string{"go.mod": "module " + mod + "\n\ngo 1.26\n"}
	for _, p := range packages {
		files["."+p+"/main.go"] = "package main\n\nfunc main() {}\n"
	}
	write(t, dir, files)
	for _, p := range packages {
		cmd := exec.Command("go", "build", "-n", "-o", "out/", "."+p)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOWORK=off")
		said, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", p, err, said)
		}
		want := "out/" + execName(mod+p)
		if runtime.GOOS == "windows" {
			want += ".exe"
		}
		if !slices.ContainsFunc(strings.Split(string(said), "\n"), func(line string) bool {
			return strings.HasPrefix(line, "mv ") && strings.HasSuffix(filepath.ToSlash(line), want)
		}) {
			t.Errorf("%s: want %s in\n%s", mod+p, want, last(string(said), 3))
		}
	}
}

func last(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func TestGroups(t *testing.T) {
	bin := func(importPath string, flags ...string) Binary {
		argv := append([]string{"go", "build"}, flags...)
		return Binary{ImportPath: importPath, Recipe: recipe.Recipe{Argv: append(argv, "./x"), Env: []string{"A=1"}}}
	}
	other := bin("m/e")
	other.Recipe.Env = []string{"A=2"}
	list := []Binary{bin("m/a"), bin("m/b"), bin("m/c", "-tags=x"), bin("m/a/v2"), bin("n/b"), bin("m/d", "-tags=x"), other}
	for pass, want := range map[Pass][][]int{
		// m/a/v2 and n/b would overwrite m/a and m/b.
		A: {{0, 1}, {2, 5}, {3, 4}, {6}},
		B: {{0}, {1}, {2}, {3}, {4}, {5}, {6}},
	} {
		s := &local{Local: &Local{}, pass: pass, varied: func(Factor) bool { return pass == B }}
		if got := s.groups(list); !reflect.DeepEqual(got, want) {
			t.Errorf("pass %s: %v, want %v", pass, got, want)
		}
	}
}

func TestVariations(t *testing.T) {
	a := Witness{umask: "0022", hostName: "a", locale: "C", kernel: "6.1"}
	b := Witness{umask: "0002", hostName: "a", locale: "", clock: "2026"}
	list := Variations(a, b, map[Factor]string{hostName: "no namespaces"})
	if len(list) != len(factors) {
		t.Fatalf("%d variations, want all %d", len(list), len(factors))
	}
	for _, v := range list {
		switch v.Name {
		case umask:
			if !v.Varied || v.Reason != "" || v.A != "0022" || v.B != "0002" {
				t.Errorf("%+v", v)
			}
		case hostName:
			if v.Varied || v.Reason != "no namespaces" {
				t.Errorf("%+v", v)
			}
		default: // what one pass alone has seen was not varied
			if v.Varied || v.Reason == "" {
				t.Errorf("%+v", v)
			}
		}
	}
}

// write makes files below dir.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// newLocal is an executor whose toolchain is a folder with one file: what it
// does but for compiling can be tested with it.
func newLocal(t *testing.T, c Confinement, source map[string]string, hooks ...[]string) *Local {
	t.Helper()
	goroot := t.TempDir()
	write(t, goroot, map[string]string{"bin/marker": "go"})
	return &Local{
		Dir: t.TempDir(), Store: artifact.NewStore(t.TempDir()),
		Checkout: func(_ context.Context, dest string, _ bool) error {
			write(t, dest, source)
			return nil
		},
		ModuleDir: ".", ConfigDir: ".", GOROOT: goroot, ModCache: t.TempDir(), Hooks: hooks,
		Path: []string{"/usr/local/bin", "/usr/bin", "/bin"}, Confinement: c, Now: time.Now, Log: io.Discard,
	}
}

func TestFiles(t *testing.T) {
	l := newLocal(t, Confinement{}, map[string]string{"conf/LICENSE": "x", "conf/doc/a.1": "y", "conf/doc/b.1": "z", "secret": "s"})
	l.ConfigDir = "conf"
	s, err := l.Open(t.Context(), A)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, err := s.Files([]string{"doc/*", "LICENSE", "LIC*", "nothing"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range got {
		names = append(names, a.Name)
	}
	if want := []string{"LICENSE", "doc/a.1", "doc/b.1"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	if got[0].Digest != artifact.Of([]byte("x")) {
		t.Errorf("%+v", got[0])
	}
	// No way leads out of the folder of the release file.
	if err := os.Symlink("../secret", filepath.Join(s.Tree(), "conf", "link")); err != nil {
		t.Skip(err)
	}
	for _, glob := range []string{"link", "../secret", "../*", "[", "/etc/passwd"} {
		if got, err := s.Files([]string{glob}); err == nil && len(got) > 0 {
			t.Errorf("%s: %+v", glob, got)
		}
	}
}

// Without namespaces pass B gets a copy of the toolchain, since another path
// means another place.
func TestUnconfined(t *testing.T) {
	l := newLocal(t, Confinement{}, map[string]string{"a": "1"})
	for _, pass := range []Pass{A, B} {
		s, err := l.Open(t.Context(), pass)
		if err != nil {
			t.Fatal(err)
		}
		w := s.Witness()
		if same := w[gorootPath] == l.GOROOT; same != (pass == A) {
			t.Errorf("pass %s: GOROOT %s", pass, w[gorootPath])
		}
		if data, err := os.ReadFile(filepath.Join(w[gorootPath], "bin", "marker")); err != nil || string(data) != "go" {
			t.Errorf("pass %s: %q, %v", pass, data, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(l.Dir); len(left) > 0 {
			t.Errorf("pass %s has left %v", pass, left)
		}
	}
	if _, err := os.Stat(filepath.Join(l.GOROOT, "bin", "marker")); err != nil {
		t.Error(err)
	}
}

// A workspace that cannot be set up is removed, read-only folders and all.
func TestOpenFails(t *testing.T) {
	l := newLocal(t, Confinement{}, nil)
	l.Checkout = func(_ context.Context, dest string, _ bool) error {
		write(t, dest, map[string]string{"d/f": "x"})
		if err := os.Chmod(filepath.Join(dest, "d"), 0o555); err != nil {
			return err
		}
		return io.ErrUnexpectedEOF
	}
	if _, err := l.Open(t.Context(), A); err == nil || !strings.Contains(err.Error(), "lay out the source of pass A: unexpected EOF") {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(l.Dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
