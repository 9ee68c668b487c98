package policy

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/rebuilt"
	"github.com/twicebuild/twice/pipeline/artifact"
)

const rebuildDocs = "../../configs/rebuild/"

// TestConfigs reads the part of configs/policy.toml that is a comment there, and
// that of the page about rebuilds.
func TestConfigs(t *testing.T) {
	data, err := os.ReadFile("../../configs/policy.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(data), "# [rebuilds]\n")
	if !ok {
		t.Fatal("there is no [rebuilds] in configs/policy.toml")
	}
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, "# ")
	}
	p, err := Parse("p", []byte("[rebuilds]\n"+strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	want := &Rebuilds{
		AtLeast: 2, Module: "example.com/hello@v1.2.3", Reproduced: true,
		Allow: map[string][]string{"-X": {"main.version=v1.2.3", "main.commit"}, "-tags": {"netgo", "osusergo"}, "-gcflags": {}},
		By:    []Rebuilder{{Name: "ada", Key: "ada.pub"}, {Name: "ci", Identity: "https://ci.example.com/rebuild", Issuer: "https://issuer.example.com"}},
	}
	if !reflect.DeepEqual(p.Rebuilds, want) || !p.OnlyRebuilds() {
		t.Errorf("%+v", p)
	}
	page, err := os.ReadFile(rebuildDocs + "v1.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok = strings.Cut(string(page), "    [rebuilds]\n")
	if !ok {
		t.Fatal("there is no [rebuilds] on the page")
	}
	text, _, _ = strings.Cut(text, "\n\n")
	if p, err = Parse("p", []byte("[rebuilds]\n"+text)); err != nil || !reflect.DeepEqual(p.Rebuilds.By, want.By) {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestOnlyRebuilds tells when a publisher's signature can be left out.
func TestOnlyRebuilds(t *testing.T) {
	const rebuilds = "rebuilds = { atLeast = 1, by = [{ name = 'ada', key = 'ada.pub' }] }\n"
	for file, want := range map[string]bool{
		rebuilds: true, rebuilds + "build.double = true": false, "build.double = true": false,
	} {
		p, err := Parse("p", []byte(file))
		if err != nil {
			t.Fatal(err)
		}
		if p.OnlyRebuilds() != want {
			t.Errorf("%s: %t", file, !want)
		}
	}
}

// TestRebuilds counts rebuilders, of whom there are four: a, b, c and d.
func TestRebuilds(t *testing.T) {
	reproduced, equivalent, differs := statement(t, rebuildDocs+"v1.reproduced.json").Statement, statement(t, rebuildDocs+"v1.equivalent.json").Statement, statement(t, rebuildDocs+"v1.differs.json").Statement
	subject := reproduced.Subjects[0].Digest
	damaged := reproduced
	damaged.Predicate = []byte(strings.Replace(string(damaged.Predicate), `"PASSED"`, `"PASSED "`, 1))
	other := intoto.Statement{Subjects: reproduced.Subjects, PredicateType: "https://example.com/other", Predicate: []byte("{}")}
	elsewhere := reproduced
	elsewhere.Subjects = []intoto.Subject{{Name: "tool", Digest: artifact.Of([]byte("elsewhere"))}}
	by := func(i int, s intoto.Statement) Rebuilt { return Rebuilt{By: i, Signer: "abcd"[i : i+1], Statement: s} }
	as := func(r Rebuilt, signer string) Rebuilt { r.Signer = signer; return r }
	publisher := func(r Rebuilt) Rebuilt { r.Publisher = true; return r }
	for what, c := range map[string]struct {
		more string
		list []Rebuilt
		want string
	}{
		"two":                      {"", []Rebuilt{by(0, reproduced), by(2, equivalent)}, "rebuilds: met by a, c"},
		"three":                    {"", []Rebuilt{by(0, reproduced), by(2, equivalent), by(1, equivalent)}, "rebuilds: met by a, b, c"},
		"nobody":                   {"", nil, "rebuilds: not shown: 0 of at least 2: nothing of a; nothing of b; nothing of c; nothing of d"},
		"one":                      {"", []Rebuilt{by(1, reproduced)}, "rebuilds: not shown: 1 of at least 2: nothing of a; nothing of c; nothing of d"},
		"one twice":                {"", []Rebuilt{by(1, reproduced), by(1, equivalent)}, "rebuilds: not shown: 1 of at least 2: nothing of a"},
		"one signer":               {"", []Rebuilt{by(0, reproduced), as(by(1, reproduced), "a")}, "rebuilds: not shown: 1 of at least 2: b is the same signer as a, and counts once"},
		"one signer, and another":  {"", []Rebuilt{by(0, reproduced), as(by(1, reproduced), "a"), by(3, reproduced)}, "rebuilds: met by a, d"},
		"the publisher":            {"", []Rebuilt{by(0, reproduced), publisher(by(1, reproduced))}, "not shown: 1 of at least 2: b is the publisher"},
		"the publisher is one":     {"", []Rebuilt{publisher(by(0, reproduced)), publisher(as(by(1, reproduced), "a"))}, "not shown: 0 of at least 2: a is the publisher"},
		"a difference":             {"", []Rebuilt{by(0, reproduced), by(1, reproduced), by(2, differs)}, "rebuilds: failed: c says that it differs"},
		"a difference before":      {"", []Rebuilt{by(2, differs), by(0, reproduced), by(1, reproduced)}, "rebuilds: failed: c says that it differs"},
		"the publisher's":          {"", []Rebuilt{publisher(by(2, differs)), by(0, reproduced), by(1, reproduced)}, "rebuilds: failed: c says that it differs"},
		"damaged":                  {"", []Rebuilt{by(0, reproduced), by(1, reproduced), by(2, damaged)}, "rebuilds: failed: c: statement of a rebuild: verificationResult"},
		"something else":           {"", []Rebuilt{by(0, reproduced), by(1, other)}, "rebuilds: failed: b: not a statement of a rebuild"},
		"about something else":     {"", []Rebuilt{by(0, reproduced), by(1, elsewhere)}, "not shown: 1 of at least 2: nothing of b"},
		"nobody who is listed":     {"", []Rebuilt{by(0, reproduced), {By: 4, Signer: "e", Statement: reproduced}, {By: -1, Signer: "f", Statement: reproduced}}, "not shown: 1 of at least 2"},
		"byte for byte":            {"reproduced = true", []Rebuilt{by(0, reproduced), by(1, equivalent)}, "not shown: 1 of at least 2: b says that it is equivalent, not reproduced"},
		"byte for byte, all":       {"reproduced = true", []Rebuilt{by(0, reproduced), by(1, reproduced)}, "met by a, b"},
		"of a source":              {"module = 'example.com/tool@v1.2.3'", []Rebuilt{by(0, reproduced), by(1, equivalent)}, "met by a, b"},
		"of another source":        {"module = 'example.com/tool@v1.2.4'", []Rebuilt{by(0, reproduced), by(1, equivalent)}, "not shown: 0 of at least 2: a rebuilt it from example.com/tool@v1.2.3; b rebuilt it"},
		"of a source, and differs": {"module = 'example.com/tool@v1.2.4'", []Rebuilt{by(0, differs)}, "failed: a says that it differs"},
	} {
		p, err := Parse("p", []byte("[rebuilds]\natLeast = 2\nby = [{name='a', key='a'}, {name='b', key='b'}, {name='c', key='c'}, {name='d', key='d'}]\n"+c.more+"\n[rebuilds.allow]\n-X = ['main.version']\n"))
		if err != nil {
			t.Fatal(err)
		}
		findings := p.Check(subject, nil, c.list...)
		if len(findings) != 1 || !strings.Contains(findings[0].String(), c.want) || (findings.Err() == nil) != strings.Contains(c.want, "met by") {
			t.Errorf("%s: %v", what, findings)
		}
	}
}

// TestRebuildersShowNothingElse has a rebuilder say what only a publisher may.
func TestRebuildersShowNothingElse(t *testing.T) {
	p, subject, all := example(t)
	p.Rebuilds = &Rebuilds{AtLeast: 1, By: []Rebuilder{{Name: "a", Key: "a"}}}
	var list []Rebuilt
	for _, s := range all {
		list = append(list, Rebuilt{Signer: "a", Statement: s.Statement})
	}
	for _, f := range p.Check(subject, nil, list...) {
		if f.Outcome == Met {
			t.Errorf("%s", f)
		}
	}
	// And the other way round: what the publisher says is no rebuild.
	said := statement(t, rebuildDocs+"v1.reproduced.json")
	p = &Policy{Rebuilds: p.Rebuilds}
	if err := p.Check(said.Subjects[0].Digest, []Statement{said}).Err(); err == nil {
		t.Error("the publisher's word counts as a rebuild")
	}
}

// rebuild is a statement of a pass whose recipe has some flags and variables more.
func rebuild(t *testing.T, flags, env []string, claims ...rebuilt.Claim) intoto.Statement {
	t.Helper()
	base, err := rebuilt.Decode(statement(t, rebuildDocs+"v1.reproduced.json").Statement)
	if err != nil {
		t.Fatal(err)
	}
	r := base.Recipe.Recipe
	verb, pkg := "install", r.Argv[len(r.Argv)-1:]
	if n := len(flags); n > 0 && strings.HasSuffix(flags[n-1], ".go") { // files are the package
		verb, pkg = "build", nil
	}
	r.Argv = slices.Concat([]string{"go", verb}, flags, pkg)
	r.Env = slices.Sorted(slices.Values(slices.Concat(r.Env, env)))
	if base.Recipe, err = rebuilt.NewRecipe(r); err != nil {
		t.Fatal(err)
	}
	base.Claimed = claims
	for _, c := range r.Choices() {
		base.Claimed = append(base.Claimed, rebuilt.Claim{What: c.String(), Setting: c.Setting, Value: c.Value})
	}
	s, err := rebuilt.New(*base)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAllow bounds what the publisher chose. What is refused is so by each single
// rebuilder who says it.
func TestAllow(t *testing.T) {
	plain := rebuild(t, []string{"-trimpath", "-ldflags=-s -w -buildid= -B gobuildid -extldflags -static", "-buildmode=pie", "-pgo=off"}, nil,
		rebuilt.Claim{What: "vcs.revision=x", Setting: "vcs.revision", Value: "x"}, rebuilt.Claim{What: "GOROOT=/usr/local/go", Setting: "GOROOT", Value: "/usr/local/go"})
	files := rebuild(t, []string{"-trimpath", "./main.go", "./x.go"}, nil)
	dirty := rebuild(t, []string{"-trimpath"}, nil, rebuilt.Claim{What: "vcs.modified=true", Setting: "vcs.modified", Value: "true"})
	for what, c := range map[string]struct {
		allow string
		s     intoto.Statement
		want  string
	}{
		"what changes nothing":      {"", plain, "met"},
		"which may be bounded":      {"-ldflags = ['-s', '-w', '-buildid=', '-B=*', '-extldflags=-static']", plain, "met"},
		"and is then":               {"-ldflags = ['-s', '-w']", plain, `"-ldflags=-s -w -buildid= -B=gobuildid -extldflags=-static", which [rebuilds.allow] would have to name: -ldflags = ["-buildid="]`},
		"by nothing at all":         {"-trimpath = []", plain, `"-trimpath", which [rebuilds.allow] would have to name: -trimpath = [""]`},
		"and the stamp, too":        {"vcs.revision = ['y']", plain, `vcs.revision = ["x"]`},
		"a tree with changes":       {"", dirty, "met"},
		"which may be refused":      {"vcs.modified = ['false']", dirty, `"vcs.modified=true", which [rebuilds.allow] would have to name: vcs.modified = ["true"]`},
		"and in quotes":             {"[rebuilds.allow.vcs]\nrevision = ['y']", plain, `vcs.revision = ["x"]`},
		"no bounds checks":          {"", rebuild(t, []string{"-gcflags=-B"}, nil), `a says that it was built with "-gcflags=-B" (-B means no bounds checks: an index out of range reads or writes other memory), which [rebuilds.allow] would have to name: -gcflags = ["-B"]`},
		"no bounds checks, of all":  {"-gcflags = ['-B']", rebuild(t, []string{"-gcflags=all=-B"}, nil), `-gcflags = ["all=-B"]`},
		"none that is allowed":      {"-gcflags = []", rebuild(t, []string{"-gcflags=all=-N"}, nil), `-gcflags = ["all=-N"]`},
		"one that is allowed":       {"-gcflags = ['all=-N -l']", rebuild(t, []string{"-gcflags=all=-N -l"}, nil), "met"},
		"of the tools of Go":        {"", rebuild(t, []string{"-gcflags=cmd/...=-dwarf=false"}, nil), "met"},
		"a stamp":                   {"", rebuild(t, []string{"-ldflags=-X main.version=v1"}, nil), `"-X main.version=v1", which [rebuilds.allow] would have to name: -X = ["main.version"]`},
		"a stamp that is allowed":   {"-X = ['main.version']", rebuild(t, []string{"-ldflags=-X main.version=v1"}, nil), "met"},
		"its value":                 {"-X = ['main.version=v1']", rebuild(t, []string{"-ldflags=-X main.version=v1"}, nil), "met"},
		"another value":             {"-X = ['main.version=v1']", rebuild(t, []string{"-ldflags=-X main.version=v12"}, nil), "-X main.version=v12"},
		"a pattern of its value":    {"-X = ['main.version=v1.*']", rebuild(t, []string{"-ldflags=-X main.version=v1.2"}, nil), "met"},
		"a pattern with a dot":      {"-X = ['main.version=v1.*']", rebuild(t, []string{"-ldflags=-X main.version=v12"}, nil), "-X main.version=v12"},
		"a stamp in a stamp":        {"-X = ['main.version']", rebuild(t, []string{"-ldflags=-X main.url=main.version=x"}, nil), `-X = ["main.url"]`},
		"a longer name":             {"-X = ['main.version']", rebuild(t, []string{"-ldflags=-X main.versionURL=x"}, nil), `-X = ["main.versionURL"]`},
		"another stamp beside":      {"-X = ['main.version']", rebuild(t, []string{"-ldflags=-X main.version=v1 -X=main.key=x"}, nil), `-X = ["main.key"]`},
		"GODEBUG by a stamp":        {"", rebuild(t, []string{"-ldflags=-X runtime.godebugDefault=x509sha1=1"}, nil), "settings of GODEBUG"},
		"tags":                      {"-tags = ['netgo', 'osusergo']", rebuild(t, []string{"-tags=netgo,osusergo"}, nil), "met"},
		"a tag more":                {"-tags = ['netgo']", rebuild(t, []string{"-tags=netgo,insecure"}, nil), `-tags = ["insecure"]`},
		"tags without a word":       {"", rebuild(t, []string{"-tags=netgo"}, nil), `"-tags=netgo" (chooses files of the source)`},
		"files":                     {"", files, `"files=./main.go ./x.go" (chooses files of the source), which [rebuilds.allow] would have to name: files = ["./main.go"]`},
		"a file more":               {"files = ['./main.go']", files, `files = ["./x.go"]`},
		"files that are allowed":    {"files = ['./main.go', './x.go']", files, "met"},
		"an experiment":             {"", rebuild(t, nil, []string{"GOEXPERIMENT=synctest"}), "GOEXPERIMENT = "},
		"an experiment that may be": {"GOEXPERIMENT = ['synctest']", rebuild(t, nil, []string{"GOEXPERIMENT=synctest"}), "met"},
		"a module for FIPS":         {"", rebuild(t, nil, []string{"GOFIPS140=v1.0.0"}), "GOFIPS140 = "},
		"the assembler's":           {"", rebuild(t, []string{"-asmflags=-S=0"}, nil), "-asmflags = "},
		"a build mode":              {"", rebuild(t, []string{"-buildmode=c-shared"}, nil), "-buildmode = "},
		"another linker":            {"", rebuild(t, []string{"-ldflags=-linkmode external"}, nil), `-ldflags = ["-linkmode=external"]`},
		"the race detector":         {"-gcflags = ['*']", rebuild(t, []string{"-race"}, nil), "does not know, and no policy can allow"},
		"what nobody thought of":    {"", rebuild(t, nil, []string{"GOINVENTED=1"}), `"GOINVENTED=1", a setting that this twice does not know`},
		"terminals and long ones":   {"", rebuild(t, []string{"-ldflags=-X main.v=\x1b[31m" + strings.Repeat("x", 1000)}, nil), `"-X main.v=\x1b[31mxxx`},
		"many":                      {"", rebuild(t, []string{"-ldflags=-X a.a=1 -X a.b=1 -X a.c=1 -X a.d=1 -X a.e=1"}, nil), "and 2 more"},
	} {
		p, err := Parse("p", []byte("[rebuilds]\natLeast = 1\nby = [{name='a', key='a'}, {name='b', key='b'}]\n[rebuilds.allow]\n"+c.allow))
		if err != nil {
			t.Fatal(what, err)
		}
		good := Rebuilt{By: 1, Signer: "b", Statement: plain}
		list := []Rebuilt{{By: 0, Signer: "a", Statement: c.s}}
		if c.want != "met" && c.allow == "" {
			list = append(list, good) // who does not outweigh it
		}
		f := p.Check(c.s.Subjects[0].Digest, nil, list...)
		if text := f[0].String(); !strings.Contains(text, c.want) || (f.Err() == nil) != (c.want == "met") || f[0].Outcome == NotShown || strings.ContainsRune(text, 0x1b) || len(text) > 2000 {
			t.Errorf("%s: %s", what, text)
		}
	}

	// Without a recipe there is nothing to hold against the policy, but of Go itself.
	p, err := Parse("p", []byte("rebuilds = { atLeast = 1, by = [{name='a', key='a'}] }"))
	if err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{"example.com/tool@v1.2.3": "there is no recipe", "golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64": "met by a", "golang.org/toolchainx@v1": "there is no recipe"} {
		r, err := rebuilt.Decode(plain)
		if err != nil {
			t.Fatal(err)
		}
		r.Recipe, r.Claimed, r.Source = nil, nil, source
		s, err := rebuilt.New(*r)
		if err != nil {
			t.Fatal(err)
		}
		if f := p.Check(r.Digest, nil, Rebuilt{Signer: "a", Statement: s}); !strings.Contains(f[0].String(), want) {
			t.Errorf("%s: %s", source, f[0])
		}
	}
}

// TestAllowRefuses has what cannot be meant.
func TestAllowRefuses(t *testing.T) {
	for file, want := range map[string]string{
		"-race = ['true']":       "unknown key",
		"GOFLAGS = ['x']":        "unknown key",
		"-gcflags = '-N'":        "p:5: rebuilds.allow.-gcflags: want a list of strings, not a string",
		"-gcflags = [1]":         "want a list of strings, not of a number",
		"-X = ['']":              "want the name of a variable",
		"-X = ['*']":             "want the name of a variable",
		"-X = ['*=x']":           "want the name of a variable",
		"-tags = ['a', 'a']":     "is there twice",
		"-tags = [\"a\\u001b\"]": "cannot be printed",
		"vcs = ['x']":            "want a table",
		"-tags.netgo = true":     "-tags",
		"tags = ['netgo']":       "unknown key",
	} {
		_, err := Parse("p", []byte("[rebuilds]\natLeast = 1\nby = [{name='a', key='a'}]\n[rebuilds.allow]\n"+file))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", file, err, want)
		}
	}
}
