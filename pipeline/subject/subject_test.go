package subject

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/record"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// program is a WebAssembly module, which can be small: each c makes another one.
func program(c byte) string { return "\x00asm\x01\x00\x00\x00\x00\x03\x01a" + string(rune(c)) }

// opened opens ref, and looks after what Open promises about the bytes and the
// folder.
func opened(t testing.TB, ref string, cfg Config) (*Subject, error) {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	s, err := Open(context.Background(), ref, cfg)
	if err != nil {
		if s != nil {
			t.Errorf("an error, and a subject")
		}
		checkEmpty(t, cfg.Dir)
		return nil, err
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		checkEmpty(t, cfg.Dir)
	})
	limits := cfg.Limits.withDefaults()
	if len(s.Executables) == 0 || len(s.Executables) > limits.Executables {
		t.Errorf("%d executables", len(s.Executables))
	}
	for _, e := range s.Executables {
		f, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		h := artifact.NewHasher(io.Discard)
		if _, err := io.Copy(h, f); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if h.Digest() != e.Digest || h.Size() != e.Size || e.Size > limits.File {
			t.Errorf("%s: it is %s with %d bytes, and said to be %s with %d", &e, h.Digest(), h.Size(), e.Digest, e.Size)
		}
		for _, c := range e.Containers {
			if _, err := artifact.ParseDigest(string(c.Digest)); err != nil && c.Kind != Folder {
				t.Errorf("%s: container %q: %v", &e, c.Name, err)
			}
		}
		if strings.ContainsFunc(e.String(), func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x202e }) {
			t.Errorf("not fit for a terminal: %q", &e)
		}
	}
	var size int64
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, err := hex.DecodeString(e.Name()); err != nil || len(e.Name()) != 64 {
			t.Errorf("%q is stored", e.Name())
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > limits.Spool {
		t.Errorf("%d bytes are stored", size)
	}
	return s, nil
}

func checkEmpty(t testing.TB, dir string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil || len(list) > 0 {
		t.Errorf("left in the folder: %v, %v", list, err)
	}
}

// openedFile is opened for a file with a name and content.
func openedFile(t testing.TB, name, content string, limits Limits) (*Subject, error) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, name), content)
	return opened(t, name, Config{WorkDir: dir, Limits: limits})
}

func write(t testing.TB, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// found lists what a subject has, as "name" and the program's letter.
func found(s *Subject) []string {
	var list []string
	for _, e := range s.Executables {
		letter := "?"
		for c := byte(0); c < 0x80; c++ {
			if artifact.Of([]byte(program(c))) == e.Digest {
				letter = string(rune(c))
			}
		}
		list = append(list, e.Name+" "+letter)
	}
	return list
}

// want complains unless s has exactly these.
func want(t testing.TB, s *Subject, err error, list ...string) {
	t.Helper()
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	if got := found(s); !slices.Equal(got, list) {
		t.Errorf("got %q, want %q", got, list)
	}
}

// refused complains unless err says something.
func refused(t testing.TB, err error, say string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), say) {
		t.Errorf("got %v, want %q", err, say)
	}
}

func TestFile(t *testing.T) {
	s, err := openedFile(t, "tool", program('x'), Limits{})
	want(t, s, err, "tool x")
	if s.Kind != File || s.Ref != "tool" || s.Digest != s.Executables[0].Digest || s.Executables[0].Containers != nil || s.Executables[0].String() != "tool" {
		t.Errorf("%+v", s)
	}
	if s.Executables[0].Go {
		t.Error("a module without anything in it is not Go's")
	}

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if s, err = opened(t, self, Config{}); err != nil || !s.Executables[0].Go {
		t.Errorf("this test is a Go program: %v, %v", s, err)
	}

	dir := t.TempDir()
	write(t, filepath.Join(dir, "real"), program('r'))
	if err := os.Symlink("real", filepath.Join(dir, "link")); err == nil {
		// The user's own link is followed.
		s, err := opened(t, filepath.Join(dir, "link"), Config{})
		if err != nil || len(s.Executables) != 1 {
			t.Errorf("%v, %v", s, err)
		}
	}
}

