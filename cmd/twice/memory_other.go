//go:build !linux

package main

// memory returns how many bytes builds may use. It is a guess that most
// machines that compile Go can meet.
func memory() int64 { return 4 << 30 }
