package recipe

import (
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/matrix"
)

// chosen are the choices of a recipe with some flags and variables, as text.
func chosen(target string, flags, env []string) []string {
	t, err := matrix.ParseTarget(target)
	if err != nil {
		panic(err)
	}
	r := Recipe{
		Argv: slices.Concat([]string{"go", "build"}, flags, []string{"."}), Target: t,
		Env: slices.Concat(ClosedEnv(), t.Env(), env),
	}
	var list []string
	for _, c := range r.Choices() {
		list = append(list, c.String())
	}
	return list
}

func TestChoices(t *testing.T) {
	for _, x := range []struct {
		target     string
		flags, env []string
		want       string
	}{
		{"linux/amd64", nil, []string{"CGO_ENABLED=0", "GOEXPERIMENT=", "GOFIPS140=off"}, "CGO_ENABLED=0"},
		{"linux/amd64", []string{"-mod=readonly", "-buildvcs=true", "-trimpath"}, nil, "-trimpath"},
		{"linux/amd64", []string{"-mod=mod", "-buildvcs=auto"}, nil, "-mod=mod|-buildvcs=auto"},
		{"linux/amd64", []string{"-gcflags=all=-B"}, nil, "-gcflags=all=-B"},
		{"linux/amd64", []string{"--gcflags=-B", "-asmflags=-S=0", "-tags=a,b", "-buildmode=pie", "-pgo=off"}, nil, "-gcflags=-B|-asmflags=-S=0|-tags=a,b|-buildmode=pie|-pgo=off"},
		// What -X sets is apart, however it is written, and at the end.
		{"linux/amd64", []string{"-ldflags=-s -X main.a=1 -w '-X=main.b=2 3' --X main.c=4 -buildid x", "-trimpath"}, nil, "-ldflags=-s -w -buildid=x|-trimpath|-X main.a=1|-X main.b=2 3|-X main.c=4"},
		{"linux/amd64", []string{"-ldflags=-X main.a=1"}, nil, "-X main.a=1"},
		{"linux/amd64", []string{"-ldflags=-X"}, nil, "-X "},
		{"linux/amd64", []string{"-ldflags=-X main.a='"}, nil, "-X main.a='"}, // as the linker has it
		{"linux/amd64", []string{"-ldflags='-X main.a=1"}, nil, "-ldflags='-X main.a=1"},
		{"linux/amd64", []string{`-ldflags=-extldflags "-static -pie" -linkmode external`}, nil, "-ldflags='-extldflags=-static -pie' -linkmode=external"},
		// A level is a choice where it is not the default.
		{"linux/amd64/v3", nil, nil, "GOAMD64=v3"},
		{"linux/arm", nil, nil, ""},
		{"linux/arm/5", nil, nil, "GOARM=5"},
		{"linux/amd64", nil, []string{"GOARM=7"}, "GOARM=7"},
		{"linux/amd64", nil, []string{"GOEXPERIMENT=synctest", "GOFIPS140=latest", "CGO_ENABLED=1", "CC=no-c-compiler"}, "GOEXPERIMENT=synctest|GOFIPS140=latest|CGO_ENABLED=1"},
		// What nobody thought of.
		{"linux/amd64", []string{"-invented", "-more=2", "-overlay", "x.json"}, []string{"GOINVENTED=1", "CC=gcc", "GOFLAGS=-race"}, "-invented|-more=2|-overlay|x.json|GOINVENTED=1|CC=gcc|GOFLAGS=-race"},
	} {
		if got := strings.Join(chosen(x.target, x.flags, x.env), "|"); got != x.want {
			t.Errorf("%s %q %q:\n%s, want\n%s", x.target, x.flags, x.env, got, x.want)
		}
	}

	// Files stand in the place of the package, and flags never behind them.
	for last, want := range map[string]string{
		"./main.go":                  "files=./main.go|-trimpath",
		"./cmd/main.go ./cmd/x.go":   "files=./cmd/main.go ./cmd/x.go|-trimpath",
		"./main.go .":                "-trimpath|./main.go",
		"-overlay=x.go ./cmd":        "-trimpath|-overlay=x.go",
		"-overlay=x.go ./cmd/x.go":   "files=./cmd/x.go|-trimpath|-overlay=x.go",
		"example.com/tool.go@v1.2.3": "-trimpath",
	} {
		r := Recipe{Argv: append([]string{"go", "build", "-trimpath"}, strings.Fields(last)...)}
		var list []string
		for _, c := range r.Choices() {
			list = append(list, c.String())
		}
		if got := strings.Join(list, "|"); got != want {
			t.Errorf("%s: %s, want %s", last, got, want)
		}
	}
	r := Recipe{Compiler: "gcc", Hooks: [][]string{{"sh", "x"}}, Toolchain: Toolchain{Sum: "h1:x"}}
	if got := r.Choices(); len(got) != 3 {
		t.Errorf("%v", got)
	}
}

