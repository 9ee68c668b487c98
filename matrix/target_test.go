package matrix

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/matrix/platform"
)

func TestParseTarget(t *testing.T) {
	for _, tt := range []struct{ in, canonical, slug, env, exe string }{
		{"linux/amd64", "linux/amd64", "linux_amd64", "GOAMD64=v1 GOARCH=amd64 GOOS=linux", ""},
		{"linux/amd64/v1", "linux/amd64", "linux_amd64", "GOAMD64=v1 GOARCH=amd64 GOOS=linux", ""},
		{"linux/amd64/v3", "linux/amd64/v3", "linux_amd64_v3", "GOAMD64=v3 GOARCH=amd64 GOOS=linux", ""},
		{"linux/arm", "linux/arm/7", "linux_arm_7", "GOARCH=arm GOARM=7 GOOS=linux", ""},
		{"linux/arm/7,hardfloat", "linux/arm/7", "linux_arm_7", "GOARCH=arm GOARM=7 GOOS=linux", ""},
		{"linux/arm/5", "linux/arm/5", "linux_arm_5", "GOARCH=arm GOARM=5 GOOS=linux", ""},
		{"linux/arm/5,softfloat", "linux/arm/5", "linux_arm_5", "GOARCH=arm GOARM=5 GOOS=linux", ""},
		{"linux/arm/5,hardfloat", "linux/arm/5,hardfloat", "linux_arm_5_hardfloat", "GOARCH=arm GOARM=5,hardfloat GOOS=linux", ""},
		{"linux/arm/6,softfloat", "linux/arm/6,softfloat", "linux_arm_6_softfloat", "GOARCH=arm GOARM=6,softfloat GOOS=linux", ""},
		{"darwin/arm64", "darwin/arm64", "darwin_arm64", "GOARCH=arm64 GOARM64=v8.0 GOOS=darwin", ""},
		{"linux/arm64/v8.0,crypto,lse", "linux/arm64/v8.0,lse,crypto", "linux_arm64_v8.0_lse_crypto", "GOARCH=arm64 GOARM64=v8.0,lse,crypto GOOS=linux", ""},
		{"linux/arm64/v8.1,lse", "linux/arm64/v8.1", "linux_arm64_v8.1", "GOARCH=arm64 GOARM64=v8.1 GOOS=linux", ""},
		{"linux/arm64/v9.5", "linux/arm64/v9.5", "linux_arm64_v9.5", "GOARCH=arm64 GOARM64=v9.5 GOOS=linux", ""},
		{"windows/386/sse2", "windows/386", "windows_386", "GO386=sse2 GOARCH=386 GOOS=windows", ".exe"},
		{"linux/mipsle/hardfloat", "linux/mipsle", "linux_mipsle", "GOARCH=mipsle GOMIPS=hardfloat GOOS=linux", ""},
		{"linux/mips64/softfloat", "linux/mips64/softfloat", "linux_mips64_softfloat", "GOARCH=mips64 GOMIPS64=softfloat GOOS=linux", ""},
		{"linux/ppc64le/power8", "linux/ppc64le", "linux_ppc64le", "GOARCH=ppc64le GOOS=linux GOPPC64=power8", ""},
		{"linux/riscv64/rva20u64", "linux/riscv64", "linux_riscv64", "GOARCH=riscv64 GOOS=linux GORISCV64=rva20u64", ""},
		{"wasip1/wasm", "wasip1/wasm", "wasip1_wasm", "GOARCH=wasm GOOS=wasip1 GOWASM=", ".wasm"},
		{"js/wasm/signext,satconv", "js/wasm/satconv,signext", "js_wasm_satconv_signext", "GOARCH=wasm GOOS=js GOWASM=satconv,signext", ".wasm"},
		{"linux/s390x", "linux/s390x", "linux_s390x", "GOARCH=s390x GOOS=linux", ""},
	} {
		got, err := ParseTarget(tt.in)
		if err != nil {
			t.Errorf("ParseTarget(%q): %v", tt.in, err)
			continue
		}
		env := strings.Join(got.Env(), " ")
		if got.String() != tt.canonical || got.Slug() != tt.slug || env != tt.env || got.Exe() != tt.exe {
			t.Errorf("ParseTarget(%q) = %s, %s, %s, %q", tt.in, got, got.Slug(), env, got.Exe())
		}
	}
}

func TestParseTargetErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                             `"": want os/arch or os/arch/variant`,
		"linux":                        `"linux": want os/arch or os/arch/variant`,
		"linux/amd64/v1/x":             `want os/arch or os/arch/variant`,
		"linux/amd64/":                 `empty variant`,
		"Linux/amd64":                  `unknown GOOS "Linux"; did you mean "linux"?`,
		"linux/amd46":                  `unknown GOARCH "amd46"; did you mean "amd64"?`,
		"linux/x86_64":                 `unknown GOARCH "x86_64"`,
		"linux/amd64/v5":               `unknown GOAMD64 "v5" (v1, v2, v3 or v4)`,
		"linux/arm/9":                  `linux/arm/9: unknown GOARM "9" (5, 6 or 7)`,
		"linux/arm/7,":                 `unknown GOARM option ""`,
		"linux/arm/7,hard":             `unknown GOARM option "hard"`,
		"linux/arm/7,hardfloat,x":      `unknown GOARM option`,
		"linux/arm64/v8.10":            `unknown GOARM64 "v8.10"`,
		"linux/arm64/v9.6":             `unknown GOARM64`,
		"linux/arm64/v8.0,":            `unknown GOARM64 option ""`,
		"linux/arm64/v8.0,lse,lse":     `given twice`,
		"linux/s390x/z13":              `s390x has no variants`,
		"wasip1/wasm/simd":             `unknown GOWASM option "simd"`,
		"wasip1/wasm/,":                `unknown GOWASM option ""`,
		"linux/amd64\n":                `unknown GOARCH`,
		strings.Repeat("linux/amd", 9): `too long`,
	} {
		if got, err := ParseTarget(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseTarget(%q) = %v, %v; want an error with %s", in, got, err, want)
		}
	}
}

func TestTargetText(t *testing.T) {
	type doc struct{ T Target }
	data, err := json.Marshal(doc{Target{"linux", "arm", "7"}})
	if err != nil || string(data) != `{"T":"linux/arm/7"}` {
		t.Errorf("Marshal = %s, %v", data, err)
	}
	var d doc
	if err := json.Unmarshal([]byte(`{"T":"linux/amd64/v1"}`), &d); err != nil || d.T != (Target{OS: "linux", Arch: "amd64"}) {
		t.Errorf("Unmarshal = %v, %v", d, err)
	}
	if err := json.Unmarshal([]byte(`{"T":"linux/amd46"}`), &d); err == nil {
		t.Error("Unmarshal accepts linux/amd46")
	}
	for _, bad := range []Target{{}, {OS: "linux"}, {"linux", "amd64", "v1"}, {"linux", "arm", ""}, {"linux", "amd64/v3", ""}} {
		if data, err := bad.MarshalText(); err == nil {
			t.Errorf("MarshalText(%#v) = %s; want an error", bad, data)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		glob   string
		target string
		want   bool
	}{
		{"linux/amd64", "linux/amd64", true},
		{"linux/amd64", "linux/amd64/v3", true},
		{"linux/amd64/v1", "linux/amd64", true},
		{"linux/amd64/v1", "linux/amd64/v3", false},
		{"linux/arm/7,hardfloat", "linux/arm", true},
		{"linux/arm", "linux/arm64", false},
		{"linux/arm*", "linux/arm64", true},
		{"*/*", "wasip1/wasm", true},
		{"*/*/*", "wasip1/wasm", true},
		{"*/*/*", "linux/s390x", true},
		{"*/arm/6*", "linux/arm/6,softfloat", true},
		{"[lw]*/*/v[12]", "windows/amd64", true},
		{"linux/?86", "linux/386", true},
	} {
		target, err := ParseTarget(tt.target)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := target.Match(tt.glob); got != tt.want || err != nil {
			t.Errorf("%s: Match(%q) = %v, %v; want %v", target, tt.glob, got, err, tt.want)
		}
	}
	for _, bad := range []string{"", "*", "linux", "linux/", "/amd64", "linux/[", "linux/amd64/", "a/b/c/d", `linux/\*`, "linxu/*", "linux/amd46", "linux/amd64/v9", strings.Repeat("*", 100)} {
		if got, err := (Target{OS: "linux", Arch: "amd64"}).Match(bad); err == nil {
			t.Errorf("Match(%q) = %v; want an error", bad, got)
		}
	}
}

// A target that was read comes out in a form that reads as the same target.
func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"linux/amd64", "linux/arm/5,softfloat", "linux/arm64/v8.0,crypto,lse", "js/wasm/signext,satconv", "plan9/386/softfloat", "a/b", "//"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := ParseTarget(s)
		if err != nil {
			return
		}
		again, err := ParseTarget(target.String())
		if err != nil || again != target {
			t.Fatalf("%q gives %v, which gives %v, %v", s, target, again, err)
		}
		text, err := target.MarshalText()
		if err != nil || string(text) != target.String() {
			t.Fatalf("%v: MarshalText = %s, %v", target, text, err)
		}
		if !slices.IsSorted(target.Env()) || strings.ContainsAny(target.Slug(), "/,") {
			t.Fatalf("%v: %v, %s", target, target.Env(), target.Slug())
		}
		if ok, err := target.Match(target.String()); !ok || err != nil {
			t.Fatalf("%v does not match itself: %v", target, err)
		}
	})
}

