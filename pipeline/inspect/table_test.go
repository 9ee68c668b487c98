package inspect

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	module := func(path, version string) *Build {
		return &Build{Path: path + "/cmd", Main: &Module{Path: path, Version: version}}
	}
	yes := func(names ...Question) (list []Finding) {
		for _, n := range names {
			list = append(list, Finding{Name: n, Is: Yes}, Finding{Name: "-race", Is: No}, Finding{Name: "-msan", Is: Unknown})
		}
		return list
	}
	doc := NewDocument(
		File{Name: "bin/age", Binaries: []Facts{{GOOS: "linux", GOARCH: "amd64", GoVersion: "go1.26.8", Size: 1234567, Build: module("example.test/age", "v1.2.3"), Findings: yes("-s", "-trimpath", "nx")}}},
		File{Name: "both", Format: Universal, Binaries: []Facts{
			{GOOS: "darwin", GOARCH: "amd64", GoVersion: "go1.26.8", Size: 10, Build: module("example.test/x", "(devel)"), Signature: &Signature{}},
			{GOOS: "darwin", GOARCH: "arm64", GoVersion: "go1.26.8", Size: 9, Build: &Build{Path: "command-line-arguments"}, Content: &ContentCheck{State: ContentChanged}},
		}},
		File{Name: "\x1b[31mred\n\u202e", Binaries: []Facts{{GOARCH: "\x07", Size: 1}}},
	)
	const want = `
file                   go        module                  target             bytes  flags
bin/age                go1.26.8  example.test/age@v1.2.3 linux/amd64      1234567  -s -trimpath
both                   go1.26.8  example.test/x@(devel)  darwin/amd64          10  signed
both                   go1.26.8  command-line-arguments  darwin/arm64           9  changed
\x1b[31mred\n\u202e    -         -                       ?/\a                   1
`
	var got bytes.Buffer
	if err := doc.FprintTable(&got); err != nil {
		t.Fatal(err)
	}
	fields := func(s string) string {
		var lines []string
		for _, l := range strings.Split(strings.TrimSpace(s), "\n") {
			lines = append(lines, strings.Join(strings.Fields(l), " "))
		}
		return strings.Join(lines, "\n")
	}
	if fields(got.String()) != fields(want) {
		t.Errorf("got\n%s\nwant%s", &got, want)
	}
	// The columns stand below each other, and sizes end together.
	lines := strings.Split(strings.TrimSuffix(got.String(), "\n"), "\n")
	at, end := strings.Index(lines[0], "go"), strings.Index(lines[0], "bytes")+len("bytes")
	for _, l := range lines[1:] {
		if len(l) < end {
			t.Fatalf("too short: %q", l)
		}
		if l[at-1] != ' ' || l[at] == ' ' || l[end-1] == ' ' || len(l) > end && l[end] != ' ' {
			t.Errorf("not in its column: %q", l)
		}
	}
	pr, pw := io.Pipe()
	why := errors.New("closed")
	pr.CloseWithError(why)
	if err := doc.FprintTable(pw); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}
