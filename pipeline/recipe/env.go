package recipe

import "strings"

// Role says how a variable that the go command reads is dealt with.
type Role int

const (
	// Fixed variables have one value in every recipe: Variable.Value.
	Fixed Role = iota
	// Chosen variables follow from the target and the release file.
	Chosen
	// CgoOnly variables are the release file's to set for binaries with cgo,
	// and absent otherwise.
	CgoOnly
	// Placement variables say where things are and how fast to go. They must
	// not matter, so they are no part of a recipe: each pass has its own.
	Placement
	// Absent variables are never set: the go command computes them itself, or
	// they serve something that a release does not do.
	Absent
)

// Variable is an environment variable that the go command knows.
type Variable struct {
	Name  string
	Role  Role
	Value string // for Fixed
}

// KnownVariables lists every variable of internal/cfg.KnownEnv in the Go tree
// (src/internal/cfg/cfg.go), and those that the runtime and the tools read
// beside it. A test holds it against the toolchain's own list, so that a new
// GO* variable cannot slip in from somewhere unnoticed.
var KnownVariables = []Variable{
	{"AR", CgoOnly, ""},
	{"CC", CgoOnly, ""},
	{"CGO_CFLAGS", CgoOnly, ""},
	{"CGO_CFLAGS_ALLOW", CgoOnly, ""},
	{"CGO_CFLAGS_DISALLOW", CgoOnly, ""},
	{"CGO_CPPFLAGS", CgoOnly, ""},
	{"CGO_CPPFLAGS_ALLOW", CgoOnly, ""},
	{"CGO_CPPFLAGS_DISALLOW", CgoOnly, ""},
	{"CGO_CXXFLAGS", CgoOnly, ""},
	{"CGO_CXXFLAGS_ALLOW", CgoOnly, ""},
	{"CGO_CXXFLAGS_DISALLOW", CgoOnly, ""},
	{"CGO_ENABLED", Chosen, ""},
	{"CGO_FFLAGS", CgoOnly, ""},
	{"CGO_FFLAGS_ALLOW", CgoOnly, ""},
	{"CGO_FFLAGS_DISALLOW", CgoOnly, ""},
	{"CGO_LDFLAGS", CgoOnly, ""},
	{"CGO_LDFLAGS_ALLOW", CgoOnly, ""},
	{"CGO_LDFLAGS_DISALLOW", CgoOnly, ""},
	{"CXX", CgoOnly, ""},
	{"FC", CgoOnly, ""},
	{"GCCGO", Absent, ""}, // the compiler is always gc
	{"GO111MODULE", Fixed, "on"},
	{"GO386", Chosen, ""},
	{"GOAMD64", Chosen, ""},
	{"GOARCH", Chosen, ""},
	{"GOARM", Chosen, ""},
	{"GOARM64", Chosen, ""},
	{"GOAUTH", Fixed, "off"},
	{"GOBIN", Absent, ""}, // nothing is installed
	{"GOCACHE", Placement, ""},
	{"GOCACHEPROG", Fixed, ""},
	{"GODEBUG", Fixed, ""}, // the main module's own settings are in its go.mod
	{"GOENV", Fixed, "off"},
	{"GOEXE", Absent, ""},
	{"GOEXPERIMENT", Chosen, ""},
	{"GOFIPS140", Chosen, ""},
	{"GOFLAGS", Fixed, ""},
	{"GOGC", Placement, ""},
	{"GOGCCFLAGS", Absent, ""},
	{"GOHOSTARCH", Absent, ""},
	{"GOHOSTOS", Absent, ""},
	{"GOINSECURE", Fixed, ""},
	{"GOMAXPROCS", Placement, ""},
	{"GOMEMLIMIT", Placement, ""},
	{"GOMIPS", Chosen, ""},
	{"GOMIPS64", Chosen, ""},
	{"GOMODCACHE", Placement, ""},
	{"GONOPROXY", Fixed, ""},
	{"GONOSUMDB", Fixed, ""},
	{"GOOS", Chosen, ""},
	{"GOPATH", Placement, ""},
	{"GOPPC64", Chosen, ""},
	{"GOPRIVATE", Fixed, ""},
	{"GOPROXY", Fixed, "off"}, // modules were downloaded and checked before
	{"GORISCV64", Chosen, ""},
	{"GOROOT", Placement, ""},
	{"GOSUMDB", Fixed, "off"},   // go.sum is what counts during a pass
	{"GOTELEMETRY", Absent, ""}, // cannot be set by the environment
	{"GOTMPDIR", Placement, ""},
	{"GOTOOLCHAIN", Fixed, "local"},
	{"GOTOOLDIR", Absent, ""},
	{"GOVCS", Fixed, "*:off"},
	{"GOWASM", Chosen, ""},
	{"GOWORK", Fixed, "off"},
	{"GO_EXTLINK_ENABLED", Fixed, ""},
	{"PKG_CONFIG", CgoOnly, ""},
}

// ClosedEnv returns the fixed variables, as NAME=value pairs. They keep the go command
// from its user's settings, the network and other toolchains.
func ClosedEnv() []string {
	var env []string
	for _, v := range KnownVariables {
		if v.Role == Fixed {
			env = append(env, v.Name+"="+v.Value)
		}
	}
	return env
}

// Lookup returns the value of name in a list of NAME=value pairs.
func Lookup(env []string, name string) (string, bool) {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v, true
		}
	}
	return "", false
}
