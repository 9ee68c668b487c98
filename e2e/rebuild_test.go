package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rebuilt is what these tests rely on in the document of twice rebuild.
type rebuilt struct {
	Schema, Verdict string
	Files           []rebuiltFile
}

type rebuiltFile struct {
	Name, Verdict, Source, Content, Command string
	Digest, GoVersion                       string
	Reason                                  struct{ Kind, Text string }
	Normalizations                          []string
	RestsOn, Recovered, Claimed             []ground
	Recipe                                  struct{ Argv []string }
	Seconds                                 float64
}

type ground struct{ What, Why string }

// rebuild runs twice rebuild and returns its document and its exit status.
func rebuild(t *testing.T, args ...string) (rebuilt, int) {
	t.Helper()
	cmd := exec.Command(twiceFile, slices.Concat([]string{"rebuild", "--json", "--cache", cacheDir}, args)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	status := 0
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		status = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	var d rebuilt
	if err := json.Unmarshal(stdout.Bytes(), &d); err != nil || d.Schema != "twice.rebuild/v1" {
		t.Fatalf("%v, status %d\n%s\n%s", err, status, stdout.Bytes(), stderr.Bytes())
	}
	t.Logf("%s", stdout.Bytes())
	return d, status
}

// install makes a binary as its users do, with go install.
func install(t *testing.T, module string, env []string, flags ...string) string {
	t.Helper()
	gopath := t.TempDir()
	env = slices.Concat([]string{"GOPATH=" + gopath, "GOFLAGS=-modcacherw", "GOBIN=", "CGO_ENABLED=0"}, env)
	command(t, gopath, env, slices.Concat([]string{"go", "install"}, flags, []string{module})...)
	found := ""
	err := filepath.WalkDir(filepath.Join(gopath, "bin"), func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = name
		}
		return err
	})
	if err != nil || found == "" {
		t.Fatalf("go install %s has left nothing: %v", module, err)
	}
	return found
}

// TestRebuildPublic rebuilds a public program, made by go install in the ways that
// people use.
func TestRebuildPublic(t *testing.T) {
	large(t)
	const age = "filippo.io/age/cmd/age@v1.3.2"
	stripped := install(t, age, nil, "-trimpath", "-ldflags=-w -s -X main.Version=v1.3.2")
	windows := "" // with TWICE_E2E=everything
	if os.Getenv("TWICE_E2E") == "everything" {
		windows = install(t, age, []string{"GOOS=windows", "GOARCH=arm64"}, "-trimpath")
	}
	mac := install(t, age, []string{"GOOS=darwin", "GOARCH=arm64"}, "-trimpath", "-ldflags=-X=main.Version=v1.3.2-3-gabcdef")
	data, err := os.ReadFile(stripped)
	if err != nil {
		t.Fatal(err)
	}
	tampered := filepath.Join(t.TempDir(), "tampered")
	data[len(data)/3] ^= 1
	if err := os.WriteFile(tampered, data, 0o755); err != nil {
		t.Fatal(err)
	}
	gofmt := filepath.Join(strings.TrimSpace(command(t, "", nil, "go", "env", "GOROOT")), "bin", "gofmt")

	list := []string{gofmt, tampered, stripped, mac}
	if windows != "" {
		list = append(list, windows)
	}
	d, status := rebuild(t, list...)
	if status != 1 || d.Files[0].Verdict != "undetermined" || d.Files[0].Reason.Kind != "part of Go" {
		t.Errorf("status %d, %+v", status, d.Files[0])
	}
	if f := d.Files[1]; f.Verdict != "differs" || f.Content != "changed" {
		t.Errorf("%+v", f)
	}
	for i, f := range d.Files[2:] {
		if f.Verdict != "reproduced" || f.Source != "filippo.io/age@v1.3.2" || f.Content != "intact" || len(f.Normalizations) > 0 {
			t.Errorf("%+v", f)
		}
		want := []string{"-ldflags=-w -s -X main.Version=v1.3.2", "-ldflags=-X=main.Version=v1.3.2-3-gabcdef", ""}[i]
		if want != "" && (len(f.Recovered) == 0 || f.Recovered[0].What != want) {
			t.Errorf("recovered %+v, want %s", f.Recovered, want)
		}
		if len(f.RestsOn) < 3 || f.RestsOn[0].Why != "checksum database" {
			t.Errorf("rests on %+v", f.RestsOn)
		}
	}
	// The command that is printed makes the same bytes.
	byHand := filepath.Join(t.TempDir(), "go")
	command(t, t.TempDir(), []string{"GOPATH=" + byHand, "GOFLAGS=-modcacherw"}, "sh", "-c", "unset GOBIN; "+d.Files[2].Command+" && chmod -R u+w \"$GOPATH\"")
	again, err := os.ReadFile(filepath.Join(byHand, "bin", "age"))
	data[len(data)/3] ^= 1
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("by hand: %v, the same: %v", err, bytes.Equal(again, data))
	}

	// Paths that are not trimmed take namespaces.
	plain := install(t, age, nil)
	if d, status = rebuild(t, plain); d.Files[0].Reason.Kind == "place" {
		t.Skip("paths cannot be chosen here")
	}
	if status != 0 || d.Files[0].Verdict != "reproduced" {
		t.Errorf("status %d, %+v", status, d.Files[0])
	}
}

