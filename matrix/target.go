package matrix

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Target is one platform of the matrix: an operating system, an architecture
// and, where it is not the default, a variant.
//
// A Target is in canonical form: OS and Arch are names that Go knows, and
// Variant is empty where it is the architecture's default, with the exception
// of GOARM, whose level is always written because people do. [ParseTarget]
// gives that form. The zero value is no target.
type Target struct{ OS, Arch, Variant string }

// maxTargetLen bounds the text of a target; the longest real one has less than
// half of it.
const maxTargetLen = 80

// ParseTarget reads "os/arch" or "os/arch/variant", such as "linux/amd64",
// "linux/amd64/v3", "linux/arm/7" or "linux/arm/6,softfloat". The variant is
// what the architecture's GO* variable holds; the default one may be written or
// left out, and options in any order, the result is the same canonical Target.
func ParseTarget(s string) (Target, error) {
	if len(s) > maxTargetLen {
		return Target{}, fmt.Errorf("%q...: too long for a target", s[:maxTargetLen])
	}
	parts := strings.Split(s, "/")
	if len(parts) != 2 && len(parts) != 3 {
		return Target{}, fmt.Errorf("%q: want os/arch or os/arch/variant", s)
	}
	t := Target{OS: parts[0], Arch: parts[1]}
	if !slices.Contains(knownOS, t.OS) {
		return Target{}, fmt.Errorf("%s: unknown GOOS %q%s", s, t.OS, didYouMean(t.OS, knownOS))
	}
	if !slices.Contains(knownArch, t.Arch) {
		return Target{}, fmt.Errorf("%s: unknown GOARCH %q%s", s, t.Arch, didYouMean(t.Arch, knownArch))
	}
	given := ""
	if len(parts) == 3 {
		given = parts[2]
		if given == "" {
			return Target{}, fmt.Errorf("%q: empty variant", s)
		}
	}
	v, err := canonicalVariant(t.Arch, given)
	if err != nil {
		return Target{}, fmt.Errorf("%s: %w", s, err)
	}
	t.Variant = v
	return t, nil
}

// String returns the canonical text, which [ParseTarget] reads.
func (t Target) String() string {
	s := t.OS + "/" + t.Arch
	if t.Variant != "" {
		s += "/" + t.Variant
	}
	return s
}

// Slug returns the target as a part of a file name: linux_amd64_v3,
// linux_arm_6_softfloat.
func (t Target) Slug() string {
	return strings.NewReplacer("/", "_", ",", "_").Replace(t.String())
}

// Env returns the variables of the go command that select the target, sorted:
// GOOS, GOARCH and, where the architecture has one, the variable of its
// variants. That one is set also where Variant is empty, so that the default of
// some toolchain cannot decide (GOAMD64=v1).
func (t Target) Env() []string {
	env := []string{"GOARCH=" + t.Arch, "GOOS=" + t.OS}
	if f, ok := families[t.Arch]; ok {
		env = append(env, f.variable+"="+t.fullVariant())
	}
	slices.Sort(env)
	return env
}

// Exe returns the suffix of an executable's file name: ".exe", ".wasm" or "".
func (t Target) Exe() string {
	switch {
	case t.OS == "windows":
		return ".exe"
	case t.Arch == "wasm":
		return ".wasm"
	}
	return ""
}

// MarshalText returns the canonical text; a Target that is not in canonical
// form is an error.
func (t Target) MarshalText() ([]byte, error) {
	s := t.String()
	switch c, err := ParseTarget(s); {
	case err != nil:
		return nil, fmt.Errorf("target %w", err)
	case c != t:
		return nil, fmt.Errorf("target %s: not in canonical form (%s)", s, c)
	}
	return []byte(s), nil
}

// UnmarshalText accepts what [ParseTarget] accepts.
func (t *Target) UnmarshalText(text []byte) error {
	c, err := ParseTarget(string(text))
	if err != nil {
		return fmt.Errorf("target %w", err)
	}
	*t = c
	return nil
}

// fullVariant returns the value of the variable of variants, the default included.
func (t Target) fullVariant() string {
	if t.Variant == "" {
		return families[t.Arch].standard
	}
	return t.Variant
}

