package platform

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goroot is the tree that go test runs from. The tests here are about its
// sources, and cannot do without them.
func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// The tables about ports are those of internal/platform. That package cannot be
// imported, so a copy of it is compiled into a program that prints its answers.
func TestTablesAreThoseOfGo(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"supported.go", "zosarch.go"} {
		data, err := os.ReadFile(filepath.Join(goroot(t), "src/internal/platform", name))
		if err != nil {
			t.Fatal(err)
		}
		data = bytes.Replace(data, []byte("package platform"), []byte("package main"), 1)
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const program = `package main

import "fmt"

func main() {
	for _, p := range List {
		o, a := p.GOOS, p.GOARCH
		fmt.Println(p, CgoSupported(o, a), FirstClass(o, a), Broken(o, a),
			BuildModeSupported("gc", "pie", o, a), InternalLinkPIESupported(o, a), DefaultPIE(o, a, false),
			MustLinkExternal(o, a, false), MustLinkExternal(o, a, true))
	}
}
`
	for name, text := range map[string]string{"main.go": program, "go.mod": "module platform\n\ngo 1.26\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "run", ".")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := strings.Split(strings.TrimSpace(string(out)), "\n")
	var got []string
	for _, p := range KnownPorts {
		o, a := p.OS, p.Arch
		got = append(got, fmt.Sprintln(o+"/"+a, p.CgoSupported, p.FirstClass, p.Broken,
			pieSupported(o, a), internalLinkPIESupported(o, a), defaultPIE(o, a),
			MustLinkExternal(o, a, false), MustLinkExternal(o, a, true)))
		got[len(got)-1] = strings.TrimSpace(got[len(got)-1])
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("tables differ from internal/platform\ngot:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The variants are those of internal/buildcfg, whose source says for every one
// what it takes. The default of each variable stands in the generated zbootstrap.go.
func TestVariantsAreThoseOfGo(t *testing.T) {
	dir := filepath.Join(goroot(t), "src/internal/buildcfg")
	cfg, err := os.ReadFile(filepath.Join(dir, "cfg.go"))
	if err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile(filepath.Join(dir, "zbootstrap.go"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, arch := range KnownArch {
		f, ok := families[arch]
		if named := bytes.Contains(cfg, []byte(`"`+f.variable+`"`)); ok && !named {
			t.Errorf("%s: buildcfg does not know %s", arch, f.variable)
		}
		if ok && f.variable != "GOWASM" {
			if line := fmt.Sprintf("const Default%s = `%s`", f.variable, f.standard); !bytes.Contains(boot, []byte(line)) {
				t.Errorf("%s: no %q in zbootstrap.go", arch, line)
			}
			checked++
		}
	}
	if checked < 10 {
		t.Errorf("only %d variables were checked", checked)
	}
	// The go command itself judges each variant, the ones we refuse too.
	for _, tt := range []struct {
		arch, variable, value string
	}{
		{"amd64", "GOAMD64", "v4"}, {"amd64", "GOAMD64", "v5"},
		{"arm", "GOARM", "5,hardfloat"}, {"arm", "GOARM", "7,softfloat"}, {"arm", "GOARM", "8"}, {"arm", "GOARM", "7,x"},
		{"arm64", "GOARM64", "v8.0,crypto,lse"}, {"arm64", "GOARM64", "v8.9"}, {"arm64", "GOARM64", "v9.5"}, {"arm64", "GOARM64", "v9.6"}, {"arm64", "GOARM64", "v8.0,x"},
		{"mips", "GOMIPS", "softfloat"}, {"mips", "GOMIPS", "x"},
		{"mips64", "GOMIPS64", "softfloat"}, {"mips64", "GOMIPS64", "x"},
		{"ppc64", "GOPPC64", "power10"}, {"ppc64", "GOPPC64", "power11"},
		{"riscv64", "GORISCV64", "rva23u64"}, {"riscv64", "GORISCV64", "rva24u64"},
		{"wasm", "GOWASM", "satconv,signext"}, {"wasm", "GOWASM", "simd"},
	} {
		goos := "linux"
		if tt.arch == "wasm" {
			goos = "wasip1"
		}
		// The compiler fails where buildcfg found an error.
		cmd := exec.Command(compiler(t), "-o", os.DevNull, "-p", "p", source(t))
		cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+tt.arch, tt.variable+"="+tt.value)
		out, goErr := cmd.CombinedOutput()
		_, err := CanonicalVariant(tt.arch, tt.value)
		// In Go 1.26, goarm64 overwrites the error that goamd64 and goarm left: a
		// wrong value there is taken for the default, which is worse than an error.
		lost := goErr == nil && (tt.variable == "GOAMD64" || tt.variable == "GOARM")
		if (goErr == nil) != (err == nil) && !lost {
			t.Errorf("%s=%s: the compiler says %v (%s), we say %v", tt.variable, tt.value, goErr, out, err)
		}
	}
}

// compiler returns the path of cmd/compile.
func compiler(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "tool", "-n", "compile").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// source writes an empty package.
func source(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "p.go")
	if err := os.WriteFile(name, []byte("package p\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestParsePorts(t *testing.T) {
	out, err := exec.Command("go", "tool", "dist", "list", "-json", "-broken").Output()
	if err != nil {
		t.Fatal(err)
	}
	ports, err := ParsePorts(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ports, KnownPorts) {
		t.Errorf("ports of the toolchain: %v", ports)
	}
	for _, bad := range []string{
		"", "{}", "[]", "[1]", `[{"GOOS":"linux"}]`, `[{"GOOS":"a","GOARCH":"b","Surprise":1}]`,
		`[{"GOOS":"a","GOARCH":"b"},{"GOOS":"a","GOARCH":"b"}]`, `[{"GOOS":"a","GOARCH":"b"}] x`,
	} {
		if ports, err := ParsePorts(strings.NewReader(bad)); err == nil {
			t.Errorf("ParsePorts(%s) = %v; want an error", bad, ports)
		}
	}
}

func TestBuildMode(t *testing.T) {
	for _, tt := range []struct {
		pie, os, arch string
		cgo           bool
		want, err     string
	}{
		{"auto", "linux", "amd64", false, "", ""},
		{"auto", "plan9", "386", false, "", ""},
		{"on", "linux", "amd64", false, "pie", ""},
		{"on", "linux", "riscv64", false, "", "without a C compiler"},
		{"on", "linux", "riscv64", true, "pie", ""},
		{"on", "linux", "mips", true, "", "no -buildmode=pie"},
		{"on", "darwin", "arm64", false, "", ""},
		{"on", "windows", "amd64", false, "", ""},
		{"off", "linux", "amd64", false, "exe", ""},
		{"off", "windows", "amd64", false, "exe", ""},
		{"off", "windows", "arm64", false, "", "always position independent"},
		{"off", "darwin", "amd64", false, "", "always position independent"},
		{"off", "ios", "arm64", true, "", "always position independent"},
		{"off", "android", "arm64", false, "", "always position independent"},
	} {
		got, hint, err := BuildMode(tt.pie, tt.os, tt.arch, tt.cgo)
		switch {
		case tt.err == "" && (err != nil || got != tt.want):
			t.Errorf("%+v: %q, %v", tt, got, err)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err) || hint == ""):
			t.Errorf("%+v: %q, %q, %v", tt, got, hint, err)
		}
	}
}
