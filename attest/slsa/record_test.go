package slsa

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/record"
)

var (
	commit = "64d3f795e189e3af5afbb288d50217603092bd49"
	tree   = "7032008927b77fc23e5ce8457cdecce6459629cb"
	at     = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
)

// h1 is a hash in the form of go.sum that depends on b.
func h1(b byte) string { return "h1:" + strings.Repeat(string('A'+rune(b)), 42) + "A=" }

func digest(of string) artifact.Digest { return artifact.Of([]byte(of)) }

// release is the record of a release with everything that one can have, but for
// what the cases of records change.
func release(t testing.TB) *record.Record {
	t.Helper()
	rec := &record.Record{
		Schema: record.SchemaName, Project: "hello", Version: "1.2.3", Tag: "v1.2.3",
		Tool: record.Tool{Version: "0.3.0", Go: "go1.26.8"},
		Source: record.Source{
			Source: recipe.Source{Commit: commit, Dir: ".", Tree: tree}, Time: at,
			ConfigFile: "release.toml", Config: digest("release.toml"),
		},
		Epoch: at.Unix(), Toolchain: recipe.Toolchain{Version: "go1.26.8"}, Verdict: compare.Reproduced,
		Files: []record.File{{Name: "LICENSE", Verdict: compare.Reproduced, A: digest("LICENSE"), B: digest("LICENSE")}},
		Varying: record.Varying{
			Repository:  "https://example.com/hello.git",
			Host:        record.Host{OS: "linux", Arch: "amd64", CPUs: 2},
			Toolchain:   record.Toolchain{From: "installed", Published: true, Sum: h1(0), GoEnv: "GOTOOLCHAIN=local"},
			Modules:     record.Modules{SumDB: "sum.example.com"},
			Confinement: pass.Confinement{Namespaces: true, Landlock: 7, NetworkCut: "none", Missing: []string{}},
			Variations: []pass.Variation{
				{Name: "source path", Varied: true, A: "/a/src", B: "/b/tree"},
				{Name: "user", Varied: true, A: "1000", B: "4242"},
				{Name: "time zone", Varied: true, A: "Etc/GMT+12", B: "Pacific/Kiritimati"},
				{Name: "clock", A: "2026-02-03T05:00:00Z", B: "2026-02-03T05:00:00Z", Reason: "the host's clock is shared"},
			},
			Started: at.Add(time.Hour), Finished: at.Add(time.Hour + 93*time.Second + 5*time.Millisecond),
		},
	}
	modules := []recipe.Module{
		{Path: "example.com/Mixed/Case", Sum: h1(1), Version: "v2.0.0+incompatible"},
		{Path: "example.com/folder", Replace: "third_party/folder", Version: "v1.0.0"},
		{Path: "example.com/forked", Replace: "example.net/fork@v1.0.1", Sum: h1(2), Version: "v1.0.0"},
		{Path: "golang.org/x/sys", Sum: h1(3), Version: "v0.49.0"},
	}
	for _, target := range []matrix.Target{{OS: "linux", Arch: "amd64"}, {OS: "windows", Arch: "amd64", Variant: "v3"}} {
		for _, name := range []string{"hello", "hellod"} {
			r := recipe.Recipe{
				Argv:   []string{"go", "build", "-mod=readonly", "-trimpath", "-ldflags=-buildid= -s -w -X main.version=<1.2.3>", "./cmd/" + name},
				Binary: name + target.Exe(), Env: append([]string{"CGO_ENABLED=0", "GOAUTH=off"}, target.Env()...),
				Modules: modules, Schema: recipe.Schema, Source: rec.Source.Source, Target: target, Toolchain: rec.Toolchain,
			}
			slices.Sort(r.Env)
			rec.Binaries = append(rec.Binaries, record.Binary{
				Name: r.Binary, Target: target, Recipe: r, Verdict: compare.Reproduced,
				A: digest(target.Slug() + name), B: digest(target.Slug() + name), Size: 7,
				Compilations: compare.GraphResult{Packages: 30, Reproduced: 30},
			})
			modules = modules[1:] // the recipes need not agree
		}
	}
	for _, b := range rec.Binaries {
		rec.Artifacts = append(rec.Artifacts, artifact.Artifact{
			Name: "bin/" + b.Target.Slug() + "/" + b.Name, Kind: artifact.Binary, Digest: b.A, Size: 7, Executable: true,
		})
	}
	for name, kind := range map[string]artifact.Kind{
		"SHA256SUMS": artifact.Checksums, "hello_1.2.3_linux_amd64.tar.gz": artifact.Archive, "hello_1.2.3_windows_amd64_v3.zip": artifact.Archive,
	} {
		rec.Artifacts = append(rec.Artifacts, artifact.Artifact{Name: name, Kind: kind, Digest: digest(name), Size: 100})
	}
	slices.SortFunc(rec.Artifacts, func(a, b artifact.Artifact) int { return strings.Compare(a.Name, b.Name) })
	return seal(t, rec)
}

