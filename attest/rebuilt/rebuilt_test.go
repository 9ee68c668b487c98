package rebuilt

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/recipe"
)

var update = flag.Bool("update", false, "write the examples")

const docs = "../../configs/rebuild/"

// examples are the files of the page, and the results that they say.
func examples(t testing.TB) map[string]Result {
	t.Helper()
	r := recipe.Recipe{
		Schema: recipe.Schema,
		Argv:   []string{"go", "install", "-trimpath", "-ldflags=-s -w -X main.version=v1.2.3", "example.com/tool/cmd/tool@v1.2.3"},
		Binary: "tool", Env: []string{"CGO_ENABLED=0", "GOARCH=amd64", "GOOS=linux"},
		Source:    recipe.Source{Dir: ".", Module: "example.com/tool", Version: "v1.2.3", Sum: "h1:2KYkUtPo1SxTNlmTV6iEwbKgCrrqI+ZSYbk+4Rm1Ys0="},
		Target:    matrix.Target{OS: "linux", Arch: "amd64"},
		Modules:   []recipe.Module{{Path: "example.com/dep", Version: "v1.0.0", Sum: "h1:8bGfYBLWkzRqTzZ3ihqBsvrq9UcEJ6oiRnEXBrmpcCc="}},
		Toolchain: recipe.Toolchain{Version: "go1.26.8"},
	}
	withDigest, err := NewRecipe(r)
	if err != nil {
		t.Fatal(err)
	}
	pass := Result{
		Name: "tool", Digest: artifact.Of([]byte("tool")), Resource: "https://example.com/download/tool",
		Version: map[string]string{"twice": "1.0.0", "go": "go1.26.8"},
		Time:    time.Date(2026, 11, 22, 13, 0, 0, 0, time.UTC),
		Evidence: Evidence{
			Content: inspect.ContentIntact, GoVersion: "go1.26.8", Package: "example.com/tool/cmd/tool",
			Rebuilt: NewFile(artifact.Of([]byte("tool")), 1404), Recipe: withDigest,
			RestsOn: []Ground{
				{"module zip example.com/tool@v1.2.3 h1:2KYkUtPo1SxTNlmTV6iEwbKgCrrqI+ZSYbk+4Rm1Ys0=", "checksum database"},
				{"toolchain go1.26.8 h1:5I3mXbpqpDoc+w2gJYNIMHzlLYOVe5pHRg6qUk/6Hyw=", "checksum database"},
				{"1 dependency", "checksum database"},
			},
			Recovered: []Ground{{"-ldflags=-s -w -X main.version=v1.2.3", "link action ID, guess 7"}},
			Claimed: []Claim{
				{"-trimpath", "chosen by whoever built it; the file says so", "-trimpath", ""},
				{"-ldflags=-s -w", "chosen by whoever built it; recovered", "-ldflags", "-s -w"},
				{"CGO_ENABLED=0", "chosen by whoever built it; the file says so", "CGO_ENABLED", "0"},
				{"-X main.version=v1.2.3", "chosen by whoever built it; recovered", "-X", "main.version=v1.2.3"},
			},
			Size: 1404, Source: "example.com/tool@v1.2.3", Target: "linux/amd64", Verdict: compare.Reproduced,
		},
	}
	equivalent := pass
	equivalent.Resource, equivalent.Verifier = "", "https://rebuilds.example.org"
	equivalent.Inputs = []intoto.Descriptor{{URI: "https://example.com/tool.provenance.sigstore.json", Digest: sha256Set(artifact.Of([]byte("bundle")))}}
	equivalent.Verdict, equivalent.Normalizations, equivalent.Uncovered = compare.Equivalent, []inspect.Normalization{inspect.WithoutBuildID}, 166
	equivalent.Rebuilt = NewFile(artifact.Of([]byte("toll")), 1404)
	equivalent.Notes = []string{"not confined: Landlock: not in this kernel (function not implemented); the mount namespace alone confines writes"}
	equivalent.Claimed = slices.Insert(slices.Clone(pass.Claimed), 3,
		Claim{"vcs.revision=0123456789abcdef0123456789abcdef01234567", "the file's own word: no history was at hand", "vcs.revision", "0123456789abcdef0123456789abcdef01234567"},
		Claim{What: "example.com/tool@v1.2.3 is the source", Why: "you said so"})
	differs := pass
	differs.Verdict, differs.Content = compare.Differs, inspect.ContentChanged
	differs.Reason = &Reason{"bytes differ", "the bytes differ: its own build ID tells that it was changed after it was linked"}
	differs.Rebuilt = NewFile(artifact.Of([]byte("other")), 1400)
	return map[string]Result{"v1.reproduced.json": pass, "v1.equivalent.json": equivalent, "v1.differs.json": differs}
}

