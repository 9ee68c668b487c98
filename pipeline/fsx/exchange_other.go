//go:build !linux

package fsx

import "errors"

// ExchangeFolders swaps two folders in one step, where the system can.
func ExchangeFolders(a, b string) error { return errors.ErrUnsupported }