// published is a package that somebody else has published, and what is known of
// it: the positive cases were rebuilt by hand, too.
type published struct {
	subject string
	// files are the names in it, each with the beginning of its digest in
	// hexadecimal. Others in it are an error.
	files map[string]string
	// source and goVersion are those of each file, if verdict is reproduced.
	source, goVersion, verdict string
	// kind and says are the reason, if it is undetermined: says is a part of it.
	kind, says string
}

// TestRebuildPublished rebuilds what others have published with other tools and for
// other reasons, and says why where it cannot.
func TestRebuildPublished(t *testing.T) {
	large(t)
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("needs npm")
	}
	const reproduced, undetermined = "reproduced", "undetermined"
	esbuild := func(platform, file, digest string) published {
		return published{subject: "npm:@esbuild/" + platform + "@0.25.0", files: map[string]string{file: digest}, source: "github.com/evanw/esbuild@v0.25.0", goVersion: "go1.23.5", verdict: reproduced}
	}
	t.Run("few", func(t *testing.T) {
		rebuildPublished(t,
			esbuild("linux-x64", "bin/esbuild", "98f635ee88526a7d"),
			// Bazel's rules_go records neither modules nor settings.
			published{subject: "npm:@bazel/bazelisk@1.28.0", files: map[string]string{
				"bazelisk-darwin_amd64": "", "bazelisk-darwin_arm64": "", "bazelisk-linux_amd64": "", "bazelisk-linux_arm64": "", "bazelisk-windows_amd64.exe": "", "bazelisk-windows_arm64.exe": "",
			}, goVersion: "go1.24.0", verdict: undetermined, kind: "no build information", says: "rules_go"},
			// The publisher's linker writes no build information.
			published{subject: "npm:@esbuild/linux-x64@0.27.0", files: map[string]string{"bin/esbuild": "e4d41ef34045"}, goVersion: "go1.25.4", verdict: undetermined, kind: "no build information", says: "go1.25.4"},
			// A fork of Go, and uncommitted changes.
			published{subject: "npm:@typescript/native-preview-linux-x64@7.0.0-dev.20260707.2", files: map[string]string{"lib/tsgo": ""}, verdict: undetermined, kind: "setting", says: "another distribution of Go"},
		)
	})
	t.Run("more", func(t *testing.T) {
		largest(t)
		rebuildPublished(t,
			esbuild("darwin-arm64", "bin/esbuild", "9e297058"),
			esbuild("win32-x64", "esbuild.exe", "8c048a37"),
			// No stamp of version control, and no version.
			published{subject: "npm:@bufbuild/buf-linux-x64@1.47.2", files: map[string]string{"bin/buf": "3a0c4da8d46eea81", "bin/protoc-gen-buf-lint": "029531c7b2d40913", "bin/protoc-gen-buf-breaking": "e326aa8236a9"},
				source: "github.com/bufbuild/buf@v1.47.2", goVersion: "go1.22.9", verdict: reproduced},
		)
	})
}

