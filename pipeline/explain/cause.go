package explain

import (
	"cmp"
	"slices"
	"strings"
)

// Cause is a reason why two files differ.
type Cause struct {
	// ID is the identifier of one of [Kinds].
	ID string `json:"id"`
	// Text says it in words, in one line.
	Text string `json:"text"`
	// Confidence is how sure it is.
	Confidence Confidence `json:"confidence"`
	// A and B are the texts in the two files that show it, if there are any.
	A string `json:"a,omitempty"`
	B string `json:"b,omitempty"`
	// Where is the member of an archive or the slice of a universal file that the cause is about.
	// It is empty if the cause is about the file itself.
	Where string `json:"where,omitempty"`
	// Evidence are further observations that it rests on.
	Evidence []string `json:"evidence,omitempty"`
	// Remedy says what makes the difference go away.
	Remedy string `json:"remedy,omitempty"`
	// Weight is how much of the difference it explains, as far as that is known: the functions of a
	// module that differ, or the bytes of an embedded file. It compares causes of one kind.
	Weight int64 `json:"weight,omitempty"`
}

// Confidence is how sure a cause is.
type Confidence string

const (
	// Certain: both files state it.
	Certain Confidence = "certain"
	// Likely: it fits everything that was found.
	Likely Confidence = "likely"
	// Possible: it was found, and other causes may explain the difference as well.
	Possible Confidence = "possible"
)

// is reports whether the cause is of a kind.
func (x Cause) is(k causeKind) bool { return x.ID == k.String() }

// isOneOf reports whether the cause is of one of the kinds.
func (x Cause) isOneOf(list []causeKind) bool { return slices.ContainsFunc(list, x.is) }

// addCause adds a cause, once for each place. Without a text it has the meaning of
// its kind. What is equal in both files is no cause.
func (c *Comparison) addCause(k causeKind, sure Confidence, x Cause) {
	if x.A != "" && x.A == x.B {
		return
	}
	row := kinds[k]
	x.ID, x.Confidence, x.Remedy = row.ID, sure, row.Remedy
	if x.Text == "" {
		x.Text = row.Meaning
	}

	again := c.hasCause(func(o Cause) bool {
		return o.is(k) && o.Where == x.Where && (o.Text == x.Text || o.A+o.B != "" && o.A == x.A && o.B == x.B)
	})
	// The bound is one of each kind, so that many of one leave room for the others.
	if !again && c.count(k) < maxOfKind {
		c.Causes = append(c.Causes, x)
	}
}

const maxOfKind = 128

func (c *Comparison) count(k causeKind) (n int) {
	for _, x := range c.Causes {
		if x.is(k) {
			n++
		}
	}
	return n
}

// unlike returns two descriptions, or nothing if they are the same: then they do not show the
// difference.
func unlike(a, b string) (string, string) {
	if a == b {
		return "", ""
	}
	return a, b
}

func (c *Comparison) hasCause(f func(Cause) bool) bool { return slices.ContainsFunc(c.Causes, f) }

// caused reports whether there is a cause of one of the kinds with a confidence above "possible".
func (c *Comparison) caused(kinds ...causeKind) bool {
	return c.hasCause(func(o Cause) bool { return o.isOneOf(kinds) && o.Confidence != Possible })
}

// rankCauses puts the causes in their order. It leaves out causes that say the same as a better
// one. Where nothing was found, it adds a cause that says so.
func (c *Comparison) rankCauses() {
	if len(c.Causes) == 0 {
		text := "nothing that is known of explains it"
		if c.Differing > 0 {
			text = "the content differs, and nothing that is known of explains it"
		}
		c.addCause(causeUnknown, Possible, Cause{Text: text})
	}

	// A path whose cause is known needs no other name.
	all := slices.Clone(c.Causes)
	c.Causes = slices.DeleteFunc(c.Causes, func(x Cause) bool {
		return x.is(causeVaried) && slices.ContainsFunc(all, func(o Cause) bool {
			return !o.is(causeVaried) && o.Where == "" && o.Confidence == Certain && o.A == x.A && o.B == x.B
		})
	})

	// What is only possible must not hide what is likely, whatever its kind.
	rank := func(x Cause) int {
		k, _ := kindOf(x.ID)
		n := int(k)
		if x.Confidence == Possible {
			n += len(kinds)
		}
		return n
	}

	slices.SortStableFunc(c.Causes, func(x, y Cause) int {
		return cmp.Or(rank(x)-rank(y), cmp.Compare(y.Weight, x.Weight))
	})
}

// always are the kinds whose first cause is shown whatever else there is: the version and the commit
// of the main module.
var always = []causeKind{causeMainVersion, causeVCSStamp}

// heaviest returns at most n causes, in their order. Where there are more, each kind has its heaviest
// first, so that many of one kind do not hide the others.
func heaviest(causes []Cause, n int) []Cause {
	if len(causes) <= n {
		return causes
	}

	// The place of a cause among those of its kind comes first, and then its rank.
	type place struct{ round, index int }
	seen := map[string]int{}
	places := make([]place, len(causes))
	for i, x := range causes {
		round := seen[x.ID]
		seen[x.ID]++
		if round == 0 && x.isOneOf(always) {
			round = -1
		}
		places[i] = place{round, i}
	}
	slices.SortStableFunc(places, func(x, y place) int { return x.round - y.round })

	places = places[:n]
	slices.SortFunc(places, func(x, y place) int { return x.index - y.index })
	list := make([]Cause, n)
	for i, x := range places {
		list[i] = causes[x.index]
	}
	return list
}

// cut shortens s to a text that can be listed.
func cut(s string) string {
	if len(s) > maxValue {
		s = strings.ToValidUTF8(s[:maxValue], "") + "..."
	}
	return s
}

const maxValue = 400 // bytes of a text that is listed

// cutPair shortens two texts that differ so that the difference stays in what is left.
func cutPair(a, b string) (string, string) { return cutAround(a, b, maxValue) }

// cutAround leaves out what two texts begin with where it would take up more than half of a limit.
func cutAround(a, b string, limit int) (string, string) {
	if max(len(a), len(b)) <= limit {
		return a, b
	}
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	if from := same - limit/4; same > limit/2 && a != b {
		a, b = "..."+strings.ToValidUTF8(a[from:], ""), "..."+strings.ToValidUTF8(b[from:], "")
	}

	short := func(s string) string {
		if len(s) > limit+len("...") {
			s = strings.ToValidUTF8(s[:limit], "") + "..."
		}
		return s
	}
	return short(a), short(b)
}
