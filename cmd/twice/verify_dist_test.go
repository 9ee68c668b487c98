package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/key"
	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/attest/verify"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/image/oci"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/record"
	"github.com/twicebuild/twice/pipeline/sbom"
)

// fakeRelease is a signed dist whose binaries nobody built.
type fakeRelease struct {
	dir, public string
	signer      *attest.Signer
	record      *record.Record
}

// newFakeRelease writes a release with two targets and an image. change may be nil.
func newFakeRelease(t *testing.T, change func(*record.Record), algorithm ...key.Algorithm) *fakeRelease {
	t.Helper()
	keys := t.TempDir()
	options := key.GenerateOptions{Unencrypted: true}
	if len(algorithm) > 0 {
		options.Algorithm = algorithm[0]
	}
	private, err := key.Generate(t.Context(), filepath.Join(keys, "release"), options)
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeRelease{dir: filepath.Join(t.TempDir(), "dist"), public: filepath.Join(keys, "release.pub")}
	if f.signer, err = attest.NewSigner(t.Context(), private.SignerVerifier()); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	rec := &record.Record{
		Schema: record.SchemaName, Project: "hello", Version: "1.2.3", Tag: "v1.2.3", Tool: record.Tool{Version: "0.3.0", Go: "go1.26.8"},
		Source: record.Source{
			Source: recipe.Source{Commit: strings.Repeat("6", 40), Tree: strings.Repeat("7", 40), Dir: "."}, Time: at,
			ConfigFile: "release.toml", Config: artifact.Of([]byte("release.toml")),
		},
		Epoch: at.Unix(), Toolchain: recipe.Toolchain{Version: "go1.26.8"}, Verdict: compare.Reproduced,
		Varying: record.Varying{
			Repository:  "https://example.com/hello",
			Host:        record.Host{OS: "linux", Arch: "amd64", CPUs: 2},
			Toolchain:   record.Toolchain{From: "installed", Published: true, Sum: "h1:" + strings.Repeat("A", 43) + "="},
			Confinement: pass.Confinement{Namespaces: true, NetworkCut: "none", Missing: []string{}},
			Variations:  []pass.Variation{{Name: "source path", Varied: true, A: "/a", B: "/b"}},
			Started:     at, Finished: at.Add(time.Minute),
		},
	}
	add := func(name string, kind artifact.Kind, content string) artifact.Digest {
		t.Helper()
		f.write(t, name, content)
		a := artifact.Artifact{Name: name, Kind: kind, Digest: artifact.Of([]byte(content)), Size: int64(len(content))}
		rec.Artifacts = append(rec.Artifacts, a)
		return a.Digest
	}
	for _, target := range []matrix.Target{{OS: "linux", Arch: "amd64"}, {OS: "linux", Arch: "arm64"}} {
		r := recipe.Recipe{
			Argv: []string{"go", "build", "."}, Binary: "hello", Env: append([]string{"CGO_ENABLED=0"}, target.Env()...),
			Schema: recipe.Schema, Source: rec.Source.Source, Target: target, Toolchain: rec.Toolchain,
		}
		slices.Sort(r.Env)
		digest, err := r.Digest()
		if err != nil {
			t.Fatal(err)
		}
		a := add("bin/"+target.Slug()+"/hello", artifact.Binary, "binary for "+target.String())
		rec.Binaries = append(rec.Binaries, record.Binary{
			Name: "hello", Target: target, Recipe: r, RecipeDigest: digest, Verdict: compare.Reproduced, A: a, B: a, Size: 20,
			Compilations: compare.GraphResult{Packages: 3, Reproduced: 3},
		})
		add("sbom/"+target.Slug()+"/hello.cdx.json", artifact.SBOM, `{"of":"`+target.String()+`"}`)
		add("hello_1.2.3_"+target.Slug()+".tar.gz", artifact.Archive, "archive for "+target.String())
	}
	add("SHA256SUMS", artifact.Checksums, "sums\n")
	blob := func(content string) artifact.Digest {
		digest := artifact.Of([]byte(content))
		f.write(t, "oci/blobs/sha256/"+digest.Hex(), content)
		return digest
	}
	rec.Images = []oci.Image{{
		Key: "hello", Repository: "registry.example/hello", Tags: []string{"1.2.3", "latest"}, Digest: blob("index"), Size: 5,
		Manifests: []oci.Manifest{{
			Platform: "linux/amd64", Target: rec.Binaries[0].Target, Digest: blob("manifest"), Config: blob("config"),
			Layers: []oci.Layer{{Digest: blob("layer"), DiffID: artifact.Of([]byte("tar")), Files: []string{"usr/bin/hello"}}},
		}},
	}}
	layout, err := oci.LayoutFiles(rec.Images)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range layout {
		f.write(t, "oci/"+name, string(data))
	}
	slices.SortFunc(rec.Artifacts, func(a, b artifact.Artifact) int { return cmp.Compare(a.Name, b.Name) })
	if change != nil {
		change(rec)
	}
	f.record = rec
	f.sign(t)
	return f
}

