package inspect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestRecords holds what releases record, by release and setting.
func TestRecords(t *testing.T) {
	tests := []struct {
		release string
		yes, no string
	}{
		{"go1.13.15", "", "-ldflags -trimpath -buildmode -race CGO_ENABLED GOOS vcs.revision -pgo"},
		{"go1.17.13", "", "-ldflags -trimpath -buildmode -race CGO_ENABLED GOOS vcs.revision -pgo"},
		{"go1.18", "-ldflags -race -tags CGO_CFLAGS GOARCH GOAMD64 vcs vcs.time", "-trimpath -buildmode"},
		{"go1.19.13", "-ldflags -trimpath GOAMD64", "-buildmode -pgo DefaultGODEBUG -cover"},
		{"go1.20rc1", "-trimpath -asan", "-buildmode"}, // a candidate comes before its release
		{"go1.20.14", "-trimpath -buildmode -pgo", "-cover DefaultGODEBUG"},
		{"go1.21.13", "-buildmode DefaultGODEBUG", "-cover GOFIPS140"},
		{"go1.26.8 X:jsonv2", "-cover GOFIPS140 GOARM64 -trimpath", ""},
		{"go1.26-X:jsonv2", "-cover", ""},
	}
	for _, tt := range tests {
		f := Facts{GoVersion: tt.release}
		for want, list := range map[Answer]string{Yes: tt.yes, No: tt.no} {
			for _, key := range strings.Fields(list) {
				if got := f.Records(key); got != want {
					t.Errorf("%s: %s: %s, want %s", tt.release, key, got, want)
				}
			}
		}
	}
	for _, version := range []string{"", "devel go1.26-abcdef", "go1.26.8-custom", "unknown"} {
		if got := (&Facts{GoVersion: version}).Records("-trimpath"); got != Unknown {
			t.Errorf("%q: %s", version, got)
		}
	}
	if got := (&Facts{GoVersion: "go1.26.8"}).Records("-mod"); got != Unknown {
		t.Errorf("-mod: %s", got)
	}
}

// TestNotRecorded: what a release leaves out is neither a no, nor a part of the recipe.
func TestNotRecorded(t *testing.T) {
	old := read(t, newTiny(binary.LittleEndian, 8, magic116).elf(1))
	want := []string{"-asmflags", "-buildmode", "-compiler", "-gcflags", "-ldflags", "-msan", "-race", "-tags", "-trimpath", "CGO_*", "GOARCH", "GOOS"}
	if !slices.Equal(old.NotRecorded, want) {
		t.Errorf("not recorded: %q", old.NotRecorded)
	}
	for _, q := range []Question{Race, MSan, ASan} {
		if a := old.Finding(q); a.Is != Unknown || a.Why != "go1.16.15 does not record "+string(q) {
			t.Errorf("%+v", a)
		}
	}
	if args := strings.Join(old.Recipe.Args, " "); strings.Contains(args, "-buildvcs") {
		t.Errorf("recipe %s: Go 1.16 has no such flag", args)
	}
	if !slices.ContainsFunc(old.Recipe.Unknown, func(s string) bool {
		return strings.Contains(s, "-tags: not recorded by go1.16.15") || strings.Contains(s, "-tags, CGO_*: not recorded by go1.16.15")
	}) {
		t.Errorf("unknown %q", old.Recipe.Unknown)
	}

	// Today -trimpath alone hides something.
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, ""},
		{[]string{"-ldflags=-w"}, ""},
		{[]string{"-trimpath", "-ldflags=-w"}, "-ldflags CGO_*FLAGS"},
	} {
		f := read(t, build(t, "linux", "amd64", tt.args...))
		if got := strings.Join(f.NotRecorded, " "); got != tt.want {
			t.Errorf("%q: not recorded %q, want %q", tt.args, got, tt.want)
		}
		if a := f.Finding(Race); a.Is != No {
			t.Errorf("%+v", a)
		}
	}
}

