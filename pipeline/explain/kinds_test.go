package explain

import "testing"

// TestKinds holds the table of kinds: each constant has a row, and each row an
// identifier of its own.
func TestKinds(t *testing.T) {
	if got := len(kinds); got != int(causeUnknown)+1 {
		t.Errorf("%d rows, and the last constant is %d", got, causeUnknown)
	}
	for i, k := range kinds {
		if k.ID == "" || k.Meaning == "" {
			t.Errorf("row %d: %+v", i, k)
		}
		if got, ok := kindOf(k.ID); !ok || int(got) != i {
			t.Errorf("%q is row %d and row %d", k.ID, i, got)
		}
	}
}
