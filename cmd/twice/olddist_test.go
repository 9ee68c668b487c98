package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/record"
)

// writeOldDist makes a folder that an earlier run has written, unsigned, with an
// old.tar.gz in it.
func writeOldDist(dir string) error {
	at, target := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), matrix.Target{OS: "linux", Arch: "amd64"}
	src := recipe.Source{Commit: strings.Repeat("6", 40), Tree: strings.Repeat("7", 40), Dir: "."}
	r := recipe.Recipe{
		Argv: []string{"go", "build", "."}, Binary: "p", Env: append([]string{"CGO_ENABLED=0"}, target.Env()...),
		Schema: recipe.Schema, Source: src, Target: target, Toolchain: recipe.Toolchain{Version: "go1.26.8"},
	}
	slices.Sort(r.Env)
	digest, err := r.Digest()
	if err != nil {
		return err
	}
	old := artifact.Of([]byte("old"))
	rec := &record.Record{
		Schema: record.SchemaName, Project: "p", Version: "0.0.1", Snapshot: true, Epoch: at.Unix(), Toolchain: r.Toolchain, Verdict: compare.Reproduced,
		Source: record.Source{Source: src, Time: at, ConfigFile: "release.toml", Config: old},
		Binaries: []record.Binary{{
			Name: "p", Target: target, Recipe: r, RecipeDigest: digest, Verdict: compare.Reproduced, A: old, B: old,
			Compilations: compare.GraphResult{Packages: 1, Reproduced: 1},
		}},
		Artifacts: []artifact.Artifact{{Name: "old.tar.gz", Kind: artifact.Archive, Digest: old, Size: 3}},
		Varying:   record.Varying{Confinement: pass.Confinement{Missing: []string{}}, Started: at, Finished: at},
	}
	data, err := rec.Encode()
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, distfiles.RecordName), data, 0o644),
		os.WriteFile(filepath.Join(dir, "old.tar.gz"), []byte("old"), 0o644))
}

// cmdOldDist makes such a folder.
func cmdOldDist(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: old-dist DIR")
	}
	ts.Check(writeOldDist(ts.MkAbs(args[0])))
}