func TestReferences(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "empty"), "")
	write(t, filepath.Join(dir, "text"), "hello, this is no program\n")
	write(t, filepath.Join(dir, "MZ"), "MZ is how this text begins, and a PE file, too. It is no PE file.\n")
	write(t, filepath.Join(dir, "elf"), "\x7fELF\x02\x01\x01 and then nothing that fits")
	write(t, filepath.Join(dir, "class"), "\xca\xfe\xba\xbe\x00\x00\x00\x41 a class of Java")
	write(t, filepath.Join(dir, "x.sigstore.json"), `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`)
	write(t, filepath.Join(dir, "release.json"), `{"schema":"twice.release/v1"}`)
	write(t, filepath.Join(dir, "tool.rpm"), "\xed\xab\xee\xdb\x03\x00")
	write(t, filepath.Join(dir, "tool.apk"), "ADBd")
	if err := os.Mkdir(filepath.Join(dir, "none"), 0o755); err != nil {
		t.Fatal(err)
	}
	for ref, say := range map[string]string{
		"":                                  "nothing is named",
		"missing":                           "no such file",
		"missing/file:tag":                  "no such file",
		"toolchain:go1.26.8":                "this is no other reference",
		"npm:":                              "without a version",
		"http://example.com/x":              "plain HTTP",
		"ftp://example.com/x":               "only https",
		"file:///etc/passwd":                "only https",
		"https://name:secret@example.com/x": "a name or password",
		"https:///x":                        "without a host",
		"https://exa mple.com/x":            "not a URL",
		"empty":                             "neither an executable nor an archive",
		"text":                              "neither an executable nor an archive",
		"MZ":                                "no executables that can be read: MZ: read pe headers",
		"class":                             "neither an executable nor an archive",
		"elf":                               "no executables that can be read: elf: read elf headers",
		"x.sigstore.json":                   "a JSON document",
		"release.json":                      "a JSON document",
		"tool.rpm":                          "rpm packages",
		"tool.apk":                          "version 3",
		"none":                              "no executables (members: 0)",
		".":                                 "no executables that can be read: MZ:",
	} {
		_, err := opened(t, ref, Config{WorkDir: dir})
		refused(t, err, say)
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
	_, err := opened(t, "toolchain:go1.26.8", Config{})
	if h := fault.RemedyOf(err); !strings.Contains(h, "npm:NAME@VERSION") {
		t.Errorf("hint %q", h)
	}
}

func TestNoDevice(t *testing.T) {
	_, err := opened(t, os.DevNull, Config{})
	refused(t, err, "regular file")
}

func TestCanceled(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "tool"), program('x'))
	stop := errors.New("stopped by hand")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	for _, ref := range []string{"tool", "."} {
		spool := t.TempDir()
		if _, err := Open(ctx, ref, Config{Dir: spool, WorkDir: dir}); !errors.Is(err, stop) {
			t.Errorf("%s: %v", ref, err)
		}
		checkEmpty(t, spool)
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "sub", "b"), program('b'))
	write(t, filepath.Join(dir, "a"), program('a'))
	write(t, filepath.Join(dir, "copy"), program('a'))
	write(t, filepath.Join(dir, "readme"), "text")
	write(t, filepath.Join(dir, "tool.tar"), tarOf(member{name: "x", body: program('x')}))
	write(t, filepath.Join(dir, "release.json"), `{"somebody": "else's"}`)
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, program('o'))
	for link, to := range map[string]string{"link": outside, "inside": "a", "up": "..", "loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Skip(err)
		}
	}
	s, err := opened(t, dir, Config{})
	want(t, s, err, "a a", "copy a", "sub/b b")
	if s.Kind != Folder || s.Digest != "" || s.Executables[0].String() != safetext.QuoteWord(dir)+"  a" {
		t.Errorf("%+v", s)
	}
	_, err = opened(t, dir, Config{Limits: Limits{Members: 3}})
	if !errors.Is(err, ErrLimit) {
		t.Errorf("%v", err)
	}
	_, err = opened(t, dir, Config{Limits: Limits{Executables: 2}})
	if !errors.Is(err, ErrLimit) {
		t.Errorf("%v", err)
	}
	_, err = opened(t, dir, Config{Limits: Limits{File: 4}})
	if !errors.Is(err, ErrLimit) {
		t.Errorf("%v", err)
	}
	_, err = opened(t, dir, Config{Limits: Limits{Spool: 20}})
	if !errors.Is(err, ErrLimit) {
		t.Errorf("%v", err)
	}

	only := t.TempDir()
	write(t, filepath.Join(only, "tool.tar"), tarOf(member{name: "x", body: program('x')}))
	_, err = opened(t, only, Config{})
	refused(t, err, "archives such as tool.tar")
	if !errors.Is(err, ErrNoExecutables) || fault.RemedyOf(err) == "" {
		t.Errorf("%v", err)
	}
}

