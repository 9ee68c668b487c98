package modules

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// stamped has one variable of each sort. Every string variable that a stamp
// can name is printed, so that the linker's own behaviour can be compared.
const stamped = `
-- go.mod --
module example.com/app

go 1.21

require example.com/dep v1.2.3
-- go.sum --
SUM example.com/dep v1.2.3
-- cmd/x/main.go --
package main

import (
	"fmt"
	"os"

	"example.com/app/internal/v1.x"
	"example.com/dep"
)

const constant = "c"

type named string

type alias = string

var (
	bare         string
	empty        = ""
	literal      = "l"
	sum          = "a" + ("b" + constant)
	imported     = dep.Default
	importedSum  = "v" + dep.Default
	aliased      alias
	aliasedValue alias = "x"
	one, two     = "1", "2"
	converted    = string(constant)
	called       = f()
	calledDep    = dep.F()
	environ      = os.Getenv("NO_SUCH_VARIABLE")
	ofVariable   = literal
	ofDep        = dep.Version
	a, b         = pair()
	builtin      = string([]byte("x"))
	number       int
	other        named
	otherDep     dep.Text
	pointer      *string
	slice        []string
	_            = "blank"
)

func f() string { return "f" }

func pair() (string, string) { return "p", "q" }

func main() {
	var local string
	for name, v := range map[string]string{
		"main.bare": bare, "main.empty": empty, "main.literal": literal, "main.sum": sum, "main.imported": imported,
		"main.importedSum": importedSum, "main.aliased": aliased, "main.aliasedValue": aliasedValue, "main.one": one,
		"main.two": two, "main.converted": converted, "main.called": called, "main.calledDep": calledDep,
		"main.environ": environ, "main.ofVariable": ofVariable, "main.ofDep": ofDep, "main.a": a, "main.b": b,
		"main.builtin": builtin, "main.forArch": forArch, "main.local": local,
		"example.com/dep.Version": dep.Version, "example.com/app/internal/v1.x.Version": v1.Version,
		"main.constant": constant,
	} {
		fmt.Printf("%s=%s\n", name, v)
	}
	fmt.Fprintln(os.Stderr, number, other, otherDep, pointer, slice)
}
-- cmd/x/here.go --
package main

var forArch string
-- cmd/x/there_plan9.go --
package main

var forOther string
-- internal/v1.x/v.go --
package v1

var Version = "0"
-- internal/elsewhere/e.go --
package elsewhere

var Version string
-- cmd/e/main.go --
package main

import _ "embed"

// before has no directive.
var before string

//go:embed text

// A comment between them.

var single string

var after string

var (
	//go:embed text
	grouped string
	next string
)

func main() {}
-- cmd/e/text --
t
`

// judge returns the errors of CheckStamps by the names in them.
func judge(m *MainPackage, names []string) map[string]error {
	errs := map[string]error{}
	if err, ok := CheckStamps(m, names).(interface{ Unwrap() []error }); ok {
		for _, err := range err.Unwrap() {
			for _, name := range names {
				if strings.HasPrefix(err.Error(), "stamp "+name+": ") {
					errs[name] = err
				}
			}
		}
	}
	return errs
}