func (f *fakeRelease) write(t *testing.T, name, content string) {
	t.Helper()
	file := filepath.Join(f.dir, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// sign writes the record and all bundles that a release has.
func (f *fakeRelease) sign(t *testing.T) {
	t.Helper()
	encoded, err := f.record.Encode()
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, distfiles.RecordName, string(encoded))
	contents, err := distfiles.ContentsOf(f.record)
	if err != nil {
		t.Fatal(err)
	}
	provenance, err1 := slsa.NewProvenance(f.record, slsa.Invocation{})
	test, err2 := slsa.NewTestResult(f.record, "")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	for name, b := range contents.Bundles {
		statement := intoto.Statement{Subjects: []intoto.Subject{{Name: "bin/linux_amd64/hello", Digest: b.Subject}}, PredicateType: b.PredicateType, Predicate: []byte(`{}`)}
		var data []byte
		switch b.PredicateType {
		case "":
			content, err := os.ReadFile(filepath.Join(f.dir, strings.TrimSuffix(name, distfiles.BundleSuffix)))
			if err != nil {
				t.Fatal(err)
			}
			data, err = f.signer.SignFile(t.Context(), name, content)
			if err != nil {
				t.Fatal(err)
			}
			f.write(t, name, string(data))
			continue
		case slsa.ProvenanceType:
			statement = provenance
		case slsa.TestResultType:
			statement = test
		case sbom.CycloneDXPredicateType:
			statement.Subjects[0].Name = strings.Replace(strings.TrimSuffix(name, ".cdx.json"+distfiles.BundleSuffix), "sbom", "bin", 1)
		}
		if data, err = f.signer.Sign(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		f.write(t, name, string(data))
	}
}

// verified runs twice verify and returns what it says.
func verifies(t *testing.T, args ...string) (doc verify.Report, exit int, stderr string) {
	t.Helper()
	cmd := exec.Command("twice", append([]string{"verify", "--json"}, args...)...)
	var out, told bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &told
	exit = status(cmd.Run())
	if exit != exitUsage {
		if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
			t.Fatalf("%v\n%s\n%s", err, out.Bytes(), told.Bytes())
		}
	}
	return doc, exit, told.String()
}

// reasons lists the reasons of problems, by the files' paths below dir.
func reasons(doc verify.Report, dir string) map[string]string {
	all := map[string]string{}
	for _, f := range doc.Files {
		name := strings.TrimPrefix(strings.TrimPrefix(f.Name, dir), string(filepath.Separator))
		for _, p := range f.Problems {
			all[filepath.ToSlash(name)] = string(p.Reason)
		}
	}
	return all
}

// A folder with a release is held against its signed record: each of these attacks, with
// bytes that are all good for themselves, is refused with its word.
func TestVerifyDist(t *testing.T) {
	original := newFakeRelease(t, nil)
	if doc, exit, _ := verifies(t, original.dir, "--key", original.public); exit != exitOK {
		t.Fatalf("intact: %d %v", exit, reasons(doc, original.dir))
	}
	const (
		bin     = "bin/linux_amd64/hello"
		other   = "bin/linux_arm64/hello"
		archive = "hello_1.2.3_linux_amd64.tar.gz"
		second  = "hello_1.2.3_linux_arm64.tar.gz"
		bundle  = "hello_1.2.3.provenance.sigstore.json"
		result  = "hello_1.2.3.double-build.sigstore.json"
		listA   = "sbom/linux_amd64/hello.cdx.json.sigstore.json"
		listB   = "sbom/linux_arm64/hello.cdx.json.sigstore.json"
	)
	layer := "oci/blobs/sha256/" + artifact.Of([]byte("layer")).Hex()
	var dir string
	at := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, content string) { must(os.WriteFile(at(name), []byte(content), 0o644)) }
	read := func(name string) string {
		data, err := os.ReadFile(at(name))
		must(err)
		return string(data)
	}
	signatures := func() (list []string) {
		entries, err := os.ReadDir(at("oci-signatures"))
		must(err)
		for _, e := range entries {
			list = append(list, "oci-signatures/"+e.Name())
		}
		return list
	}
	swap := func(a, b string) { x, y := read(a), read(b); write(a, y); write(b, x) }
	signed := func(s intoto.Statement) string {
		data, err := original.signer.Sign(t.Context(), s)
		must(err)
		return string(data)
	}
	about := func(content string) []intoto.Subject {
		return []intoto.Subject{{Name: "x", Digest: artifact.Of([]byte(content))}}
	}
	for name, test := range map[string]struct {
		attack func()
		want   map[string]string
	}{
		"a file of a size that takes hours": {func() { must(os.Truncate(at("oci/index.json"), 1<<40)) }, map[string]string{"oci/index.json": "changed"}},
		"the lists of two binaries swapped": {func() { swap(listA, listB) }, map[string]string{listA: "swapped", listB: "swapped"}},
		"the list of another binary":        {func() { write(listA, read(listB)) }, map[string]string{listA: "swapped"}},
		"the statement of another image":    {func() { write(signatures()[0], read(signatures()[1])) }, nil},
		"one image more": {func() {
			write("oci/index.json", strings.Replace(read("oci/index.json"), `[`, `[{"mediaType":"application/vnd.oci.image.index.v1+json","size":2,"digest":"`+string(artifact.Of([]byte("{}")))+`"},`, 1))
		}, map[string]string{"oci/index.json": "changed"}},
		"setuid":                           {func() { must(os.Chmod(at(bin), 0o755|os.ModeSetuid)) }, map[string]string{bin: "mode"}},
		"setgid of the record":             {func() { must(os.Chmod(at("release.json"), 0o644|os.ModeSetgid)) }, map[string]string{"release.json": "mode"}},
		"setuid of a blob":                 {func() { must(os.Chmod(at(layer), 0o755|os.ModeSetuid)) }, map[string]string{layer: "mode"}},
		"another case":                     {func() { write("bin/linux_amd64/Hello", read(bin)) }, map[string]string{"bin/linux_amd64/Hello": "copy"}},
		"a name that moves the cursor":     {func() { write("x\x1b[2Jy", "x") }, map[string]string{"x\x1b[2Jy": "foreign"}},
		"a foreign file":                   {func() { write("install.sh", "#!/bin/sh\n") }, map[string]string{"install.sh": "foreign"}},
		"a foreign file in a folder of it": {func() { write("bin/linux_amd64/cat", "meow") }, map[string]string{"bin/linux_amd64/cat": "foreign"}},
		"a hidden file":                    {func() { write(".profile", "x") }, map[string]string{".profile": "foreign"}},
		"a swapped pair":                   {func() { swap(archive, second) }, map[string]string{archive: "swapped", second: "swapped"}},
		"a swapped pair of the same name":  {func() { swap(bin, other) }, map[string]string{bin: "swapped", other: "swapped"}},
		"one for the other":                {func() { write(bin, read(other)) }, map[string]string{bin: "swapped"}},
		"a renamed copy":                   {func() { write("hello", read(bin)) }, map[string]string{"hello": "copy"}},
		"a renamed file":                   {func() { must(os.Rename(at(archive), at("hello.tar.gz"))) }, map[string]string{"hello.tar.gz": "copy", archive: "missing"}},
		"a removed archive":                {func() { must(os.Remove(at(archive))) }, map[string]string{archive: "missing"}},
		"a changed archive":                {func() { write(archive, "Archive for linux/amd64") }, map[string]string{archive: "changed"}},
		"a removed list of components":     {func() { must(os.Remove(at("sbom/linux_amd64/hello.cdx.json"))) }, map[string]string{"sbom/linux_amd64/hello.cdx.json": "missing"}},
		"a script called a bundle":         {func() { write("x.sigstore.json", "#!/bin/sh\n") }, map[string]string{"x.sigstore.json": "foreign"}},
		"a bundle about nothing here": {func() {
			write("x.sigstore.json", signed(intoto.Statement{Subjects: about("elsewhere"), PredicateType: "https://example.com/x", Predicate: []byte("{}")}))
		}, map[string]string{"x.sigstore.json": "foreign"}},
		"a copied bundle":             {func() { write("install.sh.sigstore.json", read(bundle)) }, map[string]string{"install.sh.sigstore.json": "copy"}},
		"swapped bundles":             {func() { swap(bundle, result) }, map[string]string{bundle: "swapped", result: "swapped"}},
		"a removed result":            {func() { must(os.Remove(at(result))) }, map[string]string{result: "missing"}},
		"a removed image's signature": {func() { must(os.RemoveAll(at("oci-signatures"))) }, nil},
		"a bad bundle about a manifest alone": {func() {
			data := signed(intoto.Statement{Subjects: about("manifest"), PredicateType: "https://example.com/x", Predicate: []byte("{}")})
			write("x.sigstore.json", strings.Replace(data, `"sig":"ME`, `"sig":"MF`, 1))
		}, map[string]string{"oci: registry.example/hello:1.2.3#linux/amd64": "tampered"}},
		"a nested folder":             {func() { must(os.MkdirAll(at("bin/windows_amd64"), 0o755)) }, map[string]string{"bin/windows_amd64": "foreign"}},
		"a release in the release":    {func() { must(os.CopyFS(at("more"), os.DirFS(original.dir))) }, nil},
		"a link for a file":           {func() { must(os.Rename(at(archive), at("../away")), os.Symlink("../away", at(archive))) }, map[string]string{archive: "link"}},
		"a link beside":               {func() { must(os.Symlink("/etc", at("etc"))) }, map[string]string{"etc": "link"}},
		"a hard link":                 {func() { must(os.Link(at(archive), at("again.tar.gz"))) }, map[string]string{"again.tar.gz": "hard link"}},
		"a folder for a file":         {func() { must(os.Remove(at(archive)), os.Mkdir(at(archive), 0o755)) }, map[string]string{archive: "foreign"}},
		"a further blob":              {func() { write("oci/blobs/sha256/"+artifact.Of([]byte("evil")).Hex(), "evil") }, map[string]string{"oci/blobs/sha256/" + artifact.Of([]byte("evil")).Hex(): "foreign"}},
		"a changed blob":              {func() { write(layer, "Layer") }, map[string]string{layer: "changed"}},
		"a removed blob":              {func() { must(os.Remove(at(layer))) }, map[string]string{layer: "missing"}},
		"another index of the layout": {func() { write("oci/index.json", strings.Replace(read("oci/index.json"), "latest", "newest", 1)) }, map[string]string{"oci/index.json": "changed"}},
		"a tampered record":           {func() { write("release.json", strings.Replace(read("release.json"), "v1.2.3", "v1.2.4", 1)) }, map[string]string{"release.json": "wrong subject"}},
		"a removed record":            {func() { must(os.Remove(at("release.json"))) }, nil},
		"a removed record, and all that is not signed by itself": {func() {
			must(os.Remove(at("release.json")), os.Remove(at("release.json.sigstore.json")), os.Remove(at(archive)), os.RemoveAll(at("oci")))
		}, nil},
		"a link for the record": {func() { must(os.Rename(at("release.json"), at("../away")), os.Symlink("../away", at("release.json"))) }, map[string]string{"release.json": "link"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir = filepath.Join(t.TempDir(), "dist")
			must(os.CopyFS(dir, os.DirFS(original.dir)))
			test.attack()
			doc, exit, stderr := verifies(t, dir, "--key", original.public)
			if exit != exitDiffers || doc.Verdict != verify.Refused {
				t.Fatalf("exit status %d, %s: %v\n%s", exit, doc.Verdict, reasons(doc, dir), stderr)
			}
			if got := reasons(doc, dir); test.want != nil && !mapsEqual(got, test.want) {
				t.Errorf("says %v, want %v", got, test.want)
			}
		})
	}
}

