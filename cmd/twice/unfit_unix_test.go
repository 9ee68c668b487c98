//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/verify"
	"github.com/twicebuild/twice/pipeline/artifact"
)

// unfit are things that are called a bundle and are none, or cannot be read.
var unfit = map[string]struct {
	make func(t *testing.T, name string)
	// word is what is said of it, told that the rest is verified all the same.
	word string
	none bool
}{
	"a pipe":   {func(t *testing.T, name string) { try(t, syscall.Mkfifo(name, 0o644)) }, "is no regular file, but a pipe", true},
	"a folder": {func(t *testing.T, name string) { try(t, os.Mkdir(name, 0o755)) }, "is no regular file, but a folder", true},
	"a device": {func(t *testing.T, name string) { try(t, os.Symlink("/dev/zero", name)) }, "is no regular file, but a device", true},
	"a socket": {func(t *testing.T, name string) { listenAt(t, name) }, "is no regular file, but a socket", true},
	"a link to nothing": {func(t *testing.T, name string) { try(t, os.Symlink("nowhere", name)) },
		"no such file", true},
	"a link to itself": {func(t *testing.T, name string) { try(t, os.Symlink(filepath.Base(name), name)) },
		"too many levels of symbolic links", false},
	"a sparse file": {func(t *testing.T, name string) { put("")(t, name); try(t, os.Truncate(name, 8<<40)) },
		"more than 16 MiB, which no bundle has", false},
	"nothing":         {put(""), "is empty", true},
	"no JSON":         {put("#!/bin/sh\n"), "not a bundle: ", true},
	"JSON":            {put(`{"name": "x"}`), "not a bundle: ", true},
	"a list":          {put(`[]`), "not a bundle: ", true},
	"two documents":   {put(`{"mediaType":"` + attest.MediaType + `"}{}`), "not a bundle: ", true},
	"a member twice":  {put(`{"mediaType":"x","mediaType":"` + attest.MediaType + `"}`), "duplicate field", true},
	"another type":    {put(`{"mediaType":"text/plain","verificationMaterial":{"publicKey":{}},"messageSignature":{"signature":"AAAA"}}`), "not a bundle: ", true},
	"nested lists":    {put(strings.Repeat("[", 1e6) + strings.Repeat("]", 1e6)), "not a bundle: ", true},
	"nested unclosed": {put(`{"dsseEnvelope":` + strings.Repeat(`[`, 1e6)), "not a bundle: ", true},
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(content string) func(*testing.T, string) {
	return func(t *testing.T, name string) { t.Helper(); try(t, os.WriteFile(name, []byte(content), 0o600)) }
}

// listenAt makes a socket, whose path must be short.
func listenAt(t *testing.T, name string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	try(t, err)
	defer syscall.Close(fd)
	dir, err := os.MkdirTemp("/tmp", "s")
	try(t, err)
	defer os.RemoveAll(dir)
	try(t, syscall.Bind(fd, &syscall.SockaddrUnix{Name: dir + "/s"}))
	try(t, os.Rename(dir+"/s", name))
}

// A bundle beside a file that is none is told and says nothing; one that cannot be read
// leaves no answer. Named with --bundle, or after the file that nothing else speaks of, it
// is no ground for one. Nothing is waited for.
func TestUnfitBundles(t *testing.T) {
	f := newFakeRelease(t, nil)
	const name = "hello_1.2.3_linux_amd64.tar.gz"
	content, err := os.ReadFile(filepath.Join(f.dir, name))
	try(t, err)
	good, err := os.ReadFile(filepath.Join(f.dir, "hello_1.2.3.provenance.sigstore.json"))
	try(t, err)
	for what, test := range unfit {
		t.Run(what, func(t *testing.T) {
			beside := func(withGood bool, bundle string) string {
				dir := t.TempDir()
				if withGood {
					put(string(good))(t, filepath.Join(dir, "p.sigstore.json"))
				}
				put(string(content))(t, filepath.Join(dir, name))
				test.make(t, filepath.Join(dir, bundle))
				return dir
			}
			ask := func(args ...string) (string, int) {
				t.Helper()
				cmd := exec.Command("twice", append(args, "--key", f.public)...)
				defer time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() }).Stop()
				out, err := cmd.CombinedOutput()
				return string(out), status(err)
			}
			says := func(how, out string, got, want int) {
				t.Helper()
				if got != want || !strings.Contains(out, test.word) || !strings.Contains(out, ".sigstore.json") {
					t.Errorf("%s: exit status %d, want %d, and %q in\n%.3000s", how, got, want, test.word, out)
				}
			}

			// Beside a good one.
			want := map[bool]int{true: exitOK, false: exitFailure}[test.none]
			dir := beside(true, "x.sigstore.json")
			out, got := ask("verify", filepath.Join(dir, name))
			says("beside", out, got, want)
			if hint := strings.Contains(out, "hint: "); hint == test.none {
				t.Errorf("beside: a hint: %t\n%s", hint, out)
			}
			out, got = ask("verify", dir)
			says("in a folder, of which the record is missing", out, got, exitDiffers)
			if out, got := ask("verify", filepath.Join(dir, name), "--bundle", filepath.Join(dir, "p.sigstore.json")); got != exitOK {
				t.Errorf("the way out: exit status %d\n%s", got, out)
			}

			// Alone, called like the file.
			noFile := strings.HasPrefix(test.word, "is no regular") || test.word == "no such file"
			want = exitDiffers
			if noFile || !test.none {
				want = exitFailure
			}
			out, got = ask("verify", filepath.Join(beside(false, name+".sigstore.json"), name))
			says("alone", out, got, want)

			// Named.
			if noFile {
				want = exitUsage
			}
			out, got = ask("verify", filepath.Join(dir, name), "--bundle", filepath.Join(dir, "x.sigstore.json"))
			says("named", out, got, want)
			if want == exitFailure && strings.Contains(out, "name the bundles") {
				t.Errorf("named: the hint is no help\n%s", out)
			}

			// In a release.
			dist := filepath.Join(t.TempDir(), "dist")
			try(t, os.CopyFS(dist, os.DirFS(f.dir)))
			test.make(t, filepath.Join(dist, "x.sigstore.json"))
			doc, got, _ := verifies(t, dist, "--key", f.public)
			if reasons := reasons(doc, dist); got != exitDiffers || len(reasons) != 1 || reasons["x.sigstore.json"] == "" {
				t.Errorf("in a release: exit status %d, %v", got, reasons)
			}
			if out, got := ask("publish", dist); got == exitOK || strings.Contains(out, "published") {
				t.Errorf("publish: exit status %d\n%s", got, out)
			}
		})
	}
}

