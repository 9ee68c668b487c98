package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/gocmd"
)

func (a *app) initCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Write a release.toml for this module",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.initialize(c.Context()) },
	}
}

// initialize writes release.toml, with the main packages of the module in the folder of -C.
func (a *app) initialize(ctx context.Context) error {
	gomod, err := fsx.ReadNamed(filepath.Join(a.dir, "go.mod"), gocmd.MaxGoMod)
	if err != nil {
		return fault.Usage(fmt.Errorf("there is no go.mod in this folder: %w (a release file stands in the module's root folder)", err))
	}
	mod, err := modfile.ParseLax("go.mod", gomod, nil)
	if err != nil {
		return fault.Usage(err)
	}

	// The user's own go command tells, and neither downloads a toolchain nor edits go.mod.
	goCmd := gocmd.Go{Env: a.env}.With("GOWORK=off", "GOFLAGS=-mod=readonly", "GOTOOLCHAIN=local")
	if goCmd.Path, err = find("go", absolute(filepath.SplitList(environment(a.env)["PATH"]))); err != nil {
		return fmt.Errorf("go: %w", err)
	}
	dir, err := filepath.Abs(a.dir)
	if err != nil {
		return err
	}

	list, err := goCmd.Run(ctx, dir, "list", "-f", "{{if eq .Name \"main\"}}{{.ImportPath}} {{.Module.Path}}{{end}}", "./...")
	if err != nil {
		return err
	}
	version := ""
	if !exact(mod) {
		out, err := goCmd.Run(ctx, dir, "env", "GOVERSION")
		if err != nil {
			return err
		}
		version = strings.TrimSpace(string(out))
	}

	// What a module is called may be nothing that a release file allows, so it is read before
	// it is written.
	text, err := starter(strings.Fields(string(list)), version)
	if err != nil {
		return err
	}
	if _, err := matrix.Parse("release.toml", text); err != nil {
		return err
	}

	err = fsx.WriteNew(filepath.Join(a.dir, "release.toml"), text, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fault.Usage(errors.New("release.toml exists already"))
	}
	if err != nil {
		return err
	}

	if a.json {
		return printJSON(a.document(), map[string]string{"schema": "twice.init/v1", "file": "release.toml"})
	}
	_, err = fmt.Fprintln(a.stdout, "wrote release.toml; try `twice check`, then `twice release --snapshot`")
	return err
}

// exact reports whether go.mod names one release of Go.
func exact(f *modfile.File) bool {
	return f.Toolchain != nil || f.Go != nil && strings.Count(f.Go.Version, ".") == 2
}

// projectOf returns a name for a module. It is the last element of the module's path that is no
// major version, in a form that can stand in a file name.
func projectOf(modulePath string) string {
	prefix, _, ok := module.SplitPathVersion(modulePath)
	if !ok {
		prefix = modulePath
	}
	return strings.Map(func(r rune) rune {
		if r == '~' {
			return '-'
		}
		return r
	}, path.Base(prefix))
}

// starter returns a release file for the main packages in list. The list is of pairs: an import
// path, and the path of its module.
func starter(list []string, goVersion string) ([]byte, error) {
	var commands []string
	for i := 0; i+1 < len(list); i += 2 {
		pkg := "." + strings.TrimPrefix(list[i], list[i+1])
		if !strings.Contains(pkg, "/internal/") && !strings.Contains(pkg, "/testdata/") {
			commands = append(commands, pkg)
		}
	}

	if len(commands) == 0 {
		return nil, fault.Usage(errors.New("this module has no main package"))
	}

	var b bytes.Buffer
	fmt.Fprintf(&b, "project = %q\n", projectOf(list[1]))
	if goVersion != "" {
		fmt.Fprintf(&b, "\n# go.mod names no release of Go.\n[toolchain]\nversion = %q\n", strings.TrimPrefix(goVersion, "go"))
	}
	for _, pkg := range commands {
		fmt.Fprintf(&b, "\n[[binary]]\npackage = %q\n", pkg)
	}
	b.WriteString("\n[matrix]\nos = [\"linux\", \"darwin\", \"windows\"]\narch = [\"amd64\", \"arm64\"]\n")

	return b.Bytes(), nil
}
