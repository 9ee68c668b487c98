package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// version is set by a release (see release.toml).
var version string

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of twice",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			t := toolVersion()
			if a.json {
				return printJSON(a.document(), map[string]string{"schema": "twice.version/v1", "version": t.Version, "go": t.Go, "platform": runtime.GOOS + "/" + runtime.GOARCH})
			}
			_, err := fmt.Fprintf(a.stdout, "twice %s (%s %s/%s)\n", t.Version, t.Go, runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