// What is well and is less than a release is told of a file and of the folder, in both
// forms, and of a file its name.
func TestVerifyWarnings(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*record.Record)
		want   string
	}{
		"a release": {nil, ""},
		"a part": {func(r *record.Record) {
			r.Partial = &record.Partial{LeftOut: []matrix.Target{{OS: "darwin", Arch: "arm64"}}}
		}, "partial: 2 of 3 targets, without darwin/arm64"},
		"a snapshot": {func(r *record.Record) { r.Snapshot = true }, "a snapshot, not a release"},
		"changes":    {func(r *record.Record) { r.Snapshot, r.Source.Dirty = true, true }, "built with uncommitted changes"},
		"its file":   {func(r *record.Record) { r.Snapshot, r.Source.ConfigUncommitted = true, true }, "its release file release.toml is not the one in the commit"},
	} {
		f := newFakeRelease(t, c.change)
		for _, what := range []string{f.dir, filepath.Join(f.dir, "bin", "linux_amd64", "hello"), filepath.Join(f.dir, "SHA256SUMS")} {
			doc, exit, stderr := verifies(t, what, "--key", f.public)
			said := strings.Join(doc.Warnings, "\n")
			if exit != exitOK || c.want == "" && said != "" || !strings.Contains(said, c.want) || strings.Contains(said, "development") {
				t.Errorf("%s: %s: exit status %d, warnings %q\n%s", name, what, exit, said, stderr)
			}
			out, err := exec.Command("twice", "verify", what, "--key", f.public).CombinedOutput()
			if err != nil || strings.Contains(string(out), "\nwarning       ") == (c.want == "") || !strings.Contains(string(out), c.want) {
				t.Errorf("%s: %s: %v\n%s", name, what, err, out)
			}
		}
	}
}

