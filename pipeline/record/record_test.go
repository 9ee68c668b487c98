package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/explain"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/recipe"
)

var (
	digestA = artifact.Of([]byte("a"))
	digestB = artifact.Of([]byte("b"))
	sum     = "h1:" + strings.Repeat("A", 43) + "="
	at      = time.Date(2026, 2, 3, 4, 5, 6, 789000000, time.UTC)
)

// passed is a record of a release: every member that such a record can have is
// in it.
func passed(t testing.TB) *Record {
	t.Helper()
	src := recipe.Source{Commit: strings.Repeat("c", 40), Dir: ".", Tree: strings.Repeat("d", 40)}
	target := matrix.Target{OS: "windows", Arch: "amd64", Variant: "v3"}
	r := recipe.Recipe{
		Argv: []string{"go", "build", "-mod=readonly", "."}, Binary: "tool.exe", Compiler: "gcc 15 " + string(digestA),
		Env: []string{"GOFLAGS=", "GOOS=windows"}, Epoch: at.Unix(), Hooks: [][]string{{"go", "generate"}},
		Modules: []recipe.Module{{Path: "example.com/m", Replace: "example.com/n@v1.0.0", Sum: sum, Version: "v1.0.0"}},
		Schema:  recipe.Schema, Source: src, Target: target, Toolchain: recipe.Toolchain{Sum: sum, Version: "go1.26.8"},
	}
	d, err := r.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return &Record{
		Schema: SchemaName, Project: "tool", Version: "1.2.3", Tag: "v1.2.3", Tool: Tool{Version: "0.1.0", Go: "go1.26.8"},
		Source: Source{Source: src, Time: at, ConfigFile: "release.toml", Config: digestB},
		Epoch:  at.Unix(), Toolchain: r.Toolchain, Verdict: compare.Reproduced,
		Binaries: []Binary{{
			Name: "tool.exe", Target: target, RecipeDigest: d, Recipe: r, Stamps: []Stamp{{"main.version", "1.2.3 <&>"}},
			Verdict: compare.Reproduced, A: digestA, B: digestA, Size: 7, Compilations: compare.GraphResult{Packages: 3, Reproduced: 3},
		}},
		Files: []File{{Name: "README.md", Verdict: compare.Reproduced, A: digestB, B: digestB}},
		Artifacts: []artifact.Artifact{
			{Name: "SHA256SUMS", Kind: artifact.Checksums, Digest: digestB, Size: 80},
			{Name: "bin/windows_amd64_v3/tool.exe", Kind: artifact.Binary, Digest: digestA, Size: 7, Executable: true},
		},
		Varying: Varying{
			Repository: "https://example.com/tool.git", Host: Host{OS: "linux", Arch: "arm64", CPUs: 2},
			Toolchain:   Toolchain{From: "installed", Published: true, Sum: sum, GoEnv: "GOTOOLCHAIN=local"},
			Modules:     Modules{Vendored: true, SumDB: "sum.example.com", NoSumDB: "example.com/private"},
			Confinement: pass.Confinement{Namespaces: true, Landlock: 4, NetworkCut: "none", Missing: []string{"nothing"}},
			Variations:  []pass.Variation{{Name: "user", Varied: true, A: "1000", B: "4242"}, {Name: "clock", Reason: "shared"}},
			Started:     at, Finished: at.Add(time.Minute),
			Jobs: []Job{{Target: target, Pass: pass.A, Start: at, Seconds: 1.5, CPUSeconds: 2.25}},
		},
	}
}

// rejected is a record of builds that differ, with the members that passed
// cannot have.
func rejected(t testing.TB) *Record {
	t.Helper()
	r := passed(t)
	r.Verdict, r.Artifacts, r.Files[0].Verdict, r.Files[0].B, r.Files[0].Reason = compare.Differs, nil, compare.Differs, "", "only one pass has it"
	b := &r.Binaries[0]
	b.Recipe.Source = recipe.Source{Dir: "sub", Module: "example.com/tool", Sum: sum, Version: "v1.2.3"}
	r.Source.Source = b.Recipe.Source
	b.RecipeDigest, _ = b.Recipe.Digest()
	b.Verdict, b.Reason, b.B = compare.Differs, "the bytes differ", digestB
	b.Explanation = &explain.Summary{
		Offset: 5, Section: ".rdata", Differing: 1,
		Causes: []explain.Cause{{
			ID: "varied", Text: "the source path", Confidence: explain.Likely, A: "/a", B: "/b\u202e",
			Where: "slice", Evidence: []string{"seen"}, Remedy: "-trimpath",
		}},
		Notes: []string{"a note"},
	}
	b.Bisection = &Bisection{Variations: [][]pass.Factor{{"source path"}, {"umask", "user"}}, Reason: "enough", Trials: 7}
	r.Files[0].Explanation = &explain.Summary{Offset: -1, Notes: []string{"no explanation"}}
	r.Files[0].Bisection = &Bisection{Itself: true, Trials: 1}
	p := []string{"example.com/tool"}
	b.Compilations = compare.GraphResult{Packages: 3, Reproduced: 2, InputsDiffer: p, ContentDiffers: p, OnlyA: p, OnlyB: p, NotCompiled: p, Culprits: p}
	return r
}

