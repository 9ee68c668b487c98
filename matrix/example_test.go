package matrix_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/matrix/tomlfile"
)

const release = `
project = "hello"

[[binary]]
package = "./cmd/hello"
stamps = { "main.version" = "{{.Version}}" }

[matrix]
os = ["linux", "windows"]
arch = ["amd64", "arm64"]
amd64 = ["v1", "v3"]
exclude = ["windows/arm64"]

[[override]]
target = "linux/*/*"
pie = "on"
`

// A release file is expanded into one build for each target and binary.
func Example() {
	file, err := matrix.Parse("release.toml", []byte(release))
	if err != nil {
		log.Fatal(err)
	}

	// The ports of the toolchain are not known here, so those of Go 1.26 count.
	builds, err := file.Builds(nil, matrix.SampleVars(file.Project))
	if err != nil {
		log.Fatal(err)
	}

	for _, b := range builds {
		fmt.Println(b.Target, b.Binary+b.Target.Exe(), b.Options.BuildMode, b.Stamps)
	}
	// Output:
	// linux/amd64 hello pie [{main.version 1.2.3}]
	// linux/amd64/v3 hello pie [{main.version 1.2.3}]
	// linux/arm64 hello pie [{main.version 1.2.3}]
	// windows/amd64 hello.exe  [{main.version 1.2.3}]
	// windows/amd64/v3 hello.exe  [{main.version 1.2.3}]
}

// An error names every fault of the file, with its line and what to do.
func ExampleParse() {
	_, err := matrix.Parse("release.toml", []byte(`project = "hello"
[[binary]]
package = "."
[matrix]
os = ["linux", "darvin"]
arch = ["amd64"]
`))

	var faults tomlfile.Errors
	if errors.As(err, &faults) {
		for _, f := range faults {
			fmt.Println(f)
			fmt.Println("hint:", f.Remedy)
		}
	}
	// Output:
	// release.toml:5: matrix.os[1]: unknown GOOS "darvin"
	// hint: did you mean "darwin"?
}

// An archive holds the binaries of one target.
func ExampleFile_Archive() {
	file, err := matrix.Parse("release.toml", []byte(release))
	if err != nil {
		log.Fatal(err)
	}
	target, err := matrix.ParseTarget("windows/amd64")
	if err != nil {
		log.Fatal(err)
	}

	plan, err := file.Archive(target, matrix.SampleVars(file.Project))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(plan.Name, plan.Binaries)
	// Output: hello_1.2.3_windows_amd64.zip [hello.exe]
}

func ExampleTarget_Match() {
	target, err := matrix.ParseTarget("linux/amd64/v3")
	if err != nil {
		log.Fatal(err)
	}

	for _, glob := range []string{"linux/*", "*/amd64/v1", "*/*/v3"} {
		selected, err := target.Match(glob)
		fmt.Println(glob, selected, err)
	}
	// Output:
	// linux/* true <nil>
	// */amd64/v1 false <nil>
	// */*/v3 true <nil>
}
