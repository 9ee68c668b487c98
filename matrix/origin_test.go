package matrix

import "testing"

func TestOrigin(t *testing.T) {
	f := mustParse(t, `project = "x"
[[binary]]
package = "."
cgo = true
stamps = { "main.v" = "1", "main.w" = "2" }

[[binary]]
package = "./y"

[build]
trimpath = false
cgo = false
buildid = "b"

[[override]]
target = "linux/*"
binary = "x"
buildid = ""
stamps = { "main.v" = "3" }

[[override]]
target = "linux/arm64"
trimpath = true

[matrix]
os = ["linux", "darwin"]
arch = ["amd64", "arm64"]
`)
	builds, err := f.Builds(nil, SampleVars("x"))
	if err != nil {
		t.Fatal(err)
	}
	of := func(target, binary string) Build {
		for _, b := range builds {
			if b.Target.String() == target && b.Binary == binary {
				return b
			}
		}
		t.Fatalf("no %s for %s", binary, target)
		return Build{}
	}
	for _, tt := range []struct {
		target, binary string
		key            []string
		want           string
		line           int
	}{
		{"darwin/amd64", "x", []string{"trimpath"}, "build.trimpath", 11},
		{"linux/arm64", "x", []string{"trimpath"}, "override[1].trimpath", 23},
		{"linux/arm64", "x", []string{"buildid"}, "override[0].buildid", 18},
		{"linux/arm64", "y", []string{"buildid"}, "build.buildid", 13},
		{"linux/amd64", "x", []string{"cgo"}, "binary[0].cgo", 4},
		{"linux/amd64", "y", []string{"cgo"}, "build.cgo", 12},
		{"linux/amd64", "y", []string{"pie"}, "binary[1]", 7},
		{"linux/amd64", "x", []string{"stamps", "main.v"}, `override[0].stamps."main.v"`, 19},
		{"darwin/amd64", "x", []string{"stamps", "main.v"}, `binary[0].stamps."main.v"`, 5},
		{"linux/amd64", "x", []string{"stamps", "main.w"}, `binary[0].stamps."main.w"`, 5},
		{"linux/amd64", "x", []string{"stamps", "main.z"}, "binary[0]", 2},
		{"linux/amd64", "x", []string{"nosuch"}, "binary[0]", 2},
	} {
		got := f.Origin(of(tt.target, tt.binary), tt.key[0], tt.key[1:]...)
		if got != tt.want || f.Line(got) != tt.line {
			t.Errorf("%s %s %q: %s, line %d; want %s, line %d", tt.target, tt.binary, tt.key, got, f.Line(got), tt.want, tt.line)
		}
	}
	if f.Name() != "release.toml" {
		t.Errorf("name %q", f.Name())
	}
}
