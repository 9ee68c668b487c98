package rebuild

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/inspect"
)

// TestValues: a value is found whatever stands before it, and what a build without it has is none.
func TestValues(t *testing.T) {
	const mask = "\xff\xff\xff\x7f\xff\xff"
	for what, x := range map[string]struct {
		data string
		want []string
	}{
		"alone":                       {"\x00v1.2.3\x00", []string{"v1.2.3"}},
		"behind a mask":               {mask + "v1.2.3\x00", []string{"v1.2.3"}},
		"behind a long mask":          {strings.Repeat("\xff", 3*maxValue) + "v1.2.3\x00", []string{"v1.2.3"}},
		"behind a mask and a letter":  {mask + "_v1.2.3\x00", []string{"v1.2.3"}},
		"behind a letter, or with it": {"\x00x1.2.3-y\x00", []string{"1.2.3-y", "x1.2.3-y"}},
		"with its own text before":    {"\x00release v1.2.3\x00", []string{"release v1.2.3"}},
		"of another alphabet":         {mask + "größe\x00", nil},
		"a word":                      {mask + "linux-build\x00", []string{"linux-build"}},
		"too long":                    {"\x00" + strings.Repeat("x", maxValue+1) + "\x00", nil},
		"too short":                   {"\xffv1\x00", nil},
		"no end":                      {"\x00v1.2.3", nil},
		"in both":                     {"\x00common text\x00" + mask + "common text\x00", nil},
	} {
		section := func(data string) []inspect.Section {
			return []inspect.Section{{Name: ".rodata", Size: int64(len(data))}}
		}
		base := "\x00common text\x00"
		got, err := values(strings.NewReader(x.data), strings.NewReader(base), section(x.data), section(base))
		if err != nil || !slices.Equal(got, x.want) {
			t.Errorf("%s: %q, %v, want %q", what, got, err, x.want)
		}
	}
	if got := afterInvalid([]byte("\xffa\xc3")); len(got) > 0 {
		t.Errorf("%q", got)
	}
	if got := afterInvalid([]byte("gr\xc3\xb6\xc3\x9fe")); !bytes.Equal(got, []byte("größe")) {
		t.Errorf("%q", got)
	}
}
