package slsa

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/record"
)

var update = flag.Bool("update", false, "write the golden files and the build type's example")

const docs = "../../configs/buildtype/"

// golden compares a statement with a file, in which it is indented.
func golden(t *testing.T, path string, s intoto.Statement) {
	t.Helper()
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "  "); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("%s is not what is written now; see the difference after go test -update", path)
	}
	// A reader of the file gets the same statement.
	back, err := intoto.Decode(want)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := back.Encode(); err != nil || !bytes.Equal(again, data) {
		t.Errorf("%s: another statement after Decode and Encode: %v", path, err)
	}
}

func provenance(t testing.TB, rec *record.Record, invocation Invocation) intoto.Statement {
	t.Helper()
	s, err := NewProvenance(rec, invocation)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testResult(t testing.TB, rec *record.Record) intoto.Statement {
	t.Helper()
	s, err := NewTestResult(rec, "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGolden(t *testing.T) {
	for name, rec := range releases(t) {
		path := filepath.Join("testdata", "provenance_"+name+".json")
		invocation := Invocation{Builder: "https://ci.example.com/builder", ID: "https://ci.example.com/runs/7"}
		if name == "release" { // the complete example of the build type's document
			path, invocation = docs+"v1.example.json", Invocation{ID: "0b5ad1f4"}
		}
		s := provenance(t, rec, invocation)
		golden(t, path, s)
		p, err := DecodeProvenance(s)
		if err != nil || p.External == nil || p.Internal == nil || p.Circumstances == nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(s.Subjects) != len(rec.Artifacts) || !s.Has(rec.Artifacts[0].Digest) {
			t.Errorf("%s: subjects %v", name, s.Subjects)
		}
	}
	for name, rec := range releases(t) {
		golden(t, filepath.Join("testdata", "test_"+name+".json"), testResult(t, rec))
	}
	for name, rec := range rejects(t) {
		s := testResult(t, rec)
		golden(t, filepath.Join("testdata", "test_"+name+".json"), s)
		r, err := DecodeTestResult(s)
		if err != nil || r.Result != Failed || len(r.FailedTests) == 0 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if !s.Has(rec.Binaries[1].A) || !s.Has(rec.Binaries[1].B) {
			t.Errorf("%s: not about both builds: %v", name, s.Subjects)
		}
	}
}

// TestSchemas holds the example and all other provenances against the schemas of
// the build type's document, and shows that these are not open.
func TestSchemas(t *testing.T) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, name := range []string{"v1.external.schema.json", "v1.internal.schema.json"} {
		f, err := os.Open(docs + name)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(name, doc); err != nil {
			t.Fatal(err)
		}
	}
	for name, rec := range releases(t) {
		p, err := DecodeProvenance(provenance(t, rec, Invocation{}))
		if err != nil {
			t.Fatal(err)
		}
		for file, raw := range map[string]json.RawMessage{
			"v1.external.schema.json": p.BuildDefinition.ExternalParameters, "v1.internal.schema.json": p.BuildDefinition.InternalParameters,
		} {
			schema, err := c.Compile(file)
			if err != nil {
				t.Fatal(err)
			}
			read := func() map[string]any {
				doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
				if err != nil {
					t.Fatal(err)
				}
				return doc.(map[string]any)
			}
			if err := schema.Validate(read()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for member := range read() {
				doc := read()
				delete(doc, member)
				if member != "sourceDateEpoch" && member != "partial" && schema.Validate(doc) == nil {
					t.Errorf("%s: %s: accepted without %s", name, file, member)
				}
				doc = read()
				doc[member] = json.Number("0.5")
				if schema.Validate(doc) == nil {
					t.Errorf("%s: %s: accepted with another %s", name, file, member)
				}
			}
			doc := read()
			doc["more"] = true
			if schema.Validate(doc) == nil {
				t.Errorf("%s: %s: open", name, file)
			}
		}
	}
}

// signatureOnly are the places of a provenance whose value nothing else in it
// tells, so that the signature alone protects them; "policy" marks those that a
// policy may have an expectation about.
var signatureOnly = map[string]string{
	"/buildDefinition/externalParameters/config/path":           "",
	"/buildDefinition/externalParameters/snapshot":              "policy",
	"/buildDefinition/externalParameters/source/tag":            "policy",
	"/buildDefinition/internalParameters/epoch":                 "",
	"/buildDefinition/internalParameters/project":               "",
	"/buildDefinition/internalParameters/releaseVersion":        "",
	"/buildDefinition/resolvedDependencies/2/annotations/goEnv": "",
	"/runDetails/builder/id":                                    "policy",
	"/runDetails/builder/version/go":                            "",
	"/runDetails/builder/version/twice":                         "",
	"/runDetails/metadata/invocationId":                         "",
}

// confinement are the places of it, among annotations, with more than one good
// value of their kind.
var confinement = map[string]string{
	"/annotations/confinement/missing":    "neighbour",
	"/annotations/confinement/networkCut": "empty",
}

// TestMutatedProvenance changes the example in every place.
func TestMutatedProvenance(t *testing.T) {
	rec := release(t)
	// One binary for each target is enough.
	rec.Binaries = []record.Binary{rec.Binaries[0], rec.Binaries[2]}
	s := provenance(t, rec, Invocation{ID: "0b5ad1f4"})
	free := map[string]bool{}
	total := 0
	mutate(t, s.Predicate, func(path, what string, doc []byte) {
		total++
		bad := s
		if what == "" {
			bad.Predicate = doc
			if _, err := DecodeProvenance(bad); err != nil {
				t.Fatal(err)
			}
			return
		}
		bad.Predicate = doc
		if p, err := DecodeProvenance(bad); err == nil && p.External != nil {
			free[path+" "+what] = true
		} else if err != nil && (!strings.HasPrefix(err.Error(), "provenance: ") || len(err.Error()) < 30) {
			t.Errorf("%s %s: without a reason: %v", path, what, err)
		}
	})
	if total < 900 {
		t.Errorf("only %d documents", total)
	}
	for path := range signatureOnly {
		if !free[path+" value"] {
			t.Errorf("%s: not free", path)
		}
	}
	for place := range free {
		path, what, _ := strings.Cut(place, " ")
		if _, ok := signatureOnly[path]; ok && (what == "value" || what == "removed") {
			continue
		}
		// So are the record, and what it alone knows: counts and circumstances.
		if strings.HasPrefix(path, "/runDetails/byproducts/6/") && (what == "value" || what == "removed" || confinement[strings.TrimPrefix(path, "/runDetails/byproducts/6")] == what) {
			continue
		}
		t.Errorf("accepted: %s", place)
	}
}

// TestRecipeSchema holds the schema of recipes to that of release.json.
func TestRecipeSchema(t *testing.T) {
	defs := func(data []byte) map[string]any {
		var doc struct {
			Defs map[string]any `json:"$defs"`
		}
		if err := json.Unmarshal(data, &doc); err != nil {
			t.Fatal(err)
		}
		return doc.Defs
	}
	data, err := os.ReadFile(docs + "v1.internal.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	ours, record := defs(data), defs(record.Schema())
	if len(ours) < 5 {
		t.Fatalf("%d definitions", len(ours))
	}
	for name, def := range ours {
		if name != "sha256" && !reflect.DeepEqual(def, record[name]) {
			t.Errorf("%s is not as in release.schema.json", name)
		}
	}
}

// TestPage shows that the build type's document knows every member that the
// schemas have, and has the anchors that statements refer to.
func TestPage(t *testing.T) {
	data, err := os.ReadFile(docs + "v1.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	for _, v := range []any{ExternalParameters{}, ConfigFile{}, Source{}, InternalParameters{}, Recipe{}, Circumstances{}, Notes{}, toolchainNotes{}} {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !strings.Contains(page, "`"+name+"`") && !strings.Contains(page, "."+name+"`") && name != "" {
				t.Errorf("%T: the page does not know %s", v, name)
			}
		}
	}
	for _, uri := range []string{LocalBuilder, doubleBuild} {
		heading := strings.ReplaceAll(strings.TrimPrefix(uri, BuildType+"#"), "-", " ")
		if !regexp.MustCompile(`(?mi)^##+ ` + heading + `$`).MatchString(page) {
			t.Errorf("no heading for %s", uri)
		}
	}
}

func TestRefusedRecords(t *testing.T) {
	for name, rec := range rejects(t) {
		if s, err := NewProvenance(rec, Invocation{}); err == nil || len(s.Subjects) > 0 {
			t.Errorf("%s: has a provenance", name)
		}
	}
	nothing := rejects(t)["undetermined"]
	for i := range nothing.Binaries {
		nothing.Binaries[i].Verdict, nothing.Binaries[i].A, nothing.Binaries[i].B = compare.Undetermined, "", ""
	}
	nothing.Files = nil
	if _, err := NewTestResult(nothing, ""); !errors.Is(err, ErrNothingBuilt) {
		t.Errorf("nothing was built: %v", err)
	}
	for what, change := range map[string]func(*record.Record){
		"not an h1: hash":          func(r *record.Record) { r.Varying.Toolchain.Sum = "h1:short" },
		"not an address":           func(r *record.Record) { r.Varying.Repository = "nowhere" },
		"not a URI":                nil,
		"different hashes":         func(r *record.Record) { r.Binaries[1].Recipe.Modules = modulesWith(r, h1(9)) },
		"the recipe of hello":      func(r *record.Record) { r.Varying.Toolchain.Published = false },
		"uncommitted changes":      func(r *record.Record) { r.Source.Dirty = true },
		"want a reason":            func(r *record.Record) { r.Varying.Variations[0].Varied = false },
		"not times in order":       func(r *record.Record) { r.Varying.Finished = at },
		"want those of twice and":  func(r *record.Record) { r.Tool.Go = "" },
		"a hash without a version": func(r *record.Record) { r.Binaries[0].Recipe.Modules[0].Version = "" },
		"31 of 30 packages":        func(r *record.Record) { r.Binaries[0].Compilations.Reproduced = 31 },
		"release record: ":         func(r *record.Record) { r.Binaries[0].B = digest("x") },
	} {
		rec, invocation := release(t), Invocation{}
		if change == nil {
			invocation.Builder = "me"
		} else {
			change(rec)
			for i := range rec.Binaries {
				rec.Binaries[i].RecipeDigest, _ = rec.Binaries[i].Recipe.Digest()
			}
		}
		if s, err := NewProvenance(rec, invocation); err == nil || !strings.Contains(err.Error(), what) || len(s.Subjects) > 0 {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// modulesWith returns the modules of the second recipe with another hash of the
// last one.
func modulesWith(r *record.Record, sum string) []recipe.Module {
	list := slices.Clone(r.Binaries[1].Recipe.Modules)
	list[len(list)-1].Sum = sum
	return list
}

// TestMutatedTestResult changes test results in every place.
// TestNothingCompiled: two builds that did nothing agree, and so they show nothing.
func TestNothingCompiled(t *testing.T) {
	rec := release(t)
	for name, s := range map[string]intoto.Statement{"provenance": provenance(t, rec, Invocation{}), "test result": testResult(t, rec)} {
		decode := func(predicate string) error {
			s.Predicate = json.RawMessage(predicate)
			if name == "provenance" {
				_, err := DecodeProvenance(s)
				return err
			}
			_, err := DecodeTestResult(s)
			return err
		}
		good := string(s.Predicate)
		if err := decode(good); err != nil {
			t.Fatal(err)
		}
		const counts = `"packages":30,"reproduced":30`
		begin := strings.Index(good, `"compilations":[`) + len(`"compilations":[`)
		list := good[begin : begin+strings.Index(good[begin:], "]")]
		one := list[:strings.Index(list, "},{")]
		for what, bad := range map[string]string{
			"no packages": strings.ReplaceAll(good, counts, `"packages":0,"reproduced":0`),
			"of one":      strings.Replace(good, counts, `"packages":0,"reproduced":0`, 1),
			"no targets":  strings.Replace(good, list, "", 1),
			"one target":  strings.Replace(good, list, one+"}", 1),
		} {
			if err := decode(bad); err == nil || bad == good {
				t.Errorf("%s: %s: accepted", name, what)
			}
		}
	}
}

func TestMutatedTestResult(t *testing.T) {
	for name, rec := range map[string]*record.Record{"passed": release(t), "failed": rejects(t)["differs"]} {
		s, err := NewTestResult(rec, "https://ci.example.com/runs/7")
		if err != nil {
			t.Fatal(err)
		}
		mutate(t, s.Predicate, func(path, what string, doc []byte) {
			bad := s
			bad.Predicate = doc
			r, err := DecodeTestResult(bad)
			switch {
			case what == "":
				if err != nil {
					t.Fatal(err)
				}
			case err != nil:
			case path == "/url" && (what == "value" || what == "removed"):
			case confinement[strings.TrimPrefix(path, "/configuration/0")] == what:
			case what != "value" && what != "removed":
				t.Errorf("%s: accepted: %s %s", name, path, what)
			case path == "/configuration/1/digest/sha256" || strings.HasPrefix(path, "/configuration/0/annotations/confinement"),
				strings.HasPrefix(path, "/configuration/0/annotations/compilations"), strings.HasPrefix(path, "/configuration/0/annotations/variations"):
				// What nothing else tells.
			case r.Result == Passed && name == "failed":
				t.Errorf("%s %s: a failed test is read as passed", path, what)
			default:
				// The verdict may change between two that mean the same.
				if !strings.HasPrefix(path, "/configuration/0/annotations/verdicts") {
					t.Errorf("%s: accepted: %s %s", name, path, what)
				}
			}
		})
	}
}

func TestOtherStatements(t *testing.T) {
	sub := []intoto.Subject{{Name: "x", Digest: digest("x")}}
	if _, err := DecodeProvenance(intoto.Statement{Subjects: sub, PredicateType: TestResultType, Predicate: []byte(`{}`)}); err == nil {
		t.Error("a test result is read as provenance")
	}
	if _, err := DecodeTestResult(intoto.Statement{Subjects: sub, PredicateType: ProvenanceType, Predicate: []byte(`{}`)}); err == nil || errors.Is(err, ErrOtherTest) {
		t.Errorf("a provenance is read as a test result: %v", err)
	}
	unit := `{"result":"PASSED","configuration":[{"uri":"https://ci.example.com/unit"}],"passedTests":["double-build/linux/amd64/hello"]}`
	if _, err := DecodeTestResult(intoto.Statement{Subjects: sub, PredicateType: TestResultType, Predicate: []byte(unit)}); !errors.Is(err, ErrOtherTest) {
		t.Errorf("a unit test: %v", err)
	}
}

// workflow is a provenance of somebody else, as GitHub writes them.
const workflow = `{
	"buildDefinition": {
		"buildType": "https://actions.github.io/buildtypes/workflow/v1",
		"externalParameters": {"workflow": {"ref": "refs/tags/v1.0.0", "repository": "https://github.com/o/r", "path": ".github/workflows/release.yml"}},
		"internalParameters": {"github": {"event_name": "push"}},
		"resolvedDependencies": [{"uri": "git+https://github.com/o/r@refs/tags/v1.0.0", "digest": {"gitCommit": "64d3f795e189e3af5afbb288d50217603092bd49"}}]
	},
	"runDetails": {
		"builder": {"id": "https://github.com/o/r/.github/workflows/release.yml@refs/tags/v1.0.0"},
		"metadata": {"invocationId": "https://github.com/o/r/actions/runs/1/attempts/1", "x_extension": 1}
	}
}`

func TestForeign(t *testing.T) {
	s := intoto.Statement{Subjects: []intoto.Subject{{Name: "x", Digest: digest("x")}}, PredicateType: ProvenanceType}
	read := func(old, new string) (Source, error) {
		if !strings.Contains(workflow, old) {
			t.Fatalf("%q is not in the example", old)
		}
		s.Predicate = []byte(strings.Replace(workflow, old, new, 1))
		p, err := DecodeProvenance(s)
		if err != nil {
			return Source{}, err
		}
		if p.External != nil || p.Internal != nil || p.Circumstances != nil {
			t.Errorf("%s: read as ours", new)
		}
		return p.Source()
	}
	want := Source{Commit: commit, Repository: "https://github.com/o/r", Tag: "v1.0.0"}
	if got, err := read("", ""); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := read(`refs/tags/v1.0.0", "rep`, `refs/heads/main", "rep`); err != nil || got.Tag != "" || got.Commit != "" {
		t.Errorf("a branch, and a dependency that is another: %+v, %v", got, err)
	}
	for _, fault := range []struct{ old, new, want string }{
		{"buildtypes/workflow/v1", "buildtypes/workflow/v2", "no telling"},
		{`"workflow": {`, `"inputs": {"debug": "1"}, "workflow": {`, "cannot be judged"},
		{`"path"`, `"sparse"`, "unknown member"},
		{`"repository"`, `"Repository"`, "unknown member"},
		{`"repository": "https://github.com/o/r"`, `"repository": 1`, "repository"},
		{`"workflow": {`, `"flow": {`, `no member "workflow"`},
		{`"builder"`, `"Builder"`, `no member "builder"`},
		{`"id"`, `"ID"`, `no member "id"`},
		{`"id"`, `"ID": "https://x.example", "version": 1, "id"`, "version"},
		{`https://github.com/o/r/.github`, ``, "not a URI"},
		{`"buildDefinition"`, `"definition"`, `no member "buildDefinition"`},
		{`"externalParameters"`, `"parameters"`, `no member "externalParameters"`},
		{`"resolvedDependencies": [{`, `"resolvedDependencies": [7, {`, "resolvedDependencies"},
		{`"digest": {"gitCommit"`, `"digest": {"x": 1, "gitCommit"`, "digest"},
		{`"resolvedDependencies": [`, `"resolvedDependencies": [{"uri": "git+https://github.com/o/r@refs/tags/v1.0.0", "digest": {"gitCommit": "77"}}, `, "twice"},
		{`"internalParameters": {`, `"buildType": "https://x.example/y", "internalParameters": {`, "there twice"},
	} {
		if got, err := read(fault.old, fault.new); err == nil || !strings.Contains(err.Error(), fault.want) {
			t.Errorf("%s: %+v, %v", fault.new, got, err)
		}
	}
}

func TestGitURI(t *testing.T) {
	for repository, want := range map[string]string{
		"https://example.com/x.git":       "git+https://example.com/x.git@c",
		"ssh://git@example.com/x":         "git+ssh://git@example.com/x@c",
		"git@example.com:team/x.git":      "git+ssh://git@example.com/team/x.git@c",
		"example.com:/abs/x":              "git+ssh://example.com/abs/x@c",
		"git://example.com/x":             "git+git://example.com/x@c",
		"git+ssh://git@example.com/x.git": "git+ssh://git@example.com/x.git@c",
	} {
		if got, err := gitURI(repository, "c"); err != nil || got != want {
			t.Errorf("%s: %s, %v", repository, got, err)
		}
	}
	for _, bad := range []string{"", "x", "/home/me/x", "https:///x", "https://example.com/x?y", "https://example.com/x#y", "https://example.com/a b"} {
		if got, err := gitURI(bad, "c"); err == nil {
			t.Errorf("%q: %s", bad, got)
		}
	}
}

// TestDirHash is the example of the specification of DigestSet.
func TestDirHash(t *testing.T) {
	got, err := dirHash("h1:Khu2En+0gcYPZ2kuIihfswbzxv/mIHXgzPZ018Oty48=")
	if err != nil || got["dirHash"] != "2a1bb6127fb481c60f67692e22285fb306f3c6ffe62075e0ccf674d7c3adcb8f" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "h1:", "h2:Khu2En+0gcYPZ2kuIihfswbzxv/mIHXgzPZ018Oty48=", "h1:Khu2En", "h1:Khu2En+0gcYPZ2kuIihfswbzxv/mIHXgzPZ018Oty49="} {
		if got, err := dirHash(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

// FuzzProvenance shows that nothing makes a reader panic, and that what is
// accepted as ours says what its bytes say.
func FuzzProvenance(f *testing.F) {
	// Small documents, of which many are tried.
	small := func(rec *record.Record) *record.Record {
		rec.Binaries = rec.Binaries[:2]
		for i := range rec.Binaries {
			r := &rec.Binaries[i].Recipe
			r.Env, r.Modules = r.Env[:1], r.Modules[max(0, len(r.Modules)-1):]
		}
		return seal(f, rec)
	}
	for _, rec := range releases(f) {
		data, _ := provenance(f, small(rec), Invocation{}).Encode()
		f.Add(data)
	}
	for _, rec := range rejects(f) {
		data, _ := testResult(f, small(rec)).Encode()
		f.Add(data)
	}
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"` + digest("x").Hex() + `"}}],"predicateType":"` + ProvenanceType + `","predicate":` + workflow + `}`))
	for _, e := range foreignExamples {
		f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v0.1","subject":[{"digest":{"sha256":"` + digest("x").Hex() + `"}}],"predicateType":"` + e.predicateType + `","predicate":` + e.predicate + `}`))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := intoto.Decode(data)
		if err != nil {
			return
		}
		if p, err := DecodeProvenance(s); err == nil {
			if _, err := p.Source(); err != nil && p.External != nil {
				t.Error(err)
			}
			// Whoever names a workflow names the source that it is of.
			from, serr := p.Source()
			if w, err := p.Workflow(); err == nil && (serr != nil || from.Repository != w.Repository || w.Ref == "") {
				t.Errorf("%+v, %+v, %v", w, from, serr)
			}
			if p.External != nil {
				if again, err := intoto.Marshal(p); err != nil || !bytes.Equal(again, s.Predicate) {
					t.Errorf("%v: %s and %s", err, s.Predicate, again)
				}
			}
		}
		if r, err := DecodeTestResult(s); err == nil {
			if (r.Result == Passed) != (len(r.FailedTests) == 0) {
				t.Errorf("%+v", r)
			}
		}
	})
}

func BenchmarkDecodeProvenance(b *testing.B) {
	s := provenance(b, release(b), Invocation{})
	b.SetBytes(int64(len(s.Predicate)))
	for b.Loop() {
		if _, err := DecodeProvenance(s); err != nil {
			b.Fatal(err)
		}
	}
}
