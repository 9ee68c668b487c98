package gotree

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/host"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/rebuild/internal/sandbox"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/toolchain"
	"github.com/twicebuild/twice/pipeline/workspace"
)

func TestParse(t *testing.T) {
	for s, want := range map[string]string{
		"go1.26.8":               "toolchain:go1.26.8/linux-amd64",
		"go1.26.8/darwin-arm64":  "toolchain:go1.26.8/darwin-arm64",
		"go1.26.8/linux-arm":     "toolchain:go1.26.8/linux-arm",
		"go1.27rc1/windows-386":  "toolchain:go1.27rc1/windows-386",
		"go1.21.0/linux-ppc64le": "toolchain:go1.21.0/linux-ppc64le",
	} {
		if got, err := Parse(s, "linux", "amd64"); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "1.26.8", "go", "go1", "go1.26", "go1.26.8 ", " go1.26.8", "go1.26.8\n", "go1.26.8-custom", "go1.26.8+x", "go2.0.0", "go1.026.8",
		"latest", "-go1.26.8", "go1.26.8@latest", "../go1.26.8", "go1.26.8beta1", "go1.20", "go1.20.14", "go1.99999999999999999999.1",
		"go1.26.8/", "go1.26.8/linux", "go1.26.8/linux-", "go1.26.8/-amd64", "go1.26.8/linux/amd64", "go1.26.8/linux_amd64", "go1.26.8/linux-amd64-v3",
		"go1.26.8/linux-amd64/v3", "go1.26.8/plan10-amd64", "go1.26.8/linux-../..", "go1.26.8/Linux-amd64", "go1.26.8/windows-s390x\x1b[2J", "go1.26.8/linux-amd64.zip",
		strings.Repeat("go1.26.8", 1000), "go1.26.8/" + strings.Repeat("linux-", 1000),
	} {
		got, err := Parse(s, "linux", "amd64")
		if err == nil {
			t.Errorf("%q: is %v", s, got)
		} else if msg := err.Error(); len(msg) > 700 || strings.ContainsFunc(msg, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q: %q", s, msg)
		}
	}
}

// FuzzParse: what is accepted is a name of a module's version and nothing
// else, and is read again as the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"go1.26.8", "go1.26.8/darwin-arm64", "go1.27rc1/linux-arm", "go1.26.8/../x", "go1.26", "go1.21.0/-", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := Parse(s, "linux", "amd64")
		if err != nil {
			return
		}
		if again, err := Parse(strings.TrimPrefix(d.String(), "toolchain:"), "", ""); err != nil || again != d {
			t.Errorf("%q: %v, then %v, %v", s, d, again, err)
		}
		if v := d.module(); module.CanonicalVersion(v) != v || module.Check(distributionPath, v) != nil {
			t.Errorf("%q: %q is no version", s, v)
		}
	})
}