// What turns out to be no executable does not stay.
func TestDropped(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c", "d"} {
		write(t, filepath.Join(dir, name), "\xca\xfe\xba\xbe\x00\x00\x00\x41 a class of Java: "+strings.Repeat(name, 100))
	}
	write(t, filepath.Join(dir, "e"), program('e'))
	s, err := opened(t, dir, Config{Limits: Limits{Spool: 200}})
	want(t, s, err, "e e")
	if err != nil {
		return
	}
	if list, err := os.ReadDir(s.dir); err != nil || len(list) != 1 {
		t.Errorf("stored: %v, %v", list, err)
	}
}

// Files that nobody can read are told, and not passed over.
func TestUnreadable(t *testing.T) {
	if runtime.GOOS == "windows" || os.Getuid() == 0 {
		t.Skip("everything can be read")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), program('a'))
	write(t, filepath.Join(dir, "b"), program('b'))
	if err := os.Chmod(filepath.Join(dir, "b"), 0); err != nil {
		t.Fatal(err)
	}
	s, err := opened(t, dir, Config{})
	want(t, s, err, "a a")
	if len(s.Skipped) != 1 || s.Skipped[0].Name != "b" {
		t.Errorf("%v", s.Skipped)
	}
}

func TestWithoutSecrets(t *testing.T) {
	for in, out := range map[string]string{
		"file":                                   "file",
		"https://example.com/a.tgz":              "https://example.com/a.tgz",
		"https://u:p@example.com/a?token=t#frag": "https://example.com/a?...",
		"https://%zz/?token=t":                   "https://...",
	} {
		if got := withoutSecrets(in); got != out {
			t.Errorf("%s: got %s, want %s", in, got, out)
		}
	}
}

// dist writes a dist folder with two binaries, as change has changed its record.
func dist(t *testing.T, change func(*record.Record)) string {
	t.Helper()
	dir := t.TempDir()
	sum := "h1:" + strings.Repeat("A", 43) + "="
	src := recipe.Source{Commit: strings.Repeat("c", 40), Dir: ".", Tree: strings.Repeat("d", 40)}
	rec := &record.Record{
		Schema: record.SchemaName, Project: "tool", Version: "1.2.3", Source: record.Source{Source: src, Config: artifact.Of(nil)},
		Toolchain: recipe.Toolchain{Sum: sum, Version: "go1.26.8"}, Verdict: compare.Reproduced,
	}
	for i, os := range []string{"linux", "windows"} {
		target := matrix.Target{OS: os, Arch: "amd64"}
		body := program(byte('1' + i))
		r := recipe.Recipe{
			Argv: []string{"go", "build", "."}, Binary: "tool" + target.Exe(), Env: []string{"GOOS=" + os}, Modules: []recipe.Module{},
			Schema: recipe.Schema, Source: src, Target: target, Toolchain: rec.Toolchain,
		}
		d, err := r.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digest := artifact.Of([]byte(body))
		rec.Binaries = append(rec.Binaries, record.Binary{
			Name: r.Binary, Target: target, RecipeDigest: d, Recipe: r, Verdict: compare.Reproduced, A: digest, B: digest, Size: int64(len(body)),
			Compilations: compare.GraphResult{Packages: 1, Reproduced: 1},
		})
		name := "bin/" + target.Slug() + "/" + r.Binary
		rec.Artifacts = append(rec.Artifacts, artifact.Artifact{Name: name, Kind: artifact.Binary, Digest: digest, Size: int64(len(body)), Executable: true})
		write(t, filepath.Join(dir, filepath.FromSlash(name)), body)
	}
	write(t, filepath.Join(dir, "other"), program('o'))
	rec.Varying.Started, rec.Varying.Finished = time.Unix(0, 0).UTC(), time.Unix(0, 0).UTC()
	if change != nil {
		change(rec)
	}
	data, err := rec.Encode()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "release.json"), string(data))
	return dir
}

