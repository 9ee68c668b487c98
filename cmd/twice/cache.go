package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/pipeline/cache"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// cacheMaxVariable is the variable that says how much all toolchains may take together.
const cacheMaxVariable = "TWICE_CACHE_MAX"

// The documents of `twice cache --json` and `twice cache prune --json`.
type (
	cacheDoc struct {
		Schema string `json:"schema"` // "twice.cache/v1"
		Dir    string `json:"dir"`
		Bytes  int64  `json:"bytes"`
		// MaxToolchains bounds what toolchains take together, in bytes.
		MaxToolchains int64         `json:"maxToolchains"`
		Entries       []cache.Entry `json:"entries"`
	}
	prunedDoc struct {
		Schema  string        `json:"schema"` // "twice.pruned/v1"
		Dir     string        `json:"dir"`
		Bytes   int64         `json:"bytes"` // of what was removed
		Removed []cache.Entry `json:"removed"`
	}
)

// cacheSettings returns the folder that outlives runs, and how many bytes toolchains may take in
// it.
func (a *app) cacheSettings() (dir string, maxBytes int64, err error) {
	maxBytes = cache.DefaultMax
	if s := environment(a.env)[cacheMaxVariable]; s != "" {
		if maxBytes, err = fsx.ParseSize(s); err != nil {
			return "", 0, fault.Usage(fmt.Errorf("%s: %w", cacheMaxVariable, err))
		}
		// Zero would mean that there is no bound. With one byte no unused toolchain stays.
		maxBytes = max(maxBytes, 1)
	}

	dir, err = a.cacheDir()
	return dir, maxBytes, err
}

func (a *app) cacheCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "cache",
		Short: "Show what is kept on disk between runs, and remove it",
		Long: `Cache shows what twice keeps between runs: Go toolchains, what the public Sigstore
instance says of itself, and workspaces, of runs that go on or were killed. What a
killed run left is removed by the next one; toolchains that were not used for long
are removed after a download, until the rest takes at most 10GB, or what
` + cacheMaxVariable + ` in the environment says (such as 2GB).`,
		Args: unknownCommand,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, maxBytes, err := a.cacheFolder()
			if err != nil {
				return err
			}

			entries, err := cache.List(c.Context(), dir)
			if err != nil {
				return err
			}

			doc := cacheDoc{Schema: "twice.cache/v1", Dir: dir, MaxToolchains: maxBytes, Entries: append([]cache.Entry{}, entries...)}
			for _, e := range entries {
				doc.Bytes += e.Bytes
			}

			if a.json {
				return printJSON(a.document(), doc)
			}

			for _, e := range doc.Entries {
				a.printEntry("", e)
			}
			fmt.Fprintf(a.stdout, "%s in %s; toolchains may take %s\n", fsx.FormatSize(doc.Bytes), dir, fsx.FormatSize(maxBytes))
			return nil
		},
	}

	c.PersistentFlags().StringVar(&a.cache, "cache", "", "the `DIR` for toolchains and workspaces (default: twice in the user's cache folder)")
	c.AddCommand(a.pruneCmd())
	return c
}

func (a *app) pruneCmd() *cobra.Command {
	var all bool
	var maxSize string
	c := &cobra.Command{
		Use:   "prune",
		Short: "Remove what is not needed",
		Long: `Prune removes what killed runs left, and the toolchains that were not used for
longest, until the rest takes no more than it may. What a run uses now stays, and
so does whatever twice did not put there.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, maxBytes, err := a.cacheFolder()
			if err != nil {
				return err
			}
			switch {
			case all && maxSize != "":
				return fault.Usage(errors.New("--all and --max-size exclude each other"))
			case all:
				maxBytes = 0
			case maxSize != "":
				if maxBytes, err = fsx.ParseSize(maxSize); err != nil {
					return fault.Usage(fmt.Errorf("--max-size: %w", err))
				}
			}

			removed, err := cache.Prune(c.Context(), dir, maxBytes)
			doc := prunedDoc{Schema: "twice.pruned/v1", Dir: dir, Removed: append([]cache.Entry{}, removed...)}
			for _, e := range removed {
				doc.Bytes += e.Bytes
			}
			if a.json && err == nil {
				return printJSON(a.document(), doc)
			}
			if !a.json {
				for _, e := range doc.Removed {
					a.printEntry("removed  ", e)
				}
				fmt.Fprintf(a.stdout, "%s removed, %s\n", count(len(doc.Removed), "thing"), fsx.FormatSize(doc.Bytes))
			}
			return err
		},
	}
	c.Flags().BoolVar(&all, "all", false, "remove every toolchain that no run uses now")
	c.Flags().StringVar(&maxSize, "max-size", "", "let toolchains take `SIZE`, such as 500MB or 2GB")
	return c
}

// cacheFolder returns the same as cacheSettings, with the links in the folder's own path resolved.
// Package cache follows no links.
func (a *app) cacheFolder() (dir string, maxBytes int64, err error) {
	if dir, maxBytes, err = a.cacheSettings(); err != nil {
		return "", 0, err
	}
	real, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return dir, maxBytes, nil // nothing was ever kept
	}
	return real, maxBytes, err
}

// printEntry prints a line about something in the cache folder.
func (a *app) printEntry(what string, e cache.Entry) {
	notes := []string{"last used " + e.Used.Format("2006-01-02 15:04")}
	if e.InUse {
		notes = append(notes, "in use")
	}

	if e.Kind == cache.Foreign || e.Kind == cache.Trust {
		notes = append(notes, "is never removed")
	}
	fmt.Fprintf(a.stdout, "%s%-9s  %9s  %s  (%s)\n", what, e.Kind, fsx.FormatSize(e.Bytes), safetext.Clean(e.Name), strings.Join(notes, ", "))
}
