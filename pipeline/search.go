package pipeline

import (
	"errors"
	"slices"

	"github.com/twicebuild/twice/pipeline/record"
)

// search finds the variations that turn a, which pass A made, into b, which pass
// B made with all of names. run tells what becomes of it with some of them, and
// is trusted only as far as it gives a and b again. guess are those to try first.
func search(a, b string, names, guess []string, run func([]string) (string, error)) *record.Bisection {
	r := &record.Bisection{}
	fail := func(err error) *record.Bisection {
		r.Reason = err.Error()
		return r
	}
	got, err := run(nil)
	if err != nil {
		return fail(err)
	}
	if got != a {
		r.Itself = true
		return r
	}
	var known []string // what is found, which makes of a what is now
	now, settled := a, false
	for now != b {
		set, next, err := one(known, now, guess, run)
		if err == nil && set == nil && !settled {
			// Is it the variations at all?
			var got string
			if got, err = run(names); err == nil && got != b {
				r.Itself = true
				return r
			}
			settled = err == nil
		}
		if err == nil && set == nil {
			set, next, err = least(known, now, without(names, known), run)
		}
		if err != nil {
			return fail(err)
		}
		r.Variations = append(r.Variations, set)
		known = slices.Concat(known, set)
		guess = without(guess, set)
		now = next
		if len(known) == len(names) && now != b {
			r.Itself = true // all are varied, and it is not what pass B made
			return r
		}
	}
	return r
}

// one finds one of guess that by itself changes now, which known makes.
func one(known []string, now string, guess []string, run func([]string) (string, error)) (set []string, next string, err error) {
	for _, g := range guess {
		if next, err = run(slices.Concat(known, []string{g})); err != nil || next != now {
			return []string{g}, next, err
		}
	}
	return nil, "", nil
}

// least finds a smallest set of rest that changes now, which known makes and which
// all of rest change. It looks for the first of rest that is needed with those
// before it, and then for what it needs of these.
func least(known []string, now string, rest []string, run func([]string) (string, error)) (set []string, next string, err error) {
	for {
		next, err := run(slices.Concat(known, set))
		if err != nil || len(set) > 0 && next != now {
			slices.Reverse(set)
			return set, next, err
		}
		if len(rest) == 0 {
			return nil, "", errors.New("the same build does not always give the same")
		}
		low, high := 0, len(rest) // the first low ones do not change it, the first high ones do
		for high-low > 1 {
			mid := (low + high) / 2
			got, err := run(slices.Concat(known, set, rest[:mid]))
			if err != nil {
				return nil, "", err
			}
			if got == now {
				low = mid
			} else {
				high = mid
			}
		}
		set = append(set, rest[high-1])
		rest = rest[:high-1]
	}
}

// without returns the names that are not in others.
func without(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(others, n) })
}
