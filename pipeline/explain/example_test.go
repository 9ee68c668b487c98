package explain_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"log"
	"time"

	"github.com/twicebuild/twice/pipeline/explain"
)

// pack returns an archive with one file.
func pack(name string, modified time.Time) explain.File {
	const content = "hello\n"
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: "hello.txt", Mode: 0o644, Size: int64(len(content)), ModTime: modified})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := w.Write([]byte(content)); err != nil {
		log.Fatal(err)
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	return explain.File{Name: name, Content: bytes.NewReader(b.Bytes()), Size: int64(b.Len())}
}

// The same file was packed on two days. Each cause says what differs, how sure
// that is, and what makes the difference go away.
func ExampleFiles() {
	monday := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	a, b := pack("monday.tar", monday), pack("tuesday.tar", monday.AddDate(0, 0, 1))

	report, err := explain.Files(context.Background(), a, b, explain.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, cause := range report.Causes {
		fmt.Printf("%s (%s): %s\n", cause.ID, cause.Confidence, cause.Text)
		fmt.Println("a:", cause.A)
		fmt.Println("b:", cause.B)
		fmt.Println("remedy:", cause.Remedy)
	}
	// Output:
	// archive-mtime (certain): the time of members
	// a: 2026-03-02T09:00:00Z
	// b: 2026-03-03T09:00:00Z
	// remedy: set all to the commit's time (SOURCE_DATE_EPOCH)
}