func TestDist(t *testing.T) {
	dir := dist(t, nil)
	for _, ref := range []string{dir, filepath.Join(dir, "release.json")} {
		s, err := opened(t, ref, Config{})
		// What the record does not list is not passed over.
		want(t, s, err, "bin/linux_amd64/tool 1", "bin/windows_amd64/tool.exe 2", "other o")
		if s.Executables[2].Stated != nil {
			t.Error("release.json states what it does not list")
		}
		if s.Kind != Dist || s.Record == nil || s.Executables[1].Stated != &s.Record.Binaries[1] || s.Executables[0].Containers[0].Digest != s.Digest {
			t.Errorf("%+v", s)
		}
	}

	binary := func(dir string) string { return filepath.Join(dir, "bin", "linux_amd64", "tool") }
	outside := filepath.Join(t.TempDir(), "tool")
	write(t, outside, program('1'))
	for name, c := range map[string]struct {
		change func(*record.Record)
		break_ func(dir string) error
		say    string
	}{
		"changed": {nil, func(dir string) error { return os.WriteFile(binary(dir), []byte(program('3')), 0o644) }, "release.json says"},
		"gone":    {nil, func(dir string) error { return os.Remove(binary(dir)) }, "no such file"},
		"link out": {nil, func(dir string) error {
			return errors.Join(os.Remove(binary(dir)), os.Symlink(outside, binary(dir)))
		}, "regular file"},
		"folder link out": {nil, func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Dir(binary(dir))), os.Symlink(filepath.Dir(outside), filepath.Dir(binary(dir))))
		}, "is a link"},
		"trailing byte": {nil, func(dir string) error { return appendTo(filepath.Join(dir, "release.json"), "\n") }, "not laid out"},
		"not listed":    {func(r *record.Record) { r.Artifacts = r.Artifacts[1:] }, nil, "does not list"},
		"other digest":  {func(r *record.Record) { r.Artifacts[0].Digest = artifact.Of(nil) }, nil, "contradicts itself"},
		"other kind":    {func(r *record.Record) { r.Artifacts[0].Kind = artifact.File }, nil, "contradicts itself"},
		"other size":    {func(r *record.Record) { r.Artifacts[0].Size++ }, nil, "release.json says"},
		"rejected": {func(r *record.Record) {
			r.Verdict, r.Binaries[0].Verdict, r.Binaries[0].B, r.Artifacts = compare.Differs, compare.Differs, artifact.Of(nil), nil
		}, nil, `verdict is "differs"`},
	} {
		dir := dist(t, c.change)
		if c.break_ != nil {
			if err := c.break_(dir); err != nil {
				t.Skip(err)
			}
		}
		_, err := opened(t, dir, Config{})
		if err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: got %v, want %q", name, err, c.say)
		}
	}
}

func appendTo(file, text string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	return errors.Join(err, f.Close())
}
