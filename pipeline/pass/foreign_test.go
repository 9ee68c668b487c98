package pass

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/recipe"
)

func TestForeignPaths(t *testing.T) {
	for _, f := range []Foreign{
		{}, {GOROOT: "/usr/local/go"}, {GOROOT: "/opt/hostedtoolcache/go/1.23.5/x64", ModCache: "/home/runner/go/pkg/mod", Source: "/home/runner/work/x/x"},
		{GOROOT: "/root/go/pkg/mod/golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64", ModCache: "/root/go/pkg/mod"}, {Source: "/tmp/x"}, {Source: "/a/src"}, {Source: "/ä b"},
	} {
		if err := f.checkFolders(); err != nil {
			t.Errorf("%+v: %v", f, err)
		}
	}
	for _, p := range []string{
		"go", "./go", "../go", "/usr/../etc", "/x/../../etc", "/x/", "//x", "/x//y", "/", "/tmp", "/usr", "/usr/bin", "/proc", "/proc/self/root", "/dev/shm/x", "/sys/x",
		"/etc/passwd", "/bin/sh", "/lib64/x", "/x\ny", "/x\x00y", "/\xff", "/" + strings.Repeat("x", 2000), `C:\Go`, "/.", "/opt",
	} {
		for _, f := range []Foreign{{Source: p}, {GOROOT: p}, {ModCache: p}} {
			var place *PlaceError
			if err := f.checkFolders(); !errors.As(err, &place) || place.Path != p {
				t.Errorf("%q: %v", p, err)
			}
		}
	}
	if err := (&Foreign{GOROOT: "/x", Source: "/x"}).checkFolders(); err == nil {
		t.Error("one path for two folders: accepted")
	}
}

// TestMakeRoom: what is beside a path stays visible, and nothing lies on it.
func TestMakeRoom(t *testing.T) {
	usr := t.TempDir()
	for _, dir := range []string{"bin", "local/bin", "local/share", "lib"} {
		if err := os.MkdirAll(filepath.Join(usr, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mounts := []mount{{From: usr, To: "/usr"}, {From: "/bin", To: "/bin"}}
	for p, want := range map[string][]string{
		"/usr/local/go":       {"/bin", "/usr/bin", "/usr/lib", "/usr/local/bin", "/usr/local/share"},
		"/usr/local/go/1.2/x": {"/bin", "/usr/bin", "/usr/lib", "/usr/local/bin", "/usr/local/share"},
		"/usr/local":          {"/bin", "/usr/bin", "/usr/lib"},
		"/usr/local/bin/go":   {"/bin", "/usr/bin", "/usr/lib", "/usr/local/share"},
		"/usrlocal":           {"/bin", "/usr"},
		"/home/x":             {"/bin", "/usr"},
	} {
		var got []string
		for _, m := range makeRoom(mounts, p) {
			got = append(got, m.To)
			if m.From != m.To && m.From != filepath.Join(usr, strings.TrimPrefix(m.To, "/usr")) {
				t.Errorf("%s: %+v", p, m)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
}

func TestInstalled(t *testing.T) {
	b := Binary{ImportPath: "example.com/m/cmd/tool/v2@v2.0.0", Recipe: recipe.Recipe{Target: matrix.Target{OS: "windows", Arch: "arm64"}}}
	if got, want := installedNames(b), []string{"bin/windows_arm64/tool.exe", "bin/tool.exe"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if runtime.GOOS != "windows" {
		s := &localSession{inside: layout{modcache: "/x/a,b|c d"}}
		argv, env := s.installCommand([]string{"go", "build", "-o", "x", "-p", "1", "m@v1"}, []string{"GOPROXY=off"}, "/out")
		if want := []string{"go", "install", "-p", "1", "m@v1"}; !slices.Equal(argv, want) {
			t.Errorf("%q", argv)
		}
		if want := []string{"GOPATH=/out", "GOPROXY=file:///x/a%2Cb%7Cc%20d/cache/download", "GOPROXY=off"}; !slices.Equal(env, want) {
			t.Errorf("%q", env)
		}
	}
}
