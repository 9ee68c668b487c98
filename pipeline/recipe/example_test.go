package recipe_test

import (
	"fmt"
	"log"
	"strings"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// A recipe holds all that decides the bytes of one binary. Equal recipes have
// equal digests, on every host.
func Example() {
	build := matrix.Build{
		Target:  matrix.Target{OS: "linux", Arch: "arm64"},
		Binary:  "hello",
		Package: "./cmd/hello",
		Options: matrix.Options{Trimpath: true, Tags: []string{"netgo"}},
	}
	r, err := recipe.New(build, recipe.Inputs{
		Source:    recipe.Source{Commit: strings.Repeat("1", 40), Tree: strings.Repeat("2", 40), Dir: "."},
		Toolchain: recipe.Toolchain{Version: "go1.26.8"},
	})
	if err != nil {
		log.Fatal(err)
	}
	digest, err := r.Digest()
	if err != nil {
		log.Fatal(err)
	}
	arch, _ := recipe.Lookup(r.Env, "GOARCH")

	fmt.Println(strings.Join(r.Argv, " "))
	fmt.Println("GOARCH is", arch)
	fmt.Println(digest)
	// Output:
	// go build -mod=readonly -buildvcs=true -trimpath -tags=netgo -pgo= -ldflags=-buildid= ./cmd/hello
	// GOARCH is arm64
	// sha256:4d58f652e5c554698e1f08fe549b70d5289ffd97391df7fa9348ff646a4afebd
}
