package policy

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/twicebuild/twice/attest/intoto"
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
		By: []Rebuilder{{Name: "ada", Key: "ada.pub"}, {Name: "ci", Identity: "https://ci.example.com/rebuild", Issuer: "https://issuer.example.com"}},
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
	reproduced, equivalent, differs := statement(t, rebuildDocs+"v1.reproduced.json"), statement(t, rebuildDocs+"v1.equivalent.json"), statement(t, rebuildDocs+"v1.differs.json")
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
		p, err := Parse("p", []byte("[rebuilds]\natLeast = 2\nby = [{name='a', key='a'}, {name='b', key='b'}, {name='c', key='c'}, {name='d', key='d'}]\n"+c.more))
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
		list = append(list, Rebuilt{Signer: "a", Statement: s})
	}
	for _, f := range p.Check(subject, nil, list...) {
		if f.Outcome == Met {
			t.Errorf("%s", f)
		}
	}
	// And the other way round: what the publisher says is no rebuild.
	rebuild := statement(t, rebuildDocs+"v1.reproduced.json")
	p = &Policy{Rebuilds: p.Rebuilds}
	if err := p.Check(rebuild.Subjects[0].Digest, []intoto.Statement{rebuild}).Err(); err == nil {
		t.Error("the publisher's word counts as a rebuild")
	}
}
