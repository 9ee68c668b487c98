package fsx

import "golang.org/x/sys/unix"

// ExchangeFolders swaps two folders in one step.
func ExchangeFolders(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}