// Match tells whether glob selects t. A glob is "os/arch", which selects every
// variant, or "os/arch/variant"; each segment is a pattern of [path.Match]. The
// variant is compared in full, so "linux/amd64/v1" selects linux/amd64. A glob
// that cannot be meant is an error: a bad pattern, a name that Go does not know.
func (t Target) Match(glob string) (bool, error) {
	g, err := parseGlob(glob)
	if err != nil {
		return false, err
	}
	return g.match(t), nil
}

// glob is a checked pattern for targets. An empty variant selects every one.
type glob struct{ os, arch, variant string }

func isPattern(s string) bool { return strings.ContainsAny(s, "*?[") }

func parseGlob(s string) (glob, error) {
	if len(s) > maxTargetLen {
		return glob{}, fmt.Errorf("%q...: too long for a target glob", s[:maxTargetLen])
	}
	parts := strings.Split(s, "/")
	if len(parts) != 2 && len(parts) != 3 {
		return glob{}, fmt.Errorf("%q: want a glob os/arch or os/arch/variant", s)
	}
	for _, p := range parts {
		if p == "" {
			return glob{}, fmt.Errorf("%q: empty segment", s)
		}
		if _, err := path.Match(p, "x"); err != nil || strings.Contains(p, `\`) {
			return glob{}, fmt.Errorf("%q: bad pattern %q", s, p)
		}
	}
	g := glob{os: parts[0], arch: parts[1]}
	if !isPattern(g.os) && !slices.Contains(knownOS, g.os) {
		return glob{}, fmt.Errorf("%s: unknown GOOS %q%s", s, g.os, didYouMean(g.os, knownOS))
	}
	if !isPattern(g.arch) && !slices.Contains(knownArch, g.arch) {
		return glob{}, fmt.Errorf("%s: unknown GOARCH %q%s", s, g.arch, didYouMean(g.arch, knownArch))
	}
	if len(parts) == 3 {
		g.variant = parts[2]
		if !isPattern(g.arch) && !isPattern(g.variant) {
			v, err := canonicalVariant(g.arch, g.variant)
			if err != nil {
				return glob{}, fmt.Errorf("%s: %w", s, err)
			}
			g.variant = Target{Arch: g.arch, Variant: v}.fullVariant()
		}
	}
	return g, nil
}

func (g glob) match(t Target) bool {
	return segment(g.os, t.OS) && segment(g.arch, t.Arch) &&
		(g.variant == "" || segment(g.variant, t.fullVariant()))
}

// segment is path.Match for a pattern that parseGlob has checked.
func segment(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// family is what the variants of one or two architectures have in common.
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

// canonicalVariant returns how a Target writes the variant v of arch; an empty
// v is the default.
func canonicalVariant(arch, v string) (string, error) {
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
	if v == f.standard && f.variable != "GOARM" {
		v = ""
	}
	return v, nil
}

func oneOf(variable string, values ...string) family {
	return family{variable, values[0], func(v string) (string, error) {
		if !slices.Contains(values, v) {
			return "", fmt.Errorf("unknown %s %q (%s)", variable, v, orList(values))
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

// parseWASM reads GOWASM, which is a list of options alone. Since Go 1.26 both
// are always on, but the build info of a binary still tells which were named.
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
			return nil, fmt.Errorf("unknown %s option %q (%s)", variable, o, orList(known))
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

// orList writes "a, b or c".
func orList(values []string) string {
	n := len(values) - 1
	if n < 1 {
		return strings.Join(values, "")
	}
	return strings.Join(values[:n], ", ") + " or " + values[n]
}

// didYouMean returns `, did you mean "x"?` for the candidate that is closest to
// got, or nothing.
func didYouMean(got string, candidates []string) string {
	if best := closest(got, candidates); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return ""
}

// closest returns the candidate within two edits of got (one for short
// words), swapped neighbours being one edit.
func closest(got string, candidates []string) string {
	if len(got) > 40 {
		return ""
	}
	best, limit := "", 3
	if len(got) < 4 {
		limit = 2
	}
	for _, c := range candidates {
		if d := distance(strings.ToLower(got), c); d < limit {
			best, limit = c, d
		}
	}
	return best
}

// distance is the optimal string alignment distance between bytes.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
