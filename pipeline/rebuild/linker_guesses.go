package rebuild

import (
	"iter"
	"slices"

	"github.com/twicebuild/twice/pipeline/inspect"
)

// assignment is a variable and the value that -X gives it.
type assignment struct{ name, value string }

// linkerGuesses yields the arguments of the linker that may have made a file, the likely ones first.
// Each set is what -X may have set, and may be empty. The file shows whether there was -s or -w.
// Their form and their order are guessed.
func linkerGuesses(f inspect.Facts, sets iter.Seq[[]assignment]) iter.Seq[linking] {
	strips := stripForms(f)
	return func(yield func(linking) bool) {
		// Most release tools write the strip flags first, and then -X in the order of the names.
		for set := range sets {
			for _, strip := range strips[:min(2, len(strips))] {
				args := slices.Clone(strip)
				for _, a := range set {
					args = append(args, "-X", a.name+"="+a.value)
				}
				if !yield(linking{args: args}) {
					return
				}
			}
		}

		for set := range sets {
			for _, strip := range strips {
				for args := range arrangements(strip, set) {
					if !yield(linking{args: args}) {
						return
					}
				}
			}
		}
	}
}

// inTurn yields the values of the first sequence, then those of the next one.
func inTurn[T any](sequences ...iter.Seq[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, seq := range sequences {
			for v := range seq {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// stripForms returns the ways to write the flags that strip as much as was stripped from the file,
// the likely ones first.
func stripForms(f inspect.Facts) [][]string {
	noSymbols, noDWARF := f.Finding(inspect.NoSymbols).Is == inspect.Yes, f.Finding(inspect.NoDWARF).Is != inspect.No
	switch {
	case noSymbols && noDWARF:
		return [][]string{{"-s", "-w"}, {"-w", "-s"}, {"-s"}, {"-w"}, {"-s", "-w=true"}, {"-s=true", "-w=true"}, {"--s", "--w"}, {}}
	case noSymbols:
		return [][]string{{"-s", "-w=0"}, {"-w=0", "-s"}, {"-s", "-w=false"}, {"-w=false", "-s"}, {"-s"}}
	case noDWARF && f.KeepsSymbols():
		return [][]string{{"-s", "-w"}, {"-w"}, {"-w", "-s"}, {}, {"-s", "-w=true"}, {"-w=true"}}
	case noDWARF:
		return [][]string{{"-w"}, {}, {"-w=true"}}
	}
	return [][]string{{}, {"-w=0"}, {"-w=false"}}
}

// maxOrdered is the largest number of -X whose every order is tried.
const maxOrdered = 6

// arrangements yields the ways to write strip flags and -X. They may stand in any order.
func arrangements(strip []string, set []assignment) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		for _, ext := range [][]string{nil, {"-extldflags", "-static"}, {"-extldflags=-static"}} {
			for order := range permutations(set) {
				for _, joined := range []bool{false, true} {
					if joined && len(set) == 0 {
						break
					}
					var stamps [][]string
					for _, a := range order {
						if joined {
							stamps = append(stamps, []string{"-X=" + a.name + "=" + a.value})
						} else {
							stamps = append(stamps, []string{"-X", a.name + "=" + a.value})
						}
					}
					for args := range placements(strip, stamps, ext) {
						if !yield(args) {
							return
						}
					}
				}
			}
		}
	}
}

// placements yields the strip flags before, behind and among the stamps. The flags in ext stand at
// either end.
func placements(strip []string, stamps [][]string, ext []string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		places := []int{0, len(stamps)}
		for i := 1; i < len(stamps); i++ {
			places = append(places, i)
		}
		if len(strip) == 0 || len(stamps) == 0 {
			places = places[:1]
		}

		for _, at := range places {
			args := slices.Concat(slices.Concat(stamps[:at]...), strip, slices.Concat(stamps[at:]...))
			if !yield(slices.Concat(args, ext)) {
				return
			}
			if len(ext) > 0 && len(args) > 0 && !yield(slices.Concat(ext, args)) {
				return
			}
		}
	}
}

// permutations yields every order of a short list. For a long list it yields the list itself and
// its reverse.
func permutations[T any](list []T) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		if len(list) > maxOrdered {
			reversed := slices.Clone(list)
			slices.Reverse(reversed)
			_ = yield(list) && yield(reversed)
			return
		}

		var extend func(done, left []T) bool
		extend = func(done, left []T) bool {
			if len(left) == 0 {
				return yield(slices.Clone(done))
			}
			for i := range left {
				rest := slices.Concat(left[:i], left[i+1:])
				if !extend(append(slices.Clip(done), left[i]), rest) {
					return false
				}
			}
			return true
		}

		extend(nil, list)
	}
}
