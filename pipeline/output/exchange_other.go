//go:build !linux

package output

import "errors"

// exchangeFolders swaps two folders in one step, where the system can.
func exchangeFolders(a, b string) error { return errors.ErrUnsupported }
