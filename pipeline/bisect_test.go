package pipeline

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/record"
)

// world answers what becomes of something with some variations, and counts.
type world struct {
	f     func(has func(names ...pass.Factor) bool, n int) string
	known map[string]string
	n     int
	limit int
}

var errLimit = errors.New("enough")

func (w *world) run(varied []pass.Factor) (string, error) {
	if len(slices.Compact(slices.Sorted(slices.Values(varied)))) != len(varied) {
		return "", fmt.Errorf("%q: one is there twice", varied)
	}
	key := joined(slices.Sorted(slices.Values(varied)), " ")
	if r, ok := w.known[key]; ok {
		return r, nil
	}
	if w.limit > 0 && w.n >= w.limit {
		return "", errLimit
	}
	w.n++
	r := w.f(func(names ...pass.Factor) bool {
		return !slices.ContainsFunc(names, func(n pass.Factor) bool { return !slices.Contains(varied, n) })
	}, w.n)
	w.known[key] = r
	return r, nil
}

func letters(n int) []pass.Factor {
	var names []pass.Factor
	for i := range n {
		names = append(names, pass.Factor(rune('a'+i)))
	}
	return names
}

// searched asks the world for A and B, and then what makes the difference.
func searched(t *testing.T, n int, guess []pass.Factor, limit int, f func(has func(...pass.Factor) bool, n int) string) (*record.Bisection, int) {
	t.Helper()
	names := letters(n)
	all := func(varied []pass.Factor) func(...pass.Factor) bool {
		return func(list ...pass.Factor) bool {
			return !slices.ContainsFunc(list, func(n pass.Factor) bool { return !slices.Contains(varied, n) })
		}
	}
	a, b := f(all(nil), -2), f(all(names), -1)
	w := &world{f: f, known: map[string]string{}, limit: limit}
	return search(a, b, names, guess, w.run), w.n
}