// That two bundles cannot be read is no more against a file than that one cannot.
func TestUnreadableTwice(t *testing.T) {
	f := newFakeRelease(t, nil)
	dir := t.TempDir()
	put("x")(t, filepath.Join(dir, "file"))
	for i := range 2 {
		name := filepath.Join(dir, fmt.Sprintf("%d.sigstore.json", i))
		put("")(t, name)
		try(t, os.Truncate(name, 1<<40))
	}
	doc, exit, _ := verifies(t, filepath.Join(dir, "file"), "--key", f.public)
	if exit != exitFailure || doc.Verdict != verify.Undetermined || len(doc.Files[0].Problems) != 2 {
		said, _ := json.Marshal(doc)
		t.Errorf("exit status %d\n%s", exit, said)
	}
}

// A folder with an image layout alone is read within bounds, without waiting, and it is
// told what no signature speaks of.
func TestVerifyLayout(t *testing.T) {
	f := newFakeRelease(t, nil)
	for what, test := range map[string]struct {
		harm func(t *testing.T, at func(string) string)
		exit int
		word string
	}{
		"intact": {func(*testing.T, func(string) string) {}, exitOK, "verified"},
		"a pipe for the marker": {func(t *testing.T, at func(string) string) {
			try(t, os.Remove(at("oci-layout")))
			try(t, syscall.Mkfifo(at("oci-layout"), 0o600))
		}, exitFailure, "but a pipe"},
		"a pipe for the list": {func(t *testing.T, at func(string) string) {
			try(t, os.Remove(at("index.json")))
			try(t, syscall.Mkfifo(at("index.json"), 0o600))
		}, exitFailure, "but a pipe"},
		"a list of terabytes": {func(t *testing.T, at func(string) string) { try(t, os.Truncate(at("index.json"), 8<<40)) }, exitFailure, "has more than"},
		"a pipe for the index": {func(t *testing.T, at func(string) string) {
			try(t, os.Remove(at("index")))
			try(t, syscall.Mkfifo(at("index"), 0o600))
		}, exitFailure, "but a pipe"},
		"a device for a layer": {func(t *testing.T, at func(string) string) {
			try(t, os.Remove(at("layer")))
			try(t, os.Symlink("/dev/zero", at("layer")))
		}, exitFailure, "but a device"},
		"a layer of terabytes": {func(t *testing.T, at func(string) string) { try(t, os.Truncate(at("layer"), 8<<40)) }, exitFailure, "more than 8 GiB"},
		"another layer":        {func(t *testing.T, at func(string) string) { put("Layer")(t, at("layer")) }, exitDiffers, "not a blob of the images"},
		"no layer":             {func(t *testing.T, at func(string) string) { try(t, os.Remove(at("layer"))) }, exitOK, "note: the layout is without 1 blob, sha256:"},
		"one blob more":        {func(t *testing.T, at func(string) string) { put("evil")(t, at("evil")) }, exitOK, "note: nothing in the layout leads to 1 blob, sha256:"},
		"a file more":          {func(t *testing.T, at func(string) string) { put("evil")(t, at("index.json")+".sh") }, exitDiffers, "not a blob of the images"},
		"an image more": {func(t *testing.T, at func(string) string) {
			data, err := os.ReadFile(at("index.json"))
			try(t, err)
			put("{}")(t, at("{}"))
			more := fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.index.v1+json","size":2,"digest":"%s"},`, artifact.Of([]byte("{}")))
			put(strings.Replace(string(data), `"manifests":[`, `"manifests":[`+more, 1))(t, at("index.json"))
		}, exitDiffers, "unsigned: no bundle here is about sha256:44136fa3"},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			names := map[string]string{}
			blob := func(name, content string) string {
				digest := artifact.Of([]byte(content))
				names[name] = "blobs/sha256/" + digest.Hex()
				try(t, os.MkdirAll(filepath.Join(dir, "oci", "blobs", "sha256"), 0o755))
				put(content)(t, filepath.Join(dir, "oci", filepath.FromSlash(names[name])))
				return fmt.Sprintf(`"size":%d,"digest":"%s"`, len(content), digest)
			}
			names["evil"] = "blobs/sha256/" + artifact.Of([]byte("evil")).Hex()
			names["{}"] = "blobs/sha256/" + artifact.Of([]byte("{}")).Hex()
			layer := blob("layer", "layer")
			config := blob("config", "config")
			manifest := blob("manifest", `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json",`+config+`},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar",`+layer+`}]}`)
			content := `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",` + manifest + `}]}`
			index := blob("index", content)
			put(`{"imageLayoutVersion":"1.0.0"}`)(t, filepath.Join(dir, "oci", "oci-layout"))
			put(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json",`+index+`}]}`)(t, filepath.Join(dir, "oci", "index.json"))
			bundle, err := f.signer.Sign(t.Context(), intoto.Statement{
				Subjects: []intoto.Subject{{Digest: artifact.Of([]byte(content))}}, PredicateType: "https://example.com/x", Predicate: []byte("{}"),
			})
			try(t, err)
			put(string(bundle))(t, filepath.Join(dir, "x.sigstore.json"))

			test.harm(t, func(name string) string {
				if hidden, ok := names[name]; ok {
					name = hidden
				}
				return filepath.Join(dir, "oci", filepath.FromSlash(name))
			})
			cmd := exec.Command("twice", "verify", filepath.Join(dir, "oci"), "--key", f.public)
			defer time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() }).Stop()
			out, err := cmd.CombinedOutput()
			if status(err) != test.exit || !strings.Contains(string(out), test.word) {
				t.Errorf("exit status %d, want %d, and %q in\n%s", status(err), test.exit, test.word, out)
			}
			if what == "intact" && strings.Contains(string(out), "note: ") {
				t.Errorf("a note of nothing\n%s", out)
			}
		})
	}
}

// The name of a stranger's file moves no cursor, whichever way it gets into an answer.
func TestNamesInAnswers(t *testing.T) {
	f := newFakeRelease(t, nil)
	const name = "x\x1b[2J\x9b\u202ey"
	put("x")(t, filepath.Join(f.dir, name))
	put("x")(t, filepath.Join(f.dir, name+".sigstore.json"))
	for _, args := range [][]string{
		{"verify", f.dir}, {"verify", filepath.Join(f.dir, name)}, {"verify", filepath.Join(f.dir, name+"z")},
		{"publish", f.dir}, {"publish", filepath.Join(f.dir, name)}, {"verify", f.dir + "/SHA256SUMS", "--bundle", filepath.Join(f.dir, name+"z")},
	} {
		out, err := exec.Command("twice", append(args, "--key", f.public)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "x\uFFFD[2J") || strings.ContainsAny(string(out), "\x1b\u202e") {
			t.Errorf("%q: %v\n%q", args, err, out)
		}
	}
}
