// Package fsx does what package os leaves to its callers. It opens files that may be anything,
// reads them up to a bound, writes files that are new or whole, waits for locks, exchanges folders,
// removes trees and counts what they take on disk.
package fsx
