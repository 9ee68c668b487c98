// Package hint is the part of package fault about remedies, under the names that
// it had.
package hint

import "github.com/twicebuild/twice/pipeline/fault"

// Add is [fault.Hint].
func Add(err error, remedy string) error { return fault.Hint(err, remedy) }

// Of is [fault.HintOf].
func Of(err error) string { return fault.HintOf(err) }
