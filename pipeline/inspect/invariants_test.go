package inspect

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// invariants are what the lines of a page have to agree on, whatever the file is. Each has a fault that
// it notices.
var invariants = []struct {
	name  string
	holds func(f *Facts) bool
	fault func(f *Facts)
}{
	{"-s says whether there is a symbol table", func(f *Facts) bool {
		// In a Mach-O file, what is left with -s are the symbols of libraries.
		name, ok := map[Format]string{ELF: ".symtab", PE: "(symbol table)", Wasm: "name"}[f.Format]
		return !ok || (f.Finding(NoSymbols).Is == No) == hasSection(f, name)
	}, set(NoSymbols, Yes)},
	{"-w says whether there is DWARF", func(f *Facts) bool {
		dwarf := slices.ContainsFunc(f.Sections, func(s Section) bool { return strings.Contains(s.Name, "debug_info") })
		return (f.Finding(NoDWARF).Is == No) == dwarf
	}, set(NoDWARF, Yes)},
	{"only DWARF can be compressed", func(f *Facts) bool {
		return (f.Finding(CompressedDWARF).Is == Unknown) == (f.Finding(NoDWARF).Is != No)
	}, set(CompressedDWARF, Unknown)},
	{"pie agrees with the kind", func(f *Facts) bool {
		is := f.Finding(PIE).Is
		return is == Unknown || (is == Yes) == (f.Kind == independent || f.Kind == library)
	}, set(PIE, Yes)},
	{"pie agrees with the build mode", func(f *Facts) bool {
		mode, _ := f.setting("-buildmode")
		return f.Format != ELF || f.GOOS == "android" || mode != "exe" || f.Finding(PIE).Is == No
	}, func(f *Facts) { f.Kind = independent; set(PIE, Yes)(f) }},
	{"static means no loader and no library", func(f *Facts) bool {
		return (f.Finding(Static).Is == Yes) == (f.Interpreter == "" && len(f.Libraries) == 0)
	}, func(f *Facts) { f.Libraries = []string{"libc.so.6"} }},
	{"cgo agrees with CGO_ENABLED", func(f *Facts) bool {
		v, _ := f.setting("CGO_ENABLED")
		return f.Finding(Cgo).Is != Yes || v != "0"
	}, set(Cgo, Yes)},
	{"without cgo, a program for linux needs no library", func(f *Facts) bool {
		v, _ := f.setting("CGO_ENABLED")
		return f.GOOS != "linux" || f.Finding(Cgo).Is != No || v == "0" || len(f.Libraries) == 0
	}, func(f *Facts) { f.Build = nil; f.Libraries = []string{"libc.so.6"} }},
	{"-trimpath agrees with the setting", func(f *Facts) bool {
		v, _ := f.setting("-trimpath")
		return v != "true" || f.Finding(Trimpath).Is == Yes
	}, func(f *Facts) {
		f.Build.Settings = append(slices.Clone(f.Build.Settings), Setting{"-trimpath", "true"})
	}},
	{"the recipe has the flags that were found", func(f *Facts) bool {
		if f.Recipe == nil {
			return f.Build == nil
		}
		return slices.Contains(f.Recipe.Args, "-trimpath") == (f.Finding(Trimpath).Is == Yes)
	}, set(Trimpath, Yes)},
	{"a no to a setting takes a release that records it", func(f *Facts) bool {
		for _, q := range []Question{Race, MSan, ASan} {
			if f.Finding(q).Is == No && (f.Build == nil || len(f.Build.Settings) == 0 || f.Records(string(q)) == No) {
				return false
			}
		}
		return true
	}, func(f *Facts) { f.GoVersion = "go1.16" }},
	{"what is recorded is not called not recorded", func(f *Facts) bool {
		return !slices.ContainsFunc(f.NotRecorded, func(key string) bool { _, ok := f.setting(key); return ok })
	}, func(f *Facts) { f.NotRecorded = []string{"GOOS"} }},
	{"releases without settings have none", func(f *Facts) bool {
		return f.Build == nil || len(f.Build.Settings) == 0 || f.Records("GOOS") != No
	}, func(f *Facts) { f.GoVersion = "go1.17.13" }},
	{"an intact file has the hash of its ID", func(f *Facts) bool {
		if f.Content == nil || f.Content.State == ContentUnknown {
			return true
		}
		return (f.Content.State != ContentChanged) == (f.Content.Hash == f.BuildID.FileContent)
	}, func(f *Facts) { c := *f.Content; c.Hash = "x"; f.Content = &c }},
	{"what is made from the build ID takes one", func(f *Facts) bool {
		return f.HostID == nil || (f.HostID.FromBuildID == Yes) == (f.HostID.Origin == "made from the Go build ID") && (f.HostID.FromBuildID == Unknown) == (f.BuildID == nil)
	}, func(f *Facts) { h := *f.HostID; h.Origin = "origin unknown"; f.HostID = &h }},
	{"the platform is the recorded one, or a note says otherwise", func(f *Facts) bool {
		if slices.ContainsFunc(f.Notes, func(n string) bool { return strings.HasPrefix(n, "the build information says ") }) {
			return true
		}
		goos, _ := f.setting("GOOS")
		goarch, _ := f.setting("GOARCH")
		return f.GOARCH != "" && (goos == "" || goos == f.GOOS) && (goarch == "" || goarch == f.GOARCH)
	}, func(f *Facts) { f.GOOS = "plan9" }},
	{"nature agrees with what was found", func(f *Facts) bool {
		none := f.GoVersion == "" && f.Code == nil && f.BuildID == nil
		switch f.Nature.Is {
		case NotGo:
			return none
		case Program:
			return f.Build != nil && f.Kind != library && f.Kind != object
		case SharedLibrary, Plugin:
			return f.Kind == library && !none
		case Packed, Damaged:
			return true
		}
		return !none
	}, func(f *Facts) { f.Nature.Is = NotGo }},
	{"functions add up", func(f *Facts) bool {
		if f.Code == nil {
			return true
		}
		functions, text := 0, int64(0)
		for _, p := range f.Code.Packages {
			functions, text = functions+p.Functions, text+p.Text
		}
		for _, m := range f.Code.Modules {
			functions, text = functions+m.Functions, text+m.Text
		}
		return functions == 2*f.Code.Functions && text == 2*f.Code.Text
	}, func(f *Facts) { c := *f.Code; c.Text++; f.Code = &c }},
	{"sections are in the file", func(f *Facts) bool {
		return !slices.ContainsFunc(f.Sections, func(s Section) bool { return s.Offset < 0 || s.Size <= 0 || s.Size > f.Size-s.Offset })
	}, func(f *Facts) { f.Size = 1 }},
	{"every question has one answer and a reason", func(f *Facts) bool {
		return len(f.Findings) == len(questions) && !slices.ContainsFunc(f.Findings, func(q Finding) bool { return q.Why == "" || q.Is == "" })
	}, func(f *Facts) { f.Findings = f.Findings[1:] }},
}

