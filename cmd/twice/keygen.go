package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/attest/key"
	"github.com/twicebuild/twice/pipeline/fault"
)

// keyDoc is what `twice keygen --json` prints.
type keyDoc struct {
	Schema      string `json:"schema"` // "twice.key/v1"
	Private     string `json:"private"`
	Public      string `json:"public"`
	Kind        string `json:"kind"`
	Fingerprint string `json:"fingerprint"`
}

func (a *app) keygenCmd() *cobra.Command {
	var opts key.GenerateOptions
	var algorithm, passphraseFile string
	c := &cobra.Command{
		Use:   "keygen [NAME]",
		Short: "Make a key pair to sign releases with",
		Long: `Keygen writes NAME.key and NAME.pub (default: release.key and release.pub) and
overwrites nothing. The private key is encrypted with a passphrase, in the format
that cosign reads and writes; the public one is what twice verify --key takes.

` + passphraseHelp,
		RunE: func(c *cobra.Command, args []string) error {
			name := "release"
			if len(args) > 1 {
				return fault.Usage(fmt.Errorf("%s takes one name", c.CommandPath()))
			}
			if len(args) == 1 {
				name = strings.TrimSuffix(args[0], ".key")
			}
			if name == "" || strings.HasSuffix(name, "/") || strings.HasSuffix(name, string(filepath.Separator)) {
				return fault.WithRemedy(fault.Usage(errors.New("the key pair has no name: NAME.key and NAME.pub are written")), "leave NAME out, and they are release.key and release.pub")
			}

			name = a.inDir(name)
			opts.Algorithm = key.Algorithm(algorithm)
			if !slices.Contains([]key.Algorithm{key.P256, key.P384, key.Ed25519}, opts.Algorithm) {
				return fault.Usage(fmt.Errorf("--algorithm %s: want %s, %s or %s", algorithm, key.P256, key.P384, key.Ed25519))
			}

			opts.Passphrase = a.passphrase("Passphrase for "+filepath.Base(name)+".key", passphraseFile, true)
			k, err := key.Generate(c.Context(), name, opts)
			if err != nil {
				return err
			}

			a.warn(k.Warnings)
			if a.json {
				return printJSON(a.document(), keyDoc{"twice.key/v1", name + ".key", name + ".pub", k.Public().Kind(), string(k.Public().Fingerprint())})
			}
			fmt.Fprintf(a.stdout, "private key  %s\npublic key   %s\nfingerprint  %s\n", displayPath(name+".key"), displayPath(name+".pub"), k.Public().Fingerprint())
			return nil
		},
	}
	c.Flags().StringVar(&algorithm, "algorithm", string(key.P256), "`KIND` of key: ecdsa-p256, which every client takes, ecdsa-p384 or ed25519")
	c.Flags().BoolVar(&opts.Unencrypted, "unencrypted", false, "write the private key without a passphrase")
	c.Flags().StringVar(&passphraseFile, "passphrase-file", "", "take the passphrase from the first line of `FILE`")
	return c
}

const passphraseHelp = `The passphrase comes from --passphrase-file, from TWICE_PASSPHRASE or
COSIGN_PASSWORD in the environment, or from the terminal.`

// passphrase returns a function that asks for a passphrase. Where a new one is chosen it asks
// twice.
func (a *app) passphrase(prompt, file string, choose bool) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		if file != "" {
			return readLine(ctx, a.inDir(file))
		}

		env := environment(a.env)
		for _, name := range []string{"TWICE_PASSPHRASE", "COSIGN_PASSWORD"} {
			if v, ok := env[name]; ok {
				return []byte(v), nil
			}
		}

		if a.ask == nil {
			return nil, fault.Usage(errors.New("there is no terminal to ask for the passphrase: set TWICE_PASSPHRASE or give --passphrase-file"))
		}

		a.progress.Hide() // it would write over the question
		first, err := a.ask(ctx, prompt+": ")
		if err != nil || !choose {
			return first, err
		}

		again, err := a.ask(ctx, "Again: ")
		if err == nil && string(again) != string(first) {
			err = fault.Usage(errors.New("the two passphrases differ"))
		}
		return first, err
	}
}
