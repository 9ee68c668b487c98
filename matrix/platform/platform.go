package platform

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Platform is what an image runs on, in the words of the OCI image
// specification: GOOS, GOARCH and the variant of the processor. [Parse] gives the
// canonical form. The zero value is no platform.
type Platform struct{ OS, Arch, Variant string }

// String returns the canonical text: linux/amd64, linux/amd64/v3, linux/arm/v7.
func (p Platform) String() string {
	s := p.OS + "/" + p.Arch
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// Compare orders platforms by operating system, architecture and variant. The
// variant that demands least of the processor comes first: a client that knows no
// variants takes the first image, and that has to run everywhere.
func (p Platform) Compare(q Platform) int {
	return cmp.Or(strings.Compare(p.OS, q.OS), strings.Compare(p.Arch, q.Arch),
		cmp.Compare(slices.Index(platformVariants[p.Arch], p.Variant), slices.Index(platformVariants[q.Arch], q.Variant)))
}

// Fallbacks returns p and the platforms whose images run on p as well, the best
// first. They have the same operating system and architecture, and a variant that
// demands less of the processor.
func (p Platform) Fallbacks() []Platform {
	variants := platformVariants[p.Arch]
	own := slices.Index(variants, p.Variant)

	list := []Platform{p}
	for i := own - 1; i >= 0; i-- {
		if p.Arch == "arm64" && own >= arm64v9 && i < arm64v9 && i > own-arm64v9+5 {
			continue // Armv9.0 is Armv8.5 with more, Armv9.1 is Armv8.6 with more, and so on
		}
		list = append(list, Platform{p.OS, p.Arch, variants[i]})
	}
	return list
}

// platformVariants are the variants of architectures. The first demands least of
// the processor. For arm and arm64 the words are those of the
// specification
// (https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md),
// which leaves the others open: for arm64 and amd64 they are containerd's
// (https://github.com/containerd/platforms), for the rest Go's.
var platformVariants = map[string][]string{
	"amd64": {"", "v2", "v3", "v4"},
	"arm":   {"v5", "v6", "v7", "v8"},
	"arm64": {
		"v8", "v8.1", "v8.2", "v8.3", "v8.4", "v8.5", "v8.6", "v8.7", "v8.8", "v8.9",
		"v9", "v9.1", "v9.2", "v9.3", "v9.4", "v9.5",
	},
	"ppc64":   {"", "power9", "power10"},
	"ppc64le": {"", "power9", "power10"},
	"riscv64": {"", "rva22u64", "rva23u64"},
}

// arm64v9 is the index of v9 among the variants of arm64.
const arm64v9 = 10

// maxLen bounds the text of a platform.
const maxLen = 80

// Parse reads "os/arch" or "os/arch/variant". Several ways to write a variant are
// in use, and give the same Platform: "" and v1 for amd64, "" and v7 for arm, "", 8,
// v8 and v8.0 for arm64.
func Parse(s string) (Platform, error) {
	if len(s) > maxLen {
		return Platform{}, fmt.Errorf("%q...: too long for a platform", s[:maxLen])
	}

	parts := strings.Split(s, "/")
	if len(parts) != 2 && len(parts) != 3 || len(parts) == 3 && parts[2] == "" {
		return Platform{}, fmt.Errorf("%q: want os/arch or os/arch/variant", s)
	}

	p := Platform{OS: parts[0], Arch: parts[1]}
	if !slices.Contains(KnownOS, p.OS) {
		return Platform{}, fmt.Errorf("%q: unknown operating system %q", s, p.OS)
	}
	if !slices.Contains(KnownArch, p.Arch) {
		return Platform{}, fmt.Errorf("%q: unknown architecture %q", s, p.Arch)
	}

	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	p.Variant = canonicalPlatformVariant(p.Arch, p.Variant)

	known := platformVariants[p.Arch]
	if known == nil {
		known = []string{""}
	}

	if !slices.Contains(known, p.Variant) {
		return Platform{}, fmt.Errorf("%q: unknown variant %q of %s", s, p.Variant, p.Arch)
	}
	return p, nil
}

// canonicalPlatformVariant returns how a Platform writes the variant v of arch.
func canonicalPlatformVariant(arch, v string) string {
	switch arch + " " + v {
	case "amd64 v1", "ppc64 power8", "ppc64le power8", "riscv64 rva20u64":
		return ""
	case "arm ", "arm 7":
		return "v7"
	case "arm 5", "arm 6", "arm 8":
		return "v" + v
	case "arm64 ", "arm64 8", "arm64 v8.0":
		return "v8"
	case "arm64 9", "arm64 v9.0":
		return "v9"
	}
	return v
}
