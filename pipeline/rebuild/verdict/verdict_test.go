package verdict

import (
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/inspect"
)

func TestDocument(t *testing.T) {
	results := []*Result{
		{Name: "bin/tool", Verdict: "reproduced", Digest: "sha256:" + "00000000000000000000000000000000000000000000000000000000000000ff", Source: "example.com/tool@v1.2.3", GoVersion: "go1.26.8",
			RestsOn: []Ground{{"module zip", "checksum database"}}, Recovered: []Ground{{"-ldflags=-s", "link action ID"}}, Claimed: []Claim{{What: "vcs.time", Why: "its word"}}, Command: "go install example.com/tool@v1.2.3"},
		{Name: "evil\x1b[31m\u202e", Verdict: "undetermined", Reason: Because(NoBuildInfo, "none").WithRemedy("try"), Notes: []string{"\x1b]0;x\a"}, Content: inspect.ContentChanged},
		{Name: "other", Verdict: "differs", Reason: Because(BytesDiffer, "the bytes differ")},
	}
	d := NewDocument(results...)
	if d.Verdict != "differs" || NewDocument(results[:2]...).Verdict != "undetermined" || NewDocument(results[0]).Verdict != "reproduced" || NewDocument().Verdict != "undetermined" {
		t.Errorf("%s", d.Verdict)
	}
	var b strings.Builder
	if err := d.Fprint(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"bin/tool\n  reproduced   sha256:000000000000  example.com/tool@v1.2.3 with go1.26.8\n", "  rests on     module zip (checksum database)\n", "  recovered    -ldflags=-s (link action ID)\n",
		"  as claimed   vcs.time (its word)\n", "  hint         try\n", "3 files: 1 reproduced, 1 undetermined, 1 differs\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	json, err := d.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{b.String(), string(json)} {
		if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }); i >= 0 {
			t.Errorf("%q", text[i:min(len(text), i+20)])
		}
	}
}
