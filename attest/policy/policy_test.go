package policy

import (
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/matrix/tomlfile"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/recipe"
)

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func statement(t testing.TB, path string) Statement {
	t.Helper()
	s, err := intoto.Decode(read(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return Statement{Statement: s}
}

const (
	provenanceFile = "../../configs/buildtype/v1.example.json"
	passedFile     = "../slsa/testdata/test_release.json"
	partialFile    = "../slsa/testdata/provenance_partial.json"
	snapshotFile   = "../slsa/testdata/provenance_snapshot.json"
	moduleFile     = "../slsa/testdata/provenance_module.json"
)

// example is the policy of configs, and statements that it accepts.
func example(t testing.TB) (*Policy, artifact.Digest, []Statement) {
	t.Helper()
	p, err := Parse("policy.toml", read(t, "../../configs/policy.toml"))
	if err != nil {
		t.Fatal(err)
	}
	list := []Statement{statement(t, provenanceFile), statement(t, passedFile)}
	return p, list[0].Subjects[5].Digest, list
}

func TestExample(t *testing.T) {
	p, subject, statements := example(t)
	want := &Policy{
		Builders: []string{slsa.LocalBuilder}, Repository: "https://example.com/hello", Tag: "v1.2.3", Toolchain: "go1.26.5",
		NoSnapshot: true, Double: true, Variations: []string{"source path", "user", "time zone"},
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("%+v", p)
	}
	findings := p.Check(subject, statements)
	if err := findings.Err(); err != nil {
		t.Error(err)
	}
	var names []string
	for _, f := range findings {
		names = append(names, f.String())
	}
	if got := strings.Join(names, "\n"); got != `builder: met
source.repository: met
source.tag: met
build.toolchain: met
build.snapshot: met
build.double: met
build.variations: source path: met
build.variations: user: met
build.variations: time zone: met` {
		t.Error(got)
	}
}

// TestNotShown shows that what is missing is not taken for granted.
func TestNotShown(t *testing.T) {
	p, subject, all := example(t)
	count := func(fs Findings, o Outcome) (n int) {
		for _, f := range fs {
			if f.Outcome == o {
				n++
			}
		}
		return n
	}
	other := Statement{Statement: intoto.Statement{Subjects: all[0].Subjects, PredicateType: "https://example.com/other", Predicate: []byte(`{"buildDefinition":7}`)}}
	unit := Statement{Statement: intoto.Statement{Subjects: all[0].Subjects, PredicateType: slsa.TestResultType, Predicate: []byte(`{"result":"PASSED","configuration":[],"passedTests":["double-build/x"]}`)}}
	for what, c := range map[string]struct {
		subject    artifact.Digest
		statements []Statement
		met        int
		notShown   int
	}{
		"nothing":                 {subject, nil, 0, 9},
		"provenance alone":        {subject, all[:1], 5, 4},
		"a test result alone":     {subject, all[1:], 4, 5},
		"statements of others":    {artifact.Of([]byte("mine")), all, 0, 9},
		"no subject":              {"", all, 0, 9},
		"other kinds":             {subject, []Statement{other, unit}, 0, 9},
		"other kinds beside ours": {subject, append(slices.Clone(all), other, unit), 9, 0},
		"the same twice":          {subject, append(slices.Clone(all), all...), 9, 0},
	} {
		fs := p.Check(c.subject, c.statements)
		if count(fs, Met) != c.met || count(fs, NotShown) != c.notShown || len(fs) != 9 {
			t.Errorf("%s: %v", what, fs)
		}
		if err := fs.Err(); (err == nil) != (c.met == 9) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := (&Policy{}).Check(subject, all).Err(); err == nil {
		t.Error("a policy without expectations passes")
	}
	if err := (Findings{{Expectation: "x"}}).Err(); err == nil {
		t.Error("the zero outcome passes")
	}
}

// TestRefuses holds the example's statements, and others, against policies that
// expect something else.
func TestRefuses(t *testing.T) {
	_, subject, all := example(t)
	commit := "64d3f795e189e3af5afbb288d50217603092bd49"
	for policy, want := range map[string]string{
		`builder = ["https://example.com/a", "https://example.com/b"]`: "builder: failed: it is",
		`source.repository = "https://example.com/other"`:              `source.repository: failed: it is "example.com/hello"`,
		`source.repository = "https://example.com/hello.git"`:          "",
		`source.repository = "git@EXAMPLE.com:hello"`:                  "",
		`source.repository = "ssh://git@example.com:2222/hello"`:       "source.repository: failed",
		`source.repository = "https://example.com/Hello"`:              "source.repository: failed",
		`source.repository = "https://example.com/%68ello"`:            "source.repository: failed",
		`source.tag = "v1.2.4"`:                                        `source.tag: failed: it is "v1.2.3"`,
		`source.tag = "v1.2"`:                                          "source.tag: failed",
		`source.commit = "` + commit + `"`:                             "",
		`source.commit = "0` + commit[1:] + `"`:                        "source.commit: failed",
		`source.module = "example.com/hello@v1.2.3"`:                   "source.module: failed: no module",
		`build.toolchain = "go1.26.8"`:                                 "",
		`build.toolchain = "=go1.26.8"`:                                "",
		`build.toolchain = "=go1.26.5"`:                                "build.toolchain: failed: it is go1.26.8, not go1.26.5",
		`build.toolchain = "go1.27rc1"`:                                "build.toolchain: failed: it is go1.26.8, not at least go1.27rc1",
		`build.variations = ["clock"]`:                                 "build.variations: clock: failed: it was not varied",
		`build.variations = ["user", "phase of moon"]`:                 "build.variations: phase of moon: failed",
		`build = {snapshot = false, double = true}`:                    "",
	} {
		p, err := Parse("p", []byte(policy))
		if err != nil {
			t.Errorf("%s: %v", policy, err)
			continue
		}
		got := ""
		if err := p.Check(subject, all).Err(); err != nil {
			got = err.Error()
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q", policy, got)
		}
	}
}

// TestToolchain: of a toolchain counts what was published, as it was published.
func TestToolchain(t *testing.T) {
	for _, c := range []struct {
		policy string
		recipe recipe.Recipe
		want   string
	}{
		{"go1.26.5", recipe.Recipe{Toolchain: recipe.Toolchain{Version: "go1.26.8"}, Env: []string{"GOEXPERIMENT="}}, ""},
		{"=go1.26.8", recipe.Recipe{Toolchain: recipe.Toolchain{Version: "go1.26.8"}}, ""},
		{"=go1.26", recipe.Recipe{Toolchain: recipe.Toolchain{Version: "go1.26.0"}}, "it is go1.26.0, not go1.26"},
		{"=go1.26.8", recipe.Recipe{Toolchain: recipe.Toolchain{Version: "go1.26.9"}}, "it is go1.26.9, not go1.26.8"},
		{"go1.26.8", recipe.Recipe{Toolchain: recipe.Toolchain{Version: "go1.26.8-mine"}}, "not a published toolchain"},
		{"=go1.26.8", recipe.Recipe{Toolchain: recipe.Toolchain{Version: "go1.26.8 X:none"}}, "not a published toolchain"},
		{"go1.26.8", recipe.Recipe{Toolchain: recipe.Toolchain{Version: "go1.26.8", Sum: "h1:x"}}, "not a published toolchain"},
		{"go1.26.8", recipe.Recipe{Toolchain: recipe.Toolchain{Version: "go1.26.8"}, Env: []string{"GOEXPERIMENT=jsonv2"}}, "go1.26.8 with GOEXPERIMENT=jsonv2, an experiment"},
	} {
		p, err := Parse("p", []byte("[build]\ntoolchain = '"+c.policy+"'"))
		if err != nil {
			t.Fatal(err)
		}
		_, reason := p.expectations()[0].provenance(signedProvenance{
			Provenance: &slsa.Provenance{Internal: &slsa.InternalParameters{Recipes: []slsa.Recipe{{Recipe: c.recipe}}}},
		})
		if c.want == "" && reason != "" || !strings.Contains(reason, c.want) {
			t.Errorf("%s, %+v: %q, want %q", c.policy, c.recipe.Toolchain, reason, c.want)
		}
	}
	for _, bad := range []string{"go1.26.8-mine", "=", "==go1.26.8", "= go1.26.8", "=1.26"} {
		if _, err := Parse("p", []byte("[build]\ntoolchain = '"+bad+"'")); err == nil || !strings.Contains(err.Error(), "p:2: build.toolchain") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// TestOtherReleases are a snapshot of uncommitted changes, a module, a build that
// failed, and provenance of somebody else.
func TestOtherReleases(t *testing.T) {
	for _, c := range []struct{ file, policy, want string }{
		{partialFile, `build.toolchain = "go1.20"`, "build.partial: failed: it is a part of a release, 2 of 4 targets, without darwin/arm64, linux/arm/7, and the policy does not say partial = true"},
		{partialFile, `build = {toolchain = "go1.20", partial = true}`, ""},
		{snapshotFile, `build.snapshot = false`, "build.snapshot: failed: it is a snapshot"},
		{snapshotFile, `build.toolchain = "go1.20"`, "build.toolchain: failed: go1.26.8 is not a published toolchain"},
		{snapshotFile, `source.commit = "64d3f795e189e3af5afbb288d50217603092bd49"`, "source.commit: failed: there were uncommitted changes"},
		{snapshotFile, `source.repository = "https://example.com/team/hello"`, ""},
		{moduleFile, `source.repository = "https://example.com/hello"`, "source.repository: not shown"},
		{moduleFile, `source.tag = "v1.2.3"`, "source.tag: failed"},
		{moduleFile, `source.module = "example.com/Hello@v1.2.3"`, ""},
		{moduleFile, `source.module = "example.com/Hello@v1.2.4"`, "source.module: failed"},
		{"../slsa/testdata/test_differs.json", `build.double = true`, "build.double: failed: the double build FAILED: double-build/linux/amd64/hellod, double-build/files/LICENSE"},
		{"../slsa/testdata/test_undetermined.json", `build.double = true`, "build.double: failed"},
		{"../slsa/testdata/test_snapshot.json", `build.variations = ["user"]`, ""},
	} {
		p, err := Parse("p", []byte(c.policy))
		if err != nil {
			t.Fatal(err)
		}
		s := statement(t, c.file)
		got := ""
		if err := p.Check(s.Subjects[0].Digest, []Statement{s}).Err(); err != nil {
			got = err.Error()
		}
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %s: %q", c.file, c.policy, got)
		}
	}

	foreign := statement(t, provenanceFile)
	foreign.Predicate = []byte(`{"buildDefinition":{"buildType":"https://example.com/t","externalParameters":{}},"runDetails":{"builder":{"id":"https://example.com/b"}}}`)
	p, err := Parse("p", []byte(`builder = ["https://example.com/b"]
source.tag = "v1.2.3"
build.snapshot = false
build.toolchain = "go1.20"`))
	if err != nil {
		t.Fatal(err)
	}
	var got []Outcome
	for _, f := range p.Check(foreign.Subjects[0].Digest, []Statement{foreign}) {
		got = append(got, f.Outcome)
	}
	if !slices.Equal(got, []Outcome{Met, NotShown, NotShown, NotShown}) {
		t.Errorf("a foreign build type: %v", got)
	}
}

// TestContradiction shows that statements cannot share the work: each has to meet
// every expectation that is shown by its kind.
func TestContradiction(t *testing.T) {
	p, subject, all := example(t)
	second := func(i int, old, new string) Statement {
		s := all[i]
		if !strings.Contains(string(s.Predicate), old) {
			t.Fatalf("no %s", old)
		}
		s.Predicate = []byte(strings.ReplaceAll(string(s.Predicate), old, new))
		return s
	}
	for what, c := range map[string]struct {
		s    Statement
		want string
	}{
		"another builder":      {second(0, "v1.md#local", "v1.md#other"), "builder: failed"},
		"another tag":          {second(0, `"tag":"v1.2.3"`, `"tag":"v1.2.2"`), "source.tag: failed"},
		"a damaged provenance": {second(0, `"recipes"`, `"Recipes"`), "source.tag: failed: provenance: "},
		"a damaged result":     {second(1, `"warnedTests":[]`, `"warnedTests":["x"]`), "build.double: failed: test result: "},
		"less variation":       {second(1, `{"name":"user","varied":true}`, `{"name":"user","reason":"why not","varied":false}`), "build.variations: user: failed"},
	} {
		for _, list := range [][]Statement{append(slices.Clone(all), c.s), append([]Statement{c.s}, all...)} {
			if err := p.Check(subject, list).Err(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"", "p:1: nothing is expected, so anything would pass"},
		{"# nothing\n[source]\n", "p:1: nothing is expected, so anything would pass"},
		{"\n\nbuilder = [", "p:3: "},
		{"builder = 7", "p:1: builder: want a list of strings, not a number"},
		{"builder = []", "p:1: builder: empty: leave the key out if nothing is expected"},
		{"builder = ['x']", `p:1: builder: "x": not a URI with a scheme`},
		{"builder = ['https://a.example', 'https://a.example']", "there twice"},
		{"builders = ['https://a.example']", "p:1: builders: unknown key"},
		{"Builder = ['https://a.example']", "p:1: Builder: unknown key"},
		{"\"build.double\" = true", `unknown key`},
		{"build = true", "p:1: build: want a table, not a boolean"},
		{"[[build]]\ndouble = true", "p:1: build: want a table, not a list"},
		{"[build]\n\ndouble = false", "p:3: build.double: false expects nothing"},
		{"[build]\ndouble = 'true'", "p:2: build.double: want true"},
		{"[build]\nworkflow = '../release.yml'", `p:2: build.workflow: "../release.yml": want the path of a file`},
		{"[build]\nworkflow = '.github/workflows/x.yml@refs/heads/main'", "p:2: build.workflow: "},
		{"[source]\nbranch = 'refs/heads/main'", `p:2: source.branch: "refs/heads/main": want the name of a branch, such as main`},
		{"[build]\npartial = false", "p:2: build.partial: false expects nothing"},
		{"[build]\npartial = true", "nothing is expected"},
		{"[build]\nsnapshot = true", "p:2: build.snapshot: true expects nothing"},
		{"[build]\ntoolchain = '1.26'", `p:2: build.toolchain: "1.26": want a version of Go`},
		{"[build]\nvariations = ['a', 7]", "p:2: build.variations: want a string, not a number"},
		{"[build.more]\nx = 1", "p:1: build.more: unknown key"},
		{"[source]\ntag = ''", "p:2: source.tag: empty"},
		{"[source]\ntag = 'refs/tags/v1'", "want the name of a tag"},
		{"[source]\ncommit = '64d3f79'", "want a full commit"},
		{"[source]\nrepository = 'hello'", "want the address of a repository"},
		{"[source]\nrepository = 'https://example.com'", "want the address of a repository"},
		{"[source]\nmodule = 'example.com/x'", "p:2: source.module: "},
		{"x = 2026-01-01", "unknown key"},
		{"rebuilds = 2", "p:1: rebuilds: want a table, not a number"},
		{"[[rebuilds]]\natLeast = 1", "p:1: rebuilds: want a table, not a list"},
		{"[rebuilds]\natLeast = 1", "p:1: rebuilds: without by"},
		{"\n[rebuilds]\nmodule = 'example.com/x@v1.0.0'", "without atLeast"},
		{"rebuilds = { by = [{name='a', key='a.pub'}] }", "p:1: rebuilds: without atLeast"},
		{"rebuilds = { atLeast = 0, by = [{name='a', key='a.pub'}] }", "p:1: rebuilds.atLeast: want a number from 1"},
		{"rebuilds = { atLeast = -1, by = [{name='a', key='a.pub'}] }", "rebuilds.atLeast: want a number"},
		{"rebuilds = { atLeast = 1.5, by = [{name='a', key='a.pub'}] }", "rebuilds.atLeast: want a number"},
		{"rebuilds = { atLeast = '1', by = [{name='a', key='a.pub'}] }", "rebuilds.atLeast: want a number"},
		{"[rebuilds]\natLeast = 2\nby = [{name='a', key='a.pub'}]", "p:2: rebuilds.atLeast: 2, and only 1 in by: it can never be met"},
		{"[rebuilds]\natLeast = 1\nby = []", "p:3: rebuilds.by: 0 of them: want 1 to 100"},
		{"[rebuilds]\natLeast = 1\nby = ['a.pub']", "p:3: rebuilds.by: [0]: want a table"},
		{"[rebuilds]\natLeast = 1\nby = 'a.pub'", "want a list of tables, not a string"},
		{"[rebuilds]\natLeast = 1\nby = [{key='a.pub'}]", "rebuilds.by: [0]: without a name"},
		{"[rebuilds]\natLeast = 1\nby = [{name='a'}]", "[0]: a: want a key, or an identity and its issuer"},
		{"[rebuilds]\natLeast = 1\nby = [{name='a', identity='a@example.com'}]", "want a key, or an identity and its issuer"},
		{"[rebuilds]\natLeast = 1\nby = [{name='a', issuer='https://a.example'}]", "want a key, or an identity and its issuer"},
		{"[rebuilds]\natLeast = 1\nby = [{name='a', key='a.pub', issuer='https://a.example'}]", "key and identity exclude each other"},
		{"[rebuilds]\natLeast = 1\nby = [{name='a', key='a.pub', email='a'}]", "email: unknown key; there are identity, issuer, key, name, trustedRoot"},
		{"[rebuilds]\natLeast = 1\nby = [{name='a', Key='a.pub'}]", "Key: unknown key"},
		{"[rebuilds]\natLeast = 1\nby = [{name='a', key=''}]", "key: empty"},
		{"[rebuilds]\natLeast = 1\nby = [{name='a', key=['a.pub']}]", "key: want a string, not a list"},
		{"[rebuilds]\natLeast = 1\nby = [{name=\"a\\u001b[2J\", key='a.pub'}]", "cannot be printed"},
		{"[rebuilds]\natLeast = 1\n[[rebuilds.by]]\nname='a'\nkey='a.pub'\n[[rebuilds.by]]\nname='a'\nkey='b.pub'", `[1]: name: "a" is there twice`},
		{"[rebuilds]\natLeast = 1\nby = [{name='a', key='a.pub'}]\nreproduced = false", "p:4: rebuilds.reproduced: false expects nothing"},
		{"[rebuilds]\natLeast = 1\nby = [{name='a', key='a.pub'}]\nmodule = 'example.com/x'", "p:4: rebuilds.module: "},
		{"[rebuilds]\natLeast = 1\nby = [{name='a', key='a.pub'}]\natMost = 3", "p:4: rebuilds.atMost: unknown key"},
		{strings.Repeat("#\n", 600), "more than"},
		{strings.Repeat("#", MaxSize), "nothing is expected"},
		{strings.Repeat("#", MaxSize+1), "more than"},
	} {
		p, err := Parse("p", []byte(c.file))
		list := tomlfile.Errors(nil)
		if err == nil || !errors.As(err, &list) || !strings.Contains(err.Error(), c.want) || p != nil {
			t.Errorf("%q: %v", c.file, err)
		}
	}
	// All at once, with the line where each value begins.
	_, err := Parse("p", []byte(`# a comment
builder = [   # [
    "https://a.example",

    "nowhere",
]
more = """
builder
"""

[build] # too
  toolchain = "one"
double = false
`))
	want := `p:2: builder: "nowhere": not a URI with a scheme
p:7: more: unknown key
  hint: the keys are build.double, build.partial, build.snapshot, build.toolchain, build.variations, build.workflow, builder, rebuilds.allow, rebuilds.atLeast, rebuilds.by, rebuilds.module, rebuilds.reproduced, source.branch, source.commit, source.module, source.repository, source.tag
p:12: build.toolchain: "one": want a version of Go, such as go1.26.5
p:13: build.double: false expects nothing: leave the key out`
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

// FuzzParse shows that a file is either an expectation or an error with lines
// that the file has.
func FuzzParse(f *testing.F) {
	f.Add(read(f, "../../configs/policy.toml"))
	f.Add([]byte("builder = ['https://a.example']\n[build]\ndouble = 7\nx = [\n[[1]]]\n"))
	f.Add([]byte("[rebuilds]\natLeast = 2\nby = [{name='a', key='a.pub'},\n{name='b', identity='b', issuer='c', trustedRoot='d'}]\nmodule='example.com/x@v1.0.0'"))
	f.Add([]byte(generatedPolicy))
	f.Add([]byte("rebuilds = 1\n[[rebuilds.by]]"))
	f.Add([]byte("\"a\".'b' = {c = 1}\r\n[source]\r\n\"tag\" = 'v1'"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("p", data)
		if err != nil {
			list := tomlfile.Errors(nil)
			if p != nil || !errors.As(err, &list) || len(list) == 0 {
				t.Fatalf("%v, %v", p, err)
			}
			for _, e := range list {
				if e.Line < 1 || e.Line > strings.Count(string(data), "\n")+1 {
					t.Errorf("line %d: %v", e.Line, e)
				}
			}
			return
		}
		if fs := p.Check("sha256:", nil); len(fs) == 0 || fs.Err() == nil {
			t.Errorf("accepts anything: %+v", p)
		}
	})
}
