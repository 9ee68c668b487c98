package rebuild

import (
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

func mainFile(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

// TestFileSets: the files of a folder whose names the binary has come first, then all of the
// folder.
func TestFileSets(t *testing.T) {
	isMain := mainFile("package main\n")
	tree := fstest.MapFS{
		"go.mod": mainFile("module m\n"), "main.go": isMain, "more.go": mainFile("//go:build ignore\n\npackage main\n"), "main_test.go": isMain, "lib/main.go": mainFile("package lib\n"),
		"cmd/x/main.go": isMain, "cmd/x/x.go": isMain, "cmd/y/other.go": isMain, "broken/main.go": mainFile("package"),
		"sub/go.mod": mainFile("module sub\n"), "sub/main.go": isMain, "vendor/v/main.go": isMain,
		"-flag/main.go": isMain, "a b/main.go": isMain, "x'y/main.go": isMain, "-main.go": isMain, "cmd/x/-toolexec=y.go": isMain,
	}
	for what, x := range map[string]struct {
		seen []string
		want string
	}{
		"trimmed":            {[]string{"runtime/proc.go", "./main.go"}, "[[./main.go] [./main.go ./more.go] [./cmd/x/main.go] [./cmd/x/main.go ./cmd/x/x.go]]"},
		"two of them":        {[]string{"./main.go", "./x.go"}, "[[./cmd/x/main.go ./cmd/x/x.go] [./main.go] [./main.go ./more.go]]"},
		"excluded elsewhere": {[]string{"./more.go"}, "[[./more.go] [./main.go ./more.go]]"},
		"absolute":           {[]string{"/usr/local/go/src/runtime/proc.go", "/home/ada/m/cmd/x/main.go"}, "[[./main.go] [./main.go ./more.go] [./cmd/x/main.go] [./cmd/x/main.go ./cmd/x/x.go]]"},
		"another name":       {[]string{"./nowhere.go"}, "[]"},
		"a module's":         {[]string{"example.com/m/main.go", "main.go", "../main.go", "./cmd/x/main.go"}, "[]"},
		"nothing":            {nil, "[]"},
		"names for no shell": {[]string{"./-main.go", "./-toolexec=y.go"}, "[]"},
	} {
		if got := fmt.Sprint(fileSets(tree, x.seen)); got != x.want {
			t.Errorf("%s: %s, want %s", what, got, x.want)
		}
	}

	// A source with many folders has few that are tried, and a folder with many files none.
	many := fstest.MapFS{}
	for i := range 100 {
		many[fmt.Sprintf("cmd/%d/main.go", i)] = isMain
		many[fmt.Sprintf("large/a%d.go", i)], many[fmt.Sprintf("large/b%d.go", i)] = isMain, isMain
	}
	if sets := fileSets(many, []string{"./main.go"}); len(sets) != maxFileSets {
		t.Errorf("%d sets", len(sets))
	}
	if sets := fileSets(many, []string{"./a1.go"}); !reflect.DeepEqual(sets, [][]string{{"./large/a1.go"}}) {
		t.Errorf("%d sets", len(sets))
	}
}

// FuzzFileSets: whatever a tree and a binary call their files, each set is of one folder in the
// tree and has no word that a go command takes for something else.
func FuzzFileSets(f *testing.F) {
	f.Add("cmd/x/main.go", "./main.go")
	f.Add("-o/main.go", "/a/-o/main.go")
	f.Add("a/../b.go", "./b.go")
	f.Add("0../b.go", "./b.go")
	f.Add("a..go", "./a..go")
	f.Add("x@v1.go", "./x@v1.go")
	f.Fuzz(func(t *testing.T, name, seen string) {
		if !fs.ValidPath(name) || len(name) > 200 { // a MapFS takes long for a deep tree
			return
		}
		tree := fstest.MapFS{name: mainFile("package main\n")}
		for _, set := range fileSets(tree, []string{seen}) {
			for _, file := range set {
				if !strings.HasPrefix(file, "./") || !strings.HasSuffix(file, ".go") || path.Dir(file) != path.Dir(set[0]) || strings.ContainsAny(file, " '\"\\@=\n") || strings.Contains(file, "..") {
					t.Errorf("%q", file)
				}
				if _, err := fs.Stat(tree, file[2:]); err != nil {
					t.Error(err)
				}
			}
		}
	})
}