// TestSearch holds what is found, and in how many trials, against worlds of which
// it is known.
func TestSearch(t *testing.T) {
	text := func(b *record.Bisection) string {
		s := strings.Join(strings.Fields(fmt.Sprint(b.Variations)), " ")
		if b.Itself {
			s += " itself"
		}
		if b.Reason != "" {
			s += " " + b.Reason
		}
		return s
	}
	is := func(b bool) string { return fmt.Sprint(b) }
	for name, tt := range map[string]struct {
		n, limit int
		guess    []pass.Factor
		f        func(has func(...pass.Factor) bool, n int) string
		want     string
		trials   int
	}{
		"one":                    {n: 22, f: func(has func(...pass.Factor) bool, _ int) string { return is(has("m")) }, want: "[[m]]", trials: 8},
		"the first":              {n: 22, f: func(has func(...pass.Factor) bool, _ int) string { return is(has("a")) }, want: "[[a]]", trials: 8},
		"the last":               {n: 22, f: func(has func(...pass.Factor) bool, _ int) string { return is(has("v")) }, want: "[[v]]", trials: 8},
		"the only one":           {n: 1, f: func(has func(...pass.Factor) bool, _ int) string { return is(has("a")) }, want: "[[a]]", trials: 2},
		"guessed":                {n: 22, guess: []pass.Factor{"m"}, f: func(has func(...pass.Factor) bool, _ int) string { return is(has("m")) }, want: "[[m]]", trials: 2},
		"guessed wrongly":        {n: 22, guess: []pass.Factor{"c"}, f: func(has func(...pass.Factor) bool, _ int) string { return is(has("m")) }, want: "[[m]]", trials: 9},
		"two together":           {n: 22, f: func(has func(...pass.Factor) bool, _ int) string { return is(has("c", "m")) }, want: "[[c m]]", trials: 13},
		"three together":         {n: 8, f: func(has func(...pass.Factor) bool, _ int) string { return is(has("a", "d", "h")) }, want: "[[a d h]]", trials: 12},
		"two of which each does": {n: 22, f: func(has func(...pass.Factor) bool, _ int) string { return is(has("c")) + is(has("m")) }, want: "[[c] [m]]", trials: 14},
		"either of two":          {n: 22, f: func(has func(...pass.Factor) bool, _ int) string { return is(has("c") || has("m")) }, want: "[[c]]", trials: 8},
		"two guessed":            {n: 22, guess: []pass.Factor{"c", "m"}, f: func(has func(...pass.Factor) bool, _ int) string { return is(has("c")) + is(has("m")) }, want: "[[c] [m]]", trials: 3},
		"one and two together":   {n: 8, f: func(has func(...pass.Factor) bool, _ int) string { return is(has("b")) + is(has("c", "g")) }, want: "[[b] [c g]]", trials: 12},
		"two cancel each other": {n: 8, f: func(has func(...pass.Factor) bool, _ int) string {
			return is(has("b") != has("c") || has("h"))
		}, want: "[[h]]", trials: 6},

		"never the same":   {n: 22, f: func(_ func(...pass.Factor) bool, n int) string { return fmt.Sprint(n) }, want: "[] itself", trials: 1},
		"chance in pass A": {n: 22, f: func(_ func(...pass.Factor) bool, n int) string { return is(n == -2) }, want: "[] itself", trials: 1},
		"chance in pass B": {n: 22, f: func(_ func(...pass.Factor) bool, n int) string { return is(n == -1) }, want: "[] itself", trials: 2},
		"random where it varies": {n: 22, f: func(has func(...pass.Factor) bool, n int) string {
			return is(has("m")) + map[bool]string{true: fmt.Sprint(n)}[has("m")]
		}, want: "[] itself", trials: 2},
		"and random besides": {n: 4, guess: []pass.Factor{"b"}, f: func(has func(...pass.Factor) bool, n int) string {
			return is(has("b")) + map[bool]string{true: fmt.Sprint(n)}[has("d")]
		}, want: "[[b]] itself", trials: 3},

		"no time": {n: 22, limit: 4, f: func(has func(...pass.Factor) bool, _ int) string { return is(has("m")) }, want: "[] enough", trials: 4},
		"no time for the second": {n: 22, limit: 9, f: func(has func(...pass.Factor) bool, _ int) string { return is(has("c")) + is(has("m")) },
			want: "[[c]] enough", trials: 9},
	} {
		got, n := searched(t, tt.n, tt.guess, tt.limit, tt.f)
		if text(got) != tt.want || n > tt.trials {
			t.Errorf("%s: %s in %d trials, want %s in %d", name, text(got), n, tt.want, tt.trials)
		}
	}
}

// TestSearchIsRight: of any world that always answers the same, what is found
// changes a into b, no set can do without one of its own, and it ends.
func TestSearchIsRight(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		n := 1 + rnd.IntN(7)
		table := make([]int, 1<<n)
		for i := range table {
			table[i] = rnd.IntN(3)
		}
		names := letters(n)
		if table[0] == table[len(table)-1] {
			continue
		}
		value := func(varied []pass.Factor) string {
			i := 0
			for _, v := range varied {
				i |= 1 << slices.Index(names, v)
			}
			return fmt.Sprint(table[i])
		}
		run := func(varied []pass.Factor) (string, error) { return value(varied), nil }
		b := search(value(nil), value(names), names, nil, run)
		if b.Itself || b.Reason != "" || len(b.Variations) == 0 {
			t.Fatalf("%v: %+v", table, b)
		}
		var known []pass.Factor
		for _, set := range b.Variations {
			next := slices.Concat(known, set)
			if value(next) == value(known) {
				t.Fatalf("%v: %q with %q changes nothing", table, set, known)
			}
			known = next
		}
		if value(known) != value(names) {
			t.Fatalf("%v: %q do not make pass B", table, b.Variations)
		}
	}
}