func compiled(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("release.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("release.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// generic is what a program that knows nothing of our structs reads.
func generic(t testing.TB, data []byte) map[string]any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

func encode(t testing.TB, r *Record) []byte {
	t.Helper()
	data, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRoundTrip(t *testing.T) {
	schema := compiled(t)
	for name, r := range map[string]*Record{"passed": passed(t), "rejected": rejected(t)} {
		data := encode(t, r)
		if err := schema.Validate(generic(t, data)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		back, err := Decode(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(encode(t, back), data) {
			t.Errorf("%s: another document after Decode and Encode", name)
		}
	}
}

// TestLists shows that a list without elements is one, and not null.
func TestLists(t *testing.T) {
	r := passed(t)
	r.Files, r.Artifacts, r.Varying.Variations, r.Varying.Jobs, r.Varying.Confinement.Missing = nil, nil, nil, nil, nil
	data := encode(t, r)
	if err := compiled(t).Validate(generic(t, data)); err != nil || bytes.Contains(data, []byte("null")) {
		t.Errorf("%v\n%s", err, data)
	}
	if r.Files != nil {
		t.Error("Encode changed the record")
	}
}

// TestSchemaCloses plants a fault in a valid document, each of a kind that the
// schema has to notice.
func TestSchemaCloses(t *testing.T) {
	schema := compiled(t)
	for _, fault := range []struct {
		path  string // members and indices
		value any    // nil removes
	}{
		{"schema", "twice.release/v2"},
		{"schema", nil},
		{"more", "x"},
		{"snapshot", "false"},
		{"tag", ""},
		{"epoch", "1970"},
		{"epoch", nil},
		{"verdict", "fine"},
		{"verdict", nil},
		{"tool.go", nil},
		{"tool.host", "x"},
		{"source.commit", "HEAD"},
		{"source.commit", strings.Repeat("C", 40)},
		{"source.commit", nil},
		{"source.tree", nil},
		{"source.module", "example.com/both"},
		{"source.time", "2026-02-03 04:05:06"},
		{"source.time", "2026-02-03T04:05:06+01:00"},
		{"source.config", "sha256:12"},
		{"source.repository", "https://example.com/tool.git"},
		{"toolchain.version", "1.26.8"},
		{"toolchain.sum", "h1:short="},
		{"binaries", []any{}},
		{"binaries", nil},
		{"files", nil},
		{"binaries.0.target", "windows"},
		{"binaries.0.recipeDigest", strings.ToUpper(string(digestA))},
		{"binaries.0.recipe", nil},
		{"binaries.0.recipe.argv", []any{"go"}},
		{"binaries.0.recipe.env.0", "GOFLAGS"},
		{"binaries.0.recipe.schema", "twice.recipe/v2"},
		{"binaries.0.recipe.binary", "../tool"},
		{"binaries.0.recipe.home", "/home/me"},
		{"binaries.0.recipe.source.tree", nil},
		{"binaries.0.recipe.modules.0.sum", "sha256:x"},
		{"binaries.0.recipe.modules.0.path", nil},
		{"binaries.0.a", "sha256:" + strings.Repeat("g", 64)},
		{"binaries.0.size", "7"},
		{"binaries.0.size", json.Number("7.5")},
		{"binaries.0.reason", ""},
		{"binaries.0.explanation", map[string]any{}},
		{"binaries.0.bisection", map[string]any{"itself": true}},
		{"files.0.bisection", map[string]any{"itself": false, "trials": json.Number("1"), "variations": []any{[]any{}}}},
		{"binaries.0.compilations.reproduced", json.Number("-1")},
		{"binaries.0.stamps.0.value", nil},
		{"files.0.verdict", "Reproduced"},
		{"artifacts.0.kind", "program"},
		{"artifacts.0.name", "/etc/passwd"},
		{"artifacts.0.digest", nil},
		{"artifacts.1.executable", false},
		{"varying", nil},
		{"varying.host.cpus", json.Number("0")},
		{"varying.toolchain.from", "elsewhere"},
		{"varying.confinement.networkCut", "udp"},
		{"varying.confinement.missing", nil},
		{"varying.variations.0.name", nil},
		{"varying.started", "yesterday"},
		{"varying.jobs.0.pass", "C"},
		{"varying.jobs.0.seconds", json.Number("-0.1")},
	} {
		doc := generic(t, encode(t, passed(t)))
		plant(t, doc, fault.path, fault.value)
		if schema.Validate(doc) == nil {
			t.Errorf("%s = %v: accepted", fault.path, fault.value)
		}
	}
}

func plant(t *testing.T, doc any, path string, value any) {
	t.Helper()
	keys := strings.Split(path, ".")
	for i, k := range keys {
		last := i == len(keys)-1
		switch v := doc.(type) {
		case map[string]any:
			if last && value == nil {
				if _, ok := v[k]; !ok {
					t.Fatalf("%s: nothing to remove", path)
				}
				delete(v, k)
			} else if last {
				v[k] = value
			}
			doc = v[k]
		case []any:
			var n int
			fmt.Sscan(k, &n)
			if last {
				v[n] = value
			}
			doc = v[n]
		default:
			t.Fatalf("%s: no such member", path)
		}
	}
}

// TestSchemaIsTheStructs walks both together, so that neither has a member that
// the other lacks.
func TestSchemaIsTheStructs(t *testing.T) {
	w := walker{t: t, root: generic(t, Schema()), used: map[string]bool{}}
	w.walk("release.json", reflect.TypeFor[Record](), w.root)
	for name := range w.root["$defs"].(map[string]any) {
		if !w.used[name] {
			t.Errorf("$defs/%s: nothing refers to it", name)
		}
	}
	var varying []string
	for name, p := range w.root["properties"].(map[string]any) {
		if p.(map[string]any)["x-varying"] == true {
			varying = append(varying, name)
		}
	}
	if n := strings.Count(string(Schema()), `"x-varying"`); n != 1 || !slices.Equal(varying, []string{"varying"}) {
		t.Errorf("x-varying: %d times, of %v at the top", n, varying)
	}
}

type walker struct {
	t    *testing.T
	root map[string]any
	used map[string]bool
}

// resolve follows a reference.
func (w *walker) resolve(node map[string]any) map[string]any {
	if ref, ok := node["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/$defs/")
		w.used[name] = true
		def, ok := w.root["$defs"].(map[string]any)[name].(map[string]any)
		if !ok {
			w.t.Fatalf("%s: no such definition", ref)
		}
		return w.resolve(def)
	}
	return node
}

func (w *walker) walk(path string, typ reflect.Type, node map[string]any) {
	node = w.resolve(node)
	want := ""
	switch {
	case typ == reflect.TypeFor[time.Time]() || typ == reflect.TypeFor[matrix.Target]():
		want = "string"
	case typ.Kind() == reflect.Pointer:
		w.walk(path, typ.Elem(), node)
		return
	case typ.Kind() == reflect.Struct:
		w.object(path, typ, node)
		return
	case typ.Kind() == reflect.Slice:
		want = "array"
		items, ok := node["items"].(map[string]any)
		if !ok {
			w.t.Fatalf("%s: no items", path)
		}
		w.walk(path+"[]", typ.Elem(), items)
	case typ.Kind() == reflect.String:
		want = "string"
		if enum, ok := node["enum"].([]any); ok {
			for _, v := range enum {
				if _, ok := v.(string); !ok {
					w.t.Errorf("%s: enum holds %v", path, v)
				}
			}
			return
		}
	case typ.Kind() == reflect.Bool:
		want = "boolean"
	case typ.Kind() == reflect.Float64:
		want = "number"
	case typ.Kind() == reflect.Int, typ.Kind() == reflect.Int64:
		want = "integer"
	default:
		w.t.Fatalf("%s: a %s has no place in the record", path, typ)
	}
	if c, ok := node["const"]; ok {
		if reflect.TypeOf(c).Kind() != typ.Kind() {
			w.t.Errorf("%s: const %v for a %s", path, c, typ)
		}
		return
	}
	if node["type"] != want {
		w.t.Errorf("%s: type %v, want %s", path, node["type"], want)
	}
	if typ == reflect.TypeFor[artifact.Digest]() && node["pattern"] != "^sha256:[0-9a-f]{64}$" {
		w.t.Errorf("%s: not the pattern of a digest", path)
	}
}

func (w *walker) object(path string, typ reflect.Type, node map[string]any) {
	if node["type"] != "object" || node["additionalProperties"] != false {
		w.t.Errorf("%s: not a closed object", path)
	}
	properties, _ := node["properties"].(map[string]any)
	var required []string
	if list, ok := node["required"].([]any); ok {
		for _, name := range list {
			required = append(required, name.(string))
		}
	}
	seen := map[string]bool{}
	for _, f := range reflect.VisibleFields(typ) {
		if f.Anonymous || !f.IsExported() { // its fields are visible too, or it is in no JSON
			continue
		}
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" || option != "" && option != "omitempty" {
			w.t.Errorf("%s: field %s: tag %q", path, f.Name, f.Tag)
			continue
		}
		seen[name] = true
		member, ok := properties[name].(map[string]any)
		if !ok {
			w.t.Errorf("%s.%s: not in the schema", path, name)
			continue
		}
		if text, _ := member["description"].(string); len(text) < 8 || !strings.HasSuffix(text, ".") {
			w.t.Errorf("%s.%s: no description", path, name)
		}
		if must := option == ""; must != slices.Contains(required, name) {
			w.t.Errorf("%s.%s: required is %t, but omitempty is %t", path, name, !must, !must)
		}
		w.walk(path+"."+name, f.Type, member)
	}
	for name := range properties {
		if !seen[name] {
			w.t.Errorf("%s.%s: in the schema alone", path, name)
		}
	}
	for _, name := range required {
		if !seen[name] {
			w.t.Errorf("%s: required %s: no such member", path, name)
		}
	}
}

// TestEncodeRefuses plants contradictions that a schema cannot see.
func TestEncodeRefuses(t *testing.T) {
	for name, fault := range map[string]func(*Record){
		"another schema":                    func(r *Record) { r.Schema = "twice.release/v2" },
		"no config":                         func(r *Record) { r.Source.Config = "" },
		"no binaries":                       func(r *Record) { r.Binaries = nil },
		"bisection of what is the same":     func(r *Record) { r.Binaries[0].Bisection = &Bisection{Itself: true} },
		"bisection of a file":               func(r *Record) { r.Files[0].Bisection = &Bisection{Itself: true} },
		"no verdict":                        func(r *Record) { r.Verdict = "" },
		"verdict of no kind":                func(r *Record) { r.Verdict, r.Artifacts, r.Binaries[0].Verdict = "fine", nil, "fine" },
		"a binary differs, release not":     func(r *Record) { r.Binaries[0].Verdict = compare.Differs },
		"a file differs, release not":       func(r *Record) { r.Files[0].Verdict = compare.Differs },
		"release differs, nothing else":     func(r *Record) { r.Verdict, r.Artifacts = compare.Differs, nil },
		"reproduced, unequal":               func(r *Record) { r.Binaries[0].B = digestB },
		"reproduced, nothing built":         func(r *Record) { r.Binaries[0].A, r.Binaries[0].B = "", "" },
		"equivalent, nothing built":         func(r *Record) { r.Binaries[0].Verdict, r.Binaries[0].A = compare.Equivalent, "" },
		"file reproduced, unequal":          func(r *Record) { r.Files[0].B = digestA },
		"digest":                            func(r *Record) { r.Binaries[0].A, r.Binaries[0].B = "sha256:x", "sha256:x" },
		"recipe digest":                     func(r *Record) { r.Binaries[0].RecipeDigest = digestB },
		"recipe changed":                    func(r *Record) { r.Binaries[0].Recipe.Env = []string{"GOFLAGS=-race"} },
		"recipe not closed":                 func(r *Record) { r.Binaries[0].Recipe.Argv = nil },
		"recipe of another binary":          func(r *Record) { r.Binaries[0].Name = "other.exe" },
		"recipe for another target":         func(r *Record) { r.Binaries[0].Target = matrix.Target{OS: "linux", Arch: "amd64"} },
		"target":                            func(r *Record) { r.Varying.Jobs[0].Target = matrix.Target{} },
		"artifact outside":                  func(r *Record) { r.Artifacts[0].Name = "../SHA256SUMS" },
		"artifact at the root":              func(r *Record) { r.Artifacts[0].Name = "/SHA256SUMS" },
		"artifact of windows":               func(r *Record) { r.Artifacts[0].Name = `..\SHA256SUMS` },
		"artifact is dist":                  func(r *Record) { r.Artifacts[0].Name = "." },
		"artifact of no kind":               func(r *Record) { r.Artifacts[0].Kind = "" },
		"artifact size":                     func(r *Record) { r.Artifacts[0].Size = -1 },
		"artifact digest":                   func(r *Record) { r.Artifacts[0].Digest = "" },
		"partial without anything left out": func(r *Record) { r.Partial = &Partial{} },
		"what was built is left out":        func(r *Record) { r.Partial = &Partial{LeftOut: []matrix.Target{r.Binaries[0].Target}} },
		"left out twice": func(r *Record) {
			r.Partial = &Partial{LeftOut: []matrix.Target{{OS: "plan9", Arch: "arm"}, {OS: "plan9", Arch: "arm"}}}
		},
		"a release of a file of nobody":        func(r *Record) { r.Source.ConfigUncommitted, r.Snapshot = true, false },
		"artifacts not sorted":                 func(r *Record) { slices.Reverse(r.Artifacts) },
		"artifact twice":                       func(r *Record) { r.Artifacts[1].Name = r.Artifacts[0].Name },
		"artifact twice but for its case":      func(r *Record) { r.Artifacts[1].Name, r.Artifacts[0].Name = "a", "A" },
		"artifact that a terminal cannot show": func(r *Record) { r.Artifacts[0].Name = "A\x1b[2J" },
		"nothing was compiled":                 func(r *Record) { r.Binaries[0].Compilations = compare.GraphResult{} },
		"artifacts of a difference": func(r *Record) {
			r.Verdict, r.Binaries[0].Verdict = compare.Differs, compare.Differs
		},
	} {
		r := passed(t)
		fault(r)
		if data, err := r.Encode(); err == nil {
			t.Errorf("%s: accepted:\n%s", name, data)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := string(encode(t, passed(t)))
	for name, bad := range map[string]string{
		"nothing":                   "",
		"null":                      "null\n",
		"cut":                       good[:len(good)/2],
		"something behind it":       good + "{}\n",
		"without final newline":     strings.TrimSuffix(good, "\n"),
		"unknown member":            strings.Replace(good, `"project":`, `"more": 1, "project":`, 1),
		"unknown member in varying": strings.Replace(good, `"os":`, `"more": 1, "os":`, 1),
		"member twice":              strings.Replace(good, `"version": "1.2.3"`, `"version": "6.6.6", "version": "1.2.3"`, 1),
		"member in capitals":        strings.Replace(good, `"project":`, `"Project":`, 1),
		"next schema version":       strings.Replace(good, SchemaName, "twice.release/v2", 1),
		"null list":                 strings.Replace(good, `"files": [`, `"files": null, "x": [`, 1),
		"another verdict":           strings.Replace(good, `"verdict": "reproduced"`, `"verdict": "differs"`, 1),
		"target not canonical":      strings.ReplaceAll(good, `"windows/amd64/v3"`, `"windows/amd64/v1"`),
		"invalid UTF-8":             strings.Replace(good, `"project": "tool"`, "\"project\": \"\xff\"", 1),
	} {
		if bad == good {
			t.Fatalf("%s: no fault planted", name)
		}
		if _, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := Decode(make([]byte, MaxSize+1)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("too large: %v", err)
	}
}

// FuzzDecode: what Decode accepts is what Encode writes of it.
func FuzzDecode(f *testing.F) {
	f.Add(encode(f, passed(f)))
	f.Add(encode(f, rejected(f)))
	f.Add([]byte(`{"schema": "twice.release/v1"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Decode(data)
		if err != nil {
			return
		}
		if !bytes.Equal(encode(t, r), data) {
			t.Error("another document after Decode and Encode")
		}
	})
}

// TestPackageCompilations: the binaries of a target share its compilations, which count once.
func TestPackageCompilations(t *testing.T) {
	amd64, arm64 := matrix.Target{OS: "linux", Arch: "amd64"}, matrix.Target{OS: "linux", Arch: "arm64"}
	rec := &Record{Binaries: []Binary{
		{Name: "x", Target: amd64, Compilations: compare.GraphResult{Packages: 5, Reproduced: 4}},
		{Name: "y", Target: amd64, Compilations: compare.GraphResult{Packages: 5, Reproduced: 4}},
		{Name: "x", Target: arm64, Compilations: compare.GraphResult{Packages: 7, Reproduced: 7}},
	}}
	if reproduced, packages := rec.PackageCompilations(); reproduced != 11 || packages != 12 {
		t.Errorf("%d of %d", reproduced, packages)
	}
}