// What is no ground to refuse is told: a mode, a hard link.
func TestVerifyDistNotes(t *testing.T) {
	f := newFakeRelease(t, func(rec *record.Record) {
		for i, a := range rec.Artifacts {
			if a.Kind == artifact.SBOM {
				rec.Artifacts[i].Digest, rec.Artifacts[i].Size = artifact.Of([]byte("{}")), 2
			}
			rec.Artifacts[i].Executable = a.Kind == artifact.Binary
		}
	})
	const one, other = "sbom/linux_amd64/hello.cdx.json", "sbom/linux_arm64/hello.cdx.json"
	f.write(t, one, "{}")
	if err := errors.Join(
		os.Remove(filepath.Join(f.dir, other)), os.Link(filepath.Join(f.dir, one), filepath.Join(f.dir, other)),
		os.Chmod(filepath.Join(f.dir, "SHA256SUMS"), 0o755), os.Chmod(filepath.Join(f.dir, "bin/linux_amd64/hello"), 0o755),
	); err != nil {
		t.Fatal(err)
	}
	doc, exit, stderr := verifies(t, f.dir, "--key", f.public)
	if exit != exitOK {
		t.Fatalf("exit status %d: %v\n%s", exit, reasons(doc, f.dir), stderr)
	}
	notes := map[string]string{}
	for _, file := range doc.Files {
		notes[strings.TrimPrefix(filepath.ToSlash(file.Name), filepath.ToSlash(f.dir)+"/")] = strings.Join(file.Notes, "; ")
	}
	for name, want := range map[string]string{
		"SHA256SUMS": "its mode lets it be executed", "bin/linux_amd64/hello": "", one: "it is a hard link of " + other, other: "it is a hard link of " + one,
	} {
		if got := notes[name]; want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func mapsEqual(a, b map[string]string) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

// Keys whose signatures of files name no SHA-256 sign releases, too.
func TestVerifyDistKeys(t *testing.T) {
	for _, algorithm := range []key.Algorithm{key.P384, key.Ed25519} {
		f := newFakeRelease(t, nil, algorithm)
		if doc, exit, stderr := verifies(t, f.dir, "--key", f.public); exit != exitOK {
			t.Errorf("%s: exit status %d: %v\n%s", algorithm, exit, reasons(doc, f.dir), stderr)
		}
		// The signature of the checksums is judged, although others speak of them.
		name := filepath.Join(f.dir, "SHA256SUMS.sigstore.json")
		data, err := os.ReadFile(filepath.Join(f.dir, "release.json.sigstore.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if doc, exit, _ := verifies(t, f.dir, "--key", f.public); exit != exitDiffers {
			t.Errorf("%s: exit status %d: %v", algorithm, exit, reasons(doc, f.dir))
		}
	}
}

// Two releases of one signer are not mixed: the record of one does not stand for what the
// provenance of another says.
func TestVerifyDistOfTwoRuns(t *testing.T) {
	one := newFakeRelease(t, nil)
	again := *one.record
	again.Varying.Started, again.Varying.Finished = again.Varying.Started.Add(time.Hour), again.Varying.Finished.Add(time.Hour)
	again.Varying.Variations = []pass.Variation{{Name: "source path", A: "/a", B: "/a", Reason: "none"}}
	old := map[string]string{}
	for _, name := range []string{"hello_1.2.3.provenance.sigstore.json", "hello_1.2.3.double-build.sigstore.json"} {
		data, err := os.ReadFile(filepath.Join(one.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		old[name] = string(data)
	}
	one.record = &again
	one.sign(t)
	if doc, exit, _ := verifies(t, one.dir, "--key", one.public); exit != exitOK {
		t.Fatalf("intact: %d %v", exit, reasons(doc, one.dir))
	}
	// The double build of the other run varied what this one did not.
	for name, bundle := range old {
		good, err := os.ReadFile(filepath.Join(one.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		one.write(t, name, bundle)
		doc, exit, _ := verifies(t, one.dir, "--key", one.public)
		if got := reasons(doc, one.dir); exit != exitDiffers || got["SHA256SUMS"] != "record" {
			t.Errorf("%s: exit status %d, %v", name, exit, got)
		}
		one.write(t, name, string(good))
	}
}

// The policy of the README passes on what it is meant for, and says about the folder what
// it says about each file.
func TestVerifyDistPolicy(t *testing.T) {
	f := newFakeRelease(t, nil)
	data, err := os.ReadFile("../../configs/policy.toml")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		old, new string
		want     int
	}{
		"as it is":             {"", "", exitOK},
		"another tag":          {`tag = "v1.2.3"`, `tag = "v1.2.4"`, exitDiffers},
		"a newer Go":           {"go1.26.5", "go1.99.0", exitDiffers},
		"more that was varied": {`"source path"`, `"clock"`, exitDiffers},
	} {
		text := strings.Replace(string(data), `["source path", "user", "time zone"]`, `["source path"]`, 1)
		file := filepath.Join(t.TempDir(), "policy.toml")
		if err := os.WriteFile(file, []byte(strings.Replace(text, test.old, test.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if doc, exit, stderr := verifies(t, f.dir, "--key", f.public, "--policy", file); exit != test.want {
			t.Errorf("%s: exit status %d: %v\n%s", name, exit, reasons(doc, f.dir), stderr)
		}
	}
	partial := newFakeRelease(t, func(rec *record.Record) {
		rec.Partial = &record.Partial{LeftOut: []matrix.Target{{OS: "darwin", Arch: "arm64"}}}
	})
	out, err := exec.Command("twice", "verify", partial.dir, "--key", partial.public).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "partial: 2 of 3 targets, without darwin/arm64") {
		t.Errorf("a part of a release: %v\n%s", err, out)
	}
	for text, want := range map[string]int{
		"[build]\ndouble = true\n": exitDiffers, "[build]\ndouble = true\npartial = true\n": exitOK,
	} {
		file := filepath.Join(t.TempDir(), "policy.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if doc, exit, stderr := verifies(t, partial.dir, "--key", partial.public, "--policy", file); exit != want {
			t.Errorf("%s: exit status %d: %v\n%s", text, exit, reasons(doc, partial.dir), stderr)
		}
	}
	if _, exit, stderr := verifies(t, f.dir, "--key", f.public, "--bundle", filepath.Join(f.dir, "release.json.sigstore.json")); exit != exitUsage {
		t.Errorf("--bundle: exit status %d\n%s", exit, stderr)
	}
}
