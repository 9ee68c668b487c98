package main

import (
	"slices"
	"testing"

	"github.com/twicebuild/twice/matrix/lintid"
	"github.com/twicebuild/twice/pipeline/explain"
	"github.com/twicebuild/twice/pipeline/lint"
)

// TestRecall shows which findings are told about a difference, and that the table names causes that
// there are.
func TestRecall(t *testing.T) {
	clock, host, tag := lint.Finding{ID: lintid.HookClock}, lint.Finding{ID: lintid.HookHost}, lint.Finding{ID: lintid.TagMissing}
	all := []lint.Finding{clock, host, tag}
	for _, x := range []struct {
		cause string
		want  []lint.Finding
	}{
		{"time-stamp", []lint.Finding{clock}},
		{"user-or-host", []lint.Finding{host}},
		{"embedded-file", []lint.Finding{clock, host}},
		{"other-go-version", []lint.Finding{}},
	} {
		if got := fitting(all, map[string]bool{x.cause: true}); !slices.Equal(got, x.want) {
			t.Errorf("%s: %v, want %v", x.cause, got, x.want)
		}
	}

	for id, causes := range warnedOf {
		for _, cause := range causes {
			if !slices.ContainsFunc(explain.Kinds(), func(k explain.Kind) bool { return k.ID == cause }) {
				t.Errorf("%s warns of %s, which is no cause", id, cause)
			}
		}
	}
}
