package toolchain

import (
	"errors"
	"strings"
	"testing"
)

func TestParseVersion(t *testing.T) {
	for _, good := range []string{"go1.26.8", "go1.21.0", "go1.27rc1", "go1.21rc2", "go1.20", "go1.20.14", "go1.18beta1"} {
		if got, err := ParseVersion(good); err != nil || got != good {
			t.Errorf("%s: %q, %v", good, got, err)
		}
	}
	for _, bad := range []string{
		"", "go", "1.26.8", "go1.26", "go1.21", "go1", "go2.1.0", "go1.26.8-custom", "go1.26.8 X:nodwarf5", "go1.26.8\n",
		"go1.26.8+auto", "devel", "go1.26.8/../..", "go1.026.8", "go1.26.8rc", "local", "go1.99999.1", "GO1.26.8",
	} {
		_, err := ParseVersion(bad)
		if err == nil {
			t.Errorf("%q was accepted", bad)
			continue
		}
		if h := (interface{ Remedy() string })(nil); !errors.As(err, &h) || h.Remedy() == "" {
			t.Errorf("%q: no hint with %v", bad, err)
		}
	}
}

func TestExactVersion(t *testing.T) {
	for _, tt := range []struct{ name, mod, want, err string }{
		{"toolchain line", "module m\ngo 1.26.0\ntoolchain go1.26.8\n", "go1.26.8", ""},
		{"go line with patch", "module m\ngo 1.26.8\n", "go1.26.8", ""},
		{"default toolchain", "module m\ngo 1.26.8\ntoolchain default\n", "go1.26.8", ""},
		{"release candidate", "module m\ngo 1.27rc1\n", "go1.27rc1", ""},
		{"candidate before release", "module m\ngo 1.26\ntoolchain go1.26.0\n", "go1.26.0", ""},
		{"unknown directive", "module m\ngo 1.26.8\nfrobnicate x\n", "", "unknown directive"},
		{"language version", "module m\ngo 1.26\n", "", "names no toolchain"},
		{"no go line", "module m\n", "", "names no toolchain"},
		{"before 1.21", "module m\ngo 1.20\n", "", "names no toolchain"},
		{"language toolchain", "module m\ngo 1.26.0\ntoolchain go1.26\n", "", "language"},
		{"custom toolchain", "module m\ngo 1.26.0\ntoolchain go1.26.8-acme\n", "", "one release"},
		{"older toolchain", "module m\ngo 1.26.9\ntoolchain go1.26.8\n", "", "older than go 1.26.9"},
		{"no go.mod", "package main\n}", "", "go.mod:"},
	} {
		got, err := ExactVersion([]byte(tt.mod))
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %q, %v; want %q, error %q", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// What comes out of a hostile go.mod is always one release.
func FuzzExactVersion(f *testing.F) {
	f.Add([]byte("module m\ngo 1.26.0\ntoolchain go1.26.8\n"))
	f.Add([]byte("module m\ngo 1.21\n"))
	f.Add([]byte("go 1.27rc1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := ExactVersion(data)
		if err != nil {
			return
		}
		if got, err := ParseVersion(v); err != nil || got != v {
			t.Errorf("ExactVersion gave %q: %v", v, err)
		}
	})
}
