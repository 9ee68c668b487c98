package sbom

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/purl"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden.json")

const (
	sum1 = "h1:y//R7b3kIFjRHyPKPYJ7T4vuqb1ldbKo0w5L4jCTbyk="
	sum2 = "h1:AMmpnJYPtT0Ar1z2EZJsODXKSq1hYoQ0Oc7Kkjk7wPo="
)

func testBinary() Binary {
	return Binary{
		Name: "tool", Version: "1.2.3", Digest: artifact.Of([]byte("tool")), Size: 4,
		Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600)), Tool: "v0.1.0",
	}
}

// small is the build information of a binary without cgo, full of one with
// everything that there can be.
var (
	small = debug.BuildInfo{
		Path:     "example.com/tool",
		Main:     debug.Module{Path: "example.com/tool", Version: "(devel)"},
		Settings: []debug.BuildSetting{{Key: "-compiler", Value: "gc"}, {Key: "CGO_ENABLED", Value: "0"}},
	}
	full = debug.BuildInfo{
		Path: "example.com/Tool/v2/cmd/tool",
		Main: debug.Module{Path: "example.com/Tool/v2", Version: "v2.0.1-0.20260102030405-0123456789ab+dirty", Sum: sum1},
		Deps: []*debug.Module{
			{Path: "example.com/forked", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/fork", Version: "v1.0.1", Sum: sum2}},
			{Path: "example.com/local", Version: "v0.9.0", Replace: &debug.Module{Path: "./lib/my local", Version: "(devel)"}},
			{Path: "example.com/workspace", Version: "(devel)"},
			{Path: "github.com/BurntSushi/toml", Version: "v1.6.0", Sum: sum1},
			{Path: "github.com/old/thing_~", Version: "v3.0.0+incompatible", Sum: sum2},
			{Path: "gopkg.in/yaml.v3", Version: "v3.0.1"},
		},
		Settings: []debug.BuildSetting{
			{Key: "-buildmode", Value: "exe"}, {Key: "-compiler", Value: "gc"}, {Key: "-ldflags", Value: "-X \"main.name=<&> \n\u2028\""},
			{Key: "-tags", Value: "netgo,osusergo"}, {Key: "CGO_ENABLED", Value: "1"}, {Key: "CGO_CFLAGS"}, {Key: "GOARCH", Value: "amd64"},
			{Key: "GOOS", Value: "linux"}, {Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"}, {Key: "vcs.modified", Value: "true"},
		},
	}
)

// both returns the two documents.
func both(t testing.TB, d *Document) (cdx, spdx []byte) {
	t.Helper()
	cdx, err := d.CycloneDX()
	if err != nil {
		t.Fatal(err)
	}
	spdx, err = d.SPDX()
	if err != nil {
		t.Fatal(err)
	}
	return cdx, spdx
}

// schemas returns the compiled schemas of CycloneDX and SPDX.
func schemas(t testing.TB) (cdx, spdx *jsonschema.Schema) {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for url, file := range map[string]string{
		"http://cyclonedx.org/schema/bom-1.6.schema.json":  "cyclonedx-1.6.json",
		"http://cyclonedx.org/schema/jsf-0.82.schema.json": "cyclonedx-jsf-0.82.json",
		"http://cyclonedx.org/schema/spdx.schema.json":     "cyclonedx-spdx.json",
		"http://spdx.org/rdf/terms/2.3":                    "spdx-2.3.json",
	} {
		data, err := os.ReadFile(filepath.Join("testdata/schema", file))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(url, doc); err != nil {
			t.Fatal(err)
		}
	}
	cdx, err := c.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	spdx, err = c.Compile("http://spdx.org/rdf/terms/2.3")
	if err != nil {
		t.Fatal(err)
	}
	return cdx, spdx
}

func valid(s *jsonschema.Schema, data []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

func TestGolden(t *testing.T) {
	cdxSchema, spdxSchema := schemas(t)
	for name, tt := range map[string]struct {
		info      debug.BuildInfo
		goVersion string
	}{
		"small": {small, "go1.26.8"},
		"full":  {full, "go1.26.8 X:nodwarf5"},
	} {
		d, err := parse(testBinary(), tt.goVersion, tt.info.String())
		if err != nil {
			t.Fatal(err)
		}
		cdx, spdx := both(t, d)
		for file, got := range map[string][]byte{name + ".cdx.golden.json": cdx, name + ".spdx.golden.json": spdx} {
			file = filepath.Join("testdata", file)
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: got\n%s", file, got)
			}
		}
		if err := valid(cdxSchema, cdx); err != nil {
			t.Errorf("%s: CycloneDX: %v", name, err)
		}
		if err := valid(spdxSchema, spdx); err != nil {
			t.Errorf("%s: SPDX: %v", name, err)
		}
		if err := consistent(d, cdx, spdx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSchemas shows that the schemas refuse something.
func TestSchemas(t *testing.T) {
	cdxSchema, spdxSchema := schemas(t)
	d, err := parse(testBinary(), "go1.26.8", full.String())
	if err != nil {
		t.Fatal(err)
	}
	cdx, spdx := both(t, d)
	for _, tt := range []struct {
		schema   *jsonschema.Schema
		doc      []byte
		old, new string
	}{
		{cdxSchema, cdx, `"bomFormat"`, `"format"`},
		{cdxSchema, cdx, `urn:uuid:`, `urn:uid:`},
		{cdxSchema, cdx, `"2026-01-02T02:04:05Z"`, `"2026-01-02"`},
		{cdxSchema, cdx, `"SHA-256"`, `"SHA256"`},
		{cdxSchema, cdx, `"aggregate": "unknown"`, `"aggregate": "perhaps"`},
		{cdxSchema, cdx, `"scope": "excluded"`, `"scope": "none"`},
		{cdxSchema, cdx, `"post-build"`, `"built"`},
		{spdxSchema, spdx, `"SPDX-2.3",`, `"SPDX-2.3", "more": 1,`},
		{spdxSchema, spdx, `"documentNamespace"`, `"namespace"`},
		{spdxSchema, spdx, `"SHA256"`, `"SHA-256"`},
		{spdxSchema, spdx, `"BUILD_TOOL_OF"`, `"TOOL_OF"`},
		{spdxSchema, spdx, `"PACKAGE-MANAGER"`, `"PACKAGES"`},
		{spdxSchema, spdx, `"APPLICATION"`, `"APP"`},
	} {
		bad := bytes.ReplaceAll(tt.doc, []byte(tt.old), []byte(tt.new))
		if bytes.Equal(bad, tt.doc) {
			t.Errorf("no %s in the document", tt.old)
		} else if !json.Valid(bad) || valid(tt.schema, bad) == nil {
			t.Errorf("%s instead of %s: accepted", tt.new, tt.old)
		}
	}
}

var (
	spdxIDForm = regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`)
	purlForm   = regexp.MustCompile(`^pkg:golang(/([a-z0-9._~:-]|%[0-9A-F]{2})+)+(@([A-Za-z0-9._~:-]|%[0-9A-F]{2})+)?$`)
)

// consistent checks what a schema does not: that each reference has its
// component, that each identifier is there once, and that both documents list
// the same.
func consistent(d *Document, cdx, spdx []byte) error {
	var c cdxBOM
	if err := json.Unmarshal(cdx, &c); err != nil {
		return err
	}
	refs := map[string]int{c.Metadata.Component.Ref: 1}
	var purls []string
	for _, e := range c.Components {
		refs[e.Ref]++
		if e.PURL != "" {
			purls = append(purls, e.PURL)
		}
	}
	for _, dep := range c.Dependencies {
		for _, r := range append([]string{dep.Ref}, dep.DependsOn...) {
			if refs[r] != 1 {
				return errors.New("CycloneDX: dependency " + r)
			}
		}
	}
	if len(c.Dependencies) != 1 || len(c.Dependencies[0].DependsOn) != len(c.Components)-1 {
		return errors.New("CycloneDX: the binary does not depend on all but the toolchain, or another edge is claimed")
	}
	for _, comp := range c.Compositions {
		for _, r := range comp.Dependencies {
			if refs[r] != 1 {
				return errors.New("CycloneDX: composition " + r)
			}
		}
	}
	var s spdxDocument
	if err := json.Unmarshal(spdx, &s); err != nil {
		return err
	}
	ids := map[string]int{s.ID: 1, noAssertion: 1}
	var spdxPurls []string
	for _, p := range s.Packages {
		ids[p.ID]++
		if !spdxIDForm.MatchString(p.ID) {
			return errors.New("SPDX: identifier " + p.ID)
		}
		for _, r := range p.ExternalRefs {
			if strings.ContainsAny(r.Locator, " \t\n") {
				return errors.New("SPDX: a space in " + r.Locator)
			}
			if r.Type == "purl" {
				spdxPurls = append(spdxPurls, r.Locator)
			}
		}
	}
	for _, r := range s.Relationships {
		if ids[r.From] != 1 || ids[r.To] != 1 {
			return errors.New("SPDX: relationship " + r.From + " " + r.Type + " " + r.To)
		}
	}
	if want := len(d.components()) + 3; len(s.Packages) != want || len(c.Components)+1 != want {
		return errors.New("another number of components")
	}
	if !slices.Equal(purls, spdxPurls) {
		return errors.New("other package URLs in SPDX than in CycloneDX")
	}
	for _, p := range purls {
		if !purlForm.MatchString(p) {
			return errors.New("package URL " + p)
		}
	}
	return nil
}

// TestConsistent shows that consistent refuses something.
func TestConsistent(t *testing.T) {
	d, err := parse(testBinary(), "go1.26.8", full.String())
	if err != nil {
		t.Fatal(err)
	}
	cdx, spdx := both(t, d)
	for _, tt := range []struct{ old, new string }{
		{`"bom-ref": "stdlib"`, `"bom-ref": "std"`},
		{`"bom-ref": "toolchain"`, `"bom-ref": "stdlib"`},
		{`"SPDXID": "SPDXRef-Stdlib"`, `"SPDXID": "SPDXRef-Toolchain"`},
		{`SPDXRef-Stdlib`, `SPDXRef_Stdlib`},
		{`"ref": "binary"`, `"ref": "main"}, {"ref": "binary"`},
		{`"purl": "pkg:golang/stdlib@`, `"purl": "pkg:golang/std@`},
		{`github.com/burntsushi`, `github.com/BurntSushi`},
		{`%2Bincompatible`, `+incompatible`},
		{`"h1:`, `"h1: `},
	} {
		c := bytes.ReplaceAll(cdx, []byte(tt.old), []byte(tt.new))
		s := bytes.ReplaceAll(spdx, []byte(tt.old), []byte(tt.new))
		if bytes.Equal(c, cdx) && bytes.Equal(s, spdx) {
			t.Errorf("no %s in the documents", tt.old)
		} else if consistent(d, c, s) == nil {
			t.Errorf("%s instead of %s: accepted", tt.new, tt.old)
		}
	}
}

func TestPurl(t *testing.T) {
	for _, tt := range []struct{ path, version, want string }{
		{"stdlib", "1.26.8", "pkg:golang/stdlib@1.26.8"},
		{"stdlib", release("devel go1.27-0123 Mon Jan 2"), "pkg:golang/stdlib@devel%20go1.27-0123%20Mon%20Jan%202"},
		{"github.com/gorilla/context", "234fd47e07d1004f0aed9c", "pkg:golang/github.com/gorilla/context@234fd47e07d1004f0aed9c"},
		{"google.golang.org/genproto", "", "pkg:golang/google.golang.org/genproto"},
		{"github.com/BurntSushi/toml", "v1.6.0-RC1", "pkg:golang/github.com/burntsushi/toml@v1.6.0-RC1"},
		{"a.b/c_d~e-f.g/v2", "v2.0.0+incompatible", "pkg:golang/a.b/c_d~e-f.g/v2@v2.0.0%2Bincompatible"},
		{"a.b/c+d", "v0.0.0:@/?#% é", "pkg:golang/a.b/c%2Bd@v0.0.0:%40%2F%3F%23%25%20%C3%A9"},
	} {
		if got := purl.Golang(tt.path, tt.version); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func TestRelease(t *testing.T) {
	for v, want := range map[string]string{
		"go1.26.8": "1.26.8", "go1.27rc1": "1.27rc1", "go1.26.8 X:nodwarf5,jsonv2": "1.26.8", "go1.26.8-X:nodwarf5": "1.26.8",
		"devel go1.27-0123 Mon": "devel go1.27-0123 Mon", "custom": "custom",
	} {
		if got := release(v); got != want {
			t.Errorf("%q: got %q, want %q", v, got, want)
		}
	}
}

// TestDifferent holds that equal input gives equal documents, and that two
// documents that differ have different serial numbers.
func TestDifferent(t *testing.T) {
	document := func(change func(*Binary), goVersion, text string) (string, string) {
		b := testBinary()
		change(&b)
		d, err := parse(b, goVersion, text)
		if err != nil {
			t.Fatal(err)
		}
		cdx, spdx := both(t, d)
		return string(cdx), string(spdx)
	}
	cdx, spdx := document(func(*Binary) {}, "go1.26.8", full.String())
	again, spdxAgain := document(func(b *Binary) { b.Time = b.Time.UTC().Truncate(time.Second); b.Size++ }, "go1.26.8", full.String())
	if again != cdx || spdxAgain != spdx {
		t.Error("equal input, other documents")
	}
	uuid := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)
	seen := map[string]bool{uuid.FindString(cdx): true, uuid.FindString(spdx): true}
	for name, tt := range map[string]struct {
		change          func(*Binary)
		goVersion, text string
	}{
		"name":    {func(b *Binary) { b.Name += "x" }, "go1.26.8", full.String()},
		"version": {func(b *Binary) { b.Version = "" }, "go1.26.8", full.String()},
		"digest":  {func(b *Binary) { b.Digest = artifact.Of(nil) }, "go1.26.8", full.String()},
		"time":    {func(b *Binary) { b.Time = b.Time.Add(time.Second) }, "go1.26.8", full.String()},
		"tool":    {func(b *Binary) { b.Tool = "" }, "go1.26.8", full.String()},
		"go":      {func(*Binary) {}, "go1.26.9", full.String()},
		"info":    {func(*Binary) {}, "go1.26.8", small.String()},
	} {
		cdx, spdx := document(tt.change, tt.goVersion, tt.text)
		for _, doc := range []string{cdx, spdx} {
			if u := uuid.FindString(doc); u == "" || seen[u] {
				t.Errorf("%s: serial number %q", name, u)
			} else {
				seen[u] = true
			}
		}
	}
}

func TestParseBad(t *testing.T) {
	const mod = "path\ta.b/c\nmod\ta.b/c\t(devel)\t\n"
	dep := func(line string) string { return mod + "dep\t" + line + "\n" }
	if _, err := parse(testBinary(), "go1.26.8", dep("a.b/d\tv1.0.0\t"+sum1)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"not UTF-8":              dep("a.b/d\tv1.0.0\t" + sum1 + "\nbuild\tx=\xff"),
		"not parsed":             dep("a.b/d"),
		"no final newline":       strings.TrimSuffix(mod, "\n"),
		"unknown line":           mod + "extra\tx\n",
		"empty line":             mod + "\n",
		"two main modules":       mod + "mod\ta.b/e\t(devel)\t\n",
		"two paths":              "path\ta.b/x\n" + mod,
		"another order":          mod + "build\tx=y\ndep\ta.b/d\tv1.0.0\t" + sum1 + "\n",
		"no hash column":         dep("a.b/d\tv1.0.0"),
		"a module twice":         dep("a.b/d\tv1.0.0\t" + sum1 + "\ndep\ta.b/d\tv1.0.1\t" + sum1),
		"no path":                dep("\tv1.0.0\t" + sum1),
		"path with a space":      dep("a.b/d e\tv1.0.0\t" + sum1),
		"path with @":            dep("a.b/d@v1\tv1.0.0\t" + sum1),
		"path upwards":           dep("a.b/../d\tv1.0.0\t" + sum1),
		"path with empty part":   dep("a.b//d\tv1.0.0\t" + sum1),
		"version":                dep("a.b/d\t1.0.0\t" + sum1),
		"long version":           dep("a.b/d\tv1.0." + strings.Repeat("1", maxVersion) + "\t" + sum1),
		"replaced version":       dep("a.b/d\tx\n=>\ta.b/e\tv1.0.0\t" + sum1),
		"replacement's version":  dep("a.b/d\tv1.0.0\n=>\ta.b/e\t1.0.0\t" + sum1),
		"versioned folder":       dep("a.b/d\tv1.0.0\n=>\t../e\tv1.0.0\t" + sum1),
		"h2":                     dep("a.b/d\tv1.0.0\th2" + sum1[2:]),
		"short hash":             dep("a.b/d\tv1.0.0\th1:AAAA"),
		"hash with loose bits":   dep("a.b/d\tv1.0.0\t" + strings.Replace(sum1, "k=", "l=", 1)),
		"hash with a line break": dep("a.b/d\tv1.0.0\t" + sum1[:9] + "\r" + sum1[9:]),
		"main module's path":     "path\ta.b/c\nmod\t-\t(devel)\t\n",
		"main module's version":  "path\ta.b/c\nmod\ta.b/c\t1\t\n",
	} {
		if d, err := parse(testBinary(), "go1.26.8", text); err == nil || d != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, v := range []string{"", "go\xff", "go1." + strings.Repeat("1", maxVersion)} {
		if _, err := parse(testBinary(), v, mod); err == nil {
			t.Errorf("Go version %q: accepted", v)
		}
	}
}

// TestComplete holds when the list is called complete.
func TestComplete(t *testing.T) {
	const mod = "mod\ta.b/c\t(devel)\t\n"
	for settings, want := range map[string]bool{
		mod + "build\t-compiler=gc\nbuild\tCGO_ENABLED=0\n":                       true,
		mod + "build\t-compiler=gc\nbuild\tCGO_ENABLED=1\n":                       false,
		mod + "build\t-compiler=gccgo\nbuild\tCGO_ENABLED=0\n":                    false,
		mod + "build\t-compiler=gc\n":                                             false,
		mod + "build\tCGO_ENABLED=0\n":                                            false,
		mod + "build\t-compiler=gc\nbuild\tCGO_ENABLED=0\nbuild\tCGO_ENABLED=1\n": false,
		mod: false,
		"build\t-compiler=gc\nbuild\tCGO_ENABLED=0\n": false,
	} {
		d, err := parse(testBinary(), "go1.26.8", "path\ta.b/c\n"+settings)
		if err != nil {
			t.Fatal(err)
		}
		cdx, spdx := both(t, d)
		if got := bytes.Contains(cdx, []byte(`"aggregate": "complete"`)); got != want {
			t.Errorf("%q: CycloneDX says complete: %t", settings, got)
		}
		if got := !bytes.Contains(spdx, []byte(`"relatedSpdxElement": "NOASSERTION"`)); got != want {
			t.Errorf("%q: SPDX says complete: %t", settings, got)
		}
	}
}

// TestNew builds a binary with a replaced module and lists it.
func TestNew(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":     "module example.com/tool\n\ngo 1.24\n\nrequire example.com/lib v1.2.3\n\nreplace example.com/lib => ./lib\n",
		"main.go":    "package main\n\nimport \"example.com/lib\"\n\nfunc main() { println(lib.X) }\n",
		"lib/go.mod": "module example.com/lib\n\ngo 1.24\n",
		"lib/lib.go": "package lib\n\nvar X = 1\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", "tool.exe", ".")
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOPROXY=off", "GOFLAGS=", "GOWORK=off", "GOOS=", "GOARCH=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "tool.exe"))
	if err != nil {
		t.Fatal(err)
	}
	b := testBinary()
	b.Digest, b.Size = artifact.Of(data), int64(len(data))
	d, err := New(bytes.NewReader(data), b)
	if err != nil {
		t.Fatal(err)
	}
	cdx, spdx := both(t, d)
	cdxSchema, spdxSchema := schemas(t)
	if err := errors.Join(valid(cdxSchema, cdx), valid(spdxSchema, spdx), consistent(d, cdx, spdx)); err != nil {
		t.Error(err)
	}
	if len(d.modules) != 1 || d.modules[0] != (component{ref: "example.com/lib@v1.2.3", path: "example.com/lib", folder: "./lib", replaces: "example.com/lib@v1.2.3"}) ||
		d.main == nil || *d.main != (component{ref: "main", path: "example.com/tool"}) || !d.complete || !strings.HasPrefix(d.goVersion, "go1.") {
		t.Errorf("%+v", d)
	}
	for _, want := range []string{b.Digest.Hex(), `"pkg:golang/example.com/tool"`, `"golang:build:GOOS"`, `"name": "golang:folder"`} {
		if !strings.Contains(string(cdx), want) {
			t.Errorf("no %s in CycloneDX:\n%s", want, cdx)
		}
	}
	if strings.Contains(string(cdx), dir) || strings.Contains(string(spdx), dir) {
		t.Error("the documents have the path of the folder")
	}

	b.Size--
	if _, err := New(bytes.NewReader(data), b); err == nil {
		t.Error("a size that is not the file's: accepted")
	}
	b.Size += 2
	if _, err := New(bytes.NewReader(data), b); err == nil {
		t.Error("a size behind the end: accepted")
	}
	b.Size--
	data[len(data)-1] ^= 1
	if _, err := New(bytes.NewReader(data), b); err == nil || errors.Is(err, ErrNoBuildInfo) {
		t.Errorf("not the file of the digest: %v", err)
	}
}

func TestNewBad(t *testing.T) {
	elf := make([]byte, 64) // without a section
	copy(elf, "\x7fELF\x02\x01\x01")
	for name, tt := range map[string]struct {
		data   string
		change func(*Binary)
		none   bool
	}{
		"no binary":      {"#!/bin/sh\n", func(*Binary) {}, true},
		"empty":          {"", func(*Binary) {}, true},
		"WebAssembly":    {"\x00asm\x01\x00\x00\x00", func(*Binary) {}, true},
		"not from Go":    {string(elf), func(*Binary) {}, true},
		"truncated":      {"\x7fELF\x02\x01\x01", func(*Binary) {}, false},
		"no name":        {string(elf), func(b *Binary) { b.Name = "" }, false},
		"name":           {string(elf), func(b *Binary) { b.Name = "\xff" }, false},
		"version":        {string(elf), func(b *Binary) { b.Version = "\xff" }, false},
		"long version":   {string(elf), func(b *Binary) { b.Version = strings.Repeat("1", maxVersion+1) }, false},
		"long tool":      {string(elf), func(b *Binary) { b.Tool = strings.Repeat("1", maxVersion+1) }, false},
		"tool":           {string(elf), func(b *Binary) { b.Tool = "\xff" }, false},
		"digest":         {string(elf), func(b *Binary) { b.Digest = "" }, false},
		"another digest": {string(elf), func(b *Binary) { b.Digest = artifact.Of(nil) }, false},
		"size":           {string(elf), func(b *Binary) { b.Size = -1 }, false},
		"no time":        {string(elf), func(b *Binary) { b.Time = time.Time{} }, false},
		"late":           {string(elf), func(b *Binary) { b.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, false},
	} {
		b := testBinary()
		b.Digest, b.Size = artifact.Of([]byte(tt.data)), int64(len(tt.data))
		tt.change(&b)
		if d, err := New(strings.NewReader(tt.data), b); err == nil || d != nil || errors.Is(err, ErrNoBuildInfo) != tt.none {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParse holds that whatever is accepted gives valid and equal documents.
func FuzzParse(f *testing.F) {
	f.Add("go1.26.8", small.String(), "tool", "1.2.3")
	f.Add("go1.26.8 X:nodwarf5", full.String(), "tool", "")
	f.Add("devel go1.27-01 <&>", "path\tcommand-line-arguments\ndep\ta.b/C+d\tv1.0.0\t"+sum1+"\n", "bin/\x00 \u2028", "v1 \"x\"")
	f.Add("go1", "path\tx\nmod\ta.b/c\tv1.0.0\n=>\t../x\t\t\nbuild\t\"a b\"=\"c\\nd\"\n", "x", "")
	f.Add("go1", "dep\ta.b/c-2F\tv1.0.0\t\ndep\ta.b/c\tv1.0.0\t\ndep\ta.b-c\tv1.0.0\t\n", "x", "")
	f.Add("go1", "dep\tstdlib\tv1.0.0\t\ndep\tmain\t\t\nbuild\tk=\n", "binary", "")
	f.Add("go1."+strings.Repeat("2", maxVersion-4), small.String(), strings.Repeat("n", 5000), strings.Repeat("é", maxVersion/2))
	f.Add("go1."+strings.Repeat("2", maxVersion), small.String(), "x", "") // too long, found by fuzzing
	cdxSchema, spdxSchema := schemas(f)
	f.Fuzz(func(t *testing.T, goVersion, text, name, version string) {
		b := testBinary()
		b.Name, b.Version = name, version
		if b.checkFields() != nil {
			t.Skip()
		}
		d, err := parse(b, goVersion, text)
		if err != nil {
			return
		}
		cdx, spdx := both(t, d)
		if err := errors.Join(valid(cdxSchema, cdx), valid(spdxSchema, spdx), consistent(d, cdx, spdx)); err != nil {
			t.Fatal(err)
		}
		d2, err := parse(b, goVersion, text)
		if err != nil {
			t.Fatal(err)
		}
		if cdx2, spdx2 := both(t, d2); !bytes.Equal(cdx, cdx2) || !bytes.Equal(spdx, spdx2) {
			t.Fatal("equal input, other documents")
		}
	})
}
