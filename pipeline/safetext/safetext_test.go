package safetext

import "testing"

// TestText shows what each function makes of the same texts.
func TestText(t *testing.T) {
	functions := []struct {
		name string
		f    func(string) string
	}{
		{"Escape", func(s string) string { return Escape(s, 20) }},
		{"EscapeUnprintable", EscapeUnprintable},
		{"Quote", func(s string) string { return Quote(s, 20) }},
		{"QuoteLines", QuoteLines},
		{"QuoteUnprintable", QuoteUnprintable},
		{"QuoteWord", QuoteWord},
		{"Replace", func(s string) string { return Replace(s, '?') }},
		{"Clean", Clean},
		{"CleanLines", CleanLines},
	}
	for in, want := range map[string][]string{
		"plain":      {"plain", "plain", "plain", "plain", "plain", "plain", "plain", "plain", "plain"},
		"":           {"", "", `""`, "", "", `""`, "", "", ""},
		"two words ": {"two words ", "two words ", `"two words "`, "two words ", "two words ", `"two words "`, "two words ", "two words ", "two words "},
		`a\"`:        {`a\\\"`, `a\"`, `"a\\\""`, `a\"`, `a\"`, `"a\\\""`, `a\"`, `a\"`, `a\"`},
		"é":          {`\u00e9`, "é", `"\u00e9"`, `"\u00e9"`, "é", "é", "é", "é", "é"},
		"a\x1b[2J":   {`a\x1b[2J`, `a\x1b[2J`, `"a\x1b[2J"`, `"a\x1b[2J"`, `"a\x1b[2J"`, `"a\x1b[2J"`, "a?[2J", "a\uFFFD[2J", "a\uFFFD[2J"},
		"a\nb":       {`a\nb`, `a\nb`, `"a\nb"`, "a\nb", `"a\nb"`, `"a\nb"`, "a?b", "a\uFFFDb", "a\nb"},
		"\u202ea":    {`\u202ea`, `\u202ea`, `"\u202ea"`, `"\u202ea"`, `"\u202ea"`, `"\u202ea"`, "?a", "\uFFFDa", "\uFFFDa"},
		"a\xff":      {`a\xff`, "a\uFFFD", `"a\xff"`, `"a\xff"`, `"a\xff"`, `"a\xff"`, "a?", "a\uFFFD", "a\uFFFD"},
	} {
		for i, f := range functions {
			if got := f.f(in); got != want[i] {
				t.Errorf("%s(%q) is %q, want %q", f.name, in, got, want[i])
			}
		}
	}
	if got := Escape("a text of more than twenty bytes", 20); got != "a text of more than ..." {
		t.Errorf("%q", got)
	}
}

// TestQuoteWord shows what QuoteWord quotes, and that QuoteUnprintable lets spaces be.
func TestQuoteWord(t *testing.T) {
	for in, out := range map[string]string{
		"bin/esbuild":      "bin/esbuild",
		"":                 `""`,
		"a b":              `"a b"`,
		"\x1b]0;owned\x07": `"\x1b]0;owned\a"`,
		"a\nb":             `"a\nb"`,
		"\xff":             `"\xff"`,
		"gnp\u202eexe":     `"gnp\u202eexe"`,
		"größe":            "größe",
		`"a"`:              `"\"a\""`,
	} {
		if got := QuoteWord(in); got != out {
			t.Errorf("%q: got %s, want %s", in, got, out)
		}
	}
	if got := QuoteUnprintable("two words"); got != "two words" {
		t.Error(got)
	}
	if got := QuoteUnprintable("two\rwords"); got != `"two\rwords"` {
		t.Error(got)
	}
}
