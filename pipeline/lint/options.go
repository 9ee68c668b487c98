package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/matrix/reference"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// trimpathOff finds builds without -trimpath.
func trimpathOff(f *facts) []Finding {
	return f.findInBuilds(func(b matrix.Build) (string, string) {
		if b.Options.Trimpath {
			return "", ""
		}
		return f.File.Origin(b, "trimpath"), "trimpath is off, so the binary holds the paths of the build and the passes will differ"
	})
}

// lcUUID finds darwin builds whose LC_UUID is missing or the same in all. It relies
// on package recipe: with an empty build ID, recipe derives a UUID from the recipe.
// With "keep", the linker makes one from a build ID that depends on everything that
// is compiled.
func lcUUID(f *facts) []Finding {
	return f.findInBuilds(func(b matrix.Build) (string, string) {
		if b.Target.OS != "darwin" {
			return "", ""
		}

		// Flags for the external linker count only with cgo.
		for _, arg := range b.Options.ExtLDFlags {
			if b.Options.Cgo && isNoUUID(arg) {
				return f.File.Origin(b, "extldflags"), arg + " takes LC_UUID away"
			}
		}

		if flags, ok := recipe.Lookup(b.Env, "CGO_LDFLAGS"); ok && b.Options.Cgo && slices.ContainsFunc(strings.Fields(flags), isNoUUID) {
			return f.File.Origin(b, "env", "CGO_LDFLAGS"), "-no_uuid takes LC_UUID away"
		}

		if id := b.Options.BuildID; id != "" && id != "keep" {
			return f.File.Origin(b, "buildid"), fmt.Sprintf("the linker makes LC_UUID from the build ID alone, so every darwin binary with %.60q has the same one", id)
		}
		return "", ""
	})
}

// isNoUUID reports whether an argument makes a linker leave LC_UUID out.
func isNoUUID(arg string) bool { return slices.Contains(strings.Split(arg, ","), "-no_uuid") }

// pieLoader finds PIEs for linux that are not static.
func pieLoader(f *facts) []Finding {
	return f.findInBuilds(func(b matrix.Build) (string, string) {
		static := slices.ContainsFunc(b.Options.ExtLDFlags, func(s string) bool {
			return slices.Contains([]string{"-static", "--static", "-static-pie", "--static-pie"}, s)
		})
		if b.Target.OS != "linux" || b.Options.BuildMode != "pie" || b.Options.Cgo && static {
			return "", ""
		}

		what := "a PIE asks for the loader of a C library"
		if !b.Options.Cgo {
			what += ", although nothing else of it needs one"
		}
		for i, c := range f.File.Containers {
			if c.Base == matrix.Scratch && (len(c.Binaries) == 0 || slices.Contains(c.Binaries, b.Binary)) {
				return f.File.Origin(b, "pie"), what + fmt.Sprintf(", and image[%d], made from scratch, has none", i)
			}
		}
		return f.File.Origin(b, "pie"), what + ": it does not start on Alpine, or in an image without one"
	})
}

// cgoFlags are the variables with arguments of C compilers and linkers.
var cgoFlags = []string{"CGO_CFLAGS", "CGO_CPPFLAGS", "CGO_CXXFLAGS", "CGO_FFLAGS", "CGO_LDFLAGS"}

// cgoPaths finds builds in which C code sees folders of the machine.
func cgoPaths(f *facts) []Finding {
	list := f.findInBuilds(func(b matrix.Build) (string, string) {
		if !b.Options.Cgo || b.Options.Trimpath {
			return "", ""
		}
		return f.File.Origin(b, "trimpath"), "cgo without trimpath: the go command gives the C compiler no -ffile-prefix-map for the source, so __FILE__ and debug information hold its path"
	})

	list = append(list, f.findInBuilds(func(b matrix.Build) (string, string) {
		return findHostPath(f.File.Origin(b, "extldflags"), b, b.Options.ExtLDFlags)
	})...)

	for _, name := range cgoFlags {
		list = append(list, f.findInBuilds(func(b matrix.Build) (string, string) {
			value, _ := recipe.Lookup(b.Env, name)
			return findHostPath(f.File.Origin(b, "env", name), b, strings.Fields(value))
		})...)
	}
	return list
}

// findHostPath looks for a folder of the machine in arguments of a C compiler or
// linker. The arguments stand at key.
func findHostPath(key string, b matrix.Build, args []string) (string, string) {
	for _, arg := range args {
		if !b.Options.Cgo || strings.Contains(arg, "-rpath") || strings.Contains(arg, "-dynamic-linker") {
			continue // these are paths of the machine that runs the program
		}

		for _, part := range strings.FieldsFunc(strings.Trim(arg, `"'`), func(r rune) bool { return r == '=' || r == ',' }) {
			for _, flag := range []string{"-isystem", "-iquote", "-I", "-L", "-F"} {
				part = strings.TrimPrefix(part, flag)
			}

			// The C library of the system is where every machine has it.
			if isAbs(part) && !strings.HasPrefix(part, "/usr/include") && !strings.HasPrefix(part, "/usr/lib") {
				return key, fmt.Sprintf("%.80s names a folder of this machine", arg)
			}
		}
	}

	return "", ""
}

// isAbs reports whether s is an absolute path on any system.
func isAbs(s string) bool {
	drive := len(s) > 2 && s[1] == ':' && (s[2] == '\\' || s[2] == '/')
	return path.IsAbs(s) || drive
}

// cgoCompiler finds builds with a C compiler whose name has no version.
func cgoCompiler(f *facts) []Finding {
	return f.findInBuilds(func(b matrix.Build) (string, string) {
		if !b.Options.Cgo {
			return "", ""
		}

		cc, ok := recipe.Lookup(b.Env, "CC")
		if !ok {
			return f.File.Origin(b, "cgo"), "cgo compiles with whatever C compiler the machine calls its own"
		}

		fields := strings.Fields(cc)
		if len(fields) == 0 || strings.ContainsAny(path.Base(fields[0]), "0123456789") {
			return "", ""
		}

		return f.File.Origin(b, "env", "CC"), fmt.Sprintf("%s is another compiler on every machine: its name has no version", fields[0])
	})
}

// unpublishedGo finds a release file that accepts any Go.
func unpublishedGo(f *facts) []Finding {
	if !f.File.Toolchain.Unpublished {
		return nil
	}
	return []Finding{{Key: "toolchain.unpublished", Message: "a Go that nobody published may build the release, and nobody else has it"}}
}

// unpinnedBase finds bases of images that have no digest, neither in the release
// file nor in the lock file.
func unpinnedBase(f *facts) []Finding {
	var list []Finding
	for i, c := range f.File.Containers {
		if c.Base == matrix.Scratch {
			continue
		}
		r, err := reference.Parse(c.Base)
		if err != nil || r.Digest != "" || slices.Contains(f.Locked, c.Base) {
			continue // an error means no reference, which the release file's reader refuses
		}

		list = append(list, Finding{
			Key:     fmt.Sprintf("image[%d].base", i),
			Message: fmt.Sprintf("%s is a tag, which somebody can move, and %s has no digest for it", c.Base, f.LockName),
		})
	}
	return list
}
