package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// displayPath returns a path as a person in the current folder would write it.
func displayPath(file string) string {
	wd, err := os.Getwd()
	if err != nil {
		return file
	}
	rel, err := filepath.Rel(wd, file)
	if err != nil || strings.HasPrefix(rel, "..") {
		return file
	}
	return rel
}

// inDir returns the path of a file that the user named, as seen from the folder of -C.
func (a *app) inDir(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(a.dir, name)
}

// keyReference is inDir for a key, which may also be the reference of a key in a KMS.
func (a *app) keyReference(ref string) string {
	if strings.Contains(ref, "://") {
		return ref
	}
	return a.inDir(ref)
}

func sortedKeys(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }

// count returns a number of things in words, such as "2 binaries".
func count(n int, thing string) string {
	if stem, ok := strings.CutSuffix(thing, "y"); ok && n != 1 {
		thing = stem + "ie"
	}
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