func statement(t testing.TB, r Result) intoto.Statement {
	t.Helper()
	s, err := New(r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestExamples holds the page's examples against what is written, and what is
// read against what was said.
func TestExamples(t *testing.T) {
	for name, r := range examples(t) {
		s := statement(t, r)
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
			if err := os.WriteFile(docs+name, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(docs + name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), want) {
			t.Errorf("%s is not what is written now; see the difference after go test -update", name)
		}
		back, err := intoto.Decode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(back)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.Verdict != r.Verdict || got.Digest != r.Digest || !got.Time.Equal(r.Time) || !reflect.DeepEqual(got.Recipe, r.Recipe) || !reflect.DeepEqual(got.RestsOn, r.RestsOn) {
			t.Errorf("%s: %+v", name, got)
		}
		if again := statement(t, *got); !reflect.DeepEqual(again, s) {
			t.Errorf("%s: another statement of what was read", name)
		}
		if pass := r.Verdict != compare.Differs; got.Pass() != pass || (s.PredicateType == SummaryType) != pass {
			t.Errorf("%s: pass %t, %s", name, got.Pass(), s.PredicateType)
		}
		// Nothing of SLSA's own may be claimed.
		if strings.Contains(string(s.Predicate), `SLSA_`) || strings.Contains(string(s.Predicate), "slsaVersion") {
			t.Errorf("%s claims a level of SLSA", name)
		}
	}
}

// TestSchemas holds the examples against the page's schemas, and shows that these
// are not open.
func TestSchemas(t *testing.T) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	compile := func(name string) *jsonschema.Schema {
		t.Helper()
		f, err := os.Open(docs + name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		doc, err := jsonschema.UnmarshalJSON(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(name, doc); err != nil {
			t.Fatal(err)
		}
		schema, err := c.Compile(name)
		if err != nil {
			t.Fatal(err)
		}
		return schema
	}
	schema := compile("v1.evidence.schema.json")
	for name, r := range examples(t) {
		s := statement(t, r)
		var p map[string]any
		if err := json.Unmarshal(s.Predicate, &p); err != nil {
			t.Fatal(err)
		}
		evidence := p[Page+"#evidence"]
		if s.PredicateType == TestResultType {
			evidence = p["configuration"].([]any)[0].(map[string]any)["annotations"]
		}
		e, ok := evidence.(map[string]any)
		if !ok {
			t.Fatalf("%s: no evidence", name)
		}
		if err := schema.Validate(evidence); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, member := range []string{"verdict", "restsOn", "size", "source"} {
			was := e[member]
			delete(e, member)
			if schema.Validate(evidence) == nil {
				t.Errorf("%s: the schema does not ask for %s", name, member)
			}
			e[member] = was
		}
		e["more"] = 1
		if schema.Validate(evidence) == nil {
			t.Errorf("%s: the schema is open", name)
		}
	}
}

// TestPage holds the page against the names that are written.
func TestPage(t *testing.T) {
	page, err := os.ReadFile(docs + "v1.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		Page, SummaryType, TestResultType, LevelRebuilt, LevelEquivalent, "### local", "### policy-2", "### test-2", "### evidence", "`" + policyURI + "`", "`" + testURI + "`",
		string(inspect.WithoutSignature), string(inspect.WithoutBuildID),
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page has no %q", want)
		}
	}
	for name := range examples(t) {
		if !strings.Contains(string(page), name) {
			t.Errorf("the page does not name %s", name)
		}
	}
}

// withFlag is a recipe with one flag more.
func withFlag(t *testing.T, r *Recipe, flag string) *Recipe {
	t.Helper()
	other := r.Recipe
	other.Argv = slices.Insert(slices.Clone(other.Argv), 2, flag)
	with, err := NewRecipe(other)
	if err != nil {
		t.Fatal(err)
	}
	return with
}

func TestNewRefuses(t *testing.T) {
	base := examples(t)
	for what, c := range map[string]struct {
		from   string
		change func(*Result)
		want   string
	}{
		"other bytes reproduced":     {"v1.reproduced.json", func(r *Result) { r.Digest = artifact.Of(nil) }, "digest of the file in rebuilt"},
		"the same bytes differ":      {"v1.differs.json", func(r *Result) { r.Rebuilt = NewFile(r.Digest, r.Size) }, "digest of the file in rebuilt"},
		"the same bytes equivalent":  {"v1.equivalent.json", func(r *Result) { r.Rebuilt = NewFile(r.Digest, r.Size) }, "digest of the file in rebuilt"},
		"another size":               {"v1.reproduced.json", func(r *Result) { r.Size++ }, "with one digest"},
		"a pass without a build":     {"v1.equivalent.json", func(r *Result) { r.Rebuilt = nil }, "nothing was rebuilt"},
		"a pass on nothing":          {"v1.reproduced.json", func(r *Result) { r.RestsOn = nil }, "rests on nothing"},
		"a pass with a reason":       {"v1.reproduced.json", func(r *Result) { r.Reason = &Reason{"k", "t"} }, "reason"},
		"a difference without one":   {"v1.differs.json", func(r *Result) { r.Reason = nil }, "reason"},
		"an empty reason":            {"v1.differs.json", func(r *Result) { r.Reason = &Reason{} }, "reason: empty"},
		"equivalent after nothing":   {"v1.equivalent.json", func(r *Result) { r.Normalizations = nil }, "want normalizations"},
		"an unknown normalization":   {"v1.equivalent.json", func(r *Result) { r.Normalizations = []inspect.Normalization{"text removed"} }, "unknown"},
		"a normalization twice":      {"v1.equivalent.json", func(r *Result) { r.Normalizations = append(r.Normalizations, r.Normalizations...) }, "twice"},
		"reproduced after some":      {"v1.reproduced.json", func(r *Result) { r.Normalizations = []inspect.Normalization{inspect.WithoutBuildID} }, "want normalizations"},
		"uncovered":                  {"v1.reproduced.json", func(r *Result) { r.Uncovered = 1 }, "without a normalization"},
		"more uncovered than there":  {"v1.equivalent.json", func(r *Result) { r.Uncovered = r.Size + 1 }, "uncovered"},
		"another recipe":             {"v1.reproduced.json", func(r *Result) { r.Recipe = &Recipe{sha256Set(r.Digest), r.Recipe.Recipe} }, "that of the recipe is"},
		"a recipe of another target": {"v1.reproduced.json", func(r *Result) { r.Target = "linux/arm64" }, "recipe: for linux/amd64"},
		"a recipe with another go":   {"v1.reproduced.json", func(r *Result) { r.GoVersion = "go1.26.7" }, "recipe: with"},
		"a recipe of another source": {"v1.reproduced.json", func(r *Result) { r.Source = "example.com/tool@v1.2.4" }, "recipe: of"},
		"a target that is none":      {"v1.reproduced.json", func(r *Result) { r.Target, r.Recipe = "linux", nil }, "target"},
		"a choice that is not told":  {"v1.reproduced.json", func(r *Result) { r.Claimed = r.Claimed[:3] }, `does not say "-X main.version=v1.2.3", which the recipe has`},
		"an older statement":         {"v1.reproduced.json", func(r *Result) { r.Claimed = nil }, `does not say "-trimpath"`},
		"a choice of no recipe":      {"v1.reproduced.json", func(r *Result) { r.Claimed = append(r.Claimed[:4:4], Claim{"-race", "", "-race", ""}) }, "the recipe has no such setting"},
		"another choice": {"v1.reproduced.json", func(r *Result) {
			r.Claimed = slices.Concat(r.Claimed[:2], []Claim{{"CGO_ENABLED=1", "", "CGO_ENABLED", "1"}}, r.Claimed[3:])
		}, `want "CGO_ENABLED=0"`},
		"another text of a choice":   {"v1.reproduced.json", func(r *Result) { r.Claimed = slices.Clone(r.Claimed); r.Claimed[3].What = "-X main.version=v1" }, `want "-X main.version=v1.2.3"`},
		"a value of nothing":         {"v1.equivalent.json", func(r *Result) { r.Claimed = slices.Clone(r.Claimed); r.Claimed[4].Value = "x" }, "a value of no setting"},
		"a dangerous choice, hidden": {"v1.reproduced.json", func(r *Result) { r.Recipe = withFlag(t, r.Recipe, "-gcflags=-B") }, `want "-gcflags=-B"`},
		"no versions":                {"v1.reproduced.json", func(r *Result) { r.Version = nil }, "version"},
		"no URI":                     {"v1.reproduced.json", func(r *Result) { r.Verifier = "me" }, "verifier"},
		"no resource's URI":          {"v1.differs.json", func(r *Result) { r.Resource = "file" }, "resource"},
		"no name":                    {"v1.reproduced.json", func(r *Result) { r.Name = "" }, "subject"},
		"no digest":                  {"v1.reproduced.json", func(r *Result) { r.Digest = "" }, "digest"},
		"unknown content":            {"v1.reproduced.json", func(r *Result) { r.Content = "fine" }, "content"},
		"a verdict that is none":     {"v1.reproduced.json", func(r *Result) { r.Verdict = "good" }, "verdict"},
	} {
		r := base[c.from]
		c.change(&r)
		if s, err := New(r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\n%s", what, err, s.Predicate)
		}
	}
	for _, v := range []compare.Verdict{compare.Undetermined, ""} {
		r := base["v1.reproduced.json"]
		r.Verdict = v
		if _, err := New(r); !errors.Is(err, ErrUndetermined) {
			t.Errorf("verdict %q: %v", v, err)
		}
	}
}

// TestStrangers has what a stranger's file may say.
func TestStrangers(t *testing.T) {
	r := examples(t)["v1.differs.json"]
	r.Claimed = []Claim{{"a\xffb\x00\u2028", "\x1b[31m<&>\"", "", ""}, {"GOROOT=/\xff\x1b", "", "GOROOT", "/\xff\x1b"}}
	r.Reason, r.Notes = &Reason{"bytes differ", "\xc0"}, []string{"\xc0"}
	r.Recipe, r.Resource, r.Source = nil, "", ""
	got, err := Decode(statement(t, r))
	if err != nil {
		t.Fatal(err)
	}
	if got.Claimed[0].What != "a\uFFFDb\x00\u2028" || got.Claimed[0].Why != r.Claimed[0].Why || got.Reason.Text != "\uFFFD" || got.Notes[0] != "\uFFFD" {
		t.Errorf("%+v, %+v", got.Claimed, got.Reason)
	}
	if want := "pkg:generic/tool?checksum=" + string(r.Digest); got.Resource != want {
		t.Errorf("%s, want %s", got.Resource, want)
	}
}

// TestDecodeRefuses turns good statements into others, as somebody would who
// wants to be believed.
func TestDecodeRefuses(t *testing.T) {
	all := examples(t)
	for what, c := range map[string]struct{ from, old, new, want string }{
		"a pass with another level": {"v1.equivalent.json", LevelEquivalent, LevelRebuilt, "verifiedLevels"},
		"a level of SLSA beside":    {"v1.reproduced.json", `["` + LevelRebuilt + `"]`, `["` + LevelRebuilt + `","SLSA_BUILD_LEVEL_3"]`, "verifiedLevels"},
		"a failed summary":          {"v1.reproduced.json", `"verificationResult":"PASSED"`, `"verificationResult":"FAILED"`, "verificationResult"},
		"a summary of a difference": {"v1.reproduced.json", `"verdict":"reproduced"`, `"verdict":"differs"`, "a summary is about a pass"},
		"a summary of nothing":      {"v1.reproduced.json", `"verdict":"reproduced"`, `"verdict":"undetermined"`, "a summary is about a pass"},
		"a test that passed":        {"v1.differs.json", `"result":"FAILED"`, `"result":"PASSED"`, "want FAILED"},
		"a test that warned":        {"v1.differs.json", `"warnedTests":[]`, `"warnedTests":["x"]`, "want FAILED"},
		"no list of tests":          {"v1.differs.json", `"warnedTests":[]`, `"warnedTests":null`, "want FAILED"},
		"a test of a pass":          {"v1.differs.json", `"verdict":"differs"`, `"verdict":"reproduced"`, "a test result is about a difference"},
		"an unknown member":         {"v1.reproduced.json", `"verifier":`, `"more":1,"verifier":`, "unknown field"},
		"an unknown evidence":       {"v1.differs.json", `"content":"changed"`, `"content":"changed","extra":1`, "configuration[0]"},
		"another case":              {"v1.reproduced.json", `"timeVerified"`, `"TimeVerified"`, "not as twice writes it"},
		"a member twice":            {"v1.reproduced.json", `"verdict":`, `"verdict":"differs","verdict":`, "twice"},
		"no time":                   {"v1.reproduced.json", `"2026-11-22T13:00:00Z"`, `"2026-11-22 13:00"`, "timeVerified"},
		"a policy with a digest":    {"v1.reproduced.json", `#policy-2"`, `#policy-2","digest":{"sha256":"` + strings.Repeat("0", 64) + `"}`, "want {"},
		"a choice left out":         {"v1.reproduced.json", `"setting":"-X",`, ``, "a value of no setting"},
		"a choice turned":           {"v1.reproduced.json", `"setting":"-X","value":"main.version=v1.2.3"`, `"setting":"-X","value":"main.version=v1.2.4"`, "want \"-X main.version=v1.2.4\""},
		"a null list":               {"v1.equivalent.json", `"restsOn":[`, `"restsOn":null,"x":[`, "unknown field"},
		// Another rule: what it takes to accuse, and what has to be claimed, was less.
		"a pass by the first rule":    {"v1.reproduced.json", `#policy-2"`, `#policy"`, "first version of the rules"},
		"a failure by the first rule": {"v1.differs.json", `#test-2"`, `#test"`, "rebuild the file with a newer twice, sign anew"},
		"a pass by a later rule":      {"v1.equivalent.json", `#policy-2"`, `#policy-3"`, `v1.md#policy-3" is not known here`},
		"a failure by a later rule":   {"v1.differs.json", `#test-2"`, `#test-3"`, `v1.md#test-3" is not known here`},
		"a rule of no version":        {"v1.differs.json", `#test-2"`, `#tests"`, "is not known here"},
		"a rule that looks like it":   {"v1.reproduced.json", `#policy-2"`, `#policy-2 "`, "is not known here"},
		"a later rule, more members":  {"v1.reproduced.json", `#policy-2"},`, `#policy-3"},"more":1,`, "is not known here"},
		"a verifier that is no test":  {"v1.differs.json", `"name":"verifier"`, `"name":"versifier"`, "configuration[1]"},
	} {
		s := statement(t, all[c.from])
		if !strings.Contains(string(s.Predicate), c.old) {
			t.Fatalf("%s: no %s in %s", what, c.old, s.Predicate)
		}
		s.Predicate = []byte(strings.Replace(string(s.Predicate), c.old, c.new, 1))
		if _, err := Decode(s); err == nil || errors.Is(err, ErrNotRebuild) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Nothing is read of a statement by another rule, not even whether it passes.
	old := statement(t, all["v1.differs.json"])
	old.Predicate = []byte(strings.Replace(string(old.Predicate), testURI, ruleTest, 1))
	if r, err := Decode(old); r != nil || !errors.Is(err, ErrOtherRule) || !IsRebuild(old.PredicateType, old.Predicate) {
		t.Errorf("by the first rule: %+v, %v", r, err)
	}
	s := statement(t, all["v1.reproduced.json"])
	s.Subjects = append(s.Subjects, intoto.Subject{Name: "another", Digest: artifact.Of(nil)})
	if _, err := Decode(s); err == nil || !strings.Contains(err.Error(), "subject") {
		t.Errorf("two subjects: %v", err)
	}
	s.Subjects = []intoto.Subject{{Name: "another", Digest: artifact.Of(nil)}}
	if _, err := Decode(s); err == nil || !strings.Contains(err.Error(), "digest of the file") {
		t.Errorf("another subject: %v", err)
	}
	for what, s := range map[string]intoto.Statement{
		"provenance":      {PredicateType: "https://slsa.dev/provenance/v1", Predicate: s.Predicate},
		"another summary": {PredicateType: SummaryType, Predicate: []byte(`{"policy":{"uri":"https://example.com/policy"}}`)},
		"another test":    {PredicateType: TestResultType, Predicate: []byte(`{"configuration":[{"uri":"https://example.com/test"}]}`)},
		"a wrong kind":    {PredicateType: TestResultType, Predicate: []byte(`{"configuration":7}`)},
		"a pass as test":  {PredicateType: TestResultType, Predicate: s.Predicate},
	} {
		if _, err := Decode(s); !errors.Is(err, ErrNotRebuild) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestBytes changes bytes all over the examples: what is still read says what
// it says, and nothing that is written is overlooked.
func TestBytes(t *testing.T) {
	for name, r := range examples(t) {
		s := statement(t, r)
		for i := len(name) % 5; i < len(s.Predicate); i += 5 { // all of them take a minute
			other := s
			other.Predicate = slices.Clone(s.Predicate)
			other.Predicate[i] ^= 1
			checkRead(t, name, other, s)
		}
	}
}

// checkRead fails if s can be read, and is not what New makes of what was read. A
// statement that differs from good has to be refused or to say something else.
func checkRead(t *testing.T, name string, s, good intoto.Statement) {
	t.Helper()
	r, err := Decode(s)
	if err != nil {
		return
	}
	again, err := New(*r)
	if err != nil || !bytes.Equal(again.Predicate, s.Predicate) || again.PredicateType != s.PredicateType {
		t.Fatalf("%s: %v: read, and written otherwise\n%s\n%s", name, err, s.Predicate, again.Predicate)
	}
	if bytes.Equal(s.Predicate, good.Predicate) != reflect.DeepEqual(again, good) {
		t.Fatalf("%s: overlooked a change of %s", name, s.Predicate)
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range examples(f) {
		s := statement(f, r)
		f.Add(s.PredicateType == SummaryType, []byte(s.Predicate))
	}
	f.Add(true, []byte(`{"policy":{"uri":"`+policyURI+`"}}`))
	f.Add(true, []byte(`{"policy":{"uri":"`+rulePolicy+`"}}`))
	f.Add(false, []byte(`{"configuration":[{"uri":"`+testURI+`","annotations":null},{},{}]}`))
	f.Fuzz(func(t *testing.T, summary bool, predicate []byte) {
		s := intoto.Statement{Subjects: []intoto.Subject{{Name: "tool", Digest: artifact.Of([]byte("tool"))}}, PredicateType: TestResultType, Predicate: predicate}
		if summary {
			s.PredicateType = SummaryType
		}
		r, err := Decode(s)
		if err != nil {
			return
		}
		if r.Verdict == compare.Reproduced && r.Rebuilt.Digest["sha256"] != r.Digest.Hex() {
			t.Fatalf("reproduced, as other bytes: %+v", r)
		}
		again, err := New(*r)
		if err != nil {
			t.Fatal(err)
		}
		if compact, err := s.CompactPredicate(); err != nil || !bytes.Equal(again.Predicate, compact) {
			t.Fatalf("%v\n%s\n%s", err, compact, again.Predicate)
		}
	})
}
