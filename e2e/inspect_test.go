package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// inspected is what these tests rely on in the document of twice inspect.
type inspected struct {
	Files []struct {
		Name     string
		Binaries []struct {
			GoVersion, GOOS string
			Nature          struct{ Is string }
			Build           struct{ Path string }
			Content         struct{ State string }
			HostID          struct{ Origin string }
			Findings        []struct{ Name, Is, Why string }
		}
	}
}

// inspect runs twice inspect, and returns for each binary its release of Go, nature, package, and answers
// as NAME=ANSWER.
func inspect(t *testing.T, subject string) []string {
	t.Helper()
	var d inspected
	if err := json.Unmarshal([]byte(command(t, ".", nil, twiceFile, "inspect", "--json", subject)), &d); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range d.Files {
		for _, b := range f.Binaries {
			words := []string{b.GoVersion, b.Nature.Is, b.Build.Path, b.Content.State, b.GOOS, b.HostID.Origin}
			for _, q := range b.Findings {
				words = append(words, q.Name+"="+q.Is)
			}
			list = append(list, strings.Join(words, " | "))
		}
	}
	return list
}

// wants checks that each binary has all the words.
func wants(t *testing.T, list []string, number int, words ...string) {
	t.Helper()
	if len(list) != number {
		t.Errorf("%d binaries, want %d", len(list), number)
	}
	for _, text := range list {
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("no %q in %s", w, text)
			}
		}
	}
}

// TestInspectPublished reads files of older releases and of another build system, as they were published.
func TestInspectPublished(t *testing.T) {
	large(t)
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("needs npm")
	}
	const esbuild = "Go program | github.com/evanw/esbuild/cmd/esbuild | intact"
	tests := []struct {
		subject string
		number  int
		words   []string
	}{
		{"npm:esbuild-linux-64@0.8.0", 1, []string{"go1.15 | " + esbuild + " | linux", "-s=yes", "-trimpath=no", "cgo=no", "-race=unknown"}},
		{"npm:esbuild-darwin-64@0.14.0", 1, []string{"go1.17.2 | " + esbuild + " | darwin", "-s=no", "-w=yes", "-trimpath=yes", "-race=unknown"}},
		{"npm:esbuild-windows-64@0.14.0", 1, []string{"go1.17.2 | " + esbuild + " | windows", "-s=yes", "cgo=no"}},
		{"npm:@esbuild/linux-x64@0.17.0", 1, []string{"go1.19.4 | " + esbuild, "-s=yes", "-trimpath=yes", "cgo=no", "-race=no"}},
		{"npm:@bazel/bazelisk@1.28.0", 6, []string{"go1.24.0 | Go program of Bazel's rules_go | ", "-race=unknown"}},
	}
	for _, tt := range tests {
		t.Run(tt.subject, func(t *testing.T) { wants(t, inspect(t, tt.subject), tt.number, tt.words...) })
	}
}

// TestInspectReleases reads what releases of Go make, by the toolchains that the module proxy has.
func TestInspectReleases(t *testing.T) {
	large(t)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module example.test/p\n\ngo 1.12\n",
		"main.go": "package main\n\nfunc main() { println(\"p\") }\n",
		"cgo.go":  "package main\n\n// static int one(void) { return 1; }\nimport \"C\"\n\nvar one = int(C.one())\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const cgo, mac = "CGO_ENABLED=1", "GOOS=darwin GOARCH=arm64 CGO_ENABLED=0"
	tests := []struct {
		release, env string
		flags        string
		largest      bool
		words        []string
	}{
		{"go1.12.17", "CGO_ENABLED=0", "-ldflags=-s", true, []string{" | Go program older than build information | ", "cgo=no", "-s=yes", "linux"}},
		{"go1.13.15", cgo, "-ldflags=-w", true, []string{"go1.13.15 | Go program | example.test/p | intact | linux", "cgo=yes", "-w=yes", "-msan=unknown"}},
		{"go1.16.15", cgo, "-ldflags=-s", false, []string{"go1.16.15 | Go program | example.test/p | intact | linux", "cgo=yes", "-s=yes", "-race=unknown"}},
		{"go1.19.13", cgo, "-ldflags=-s", true, []string{"go1.19.13 | Go program | ", "cgo=yes", "-race=no"}},
		{"go1.20.14", cgo, "-v", true, []string{"go1.20.14 | Go program | ", "cgo=yes", "-s=no"}},
		{"go1.24.0", mac, "-v", true, []string{"intact | darwin | made from the Go build ID", "cgo=no"}},
		{"go1.27.1", mac, "-v", false, []string{"intact | darwin | made from the Go build ID", "cgo=no"}},
		{"go1.27.1", mac, "-ldflags=-buildid=", true, []string{"made of the file's content, as there is no Go build ID"}},
	}
	for _, tt := range tests {
		t.Run(tt.release+" "+tt.flags, func(t *testing.T) {
			if tt.largest {
				largest(t)
			}
			if _, err := exec.LookPath("gcc"); err != nil && tt.env == cgo {
				t.Skip("needs a C compiler")
			}
			file := filepath.Join(t.TempDir(), "p")
			env := append(strings.Fields(tt.env), "GOTOOLCHAIN="+tt.release, "GO111MODULE=on", "GOWORK=off")
			if tt.release != "go1.12.17" { // which has no such flag
				env = append(env, "GOFLAGS=-trimpath")
			} else {
				env = append(env, "GOFLAGS=-v")
			}
			command(t, dir, env, "go", "build", tt.flags, "-o", file, ".")
			wants(t, inspect(t, file), 1, tt.words...)
		})
	}
}
