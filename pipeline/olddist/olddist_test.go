package olddist

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/image"
	"github.com/twicebuild/twice/pipeline/image/oci"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/record"
	"github.com/twicebuild/twice/pipeline/sbom"
)

const bin = "bin/linux_amd64/p"

// ownRecord is that of a release of p, and the files of which it speaks; with another
// verdict than reproduced, of what was rejected.
func ownRecord(t *testing.T, verdict compare.Verdict) (*record.Record, map[string]string) {
	t.Helper()
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	target := matrix.Target{OS: "linux", Arch: "amd64"}
	rec := &record.Record{
		Schema: record.SchemaName, Project: "p", Version: "1.0.0", Tool: record.Tool{Version: "1.0.0", Go: "go1.26.8"},
		Source: record.Source{
			Source: recipe.Source{Commit: strings.Repeat("6", 40), Tree: strings.Repeat("7", 40), Dir: "."}, Time: at,
			ConfigFile: "release.toml", Config: artifact.Of(nil),
		},
		Epoch: at.Unix(), Toolchain: recipe.Toolchain{Version: "go1.26.8"}, Verdict: verdict,
		Varying: record.Varying{
			Host:        record.Host{OS: "linux", Arch: "amd64", CPUs: 2},
			Toolchain:   record.Toolchain{From: "installed", Published: true, Sum: "h1:" + strings.Repeat("A", 43) + "="},
			Confinement: pass.Confinement{NetworkCut: "none", Missing: []string{}},
			Variations:  []pass.Variation{{Name: "umask", Varied: true, A: "022", B: "077"}},
			Started:     at, Finished: at.Add(time.Minute),
		},
	}
	r := recipe.Recipe{Argv: []string{"go", "build", "."}, Binary: "p", Env: append([]string{"CGO_ENABLED=0"}, target.Env()...), Schema: recipe.Schema, Source: rec.Source.Source, Target: target, Toolchain: rec.Toolchain}
	digest, err := r.Digest()
	if err != nil {
		t.Fatal(err)
	}
	b := record.Binary{Name: "p", Target: target, Recipe: r, RecipeDigest: digest, Verdict: verdict, A: artifact.Of([]byte("a")), B: artifact.Of([]byte("a")), Size: 1, Compilations: compare.GraphResult{Packages: 3, Reproduced: 3}}
	files := map[string]string{}
	if verdict.Pass() {
		rec.Binaries = []record.Binary{b}
		for name, kind := range map[string]artifact.Kind{bin: artifact.Binary, "SHA256SUMS": artifact.Checksums, "sbom/linux_amd64/p.cdx.json": artifact.SBOM} {
			files[name] = map[artifact.Kind]string{artifact.Binary: "a", artifact.Checksums: "sums", artifact.SBOM: "{}"}[kind]
			rec.Artifacts = append(rec.Artifacts, artifact.Artifact{Name: name, Kind: kind, Digest: artifact.Of([]byte(files[name])), Size: int64(len(files[name]))})
		}
		slices.SortFunc(rec.Artifacts, func(a, b artifact.Artifact) int { return strings.Compare(a.Name, b.Name) })
		blob := func(content string) artifact.Digest {
			d := artifact.Of([]byte(content))
			files["oci/blobs/sha256/"+d.Hex()] = content
			return d
		}
		rec.Images = []oci.Image{{
			Key: "p", Repository: "registry.example/p", Tags: []string{"1.0.0"}, Digest: blob("index"), Size: 5,
			Manifests: []oci.Manifest{{Platform: "linux/amd64", Target: target, Digest: blob("manifest"), Config: blob("config"), Layers: []image.Layer{{Digest: blob("layer"), DiffID: artifact.Of([]byte("tar")), Files: []string{"usr/bin/p"}}}}},
		}}
		layout, err := oci.LayoutFiles(rec.Images)
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range layout {
			files["oci/"+name] = string(data)
		}
	} else {
		b.B = artifact.Of([]byte("b"))
		rec.Binaries = []record.Binary{b}
		rec.Files = []record.File{{Name: "doc/x", Verdict: compare.Differs, A: b.A, B: b.B}, {Name: "doc/y", Verdict: compare.Reproduced, A: b.A, B: b.A}}
		maps.Copy(files, map[string]string{"A/linux_amd64/p": "a", "B/linux_amd64/p": "b", "A/files/doc/x": "a", "B/files/doc/x": "b"})
	}
	return rec, files
}

