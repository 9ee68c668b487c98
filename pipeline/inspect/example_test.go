package inspect_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"runtime"

	"github.com/twicebuild/twice/pipeline/inspect"
)

// The program that runs this example tells how it was made.
func ExampleRead() {
	name, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		log.Fatal(err)
	}

	file, err := inspect.Read(context.Background(), name, f, info.Size())
	if err != nil {
		log.Fatal(err)
	}
	for _, facts := range file.Binaries {
		fmt.Println("made by this Go:", facts.GoVersion == runtime.Version())
		fmt.Println("for this platform:", facts.GOOS == runtime.GOOS && facts.GOARCH == runtime.GOARCH)
		fmt.Println("main package:", facts.Build.Path)
	}
	// Output:
	// made by this Go: true
	// for this platform: true
	// main package: github.com/twicebuild/twice/pipeline/inspect.test
}