func TestOptions(t *testing.T) {
	d := Toolchain{"go1.26.8", "linux", "amd64"}
	for _, o := range []Options{{}, {Only: []string{"bin/*", "asm"}}, {Bootstrap: "go1.24.6"}, {Bootstrap: "go1.26rc1"}} {
		if err := checkOptions(d, o); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
	for _, o := range []Options{
		{Only: []string{"["}}, {Bootstrap: "go1.26.8"}, {Bootstrap: "go1.27rc1"}, {Bootstrap: "1.24.6"}, {Bootstrap: "go1.4"},
		{Bootstrap: "/usr/local/go"}, {Bootstrap: "go1.24.6/linux-amd64"}, {Bootstrap: "go1.24.6", Only: []string{"asm"}},
	} {
		if fault.KindOf(checkOptions(d, o)) != fault.KindUsage {
			t.Errorf("%+v: no error", o)
		}
	}
}

func TestBefore(t *testing.T) {
	const script = "#!/usr/bin/env bash\n\nbootgo=1.24.6\n\nset -e\n"
	for _, c := range []struct {
		v, from, script, want string
		kind                  verdict.Kind
	}{
		{"go1.26.8", "go1.24.6", script, "", ""},
		{"go1.26.8", "go1.25.0", script, "", ""},
		{"go1.26.8", "go1.24.5", script, "go1.24.6", ""},
		{"go1.26.8", "go1.24rc1", script, "go1.24.6", ""},
		{"go1.26.8", "go1.22.6", script, "go1.24.6", ""},
		{"go1.22.6", "go1.21.0", "bootgo=1.20.6\n", "", ""},
		{"go1.22.6", "go1.21.0", "bootgo=1.21.5\n", "go1.21.5", ""},
		{"go1.21.0", "go1.19", "bootgo=1.20.6\n", "", verdict.UnknownToolchain},
		{"go1.26.8", "go1.22.6", "bootgo=1.26.8\n", "", verdict.UnknownToolchain}, // no end
		{"go1.26.8", "go1.22.6", "bootgo=1.27.1\n", "", verdict.UnknownToolchain},
		{"go1.26.8", "go1.22.6", "bootgo=1.24\n", "", verdict.UnknownToolchain}, // no release
		{"go1.26.8", "go1.22.6", "", "", verdict.Setting},
		{"go1.26.8", "go1.22.6", "bootgo=../1.24.6\n", "", verdict.Setting},
		{"go1.26.8", "go1.22.6", script + script, "", verdict.Setting},
	} {
		got, reason := builderOf(c.v, c.from, []byte(c.script))
		if got != c.want || (reason == nil) != (c.kind == "") || reason != nil && reason.Kind != c.kind {
			t.Errorf("%s from %s: %q, %v", c.v, c.from, got, reason)
		}
	}
}

// write makes files below dir.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, data := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const (
	sumA       = "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	distSource = "package main\n\nfunc toolenv() {\n\tenv = append(env, \"GOFLAGS=-trimpath -ldflags=-w -gcflags=cmd/...=-dwarf=false\")\n}\n"
	bootSource = "package buildcfg\n\nconst DefaultGOAMD64 = `v1`\nconst DefaultGOARM = `6`\n"
)

func TestToolFlags(t *testing.T) {
	for source, ok := range map[string]bool{
		distSource: true,
		"":         false,
		strings.Replace(distSource, "-trimpath ", "-trimpath -toolexec=/bin/sh ", 1): false,
		strings.Replace(distSource, "-ldflags=-w", "-ldflags=-s", 1):                 false,
		distSource + distSource: false,
	} {
		dir := t.TempDir()
		write(t, dir, map[string]string{"src/cmd/dist/build.go": source})
		if _, err := toolFlags(dir); (err == nil) != ok {
			t.Errorf("%q: %v", source, err)
		}
	}
}

func TestBuildTarget(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"src/internal/buildcfg/zbootstrap.go": bootSource})
	for d, want := range map[Toolchain]string{
		{OS: "linux", Arch: "amd64"}:   "linux/amd64",
		{OS: "linux", Arch: "arm"}:     "linux/arm/6",
		{OS: "linux", Arch: "s390x"}:   "linux/s390x", // has no variants
		{OS: "linux", Arch: "riscv64"}: "",            // not said
	} {
		w := &distribution{Toolchain: d, published: toolchain.Toolchain{Dir: dir}}
		got, err := w.buildTarget()
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%v: %v, %v", d, got, err)
		}
	}
}

func TestChosen(t *testing.T) {
	tools := []string{"bin/go", "bin/gofmt", "pkg/tool/linux_amd64/asm"}
	for _, c := range []struct{ only, in, out string }{
		{"", "bin/go bin/gofmt pkg/tool/linux_amd64/asm", ""},
		{"bin/*", "bin/go bin/gofmt", "pkg/tool/linux_amd64/asm"},
		{"asm go", "bin/go pkg/tool/linux_amd64/asm", "bin/gofmt"},
		{"nothing", "", "bin/go bin/gofmt pkg/tool/linux_amd64/asm"},
	} {
		in, out := matchTools(tools, strings.Fields(c.only))
		if strings.Join(in, " ") != c.in || strings.Join(out, " ") != c.out {
			t.Errorf("%q: %q, %q", c.only, in, out)
		}
	}
}

