// Package process starts other programs so that none of them outlives the
// context that it was started under.
package process
