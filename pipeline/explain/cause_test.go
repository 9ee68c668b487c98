package explain

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// many returns n causes of a kind, of which the last weighs the most.
func many(k causeKind, n int) (list []Cause) {
	for i := range n {
		list = append(list, Cause{ID: k.String(), Text: fmt.Sprintf("%s %d", k, i), Confidence: Certain, Weight: int64(i)})
	}
	return list
}

// TestHeaviest shows that many causes of one kind hide neither those of another nor the version and
// the commit of the main module, and that what is shown of them weighs the most.
func TestHeaviest(t *testing.T) {
	c := &Comparison{Causes: slices.Concat(many(causeEmbeddedFile, 20), many(causeModuleVersion, 40), many(causeVCSStamp, 1), many(causeMainVersion, 1), many(causeOtherGoVersion, 1))}
	c.rankCauses()
	count := map[string]int{}
	got := heaviest(c.Causes, maxOfTable)
	for _, x := range got {
		count[x.ID]++
	}
	if len(got) != maxOfTable || count["main-version"] != 1 || count["vcs-stamp"] != 1 || count["other-go-version"] != 1 || count["module-version"] != 5 || count["embedded-file"] != 4 {
		t.Errorf("%v", count)
	}
	if got[0].ID != "other-go-version" || got[1].Text != "module-version 39" || got[len(got)-1].Text != "embedded-file 16" {
		t.Errorf("%+v", got)
	}

	// The version and the commit come before whatever else is of their rank.
	for _, n := range []int{2, 3, 12} {
		got := heaviest(c.Causes, n)
		for _, id := range []string{"main-version", "vcs-stamp"} {
			if !slices.ContainsFunc(got, func(x Cause) bool { return x.ID == id }) {
				t.Errorf("of %d causes none is %s: %+v", n, id, got)
			}
		}
	}
	if few := many(causeSource, 3); len(heaviest(few, 12)) != 3 {
		t.Error("few causes are not all of them")
	}
}

// TestAddCause shows that what is equal in both is no cause, and that many of one kind leave room.
func TestAddCause(t *testing.T) {
	c := &Comparison{}
	c.addCause(causeTimeStamp, Likely, Cause{A: "2026-01-01", B: "2026-01-01"})
	if len(c.Causes) > 0 {
		t.Errorf("%+v", c.Causes)
	}
	for i := range 3 * maxOfKind {
		c.addCause(causeModuleVersion, Certain, Cause{Text: fmt.Sprint("module ", i)})
	}
	c.addCause(causeVCSStamp, Certain, Cause{A: "one", B: "two"})
	if n := c.count(causeModuleVersion); n != maxOfKind || !c.hasCause(func(x Cause) bool { return x.is(causeVCSStamp) }) {
		t.Errorf("%d causes of a kind, and %d in all", n, len(c.Causes))
	}
}

// TestCutPair shows that a difference behind a long beginning stays in what is shown.
func TestCutPair(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for _, p := range [][2]string{
		{"one", "two"}, {long + "one", long + "two"}, {long, long + "y"}, {"one" + long, "two" + long}, {"", long},
		{long[:maxValue] + "a", long[:maxValue] + "b"}, {strings.Repeat("ä", 600) + "1", strings.Repeat("ä", 600) + "2"},
	} {
		a, b := cutPair(p[0], p[1])
		if a == b || max(len(a), len(b)) > maxValue+2*len("...") {
			t.Errorf("%.20q and %.20q became %q and %q", p[0], p[1], a, b)
		}
	}
	if a, b := cutPair(long, long); a != b || len(a) > maxValue+3 {
		t.Errorf("%q, %q", a, b)
	}
}

// TestSameToolchain shows that a toolchain that is known to have built both is not to blame.
func TestSameToolchain(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles all of the runtime anew")
	}
	i := slices.IndexFunc(corpus, func(x example) bool { return x.name == "overlay" })
	a, b := corpus[i].make(t)
	for _, same := range []bool{false, true} {
		want := map[bool]string{false: "other-toolchain-same-version", true: "compiler-output"}[same]
		if r := explainBytes(t, a, b, Options{SameToolchain: same}); top(r) != want || r.Causes[0].Confidence != Likely {
			t.Errorf("same toolchain %t: %+v, want %s", same, r.Causes, want)
		}
	}
}
