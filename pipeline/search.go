package pipeline

import (
	"errors"
	"slices"

	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/record"
)

// tryFunc builds something with these variations, and returns its state.
type tryFunc func(varied []pass.Factor) (string, error)

// search finds the variations that turn a, which pass A made, into b, which pass B made with all
// of all. It trusts try only if try gives a and b again. It begins with the variations in
// guesses.
func search(a, b string, all, guesses []pass.Factor, try tryFunc) *record.Bisection {
	r := &record.Bisection{}
	fail := func(err error) *record.Bisection {
		r.Reason = err.Error()
		return r
	}

	// Without any variation it has to be what pass A made.
	plain, err := try(nil)
	if err != nil {
		return fail(err)
	}
	if plain != a {
		r.Itself = true
		return r
	}

	var found []pass.Factor // the variations that turn a into state
	state, allGiveB := a, false
	for state != b {
		set, next, err := findSingle(found, state, guesses, try)
		if err == nil && set == nil && !allGiveB {
			// With all variations it has to be what pass B made.
			var withAll string
			if withAll, err = try(all); err == nil && withAll != b {
				r.Itself = true
				return r
			}
			allGiveB = err == nil
		}

		if err == nil && set == nil {
			set, next, err = findSmallest(found, state, without(all, found), try)
		}
		if err != nil {
			return fail(err)
		}

		r.Variations = append(r.Variations, set)
		found = slices.Concat(found, set)
		guesses = without(guesses, set)
		state = next

		if len(found) == len(all) && state != b {
			r.Itself = true // all are varied, and it is not what pass B made
			return r
		}
	}

	return r
}

// findSingle finds one of guesses that changes the state by itself. The variations
// found so far lead to that state.
func findSingle(found []pass.Factor, state string, guesses []pass.Factor, try tryFunc) (set []pass.Factor, next string, err error) {
	for _, g := range guesses {
		if next, err = try(slices.Concat(found, []pass.Factor{g})); err != nil || next != state {
			return []pass.Factor{g}, next, err
		}
	}
	return nil, "", nil
}

// findSmallest finds a smallest set of rest that changes the state, given that all of rest change
// it. The variations found so far lead to that state. It looks for the first of rest that is
// needed together with those before it. Then it looks for the ones among these that the first one
// needs.
func findSmallest(found []pass.Factor, state string, rest []pass.Factor, try tryFunc) (set []pass.Factor, next string, err error) {
	for {
		next, err := try(slices.Concat(found, set))
		if err != nil || len(set) > 0 && next != state {
			slices.Reverse(set)
			return set, next, err
		}

		if len(rest) == 0 {
			return nil, "", errors.New("the same build does not always give the same")
		}

		low, high := 0, len(rest) // the first low ones do not change it, the first high ones do
		for high-low > 1 {
			mid := (low + high) / 2
			got, err := try(slices.Concat(found, set, rest[:mid]))
			if err != nil {
				return nil, "", err
			}
			if got == state {
				low = mid
			} else {
				high = mid
			}
		}

		// That one is needed. What it needs of those before it is found in the next rounds.
		set = append(set, rest[high-1])
		rest = rest[:high-1]
	}
}

// without returns those of list that are not in others.
func without(list, others []pass.Factor) []pass.Factor {
	return slices.DeleteFunc(slices.Clone(list), func(f pass.Factor) bool { return slices.Contains(others, f) })
}