func TestMeaning(t *testing.T) {
	for c, want := range map[Choice]string{
		{"-gcflags", "-B"}:                       "no bounds checks",
		{"-gcflags", "all=-l --B"}:               "no bounds checks",
		{"-gcflags", "all=-N '-B=true'"}:         "no bounds checks",
		{"-gcflags", "example.com/x/...=-N"}:     "no optimization",
		{"-gcflags", "-e"}:                       "",
		{"-gcflags", "'"}:                        "",
		{"-tags", "a"}:                           "chooses files",
		{"-X", "runtime.godebugDefault=x=1"}:     "GODEBUG",
		{"-X", "crypto/tls.x=1"}:                 "standard library",
		{"-X", "main.version=1"}:                 "",
		{"-X", "example.com/m.Version=crypto.x"}: "",
		{"-trimpath", ""}:                        "",
	} {
		if got := c.Meaning(); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", c, got, want)
		}
	}
}

// FuzzChoices: no flag and no variable that is not known to be forced is lost, and
// none is made up.
func FuzzChoices(f *testing.F) {
	f.Add("-gcflags=-B", "-s -w -X main.v=1 -X=main.w='a b'", "GOEXPERIMENT=x")
	f.Add("--ldflags=-X", "-buildid -X=a.b=c -B", "GOAMD64=v3")
	f.Add("-mod=vendor", "'", "=")
	f.Fuzz(func(t *testing.T, flag, ldflags, kv string) {
		r := Recipe{Argv: []string{"go", "build", flag, "-ldflags=" + ldflags, "."}, Env: []string{kv}, Target: matrix.Target{OS: "linux", Arch: "amd64"}}
		said := ""
		for _, c := range r.Choices() {
			said += c.Setting + "\n" + c.Value + "\n"
			c.Meaning()
		}
		name, value, _ := strings.Cut(flag, "=")
		if !strings.HasSuffix(name, LinkSetting) && !slices.Contains(forcedFlags, flag) && !strings.Contains(said, strings.TrimPrefix(name, "-")+"\n"+value+"\n") {
			t.Errorf("%q is not in %q", flag, said)
		}
		args, err := matrix.Split(ldflags)
		if err != nil {
			args = []string{ldflags}
		}
		for _, a := range args {
			for _, part := range strings.SplitN(strings.TrimLeft(a, "-"), "=", 2) {
				if part != "" && part != "X" && !strings.Contains(said, part) {
					t.Errorf("%q of %q is not in %q", part, ldflags, said)
				}
			}
		}
		if name, value, _ := strings.Cut(kv, "="); !slices.Contains(ClosedEnv(), kv) && !slices.Contains(forcedEnv, kv) && !slices.Contains(r.Target.Env(), kv) && !strings.Contains(said, name+"\n"+value+"\n") {
			t.Errorf("%q is not in %q", kv, said)
		}
	})
}