func hasSection(f *Facts, name string) bool {
	return slices.ContainsFunc(f.Sections, func(s Section) bool { return s.Name == name })
}

// set returns a fault that changes an answer.
func set(name Question, is Answer) func(f *Facts) {
	return func(f *Facts) {
		f.Findings = slices.Clone(f.Findings)
		for i := range f.Findings {
			if f.Findings[i].Name == name {
				f.Findings[i].Is = is
			}
		}
	}
}

// TestInvariants reads files of all formats, and those that TWICE_INSPECT_FILES names by patterns.
func TestInvariants(t *testing.T) {
	files := map[string][]byte{}
	for name, data := range tinies() {
		files["tiny "+name] = data
	}
	for _, platform := range [][2]string{{"linux", "amd64"}, {"linux", "386"}, {"linux", "s390x"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}, {"js", "wasm"}} {
		for _, args := range [][]string{nil, {"-ldflags=-s -w"}} {
			files[fmt.Sprint(platform, args)] = build(t, platform[0], platform[1], args...)
		}
	}
	for _, args := range [][]string{{"-trimpath", "-ldflags=-w"}, {"-buildmode=pie"}, {"-ldflags=-buildid="}} {
		files[fmt.Sprint(args)] = build(t, "linux", "amd64", args...)
	}
	for _, pattern := range strings.Fields(os.Getenv("TWICE_INSPECT_FILES")) {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Errorf("%s: no files, %v", pattern, err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(bytes.NewReader(data), int64(len(data))); !errors.Is(err, ErrFormat) {
				files[name] = data
			}
		}
	}

	for name, data := range files {
		f := read(t, data)
		for _, i := range invariants {
			if !i.holds(&f) {
				t.Errorf("%s: not true: %s\n%+v", name, i.name, f.Findings)
			}
		}
	}
}

// TestInvariantsFail: each invariant notices its fault.
func TestInvariantsFail(t *testing.T) {
	good := read(t, build(t, "linux", "amd64"))
	for _, i := range invariants {
		f := good
		build := *good.Build
		f.Build = &build
		if i.fault(&f); i.holds(&f) {
			t.Errorf("%s: its fault was not noticed", i.name)
		}
	}
}