// seal brings the recipes of rec in line with the rest of it.
func seal(t testing.TB, rec *record.Record) *record.Record {
	t.Helper()
	for i := range rec.Binaries {
		b := &rec.Binaries[i]
		b.Recipe.Source, b.Recipe.Toolchain = rec.Source.Source, rec.Toolchain
		var err error
		if b.RecipeDigest, err = b.Recipe.Digest(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := rec.Encode(); err != nil {
		t.Fatal(err)
	}
	return rec
}

// releases are records of releases, by the name of their golden file.
func releases(t testing.TB) map[string]*record.Record {
	module := release(t)
	module.Source.Source = recipe.Source{Dir: ".", Module: "example.com/Hello", Sum: h1(4), Version: "v1.2.3"}
	module.Varying.Repository, module.Files = "", nil // the tag is the version

	// Uncommitted changes on a host with a toolchain and habits of its own.
	snapshot := release(t)
	snapshot.Tag, snapshot.Version, snapshot.Snapshot, snapshot.Source.Dirty = "", "1.2.4-0.20260203040506", true, true
	snapshot.Epoch = 1
	snapshot.Varying.Repository = "git@example.com:team/hello.git"
	snapshot.Toolchain.Sum = h1(0)
	snapshot.Varying.Toolchain.Published, snapshot.Varying.Toolchain.GoEnv = false, ""
	snapshot.Varying.Confinement = pass.Confinement{Missing: []string{"namespaces: not on this system"}}
	snapshot.Binaries[0].Recipe.Hooks, snapshot.Binaries[0].Recipe.Epoch = [][]string{{"go", "generate"}}, 1
	snapshot.Source.ConfigUncommitted = true
	partial := release(t)
	partial.Partial = &record.Partial{LeftOut: []matrix.Target{{OS: "darwin", Arch: "arm64"}, {OS: "linux", Arch: "arm", Variant: "7"}}}
	vendored := []recipe.Module{{Path: "golang.org/x/sys", Version: "v0.49.0"}}
	for i := range snapshot.Binaries {
		snapshot.Binaries[i].Recipe.Modules = vendored
	}
	snapshot.Binaries[1].Verdict, snapshot.Binaries[1].B = compare.Equivalent, digest("the same after a normalization")
	return map[string]*record.Record{"release": release(t), "module": seal(t, module), "partial": seal(t, partial), "snapshot": seal(t, snapshot)}
}

// rejects are records of runs that came to no release.
func rejects(t testing.TB) map[string]*record.Record {
	differs := release(t)
	differs.Verdict, differs.Artifacts = compare.Differs, nil
	b := &differs.Binaries[1]
	b.Verdict, b.B, b.Reason = compare.Differs, digest("other"), "the bytes differ"
	b.Compilations.Reproduced = 29
	f := &differs.Files[0]
	f.Verdict, f.B, f.Reason = compare.Differs, "", "only pass A has it"

	undetermined := release(t)
	undetermined.Verdict, undetermined.Artifacts = compare.Undetermined, nil
	b = &undetermined.Binaries[0]
	b.Verdict, b.B, b.Reason = compare.Undetermined, "", "pass B: go build: exit status 1"
	b.Compilations = compare.GraphResult{Packages: 30}
	return map[string]*record.Record{"differs": seal(t, differs), "undetermined": seal(t, undetermined)}
}