// envelope is a bundle with a statement; nobody looks at its signature.
func envelope(t *testing.T, hint string, s intoto.Statement) string {
	t.Helper()
	payload, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"verificationMaterial": {"publicKey": {"hint": %q}}, "dsseEnvelope": {"payload": %q}}`, hint, base64.StdEncoding.EncodeToString(payload))
}

// message is a bundle with the digest of a file.
func message(hint string, digest []byte) string {
	return fmt.Sprintf(`{"verificationMaterial": {"publicKey": {"hint": %q}}, "messageSignature": {"messageDigest": {"digest": %q}}}`, hint, base64.StdEncoding.EncodeToString(digest))
}

// ownFiles are the files of a folder with that record.
func ownFiles(t *testing.T, rec *record.Record, files map[string]string) map[string]string {
	t.Helper()
	data, err := rec.Encode()
	if err != nil {
		t.Fatal(err)
	}
	files[distfiles.RecordName] = string(data)
	c, err := distfiles.ContentsOf(rec)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range c.Bundles {
		s := intoto.Statement{Subjects: []intoto.Subject{{Name: "p", Digest: b.Subject}}, PredicateType: b.PredicateType, Predicate: []byte("{}")}
		switch b.PredicateType {
		case "":
			digest, err := hex.DecodeString(b.Subject.Hex())
			if err != nil {
				t.Fatal(err)
			}
			files[name] = message("one", digest)
			continue
		case slsa.ProvenanceType:
			s, err = slsa.NewProvenance(rec, slsa.Invocation{Builder: "https://example.com/builder"})
		case slsa.TestResultType:
			s, err = slsa.NewTestResult(rec, "")
		}
		if err != nil {
			t.Fatal(err)
		}
		files[name] = envelope(t, "one", s)
	}
	return files
}

// TestWritten: a folder may be deleted if twice has written all that is in it, byte by
// byte.
func TestWritten(t *testing.T) {
	rec, files := ownRecord(t, compare.Reproduced)
	good := ownFiles(t, rec, files)
	record := good[distfiles.RecordName]
	edited := strings.Replace(record, `"cpus": 2`, `"cpus": 3`, 1)
	rec, files = ownRecord(t, compare.Differs)
	rejected := ownFiles(t, rec, files)
	rec.Source.Config = artifact.Of([]byte("edited"))
	other, err := slsa.NewTestResult(rec, "")
	if err != nil {
		t.Fatal(err)
	}
	layer := "oci/blobs/sha256/" + artifact.Of([]byte("layer")).Hex()
	sha384 := sha512.Sum384([]byte("sums"))
	const sums = "SHA256SUMS.sigstore.json"
	about := func(predicateType string) string {
		return envelope(t, "one", intoto.Statement{Subjects: []intoto.Subject{{Name: "p", Digest: artifact.Of([]byte("a"))}}, PredicateType: predicateType, Predicate: []byte(`{"mine": 1}`)})
	}
	if len(good) != 17 || edited == record || len(rejected) != 7 {
		t.Fatalf("%d and %d files", len(good), len(rejected))
	}
	type change = map[string]string // "-" removes a file, "-> x" makes a link, "n/" a folder
	for _, c := range []struct {
		name   string
		base   map[string]string
		change change
		said   string // empty if it is ours
	}{
		{"a release", good, nil, ""},
		{"an unsigned one", good, change{"*.sigstore.json": "-"}, ""},
		{"an empty folder", nil, change{"./": ""}, ""},
		{"what was rejected", rejected, nil, ""},
		{"a release of which half is missing", good, change{bin: "-", sums: "-", layer: "-"}, ""},
		{"a signature with SHA-384", good, change{sums: message("one", sha384[:])}, ""},

		{"notes", good, change{"notes.txt": ""}, "holds notes.txt, which twice did not write"},
		{"notes in a folder", good, change{"bin/linux_amd64/notes": ""}, "holds bin/linux_amd64/notes, which twice"},
		{"another folder", good, change{"site/": ""}, "holds site, which twice"},
		{"a folder for a file", good, change{"SHA256SUMS/": ""}, "holds SHA256SUMS, which twice"},
		{"a rebuilder's statement", good, change{"p_0123456789abcdef.rebuild.sigstore.json": ""}, "holds p_0123456789abcdef.rebuild"},
		{"what is no blob", good, change{"oci/blobs/sha256/notes": ""}, "holds oci/blobs/sha256/notes, which twice"},
		{"another blob", good, change{"oci/blobs/sha256/" + artifact.Of(nil).Hex(): ""}, "holds oci/blobs/sha256/e3b0c44298fc"},
		{"a link", good, change{"SHA256SUMS": "-> /etc/passwd"}, "holds SHA256SUMS, which twice"},
		{"a link to what was there", good, change{bin: "-> ../../" + layer}, "holds " + bin + ", which twice"},
		{"a file that passed and is there", rejected, change{"A/files/doc/y": "a"}, "holds A/files/doc/y, which twice"},

		{"an edited file", good, change{"SHA256SUMS": "more"}, "holds SHA256SUMS, which is not as twice has written it"},
		{"a replaced binary", good, change{bin: "b"}, "holds " + bin + ", which is not as twice has written it: it is 3e23e8160039, and was ca978112ca1b"},
		{"an empty binary", good, change{bin: ""}, "holds " + bin + ", which is not"},
		{"a huge file", good, change{bin: "huge"}, "has more than 16777216 bytes"},
		{"an edited blob", good, change{layer: "edited"}, "holds " + layer + ", which is not"},
		{"an edited index", good, change{"oci/index.json": "{}"}, "holds oci/index.json, which is not"},
		{"what was rejected, edited", rejected, change{"B/linux_amd64/p": "a"}, "holds B/linux_amd64/p, which is not"},
		{"a file that was rejected, edited", rejected, change{"A/files/doc/x": "b"}, "holds A/files/doc/x, which is not"},

		{"no bundle", good, change{sums: "notes"}, "holds " + sums + ", which is not as twice has written it: it is no bundle"},
		{"an empty bundle", good, change{sums: "{}"}, "holds " + sums + ", which is not"},
		{"a bundle of another file", good, change{sums: good["release.json.sigstore.json"]}, "it is not about SHA256SUMS"},
		{"another SHA-384", good, change{sums: message("one", make([]byte, 48))}, "it is not about SHA256SUMS"},
		{"another's signature", good, change{sums: strings.Replace(good[sums], `"one"`, `"two"`, 1)}, "another key has signed it"},
		{"another statement", good, change{"p_1.0.0.provenance.sigstore.json": good["p_1.0.0.double-build.sigstore.json"]}, "holds p_1.0.0.provenance.sigstore.json, which is not"},
		{"another's provenance", good, change{"p_1.0.0.provenance.sigstore.json": about(slsa.ProvenanceType)}, "it is about something else"},
		{"another list", good, change{"sbom/linux_amd64/p.cdx.json.sigstore.json": about(sbom.SPDXPredicateType)}, "it is about something else"},
		{"the result of another run", rejected, change{"p_1.0.0.double-build.sigstore.json": envelope(t, "one", other)}, "it says something else of this run"},

		{"no record", nil, change{"x": ""}, "it has no release.json"},
		{"another's record", good, change{"release.json": `{"schema": "other/v1"}`}, "its release.json is another's"},
		{"a record that only mentions ours", good, change{"release.json": `x "schema": "twice.release/v1"`}, "its release.json is another's"},
		{"an empty record", good, change{"release.json": ""}, "its release.json is another's"},
		{"a linked record", good, change{"release.json": "-> r", "r": record}, "it has no release.json"},
		{"an older record", good, change{"release.json": `{"schema": "twice.release/v0", "project": "p"}`}, "was edited, or written by another version of twice"},
		{"a record of little", nil, change{"release.json": `{"schema": "twice.release/v1", "artifacts": [{"name": "x"}]}`, "x": ""}, "was edited, or written by another version of twice"},
		{"a record with a note", good, change{"release.json": record + "\n"}, "not laid out as twice writes it"},
		{"an edited record", good, change{"release.json": edited}, "holds p_1.0.0.provenance.sigstore.json, which is not as twice has written it: it says something else of this run than its record"},
		{"an edited record of which nothing else speaks", good, change{"release.json": edited, "p*.sigstore.json": "-"}, "it is not about release.json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "dist")
			lay(t, dir, c.base)
			lay(t, dir, c.change)
			err := CheckDeletable(t.Context(), dir)
			if c.said == "" && err != nil || c.said != "" && (err == nil || !strings.Contains(err.Error(), c.said) || fault.KindOf(err) != fault.KindUsage || !strings.HasPrefix(fault.RemedyOf(err), "move it away, or name another folder")) {
				t.Errorf("got %v, want %q", err, c.said)
			}
		})
	}

	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(file, nil, 0o644), os.Symlink(t.TempDir(), link)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{file: "is no folder", link: "is a symbolic link", filepath.Join(dir, "nothing"): ""} {
		if err := CheckDeletable(t.Context(), name); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}

	// Reading takes its time, and hears the context.
	lay(t, filepath.Join(dir, "dist"), good)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if err := CheckDeletable(ctx, filepath.Join(dir, "dist")); err == nil || err.Error() != "enough" || fault.KindOf(err) != fault.KindOutside {
		t.Errorf("interrupted: %v", err)
	}
}

// lay writes files below dir.
func lay(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		to, link := strings.CutPrefix(text, "-> ")
		switch {
		case text == "-":
			found, _ := filepath.Glob(file)
			if strings.HasPrefix(name, "*") { // wherever they are
				for i := 1; i < 4; i++ {
					more, _ := filepath.Glob(filepath.Join(dir, strings.Repeat("*"+string(filepath.Separator), i)+name))
					found = append(found, more...)
				}
			}
			for _, f := range found {
				err = errors.Join(err, os.Remove(f))
			}
		case link:
			os.Remove(file)
			err = errors.Join(err, os.Symlink(to, file))
		case strings.HasSuffix(name, "/"):
			os.Remove(file)
			err = errors.Join(err, os.MkdirAll(file, 0o755))
		case text == "huge":
			err = errors.Join(err, os.Truncate(file, 1<<40)) // sparse
		default:
			err = errors.Join(err, os.WriteFile(file, []byte(text), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