// TestOldBuildInfoRefuses: addresses that lead nowhere.
func TestOldBuildInfoRefuses(t *testing.T) {
	p := newTiny(binary.LittleEndian, 8, magic116)
	o := binary.LittleEndian
	info := func(b []byte) []byte { return b[bytes.Index(b, []byte("\xff Go buildinf:")):] }
	tests := []struct {
		name string
		edit func(b []byte)
		want string // of the error, or the number of lines
	}{
		{"other pointer", func(b []byte) { info(b)[14] = 4 }, "not that of such a file"},
		{"other byte order", func(b []byte) { info(b)[15] = 1 }, "not that of such a file"},
		{"unknown flags", func(b []byte) { info(b)[15] = 4 }, "not that of such a file"},
		{"no version", func(b []byte) { o.PutUint64(info(b)[16:], 0) }, "version is empty"},
		{"version nowhere", func(b []byte) { o.PutUint64(info(b)[16:], 1<<40) }, "version is empty"},
		{"long version", func(b []byte) { o.PutUint64(info(b)[40:], 1<<30) }, "longer than the file"},
		{"endless version", func(b []byte) { o.PutUint64(info(b)[40:], 1<<63) }, "longer than the file"},
		{"text nowhere", func(b []byte) { o.PutUint64(info(b)[32:], 1<<40) }, "not loaded from the file"},
		{"text at the end", func(b []byte) { o.PutUint64(info(b)[32:], tinyBase+uint64(len(p.data))-4) }, "not loaded from the file"},
		{"last address", func(b []byte) { o.PutUint64(info(b)[32:], 1<<64-1) }, "not loaded from the file"},
		{"modules nowhere", func(b []byte) { o.PutUint64(info(b)[48:], 1<<40) }, "not loaded from the file"},
		{"no modules", func(b []byte) { o.PutUint64(info(b)[24:], 0) }, ""},
		{"modules in memory alone", func(b []byte) { o.PutUint64(info(b)[24:], 1<<40) }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data := p.elf(1)
			tt.edit(data)
			got, err := open(t, data).BuildInfo()
			switch {
			case tt.want == "" && (err != nil || got.GoVersion != "go1.16.15" || len(got.Lines) > 0):
				t.Errorf("%+v, %v", got, err)
			case tt.want != "" && (err == nil || errors.Is(err, ErrNoBuildInfo) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestOldTableRefuses: tables of functions of earlier releases that contradict themselves.
func TestOldTableRefuses(t *testing.T) {
	o := binary.LittleEndian
	table := func(b []byte) []byte { return b[bytes.Index(b, []byte("\xff\xff\xff\x00\x00"))-1:] }
	const funcs12, funcs116 = 16, 8 + 7*8 + len(tinyNames+tinyFiles)
	tests := []struct {
		name  string
		magic uint32
		edit  func(b []byte)
		want  error
	}{
		{"no functions", magic12, func(b []byte) { o.PutUint64(table(b)[8:], 0) }, ErrNoFunctions},
		{"endless functions", magic12, func(b []byte) { o.PutUint64(table(b)[8:], 1<<60) }, ErrNoFunctions},
		{"files outside", magic12, func(b []byte) { o.PutUint32(table(b)[funcs12+40:], 1<<30) }, ErrNoFunctions},
		{"end before start", magic12, func(b []byte) { o.PutUint64(table(b)[funcs12+16:], 0) }, errTable},
		{"record outside", magic12, func(b []byte) { o.PutUint64(table(b)[funcs12+8:], 1<<62) }, errTable},
		{"record before", magic12, func(b []byte) { o.PutUint64(table(b)[funcs12+8:], 1<<63) }, errTable},
		{"parts in disorder", magic116, func(b []byte) { o.PutUint64(table(b)[32:], 1) }, ErrNoFunctions},
		{"functions outside", magic116, func(b []byte) { o.PutUint64(table(b)[56:], 1<<40) }, ErrNoFunctions},
		{"start before the first", magic116, func(b []byte) { o.PutUint64(table(b)[funcs116+16:], 0) }, errTable},
		{"record outside", magic116, func(b []byte) { o.PutUint64(table(b)[funcs116+8:], 1<<62) }, errTable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data := newTiny(o, 8, tt.magic).elf(1)
			tt.edit(data)
			var last error
			n := 0
			for _, err := range open(t, data).Functions() {
				last = err
				if n++; n > 10 {
					t.Fatal("does not end")
				}
			}
			if !errors.Is(last, tt.want) {
				t.Errorf("error %v, want %v", last, tt.want)
			}
		})
	}

	// A list of files that does not end, or whose names are nowhere.
	for _, edit := range []func(b []byte){
		func(b []byte) { o.PutUint32(table(b)[funcs12+44:], 1<<31) },
		func(b []byte) { o.PutUint32(table(b)[funcs12+48:], 1<<31) },
	} {
		data := newTiny(o, 8, magic12).elf(1)
		edit(data)
		var last error
		for _, err := range open(t, data).SourceFiles() {
			last = err
		}
		if !errors.Is(last, errTable) {
			t.Errorf("error %v", last)
		}
	}
}
