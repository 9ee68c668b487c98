package output

import (
	"fmt"
	"io/fs"
	"syscall"
)

// identity tells a file from one that was put in its place, and from what it was before
// something wrote to it: nobody sets the time at which it was changed.
func identity(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprint(st.Dev, st.Ino, st.Ctim.Sec, st.Ctim.Nsec)
}
