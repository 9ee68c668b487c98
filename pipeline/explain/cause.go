package explain

import (
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
// its kind.
func (c *Comparison) addCause(k causeKind, sure Confidence, x Cause) {
	row := kinds[k]
	x.ID, x.Confidence, x.Remedy = row.ID, sure, row.Remedy
	if x.Text == "" {
		x.Text = row.Meaning
	}

	again := c.hasCause(func(o Cause) bool {
		return o.is(k) && o.Where == x.Where && (o.Text == x.Text || o.A+o.B != "" && o.A == x.A && o.B == x.B)
	})
	if !again && len(c.Causes) < maxListed {
		c.Causes = append(c.Causes, x)
	}
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

	slices.SortStableFunc(c.Causes, func(x, y Cause) int { return rank(x) - rank(y) })
}

// cut shortens s to a text that can be listed.
func cut(s string) string {
	const limit = 400
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return s
}