// rebuildPublished rebuilds packages in one run, and holds the result against what
// is known.
func rebuildPublished(t *testing.T, list ...published) {
	t.Helper()
	var subjects []string
	files := 0
	for _, p := range list {
		subjects = append(subjects, p.subject)
		files += len(p.files)
	}
	d, status := rebuild(t, subjects...)
	want := 0
	for _, p := range list {
		if p.verdict != "reproduced" {
			want = 3
		}
	}
	if status != want || len(d.Files) != files {
		t.Errorf("status %d, want %d; %d files, want %d", status, want, len(d.Files), files)
	}
	for _, p := range list {
		for name, digest := range p.files {
			i := slices.IndexFunc(d.Files, func(f rebuiltFile) bool {
				return f.Name == p.subject+"  "+name
			})
			if i < 0 {
				t.Errorf("%s  %s is missing", p.subject, name)
				continue
			}
			f := d.Files[i]
			if f.Verdict != p.verdict || !strings.HasPrefix(f.Digest, "sha256:"+digest) || f.GoVersion != p.goVersion && p.goVersion != "" || f.Reason.Kind != p.kind || !strings.Contains(f.Reason.Text, p.says) {
				t.Errorf("%s: %s, %s, %s, %+v", f.Name, f.Verdict, f.Digest, f.GoVersion, f.Reason)
			}
			if p.verdict != "reproduced" {
				continue
			}
			// The proxy may know the revision, and then nothing is guessed.
			guessed := slices.ContainsFunc(f.Recovered, func(g ground) bool { return g.What == p.source })
			if f.Source != p.source || f.Content != "intact" || len(f.Normalizations) > 0 || !guessed || f.RestsOn[0].Why != "checksum database" {
				t.Errorf("%+v", f)
			}
		}
	}
}

// TestSurvey judges a sample of the list that this repository has: programs that are reproduced, ones
// that are not for a reason, and of one and the same subject again what is not settled.
func TestSurvey(t *testing.T) {
	large(t)
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("needs npm")
	}
	all, err := os.ReadFile(filepath.Join(repoRoot, "configs", "survey", "list.txt"))
	must(t, err)
	sample := []string{"npm:@melkeydev/go-blueprint-linux-x64@0.10.11", "npm:@bazel/buildifier@8.2.1", "npm:@expo/ngrok-bin-linux-x64@2.3.41"}
	for _, subject := range sample {
		if !slices.Contains(strings.Split(string(all), "\n"), subject) {
			t.Errorf("%s is not in the list", subject)
		}
	}
	list := filepath.Join(t.TempDir(), "list.txt")
	must(t, os.WriteFile(list, []byte(strings.Join(sample, "\n")), 0o666))

	var first string
	for _, option := range []string{"--json", "--report"} { // of the second run nothing is judged
		out := command(t, "", nil, twiceFile, "survey", "--cache", cacheDir, "--json", option, list)
		out = out[strings.Index(out, "{\n"):]
		if first != "" && out != first {
			t.Errorf("%s\nand then\n%s", first, out)
		}
		first = out
	}
	var d struct {
		Programs, Possible struct{ Files, Reproduced, Undetermined int }
		Rows               []struct{ Subject, Project, Verdict string }
	}
	must(t, json.Unmarshal([]byte(first), &d))
	if d.Programs.Files != 8 || d.Programs.Reproduced != 1 || d.Possible.Files != 8 || d.Rows[0].Verdict != "reproduced" || d.Rows[0].Project != "github.com/melkeydev/go-blueprint" {
		t.Errorf("%s", first)
	}
}
