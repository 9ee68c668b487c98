package matrix

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix/tomlfile"
)

// faults collects the errors of a file.
type faults struct {
	file  string
	lines *tomlfile.Index
	list  tomlfile.Errors
	// rejected holds the key paths whose value is wrong. What depends on such a value
	// is not checked, so that one mistake makes one error.
	rejected map[string]bool
}

// add notes a fault of the value at key.
func (f *faults) add(key, hint, format string, args ...any) {
	f.list = append(f.list, &tomlfile.Error{
		File:   f.file,
		Line:   f.lines.Line(key),
		Key:    key,
		Msg:    fmt.Sprintf(format, args...),
		Remedy: hint,
	})
}

// reject notes a fault that makes the value at key useless.
func (f *faults) reject(key, hint, format string, args ...any) {
	f.rejected[key] = true
	f.add(key, hint, format, args...)
}

// accepted reports whether neither key nor anything around it was rejected.
func (f *faults) accepted(key string) bool {
	for ; key != ""; key = tomlfile.Parent(key) {
		if f.rejected[key] {
			return false
		}
	}
	return true
}

// err returns the faults in the order of lines, as [tomlfile.Errors], or nil.
func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}

	slices.SortStableFunc(f.list, func(a, b *tomlfile.Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), strings.Compare(a.Key, b.Key), strings.Compare(a.Msg, b.Msg))
	})
	f.list = slices.CompactFunc(f.list, func(a, b *tomlfile.Error) bool { return *a == *b })
	return f.list
}
