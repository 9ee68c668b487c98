package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/progress"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/subject"
)

// elf is a native executable without anything in it but a difference.
func elf(c byte) string {
	head := make([]byte, 64)
	copy(head, "\x7fELF\x02\x01\x01")
	head[16], head[20] = 3, 1 // a shared object
	head[63] = c
	return string(head)
}

// TestBeside: what is beside Go programs has a result, unless the user says that
// something else matters.
func TestBeside(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self) // a Go program
	if err != nil {
		t.Fatal(err)
	}
	few, many, none := t.TempDir(), t.TempDir(), t.TempDir()
	for dir, files := range map[string]map[string]string{
		few:  {"bin/tool": string(program), "bin/helper": elf(1), "lib/lib.so": elf(2), "lib/broken.so": "\x7fELF", "install.sh": "#!/bin/sh\n", "doc": "text"},
		many: {"tool": string(program)},
		none: {"helper": elf(1)},
	} {
		for i := range 2 * maxNotBuiltRows {
			if dir == many {
				files[fmt.Sprintf("lib%02d.so", i)] = elf(byte(i))
			}
		}
		for name, text := range files {
			name = filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	noBundle := filepath.Join(t.TempDir(), "x.sigstore.json")
	if err := os.WriteFile(noBundle, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	a := &app{dir: t.TempDir(), progress: &progress.Printer{W: io.Discard, Now: time.Now}}
	for _, c := range []struct {
		what  string
		args  []string
		flags rebuildFlags
		want  string // the names of what is built, and the kinds of the results on the rest
		asked int    // executables that nobody asked about
		usage bool
	}{
		{"all", []string{few}, rebuildFlags{}, "bin/tool, bin/helper: not a Go program, lib/lib.so: not a Go program, lib/broken.so: unreadable", 0, false},
		{"the Go programs", []string{few}, rebuildFlags{goOnly: true}, "bin/tool, lib/broken.so: unreadable", 2, false},
		{"a file", []string{few}, rebuildFlags{only: []string{"bin/tool"}}, "bin/tool", 3, false},
		{"a folder", []string{few}, rebuildFlags{only: []string{"bin/*"}}, "bin/tool, bin/helper: not a Go program", 2, false},
		{"two", []string{few}, rebuildFlags{only: []string{"bin/t*", "lib/b*"}}, "bin/tool, lib/broken.so: unreadable", 2, false},
		{"the Go programs of a folder", []string{few}, rebuildFlags{only: []string{"bin/*"}, goOnly: true}, "bin/tool", 3, false},
		{"the path counts", []string{few}, rebuildFlags{only: []string{"tool"}}, "", 0, true},
		{"nothing of that name", []string{few}, rebuildFlags{only: []string{"bin/tool", "bin/other"}}, "", 0, true},
		{"no pattern", []string{few}, rebuildFlags{only: []string{"bin/[tool"}}, "", 0, true},
		{"many", []string{many}, rebuildFlags{}, "tool, : not a Go program", 0, false},
		{"no Go program", []string{none}, rebuildFlags{goOnly: true}, ": nothing asked for", 1, false},
		{"none in one of two", []string{few, none}, rebuildFlags{only: []string{"bin/tool"}}, "bin/tool, : nothing asked for", 4, false},
		{"after a bundle that says nothing", []string{noBundle, few}, rebuildFlags{goOnly: true}, ", bin/tool, lib/broken.so: unreadable", 2, false},
		{"a single file", []string{filepath.Join(none, "helper")}, rebuildFlags{}, "helper: not a Go program", 0, false},
		{"a single file by its name", []string{filepath.Join(few, "bin", "tool")}, rebuildFlags{only: []string{"tool"}}, "tool", 0, false},
	} {
		f, err := a.subjects(t.Context(), t.TempDir(), c.args, c.flags)
		if c.usage {
			if fault.KindOf(err) != fault.KindUsage {
				t.Errorf("%s: %v, want a usage error", c.what, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		var got []string
		asked := 0
		var results []*verdict.Result
		for _, s := range f.list {
			name := filepath.Base(s.Name)
			if _, in, ok := strings.Cut(s.Name, "  "); ok {
				name = in
			} else if s.Digest == "" { // it is about the subject
				name = ""
			}
			if s.withoutBuild != nil {
				name += ": " + string(s.withoutBuild.Reason.Kind)
				results = append(results, s.withoutBuild)
				if s.withoutBuild.Verdict != compare.Undetermined || (s.withoutBuild.Reason.Remedy != "") != (f.contents[0].Go > 0 && s.withoutBuild.Reason.Kind != verdict.NotAsked) {
					t.Errorf("%s: %+v", c.what, s.withoutBuild)
				}
			}
			got = append(got, name)
		}
		for _, in := range f.contents {
			asked += in.NotAsked
		}
		slices.Sort(got)
		want := strings.Split(c.want, ", ")
		slices.Sort(want)
		if !slices.Equal(got, want) || asked != c.asked {
			t.Errorf("%s: %q, %d not asked about, want %q, %d", c.what, got, asked, want, c.asked)
		}
		if len(results) > 0 {
			doc := verdict.NewDocument(append(results, &verdict.Result{Verdict: compare.Reproduced})...)
			if err := rebuildError(doc); doc.Verdict != compare.Undetermined || !errors.Is(err, errUndetermined) {
				t.Errorf("%s: the document says %s, %v", c.what, doc.Verdict, err)
			}
		}
		if c.what == "all" && (f.contents[0] != verdict.Contents{Name: few, Go: 1, Others: 2, Unreadable: 1, Scripts: 1}) {
			t.Errorf("%+v", f.contents[0])
		}
		if c.what == "many" {
			checkSummary(t, results[0], f.contents)
		}
		if err := f.close(); err != nil {
			t.Error(err)
		}
	}
	// Of an image there is one result on all that is not Go.
	f := &foundFiles{}
	s := &subject.Subject{Ref: "registry.example.com/x:1", Kind: subject.Image, Executables: []subject.Executable{{Name: "bin/sh", Platform: "linux/amd64"}, {Name: "bin/ls"}}}
	f.add(s, nil, nil, 0, false)
	if len(f.list) != 1 || len(f.list[0].withoutBuild.Files) != 2 || f.list[0].withoutBuild.Files[0] != "linux/amd64  bin/sh" {
		t.Errorf("%+v", f.list)
	}
}

// checkSummary looks at the one result on many files, as a person and a program
// see it.
func checkSummary(t *testing.T, r *verdict.Result, in []verdict.Contents) {
	t.Helper()
	doc := verdict.NewDocument(r)
	doc.Subjects = in
	data, err := json.Marshal(doc)
	if err != nil || !strings.Contains(string(data), "lib31.so") || !strings.Contains(string(data), `"others":32`) {
		t.Errorf("%s, %v", data, err)
	}
	for _, verbose := range []bool{false, true} {
		doc.Verbose = verbose
		var b strings.Builder
		if err := doc.Fprint(&b); err != nil || strings.Contains(b.String(), "lib31.so") != verbose || !strings.Contains(b.String(), "without Go: 32") {
			t.Errorf("%s, %v", &b, err)
		}
	}
}