func TestCheckStamps(t *testing.T) {
	w := newWorld(t)
	w.dependencies(t)
	tree := w.tree(t, stamped)
	q := w.query(t, tree, ".", "./cmd/x", "./cmd/e")
	mains, err := Describe(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, want string }{
		{"main.bare", ""},
		{"main.empty", ""},
		{"main.literal", ""},
		{"main.sum", ""},
		{"main.imported", ""},
		{"main.importedSum", ""},
		{"main.aliased", ""},
		{"main.aliasedValue", ""},
		{"main.one", ""},
		{"main.two", ""},
		{"main.converted", ""},
		{"main.forArch", ""},
		{"example.com/dep.Version", ""},
		{"example.com/app/internal/v1.x.Version", ""},

		{"main.called", "initialised by a call, so the linker ignores -X"},
		{"main.calledDep", "initialised by a call"},
		{"main.environ", "initialised by a call"},
		{"main.builtin", "initialised by a call"},
		{"main.a", "initialised by a call"},
		{"main.b", "initialised by a call"},
		{"main.ofVariable", "initialised by an expression that is not constant"},
		{"main.ofDep", "initialised by an expression that is not constant"},
		{"main.number", "has type int, not string"},
		{"main.other", "has type named, not string"},
		{"main.otherDep", "has type example.com/dep.Text, not string"},
		{"main.pointer", "has type *string, not string"},
		{"main.slice", "has type []string, not string"},
		{"main.constant", "is a constant"},
		{"main.f", "is a function"},
		{"main.named", "is a type"},
		{"main.versoin", "no such variable in ./cmd/x (variables of type string there: a, aliased, aliasedValue, b, bare, builtin, called, "},
		{"main.forOther", "no such variable"},
		{"main.local", "no such variable"},
		{"main.Bare", "no such variable"},
		{"main.fmt", "no such variable"},
		{"main._", "no such variable"},
		{"main.string", "no such variable"},
		{"example.com/dep.version", "no such variable in example.com/dep (variables of type string there: Version)"},
		{"example.com/app/cmd/x.bare", "the linker knows the main package as main"},
		{"example.com/app/internal/elsewhere.Version", "package example.com/app/internal/elsewhere is no part of ./cmd/x"},
		{"x.bare", "package x is no part of"},
		{"example.com/app/internal/v1%2ex.Version", "is no part of"},
		{"bare", "want an import path"},
		{".bare", "want an import path"},
		{"main.", "want an import path"},
		{"main.bare=1", "want an import path"},
		{"main.bare x", "want an import path"},
		{"", "want an import path"},
	}
	var names []string
	for _, tt := range tests {
		names = append(names, tt.name)
	}
	got := judge(mains[0], names)
	for _, tt := range tests {
		err := got[tt.name]
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), "stamp "+tt.name+": ") || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	for name, good := range map[string]bool{"main.before": true, "main.single": false, "main.after": true, "main.grouped": false, "main.next": true} {
		if err := CheckStamps(mains[1], []string{name}); (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
	// All errors are told, and only those.
	err = CheckStamps(mains[0], []string{"main.number", "main.bare", "main.nosuch"})
	if err == nil || !strings.Contains(err.Error(), "stamp main.number") || !strings.Contains(err.Error(), "stamp main.nosuch") || strings.Contains(err.Error(), "main.bare") {
		t.Errorf("three at once: %v", err)
	}
	if err := CheckStamps(mains[0], nil); err != nil {
		t.Error(err)
	}
	// A file that is gone is an error of its own.
	if err := os.Remove(filepath.Join(tree, "cmd", "x", "here.go")); err != nil {
		t.Fatal(err)
	}
	if err := CheckStamps(mains[0], []string{"main.bare"}); err == nil {
		t.Error("a missing file is no error")
	}
}

// What CheckStamps accepts the linker sets, and what it calls ignored the
// linker ignores: the linker of this machine's Go is the judge.
func TestCheckStampsAgreesWithLinker(t *testing.T) {
	w := newWorld(t)
	w.dependencies(t)
	tree := w.tree(t, stamped)
	q := w.query(t, tree, ".", "./cmd/x")
	q.Go = q.Go.With("GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	mains, err := Describe(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"example.com/dep.Version", "example.com/app/internal/v1.x.Version", "main.local", "main.constant"}
	for _, name := range []string{"bare", "empty", "literal", "sum", "imported", "importedSum", "aliased", "aliasedValue", "one", "two",
		"converted", "called", "calledDep", "environ", "ofVariable", "ofDep", "a", "b", "builtin", "forArch"} {
		names = append(names, "main."+name)
	}
	var flags strings.Builder
	for _, name := range names {
		flags.WriteString(" -X=" + name + "=STAMPED")
	}
	// The standard library may have been compiled already.
	cache, err := exec.Command(w.Path, "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	q.Go = q.Go.With("GOCACHE=" + strings.TrimSpace(string(cache)))
	binary := filepath.Join(t.TempDir(), "x.exe")
	if _, err := q.Go.With("GOFLAGS=-mod=readonly").Run(t.Context(), tree, "build", "-o", binary, "-ldflags="+flags.String(), "./cmd/x"); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary).Output()
	if err != nil {
		t.Fatal(err)
	}
	except := map[string]bool{
		// These take their values from variables that are stamped as well.
		"main.ofVariable": true, "main.ofDep": true, "main.calledDep": true,
		// This compiler happens to see through the call.
		"main.called": true,
	}
	errs := judge(mains[0], names)
	for _, name := range names {
		accepted := errs[name] == nil
		effective := strings.Contains(string(out), name+"=STAMPED\n")
		if accepted != effective && !except[name] {
			t.Errorf("%s: accepted %v, set by the linker %v", name, accepted, effective)
		}
	}
}

// BenchmarkCheckStamps reads a package whose stamp needs its imports' types.
func BenchmarkCheckStamps(b *testing.B) {
	w := newWorld(b)
	w.dependencies(b)
	q := w.query(b, w.tree(b, stamped), ".", "./cmd/x")
	mains, err := Describe(b.Context(), q)
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"main.bare", "main.imported"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := CheckStamps(mains[0], []string{name}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