// TestLayOut shows that nothing of what was built has a part in a build.
func TestLayOut(t *testing.T) {
	published, dest := t.TempDir(), filepath.Join(t.TempDir(), "src")
	write(t, published, map[string]string{
		"VERSION": "go1.26.8\n", "go.env": "", "src/go.mod": "", "src/zlib.go": "package zlib\n", "src/cmd/bin/main.go": "", "src/z.txt": "generated by go tool dist; DO NOT EDIT",
		"bin/go": "", "pkg/tool/linux_amd64/asm": "", "pkg/include/asm.h": "",
		"src/cmd/cgo/zdefaultcc.go": "// Code generated by go tool dist; DO NOT EDIT.\n\npackage main\n",
	})
	if err := copySource(t.Context(), published, dest); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := filepath.WalkDir(dest, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dest, p)
			got = append(got, filepath.ToSlash(rel))
		}
		return err
	})
	want := []string{"VERSION", "go.env", "src/cmd/bin/main.go", "src/go.mod", "src/z.txt", "src/zlib.go"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %q, want %q", err, got, want)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(published, "src", "link")); err == nil {
		if err := copySource(t.Context(), published, filepath.Join(t.TempDir(), "x")); err == nil {
			t.Error("a link was followed")
		}
	}
}

// preprofile is the smallest tool of the Go that runs the tests, and its version.
func preprofile(t *testing.T) (data []byte, version string) {
	t.Helper()
	out, err := exec.Command("go", "env", "GOTOOLDIR", "GOVERSION").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	name := "preprofile"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	data, err = os.ReadFile(filepath.Join(lines[0], name))
	if err != nil {
		t.Fatal(err)
	}
	return data, lines[1]
}

// bench is a distribution whose store and clock work.
func bench(t *testing.T) *distribution {
	t.Helper()
	s := &sandbox.Sandbox{Config: sandbox.Config{Host: host.Host{Now: time.Now, OS: "linux", Arch: "amd64"}, Stage: func(string) {}}, Store: artifact.NewStore(t.TempDir())}
	return &distribution{Sandbox: s, Toolchain: Toolchain{"go1.26.8", "linux", "amd64"}}
}