func TestPlatforms(t *testing.T) {
	for in, want := range map[string]string{
		"linux/amd64": "linux/amd64", "linux/amd64/v1": "linux/amd64", "linux/amd64/v4": "linux/amd64/v4",
		"linux/arm/5": "linux/arm/v5", "linux/arm/6": "linux/arm/v6", "linux/arm/7": "linux/arm/v7", "linux/arm/7,softfloat": "linux/arm/v7",
		"linux/arm64": "linux/arm64/v8", "linux/arm64/v8.1": "linux/arm64/v8.1", "linux/arm64/v9.0": "linux/arm64/v9", "linux/arm64/v9.5": "linux/arm64/v9.5",
		"linux/386": "linux/386", "linux/386/softfloat": "linux/386", "linux/mips64le/softfloat": "linux/mips64le",
		"linux/ppc64le": "linux/ppc64le", "linux/ppc64le/power10": "linux/ppc64le/power10",
		"linux/riscv64": "linux/riscv64", "linux/riscv64/rva22u64": "linux/riscv64/rva22u64",
		"linux/s390x": "linux/s390x", "linux/loong64": "linux/loong64",
		"windows/amd64": "", "android/arm64": "", "linux/arm64/v8.1,crypto": "", "linux/arm64/v8.0,lse": "", "linux/arm/5,hardfloat": "",
	} {
		target, err := ParseTarget(in)
		if err != nil {
			t.Fatal(err)
		}
		p, err := target.Platform()
		if (err == nil) != (want != "") || err == nil && p.String() != want {
			t.Errorf("%s: platform %s, %v; want %s", in, p, err, want)
		}
	}
	// Every port for linux has a platform, and every platform can be read.
	n := 0
	for _, port := range platform.KnownPorts {
		if port.OS != "linux" || port.Broken {
			continue
		}
		target, err := ParseTarget(port.OS + "/" + port.Arch)
		if err != nil {
			t.Fatal(err)
		}
		p, err := target.Platform()
		if err != nil {
			t.Error(err)
		}
		if q, err := platform.Parse(p.String()); err != nil || p != q {
			t.Errorf("%s is read as %s, %v", p, q, err)
		}
		n++
	}
	if n < 10 {
		t.Errorf("%d ports for linux", n)
	}
}
