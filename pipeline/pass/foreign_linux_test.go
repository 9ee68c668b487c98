package pass

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/recipe"
)

// TestForeignPlace: a pass sees its folders where it is told, the programs of
// Foreign come first, and a file that is too large cannot be written. Without
// namespaces a path is refused.
func TestForeignPlace(t *testing.T) {
	for tier, c := range tiers(t) {
		t.Run(tier, func(t *testing.T) {
			l := newLocal(t, c, map[string]string{"here": "x"})
			programs := t.TempDir()
			write(t, programs, map[string]string{"git": "#!/bin/sh\necho ours\n"})
			// One folder within another, and some in places where the system's own are.
			write(t, l.ModCache, map[string]string{"golang.org/toolchain/x": ""})
			f := &Foreign{Source: "/home/ada/tool", GOROOT: "/opt/ada/mod/golang.org/toolchain", ModCache: "/opt/ada/mod", Programs: programs}
			l.Foreign = f
			s, err := l.Open(t.Context(), A)
			if c.AllowStrangers() != nil {
				var unconfined *UnconfinedError
				if left, _ := os.ReadDir(l.Dir); !errors.As(err, &unconfined) || unconfined.Remedy() == "" || len(left) > 0 {
					t.Errorf("a stranger's source where the host is not safe: %v", err)
				}
				return
			}
			if !c.Namespaces {
				var place *PlaceError
				if !errors.As(err, &place) {
					t.Errorf("%v", err)
				}
				f.Source, f.GOROOT, f.ModCache = "", "", ""
				if s, err = l.Open(t.Context(), A); err != nil {
					t.Fatal(err)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			run := func(script string) (string, error) {
				return s.Run(t.Context(), Command{What: "test", Argv: []string{"sh", "-c", script}, Env: recipe.ClosedEnv()})
			}
			if out, err := run("git; cat here"); err != nil || out != "ours\nx" {
				t.Errorf("%q, %v", out, err)
			}
			if c.Namespaces {
				out, err := run("pwd -P; echo $GOROOT $GOMODCACHE; cat $GOROOT/bin/marker; ls /usr/bin/env")
				if want := "/home/ada/tool\n/opt/ada/mod/golang.org/toolchain /opt/ada/mod\ngo/usr/bin/env\n"; err != nil || out != want {
					t.Errorf("%q, %v; want %q", out, err, want)
				}
				if out, err := run("echo x >$GOROOT/x"); err == nil {
					t.Errorf("the toolchain can be written to: %q", out)
				}
				if out, err := run("echo x >$GOMODCACHE/x"); err == nil {
					t.Errorf("the modules can be written to: %q", out)
				}
			}
			// Where the host's files are in sight, not even their modes can be changed.
			if out, err := run("chmod 0700 here"); (err == nil) != c.Namespaces {
				t.Errorf("chmod: %v, %s", err, out)
			}
			f.MaxFile = 1 << 20
			if out, err := run("head -c 2000000 /dev/zero >large"); err == nil && c.writesConfined() {
				t.Errorf("a file of 2 MB: %q", out)
			}
			if info, err := os.Stat(filepath.Join(s.Tree(), "large")); c.writesConfined() && (err != nil || info.Size() > 1<<20) {
				t.Errorf("%v, %v", info, err)
			}
		})
	}
}

// TestForeignUsr: a folder can be where the system has none, below one of the
// system's that is read-only.
func TestForeignUsr(t *testing.T) {
	for tier, c := range tiers(t) {
		if !c.Namespaces {
			continue
		}
		t.Run(tier, func(t *testing.T) {
			l := newLocal(t, c, map[string]string{"here": "x"})
			l.Foreign = &Foreign{GOROOT: "/usr/local/no-such-folder/go"}
			s, err := l.Open(t.Context(), A)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			out, err := s.Run(t.Context(), Command{What: "test", Argv: []string{"sh", "-c", "cat $GOROOT/bin/marker; ls -d /usr/bin /usr/lib"}, Env: recipe.ClosedEnv()})
			if err != nil || !strings.HasPrefix(out, "go/usr/bin\n") {
				t.Errorf("%q, %v", out, err)
			}
		})
	}
}