// TestJudgeTool seeds faults.
func TestJudgeTool(t *testing.T) {
	data, _ := preprofile(t)
	flip := func(at int) []byte {
		d := slices.Clone(data)
		d[at] ^= 1
		return d
	}
	for what, c := range map[string]struct {
		published []byte
		want      compare.Verdict
		content   inspect.Content
	}{
		"the same":      {data, compare.Reproduced, inspect.ContentIntact},
		"a byte":        {flip(len(data) / 3), compare.Differs, inspect.ContentChanged},
		"the last byte": {flip(len(data) - 1), compare.Differs, inspect.ContentChanged},
		"one more":      {append(slices.Clone(data), 0), compare.Differs, inspect.ContentChanged},
		"one less":      {data[:len(data)-1], compare.Differs, inspect.ContentChanged},
		"no executable": {[]byte("#!/bin/sh\n"), compare.Differs, inspect.ContentUnknown},
		"nothing":       {nil, compare.Differs, inspect.ContentUnknown},
	} {
		w := bench(t)
		put := func(b []byte) (artifact.Digest, int64) {
			d, n, err := w.Store.Put(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			return d, n
		}
		res := &verdict.Result{Name: what, Verdict: compare.Undetermined, Content: inspect.ContentUnknown}
		res.Digest, res.Size = put(c.published)
		d, n := put(data)
		w.content(res)
		if err := judgeTool(t.Context(), w.Store, t.TempDir(), res, artifact.Artifact{Name: "x", Kind: artifact.Binary, Digest: d, Size: n, Executable: true}); err != nil {
			t.Fatal(err)
		}
		if res.Verdict != c.want || res.Content != c.content || (res.Reason == nil) != (c.want == compare.Reproduced) || (res.Explanation == nil) != (c.want == compare.Reproduced) {
			t.Errorf("%s: %s, %s, %v", what, res.Verdict, res.Content, res.Reason)
		}
	}
}

// archive makes a zip.
func archive(t *testing.T, name string, level int, files ...string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, level) })
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i])
		if err == nil {
			_, err = io.WriteString(w, files[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCompareZips seeds faults in the zip that a bootstrap builds.
func TestCompareZips(t *testing.T) {
	data, _ := preprofile(t)
	tool := string(data[:50_000]) // what it is does not matter here
	changed := tool[:1000] + "?" + tool[1001:]
	const p = "golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64/"
	const asm, source = p + "pkg/tool/linux_amd64/asm", p + "src/cmd/asm/main.go"
	text := strings.Repeat("package main // the same words over and over\n", 100)
	published := []string{asm, tool, source, text, p + "VERSION", "go1.26.8\n"}
	for what, c := range map[string]struct {
		level        int
		built        []string
		whole, first compare.Verdict
		says         string
	}{
		"the same":          {9, published, compare.Reproduced, compare.Reproduced, ""},
		"compression":       {1, published, compare.Equivalent, compare.Reproduced, ""},
		"order":             {9, []string{source, text, asm, tool, p + "VERSION", "go1.26.8\n"}, compare.Equivalent, compare.Reproduced, ""},
		"a tool":            {9, []string{asm, changed, source, text, p + "VERSION", "go1.26.8\n"}, compare.Differs, compare.Differs, "pkg/tool/linux_amd64/asm"},
		"a source":          {9, []string{asm, tool, source, text + "//", p + "VERSION", "go1.26.8\n"}, compare.Differs, compare.Reproduced, "src/cmd/asm/main.go"},
		"a missing tool":    {9, []string{source, text, p + "VERSION", "go1.26.8\n"}, compare.Differs, compare.Differs, "pkg/tool/linux_amd64/asm (is not built)"},
		"a missing source":  {9, []string{asm, tool, p + "VERSION", "go1.26.8\n"}, compare.Differs, compare.Reproduced, "src/cmd/asm/main.go (is not built)"},
		"one too many":      {9, append(slices.Clone(published), p+"bin/x", tool), compare.Differs, compare.Reproduced, "bin/x (is not published)"},
		"a name's case":     {9, []string{asm, tool, source, text, p + "version", "go1.26.8\n"}, compare.Differs, compare.Reproduced, "VERSION (is not built)"},
		"a go.mod's name":   {9, append(slices.Clone(published), p+"src/go.mod", ""), compare.Differs, compare.Reproduced, "src/go.mod (is not published)"},
		"an empty zip":      {9, nil, compare.Differs, compare.Differs, "(is not built)"},
		"contents in place": {9, []string{asm, text, source, tool, p + "VERSION", "go1.26.8\n"}, compare.Differs, compare.Differs, "pkg/tool/linux_amd64/asm"},
	} {
		w := bench(t)
		w.target, _ = w.Toolchain.target("")
		dir := t.TempDir()
		s := &step{Toolchain: w.Toolchain, zip: filepath.Join(dir, "published.zip")}
		archive(t, s.zip, 9, published...)
		archive(t, filepath.Join(dir, "built.zip"), c.level, c.built...)
		if err := w.judgeZip(t.Context(), s, dir, "built.zip", true); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if len(w.results) != 2 {
			t.Fatalf("%s: %d results", what, len(w.results))
		}
		first, whole := w.results[0], w.results[1]
		if first.Verdict != c.first || whole.Verdict != c.whole {
			t.Errorf("%s: the tool %s, the zip %s", what, first.Verdict, whole.Verdict)
		}
		if (whole.Reason == nil) != (c.says == "") || whole.Reason != nil && !strings.Contains(whole.Reason.Text, c.says) {
			t.Errorf("%s: %v", what, whole.Reason)
		}
		if c.whole == compare.Equivalent && (!slices.Equal(whole.Normalizations, []inspect.Normalization{inspect.MembersAlone}) || whole.Uncovered <= 0) {
			t.Errorf("%s: %v, %d", what, whole.Normalizations, whole.Uncovered)
		}
		if verdict.NewDocument(w.results...).Verdict != whole.Verdict {
			t.Errorf("%s: the document says %s", what, verdict.NewDocument(w.results...).Verdict)
		}
	}
}

// TestNoZip: a build that leaves something else than a zip gives no verdict.
func TestNoZip(t *testing.T) {
	w := bench(t)
	w.target, _ = w.Toolchain.target("")
	dir := t.TempDir()
	s := &step{Toolchain: w.Toolchain, zip: filepath.Join(dir, "published.zip")}
	archive(t, s.zip, 9)
	write(t, dir, map[string]string{"text": "no zip", "empty": ""})
	names := []string{"missing", "text", "empty", "."}
	if os.Symlink(s.zip, filepath.Join(dir, "link")) == nil {
		names = append(names, "link")
	}
	for _, name := range names {
		if err := w.judgeZip(t.Context(), s, dir, name, true); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, res := range w.results {
		if res.Verdict != compare.Undetermined {
			t.Errorf("%+v", res)
		}
	}
}

// TestMembers reads zips that no build of Go makes.
func TestMembers(t *testing.T) {
	for _, files := range [][]string{
		{"p/../x", ""}, {"p//x", ""}, {"q/x", ""}, {"p/x", "", "p/x", ""}, {"p/x/", ""}, {"p/", ""}, {"/p/x", ""}, {"p/./x", ""},
	} {
		name := filepath.Join(t.TempDir(), "x.zip")
		archive(t, name, 9, append([]string{"p/good", ""}, files...)...)
		z, err := zip.OpenReader(name)
		if err != nil {
			continue // package zip refuses it
		}
		if list, err := members(t.Context(), &z.Reader, "p/"); err == nil {
			t.Errorf("%q: %v", files, list)
		}
		z.Close()
	}
}

// TestHidden: what is in a zip and in no member's content is counted as such, and
// members that share bytes are refused.
func TestHidden(t *testing.T) {
	const name = "golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64/VERSION"
	text := strings.Repeat("go1.26.8\n", 50)
	make := func(hidden, twin bool) string {
		var deflated, b bytes.Buffer
		fw, err := flate.NewWriter(&deflated, 9)
		if err == nil {
			_, err = io.WriteString(fw, text)
		}
		if err := errors.Join(err, fw.Close()); err != nil {
			t.Fatal(err)
		}
		if hidden {
			deflated.WriteString(strings.Repeat("hidden", 100))
		}
		z := zip.NewWriter(&b)
		for _, name := range []string{name, name + "2"}[:map[bool]int{false: 1, true: 2}[twin]] {
			w, err := z.CreateRaw(&zip.FileHeader{
				Name: name, Method: zip.Deflate, CRC32: crc32.ChecksumIEEE([]byte(text)),
				CompressedSize64: uint64(deflated.Len()), UncompressedSize64: uint64(len(text)),
			})
			if err == nil {
				_, err = w.Write(deflated.Bytes())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if twin { // the second is where the first is
			clear(b.Bytes()[bytes.LastIndex(b.Bytes(), []byte("PK\x01\x02"))+42:][:4])
		}
		file := filepath.Join(t.TempDir(), "x.zip")
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	w := bench(t)
	w.target, _ = w.Toolchain.target("")
	s := &step{Toolchain: w.Toolchain, zip: make(true, false)}
	if err := w.judgeZip(t.Context(), s, filepath.Dir(make(false, false)), "x.zip", false); err != nil {
		t.Fatal(err)
	}
	if res := w.results[0]; res.Verdict != compare.Equivalent || res.Uncovered < 600 {
		t.Errorf("%s, %d bytes of which nothing is said", res.Verdict, res.Uncovered)
	}
	s.zip = make(false, true)
	if err := w.judgeZip(t.Context(), s, filepath.Dir(make(false, true)), "x.zip", false); err == nil || !strings.Contains(err.Error(), "share bytes") {
		t.Errorf("members that share bytes: %v", err)
	}
}

// graphOf is the action graph of a build of a program and a package lib.
func graphOf(program string) string {
	return fmt.Sprintf(`[{"ID": 0, "Mode": "build", "Package": "lib", "ActionID": "l", "BuildID": "l/1", "Cmd": ["compile"]},
		{"ID": 1, "Mode": "build", "Package": %q, "Deps": [0], "ActionID": "m", "BuildID": "m/1", "Cmd": ["compile"]},
		{"ID": 2, "Mode": "link", "Package": %[1]q, "Deps": [1], "ActionID": "x", "BuildID": "x/m/1/p", "Cmd": ["link"]}]`, program)
}

// fakeSession builds nothing: what it is asked for is in its list, by package.
type fakeSession struct {
	pass.Session
	store *artifact.Store
	built map[string][]byte
	err   error
	jobs  []pass.Job
}

func (f *fakeSession) Close() error { return nil }

func (f *fakeSession) Build(ctx context.Context, job pass.Job) (pass.Result, error) {
	f.jobs = append(f.jobs, job)
	data, ok := f.built[job.Binaries[0].ImportPath]
	if !ok {
		return pass.Result{}, f.err
	}
	d, n, err := f.store.Put(bytes.NewReader(data))
	return pass.Result{Graphs: [][]byte{[]byte(graphOf(job.Binaries[0].ImportPath))}, Artifacts: []artifact.Artifact{{Name: job.Binaries[0].Recipe.Binary, Kind: artifact.Binary, Digest: d, Size: n, Executable: true}}}, err
}

// TestTools finds a changed byte in a tool, one that has no source, and one that
// does not build, and accounts for every other executable.
func TestTools(t *testing.T) {
	data, version := preprofile(t)
	published := t.TempDir()
	flipped := slices.Clone(data)
	flipped[len(data)/3] ^= 1
	write(t, published, map[string]string{
		"bin/preprofile": string(data), "pkg/tool/x/preprofile.exe": string(flipped), "pkg/tool/x/evil": string(data), "pkg/tool/x/-n": "", "pkg/tool/x/broken": "",
		"src/cmd/preprofile/main.go": "", "src/cmd/broken/main.go": "", "src/cmd/dist/build.go": distSource, "src/internal/buildcfg/zbootstrap.go": bootSource,
		"src/cmd/go/evil.syso": "", "src/runtime/race/race_linux.syso": "", "src/debug/elf/testdata/exec": "\x7fELF", "api/go1.txt": "\x7fELF",
	})
	w := bench(t)
	w.Version, w.dir, w.Work = version, t.TempDir(), &workspace.Workspace{Dir: "/nowhere"}
	w.published, w.compiler = toolchain.Toolchain{Version: version, Dir: published, Sum: sumA}, toolchain.Toolchain{Version: version}
	session := &fakeSession{store: w.Store, built: map[string][]byte{"cmd/preprofile": data}, err: &pass.CommandError{What: "go build", Output: "# cmd/broken\nmain.go:1: no\n", Err: errors.New("exit status 1")}}
	w.open = func(context.Context) (pass.Session, error) { return session, nil }
	if err := w.tools(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]*verdict.Result{}
	for _, res := range w.results {
		got[strings.TrimPrefix(res.Name, w.String()+"  ")] = res
	}
	for name, want := range map[string]struct {
		verdict compare.Verdict
		kind    verdict.Kind
	}{
		"bin/preprofile": {compare.Reproduced, ""}, "pkg/tool/x/preprofile.exe": {compare.Differs, verdict.BytesDiffer},
		"pkg/tool/x/evil": {compare.Undetermined, verdict.NotPublic}, "pkg/tool/x/-n": {compare.Undetermined, verdict.NotPublic}, "pkg/tool/x/broken": {compare.Undetermined, verdict.BuildFailed},
	} {
		res := got[name]
		if res == nil || res.Verdict != want.verdict || (res.Reason == nil) != (want.kind == "") || res.Reason != nil && res.Reason.Kind != want.kind {
			t.Errorf("%s: %+v", name, res)
		}
	}
	if len(got) != 5 || verdict.NewDocument(w.results...).Verdict != compare.Differs {
		t.Errorf("%d results", len(got))
	}
	res := got["bin/preprofile"]
	if res.Rebuilt != res.Digest || len(res.RestsOn) == 0 || len(res.Claimed) == 0 || res.RecipeDigest == "" {
		t.Errorf("%+v", res)
	}
	argv := []string{"go", "build", "-trimpath", "-ldflags=-w", "-gcflags=cmd/...=-dwarf=false", "cmd/preprofile"}
	for _, job := range session.jobs {
		if r := job.Binaries[0].Recipe; r.Argv[len(r.Argv)-1] == "cmd/preprofile" && !slices.Equal(r.Argv, argv) || !slices.Contains(r.Env, "CGO_ENABLED=0") || !slices.Contains(r.Env, "GOAMD64=v1") {
			t.Errorf("%q %q", r.Argv, r.Env)
		}
	}
	notes := strings.Join(w.notes, "\n")
	for _, want := range []string{"of its 12 files 5 are tools, 2 objects", "1 executables and objects in folders for test data", "into no tool: src/runtime/race/race_linux.syso", "perhaps linked into what was built here, too: src/cmd/go/evil.syso"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no %q in %s", want, notes)
		}
	}
}

// TestGiveUp shows that what ends early leaves no tool out, and no verdict.
func TestGiveUp(t *testing.T) {
	w := bench(t)
	w.Work = &workspace.Workspace{Dir: "/nowhere"}
	w.giveUp(verdict.Because(verdict.Limits, "%s", sandbox.ErrTimeout))
	if len(w.results) != 1 || w.results[0].Verdict != compare.Undetermined || w.results[0].Reason.Kind != verdict.Limits {
		t.Errorf("%+v", w.results)
	}
	for _, c := range []struct {
		results []*verdict.Result
		want    []verdict.Kind
	}{
		{[]*verdict.Result{{Verdict: compare.Reproduced}, {Verdict: compare.Undetermined}, {Verdict: compare.Undetermined, Reason: verdict.Because(verdict.BuildFailed, "x")}}, []verdict.Kind{"", verdict.Limits, verdict.BuildFailed}},
		// The first step of a chain is good, and the second one came to nothing.
		{[]*verdict.Result{{Verdict: compare.Reproduced}}, []verdict.Kind{"", verdict.Limits}},
	} {
		w = bench(t)
		w.Work, w.results = &workspace.Workspace{Dir: "/nowhere"}, c.results
		w.giveUp(verdict.Because(verdict.Limits, "%s", sandbox.ErrTimeout))
		if len(w.results) != len(c.want) || verdict.NewDocument(w.results...).Verdict.Pass() {
			t.Fatalf("%+v", w.results)
		}
		for i, want := range c.want {
			if r := w.results[i].Reason; (r == nil) != (want == "") || r != nil && r.Kind != want {
				t.Errorf("%d: %v", i, r)
			}
		}
	}
}
