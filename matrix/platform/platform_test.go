package platform

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"linux/arm64": "linux/arm64/v8", "linux/arm64/8": "linux/arm64/v8", "linux/arm": "linux/arm/v7", "linux/arm/v8": "linux/arm/v8", "linux/amd64/v1": "linux/amd64",
		"windows/amd64": "windows/amd64",
		"":              "", "linux": "", "linux/": "", "linux/amd64/": "", "linux/amd64/v9": "", "linux/amd64/v3/x": "", "unknown/unknown": "", "linux/x86_64": "",
		"linux/386/v1": "", "Linux/amd64": "", strings.Repeat("linux/", 1000): "",
	} {
		p, err := Parse(in)
		if (err == nil) != (want != "") || err == nil && p.String() != want {
			t.Errorf("%.40q: %s, %v; want %s", in, p, err, want)
		}
	}
}

func TestFallbacks(t *testing.T) {
	for in, want := range map[string]string{
		"linux/amd64/v3":      "linux/amd64/v3 linux/amd64/v2 linux/amd64",
		"linux/amd64":         "linux/amd64",
		"linux/s390x":         "linux/s390x",
		"linux/arm/v7":        "linux/arm/v7 linux/arm/v6 linux/arm/v5",
		"linux/arm64/v8.1":    "linux/arm64/v8.1 linux/arm64/v8",
		"linux/arm64/v9":      "linux/arm64/v9 linux/arm64/v8.5 linux/arm64/v8.4 linux/arm64/v8.3 linux/arm64/v8.2 linux/arm64/v8.1 linux/arm64/v8",
		"linux/ppc64/power10": "linux/ppc64/power10 linux/ppc64/power9 linux/ppc64",
	} {
		p, err := Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, q := range p.Fallbacks() {
			got = append(got, q.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %s", in, got, want)
		}
	}
	p, _ := Parse("linux/arm64/v9.5")
	if n := len(p.Fallbacks()); n != 16 {
		t.Errorf("%s runs images of %d platforms, want 16", p, n)
	}
}

// What is accepted is canonical: its text gives the same platform again, and it
// is the first of its own fallbacks.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"linux/amd64", "linux/arm/v7", "linux/arm64/v8.0", "linux/arm", "windows/386", "linux/riscv64/rva22u64", "a/b/c", "linux/amd64/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse(s)
		if err != nil {
			if p != (Platform{}) {
				t.Fatalf("%q: %v and %v", s, p, err)
			}
			return
		}
		q, err := Parse(p.String())
		if err != nil || q != p {
			t.Fatalf("%q is %v, whose text is %v, %v", s, p, q, err)
		}
		for i, q := range p.Fallbacks() {
			if (i == 0) != (q == p) || i > 0 && q.Compare(p) >= 0 {
				t.Fatalf("%v: fallback %d is %v", p, i, q)
			}
		}
	})
}
