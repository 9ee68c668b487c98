package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/pipeline"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/pass"
)

// noArgs refuses arguments. A misspelled verb would be one.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fault.Usage(fmt.Errorf("%s takes no argument %q", c.CommandPath(), args[0]))
	}
	return nil
}

// sourceFlags adds the flags of the verbs that read a release file.
func (a *app) sourceFlags(c *cobra.Command) *cobra.Command {
	c.Args = noArgs
	c.Flags().StringVar(&a.config, "config", "release.toml", "the release `FILE`")
	c.Flags().StringVar(&a.out, "out", "dist", "the `DIR` to write")
	c.Flags().StringVar(&a.module, "module", "", "build `PATH@VERSION` of the module proxy instead of a commit")
	c.Flags().StringArrayVar(&a.targets, "target", nil, "only targets that match `GLOB`, such as 'linux/*' (may be repeated)")
	c.Flags().DurationVar(&a.timeout, "timeout", pass.DefaultTime, "the time for each hook, and for each build of a target (0: no bound)")
	c.Flags().StringVar(&a.cache, "cache", "", "the `DIR` for toolchains and workspaces (default: twice in the user's cache folder)")
	return c
}

// pipelineConfig turns flags and the environment into what the pipeline takes.
func (a *app) pipelineConfig() (pipeline.Config, error) {
	h, err := a.host()
	if err != nil {
		return pipeline.Config{}, err
	}

	cfg := pipeline.Config{
		Request: pipeline.Request{Module: a.module, Targets: a.targets, Timeout: a.timeout},
		Host:    h,
		Remote:  a.remote(),
		Tool:    toolVersion(), Progress: a.progress, HookLog: io.Discard,
	}
	if cfg.BaseSignatures, err = a.baseSignatures(); err != nil {
		return cfg, err
	}

	if a.verbose {
		cfg.HookLog = a.stderr
	}

	if a.timeout < 0 {
		return cfg, fault.Usage(fmt.Errorf("--timeout %s: want a time", a.timeout))
	}

	if cfg.ConfigFile, err = filepath.Abs(a.inDir(a.config)); err != nil {
		return cfg, err
	}
	if cfg.Out, err = filepath.Abs(a.inDir(a.out)); err != nil {
		return cfg, err
	}

	// The variable is a convention of reproducible builds, which packagers set.
	if s := environment(a.env)["SOURCE_DATE_EPOCH"]; s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 {
			return cfg, fault.Usage(fmt.Errorf("SOURCE_DATE_EPOCH=%s: want seconds since 1970", s))
		}
		t := time.Unix(n, 0).UTC()
		cfg.Epoch = &t
	}

	return cfg, nil
}

func insecureFlag(c *cobra.Command, insecure *bool) {
	c.Flags().BoolVar(insecure, "insecure", false, "permit plain HTTP to registries other than on this machine")
}

// parsePlatforms parses the values of --platform.
func parsePlatforms(list []string) ([]platform.Platform, error) {
	var platforms []platform.Platform
	for _, p := range list {
		parsed, err := platform.Parse(p)
		if err != nil {
			return nil, fault.Usage(fmt.Errorf("--platform: %w", err))
		}
		platforms = append(platforms, parsed)
	}
	return platforms, nil
}
