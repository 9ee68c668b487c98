package archive

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/artifact"
)

const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

func TestSums(t *testing.T) {
	list := []artifact.Artifact{
		{Name: "p_1.0_linux_amd64.tar.gz", Digest: artifact.Of([]byte("abc"))},
		{Name: "bin/linux_amd64/p", Digest: artifact.Of(nil)},
		{Name: "Z", Digest: artifact.Of(nil)},
	}
	const want = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  Z\n" +
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  bin/linux_amd64/p\n" +
		abc + "  p_1.0_linux_amd64.tar.gz\n"
	var b bytes.Buffer
	if err := Sums(&b, list); err != nil {
		t.Fatal(err)
	}
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	if list[0].Name[0] != 'p' {
		t.Error("sorts the caller's slice")
	}
	got, err := ParseSums(&b)
	if err != nil {
		t.Fatal(err)
	}
	if want := []Sum{{"Z", list[2].Digest}, {"bin/linux_amd64/p", list[1].Digest}, {list[0].Name, list[0].Digest}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSumsRefused(t *testing.T) {
	good := artifact.Of(nil)
	for _, list := range [][]artifact.Artifact{
		{{Name: "a"}},
		{{Name: "a", Digest: "sha256:00"}},
		{{Name: "a", Digest: artifact.Digest(strings.ToUpper(string(good)))}},
		{{Name: "a", Digest: good}, {Name: "a", Digest: good}},
		{{Name: "a", Digest: good}, {Name: "A", Digest: good}},
		{{Name: "a", Digest: good}, {Name: "a/b", Digest: good}},
		{{Name: "a\nb", Digest: good}},
		{{Name: `a\b`, Digest: good}},
		{{Name: "../a", Digest: good}},
		{{Name: "", Digest: good}},
	} {
		var b bytes.Buffer
		if err := Sums(&b, list); err == nil || b.Len() > 0 {
			t.Errorf("%v: error %v, wrote %q", list, err, b.String())
		}
	}
	if err := Sums(&full{3}, []artifact.Artifact{{Name: "a", Digest: good}}); err == nil {
		t.Error("a full disk goes unnoticed")
	}
}

func TestParseSums(t *testing.T) {
	tests := []struct{ in, want string }{ // want is part of the error, "" if there is none
		{"", ""},
		{abc + "  a\n", ""},
		{abc + " *a\n" + abc + "  b c\n", ""},
		{abc + "  " + strings.Repeat("abc/", 255) + "abcd\n", ""},
		{abc + "  a", "without a newline"},
		{abc + "  a\n\n", "line 2"},
		{abc + " a\n", "two spaces"},
		{abc + "\ta\n", "two spaces"},
		{abc + "  \n", "line 1"},
		{abc[1:] + "  ab\n", "line 1"},
		{strings.ToUpper(abc) + "  a\n", "lower-case"},
		{strings.Repeat("g", 64) + "  a\n", "digest"},
		{`\` + abc + `  a\nb` + "\n", "line 1"},
		{abc + "  a\r\n", "invalid char"},
		{abc + "  ../a\n", `".."`},
		{abc + "  /a\n", "empty path element"},
		{abc + "  a\n" + abc + "  a\n", "line 2: \"a\": listed twice"},
		{abc + "  a\n" + abc + "  A\n", "line 2"},
		{abc + "  " + strings.Repeat("a", 5000) + "\n", "longer than"},
		{strings.Repeat("a", 5000), "longer than"},
		{strings.Repeat("\x00", 300), "without a newline"},
	}
	for _, tt := range tests {
		_, err := ParseSums(strings.NewReader(tt.in))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.100q: error %v, want %q", tt.in, err, tt.want)
		}
	}
	if _, err := ParseSums(zeros{}); err == nil {
		t.Error("reads without end")
	}
	many := &strings.Builder{}
	for many.Len() <= maxSumsSize {
		many.WriteString(abc + "  a\n")
	}
	if _, err := ParseSums(strings.NewReader(many.String())); err == nil {
		t.Error("accepts more than the limit")
	}
}

// FuzzSums: what ParseSums accepts, Sums writes, and it comes back.
func FuzzSums(f *testing.F) {
	f.Add([]byte(abc + "  a\n" + abc + " *b/c\n"))
	f.Add([]byte(`\` + abc + `  a\\b` + "\n"))
	f.Add([]byte(abc + "  Größe\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		sums, err := ParseSums(bytes.NewReader(data))
		if err != nil {
			return
		}
		var list []artifact.Artifact
		for _, s := range sums {
			list = append(list, artifact.Artifact{Name: s.Name, Digest: s.Digest})
		}
		var b bytes.Buffer
		if err := Sums(&b, list); err != nil {
			t.Fatal(err)
		}
		if b.Len() != len(data) {
			t.Errorf("%d bytes became %d", len(data), b.Len())
		}
		again, err := ParseSums(&b)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(sums, func(a, b Sum) int { return strings.Compare(a.Name, b.Name) })
		if !slices.Equal(again, sums) {
			t.Errorf("got %v, want %v", again, sums)
		}
	})
}
