package compare_test

import (
	"cmp"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
)

// The bytes of two passes are stored, and then compared by their digests.
func ExampleFiles() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store := artifact.NewStore(dir)
	put := func(content string) artifact.Artifact {
		digest, size, err := store.Put(strings.NewReader(content))
		if err != nil {
			log.Fatal(err)
		}
		return artifact.Artifact{Name: "hello", Kind: artifact.Binary, Digest: digest, Size: size, Executable: true}
	}

	a := put("built at noon")
	for _, b := range []artifact.Artifact{put("built at noon"), put("built at five")} {
		result, err := compare.Files(a, b)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s (%s)\n", result.Verdict, cmp.Or(result.Reason, "equal"))
	}
	// Output:
	// reproduced (equal)
	// differs (the bytes differ)
}
