package matrix

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix/internal/spelling"
	"github.com/twicebuild/twice/matrix/platform"
)

// Target is one platform of the matrix: an operating system, an architecture
// and, where it is not the default, a variant.
//
// A Target is in canonical form: OS and Arch are names that Go knows, and
// Variant is empty where it is the architecture's default, with the exception
// of GOARM, whose level is always written because people do. [ParseTarget]
// gives that form. The zero value is no target.
type Target struct{ OS, Arch, Variant string }

// maxTargetLen bounds the text of a target. The longest real one is less than half as long.
const maxTargetLen = 80

// ParseTarget reads "os/arch" or "os/arch/variant", such as "linux/amd64",
// "linux/amd64/v3", "linux/arm/7" or "linux/arm/6,softfloat". The variant is a
// value of the architecture's GO* variable. The default variant may be written or
// left out, and options may have any order. The result is the same canonical Target.
func ParseTarget(s string) (Target, error) {
	if len(s) > maxTargetLen {
		return Target{}, fmt.Errorf("%q...: too long for a target", s[:maxTargetLen])
	}

	parts := strings.Split(s, "/")
	if len(parts) != 2 && len(parts) != 3 {
		return Target{}, fmt.Errorf("%q: want os/arch or os/arch/variant", s)
	}

	t := Target{OS: parts[0], Arch: parts[1]}
	if !slices.Contains(platform.KnownOS, t.OS) {
		return Target{}, fmt.Errorf("%s: unknown GOOS %q%s", s, t.OS, spelling.DidYouMean(t.OS, platform.KnownOS))
	}
	if !slices.Contains(platform.KnownArch, t.Arch) {
		return Target{}, fmt.Errorf("%s: unknown GOARCH %q%s", s, t.Arch, spelling.DidYouMean(t.Arch, platform.KnownArch))
	}

	given := ""
	if len(parts) == 3 {
		given = parts[2]
		if given == "" {
			return Target{}, fmt.Errorf("%q: empty variant", s)
		}
	}

	v, err := platform.CanonicalVariant(t.Arch, given)
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
	if variable, _ := platform.VariantVariable(t.Arch); variable != "" {
		env = append(env, variable+"="+t.fullVariant())
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

// fullVariant returns the variant of t, also where it is the default.
func (t Target) fullVariant() string {
	if t.Variant == "" {
		_, standard := platform.VariantVariable(t.Arch)
		return standard
	}
	return t.Variant
}

// Platform returns the platform of images that hold binaries for t. Only targets
// for linux have one, and only those that demand no more of the processor than a
// platform can say: linux/arm64/v8.0,lse is refused, since a registry would hand
// such an image to processors that lack the instructions. A target that demands
// less than its platform (linux/arm/7,softfloat) has that platform.
func (t Target) Platform() (platform.Platform, error) {
	if t.OS != "linux" {
		return platform.Platform{}, fmt.Errorf("%s: images are made for linux alone", t)
	}

	p := platform.Platform{OS: t.OS, Arch: t.Arch}
	level, options, _ := strings.Cut(t.fullVariant(), ",")
	switch t.Arch {
	case "386", "mips", "mipsle", "mips64", "mips64le":
		// These variants differ in whether there is hardware for floating point.
		// Platforms do not say, so images are made as if all machines had it.
	case "arm":
		if level == "5" && options == "hardfloat" {
			return platform.Platform{}, fmt.Errorf("%s: no platform says that there must be hardware for floating point", t)
		}
		p.Variant = "v" + level
	default:
		if options != "" {
			return platform.Platform{}, fmt.Errorf("%s: no platform says that the processor must have %s", t, options)
		}
		p.Variant = level
	}

	p, err := platform.Parse(p.String())
	if err != nil {
		return platform.Platform{}, fmt.Errorf("%s: %w", t, err)
	}
	return p, nil
}
