package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/matrix"
)

func (a *app) initCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Write a release.toml for this module",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			goCmd, err := find("go", absolute(filepath.SplitList(environment(a.env)["PATH"])))
			if err != nil {
				return fmt.Errorf("go: %w", err)
			}
			list := exec.CommandContext(c.Context(), goCmd, "list", "-f", "{{if eq .Name \"main\"}}{{.ImportPath}} {{.Module.Path}}{{end}}", "./...")
			list.Dir = a.dir
			list.Env = append(a.env, "GOWORK=off", "GOFLAGS=-mod=readonly")
			var stderr bytes.Buffer
			list.Stderr = &stderr
			out, err := list.Output()
			if err != nil {
				return fmt.Errorf("go list ./...: %w\n%s", err, strings.TrimSpace(stderr.String()))
			}
			text, err := starter(strings.Fields(string(out)))
			if err != nil {
				return err
			}
			if _, err := matrix.Parse("release.toml", text); err != nil {
				return err
			}
			f, err := os.OpenFile(filepath.Join(a.dir, "release.toml"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if errors.Is(err, fs.ErrExist) {
				return usageError{errors.New("release.toml exists already")}
			}
			if err != nil {
				return err
			}
			_, err = f.Write(text)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.stdout, "wrote release.toml; try `twice check`, then `twice release --snapshot`")
			return err
		},
	}
}

// starter is a release file for the main packages in list: pairs of an import
// path and the path of its module.
func starter(list []string) ([]byte, error) {
	if len(list) == 0 {
		return nil, usageError{errors.New("this module has no main package")}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "project = %q\n", path.Base(list[1]))
	for i := 0; i+1 < len(list); i += 2 {
		pkg := "." + strings.TrimPrefix(list[i], list[i+1])
		if strings.Contains(pkg, "/internal/") || strings.Contains(pkg, "/testdata/") {
			continue
		}
		fmt.Fprintf(&b, "\n[[binary]]\npackage = %q\n", pkg)
	}
	b.WriteString("\n[matrix]\nos = [\"linux\", \"darwin\", \"windows\"]\narch = [\"amd64\", \"arm64\"]\n")
	return b.Bytes(), nil
}
