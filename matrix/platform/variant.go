package platform

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix/internal/spelling"
)

// family has the facts that the variants of an architecture share.
type family struct {
	variable string // GOAMD64
	standard string // the variant that is left out of a Target
	parse    func(string) (string, error)
}

// families holds the architectures with variants. The grammars are those of
// internal/buildcfg in the Go tree
// (https://go.dev/src/internal/buildcfg/cfg.go).
var families = map[string]family{
	"386":      oneOf("GO386", "sse2", "softfloat"),
	"amd64":    oneOf("GOAMD64", "v1", "v2", "v3", "v4"),
	"arm":      {"GOARM", "7", parseARM},
	"arm64":    {"GOARM64", "v8.0", parseARM64},
	"mips":     oneOf("GOMIPS", "hardfloat", "softfloat"),
	"mipsle":   oneOf("GOMIPS", "hardfloat", "softfloat"),
	"mips64":   oneOf("GOMIPS64", "hardfloat", "softfloat"),
	"mips64le": oneOf("GOMIPS64", "hardfloat", "softfloat"),
	"ppc64":    oneOf("GOPPC64", "power8", "power9", "power10"),
	"ppc64le":  oneOf("GOPPC64", "power8", "power9", "power10"),
	"riscv64":  oneOf("GORISCV64", "rva20u64", "rva22u64", "rva23u64"),
	"wasm":     {"GOWASM", "", parseWASM},
}

// VariantVariable returns the variable of the go command that holds the variant
// of arch, such as GOAMD64, and its default; both are "" where arch has no
// variants.
func VariantVariable(arch string) (variable, standard string) {
	f := families[arch]
	return f.variable, f.standard
}

// CanonicalVariant returns how a Target writes the variant v of arch; an empty
// v is the default.
func CanonicalVariant(arch, v string) (string, error) {
	f, ok := families[arch]
	switch {
	case !ok && v == "":
		return "", nil
	case !ok:
		return "", fmt.Errorf("variant %q: %s has no variants", v, arch)
	case v == "":
		v = f.standard
	}

	if v != "" {
		var err error
		if v, err = f.parse(v); err != nil {
			return "", err
		}
	}

	// The level of GOARM is always written, as people do it.
	if v == f.standard && f.variable != "GOARM" {
		v = ""
	}
	return v, nil
}

// oneOf returns a family with the given variants, the default first.
func oneOf(variable string, values ...string) family {
	return family{variable, values[0], func(v string) (string, error) {
		if !slices.Contains(values, v) {
			return "", fmt.Errorf("unknown %s %q (%s)", variable, v, spelling.Or(values))
		}
		return v, nil
	}}
}

// parseARM reads GOARM: a level, and how floating point is done where that is
// not what the level implies (5 has no hardware for it).
func parseARM(v string) (string, error) {
	level, float, has := strings.Cut(v, ",")
	if !slices.Contains([]string{"5", "6", "7"}, level) {
		return "", fmt.Errorf("unknown GOARM %q (5, 6 or 7)", level)
	}

	implied := "hardfloat"
	if level == "5" {
		implied = "softfloat"
	}

	switch {
	case !has || float == implied:
		return level, nil
	case float == "hardfloat" || float == "softfloat":
		return level + "," + float, nil
	}
	return "", fmt.Errorf("unknown GOARM option %q (hardfloat or softfloat)", float)
}

// parseARM64 reads GOARM64: a version from v8.0 to v8.9 or v9.0 to v9.5, and
// options. From v8.1 on, lse is implied.
func parseARM64(v string) (string, error) {
	version, rest, _ := strings.Cut(v, ",")
	ok := len(version) == 4 && (version[:3] == "v8." && '0' <= version[3] && version[3] <= '9' ||
		version[:3] == "v9." && '0' <= version[3] && version[3] <= '5')
	if !ok {
		return "", fmt.Errorf("unknown GOARM64 %q (v8.0 to v8.9 or v9.0 to v9.5)", version)
	}
	options, err := optionSet("GOARM64", v, rest, "lse", "crypto")
	if err != nil {
		return "", err
	}
	if version != "v8.0" {
		options = slices.DeleteFunc(options, func(o string) bool { return o == "lse" })
	}
	return strings.Join(append([]string{version}, options...), ","), nil
}

// parseWASM reads GOWASM, which is a list of options. Since Go 1.26 both are always
// on, but the build info of a binary still says which were named.
func parseWASM(v string) (string, error) {
	options, err := optionSet("GOWASM", v, v, "satconv", "signext")
	return strings.Join(options, ","), err
}

// optionSet splits the options rest of a variant v and returns them in the
// order of known.
func optionSet(variable, v, rest string, known ...string) ([]string, error) {
	var given, options []string
	if rest != "" || strings.HasSuffix(v, ",") {
		given = strings.Split(rest, ",")
	}
	for _, o := range given {
		if !slices.Contains(known, o) {
			return nil, fmt.Errorf("unknown %s option %q (%s)", variable, o, spelling.Or(known))
		}
	}
	for _, k := range known {
		if slices.Contains(given, k) {
			options = append(options, k)
		}
	}
	if len(options) != len(given) {
		return nil, fmt.Errorf("%s %q: an option is given twice", variable, v)
	}
	return options, nil
}
