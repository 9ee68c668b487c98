package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/record"
)

func (a *app) schemaCmd() *cobra.Command {
	schemas := map[string]func() []byte{"release.toml": matrix.Schema, "release.json": record.Schema}
	return &cobra.Command{
		Use:       "schema {release.toml | release.json}",
		Short:     "Print the JSON Schema of a file that twice reads or writes",
		ValidArgs: []string{"release.toml", "release.json"},
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) != 1 || schemas[args[0]] == nil {
				return fault.Usage(fmt.Errorf("twice schema: name one file, release.toml or release.json"))
			}
			_, err := a.document().Write(schemas[args[0]]())
			return err
		},
	}
}
