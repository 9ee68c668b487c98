package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/rebuilt"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/progress"
	"github.com/twicebuild/twice/pipeline/rebuild"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/record"
	"github.com/twicebuild/twice/pipeline/subject"
)

// notary signs nothing, and says so from some statement on.
type notary struct {
	said []intoto.Statement
	fail int // the statement, from 1
}

func (n *notary) Sign(_ context.Context, s intoto.Statement) ([]byte, error) {
	n.said = append(n.said, s)
	if len(n.said) == n.fail {
		return nil, errors.New("the key is gone")
	}
	return s.Encode()
}

func (*notary) SignFile(context.Context, string, []byte) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

func newAttester(t *testing.T, n *notary) *attester {
	t.Helper()
	return &attester{
		app:    &app{now: func() time.Time { return time.Unix(0, 0) }, progress: &progress.Printer{W: io.Discard, Now: time.Now}},
		signer: n, dir: t.TempDir(), tool: record.Tool{Version: "1", Go: "go1.26.8"},
	}
}

// results are those about files with some content, all reproduced but
// those without any.
func results(names, contents []string) (*foundFiles, []result) {
	f := &foundFiles{}
	var list []result
	for i, name := range names {
		d := artifact.Of([]byte(contents[i]))
		r := &verdict.Result{
			Name: name, Digest: d, Size: 1, Content: inspect.ContentIntact, Verdict: compare.Reproduced,
			Rebuilt: d, RebuiltSize: 1, RestsOn: []verdict.Ground{{What: "zip", Why: "checksum database"}},
		}
		if contents[i] == "" {
			r.Verdict, r.Reason = compare.Undetermined, &verdict.Reason{Kind: verdict.Cgo, Text: "cgo"}
		}
		from := origin{name: filepath.Base(name), inputs: []intoto.Descriptor{{Name: "p.sigstore.json", Digest: map[string]string{"sha256": d.Hex()}}}}
		f.list = append(f.list, candidate{rebuild.Subject{Name: name, Digest: d}, from, nil})
		list = append(list, result{from, r})
	}
	return f, list
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestAttest shows that each file gets a statement of its own, whatever files are
// called, and those without an answer none.
func TestAttest(t *testing.T) {
	n := &notary{}
	at := newAttester(t, n)
	f, list := results(
		[]string{"a/tool", "b/tool", "c/tool", "c/../..", "x\x1b[2Jy\xff ", "d/tool", "a/.tool", strings.Repeat("n", 300)},
		[]string{"one", "two", "", "three", "four", "one", "one", "five"},
	)
	if err := at.refuseOverwriting(f); err != nil {
		t.Fatal(err)
	}
	if err := at.attest(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	if got := files(t, at.dir); len(got) != 5 || len(n.said) != 5 || slices.ContainsFunc(got, func(s string) bool {
		return !strings.HasSuffix(s, ".rebuild.sigstore.json") || strings.HasPrefix(s, ".") || len(s) > 200 || strings.ContainsAny(s, "\x1b ") || !utf8.ValidString(s)
	}) {
		t.Errorf("%q, %d signed", got, len(n.said))
	}
	for i, r := range list {
		if r.Verdict == compare.Undetermined {
			if r.Statement != "" || len(r.Notes) != 1 {
				t.Errorf("%+v", r)
			}
			continue
		}
		data, err := os.ReadFile(r.Statement)
		if err != nil {
			t.Fatal(err)
		}
		s, err := intoto.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		said, err := rebuilt.Decode(s)
		if err != nil || said.Digest != r.Digest || said.Verdict != r.Verdict || len(said.RestsOn) != 1 || len(said.Inputs) != 1 || said.Inputs[0].Digest["sha256"] != r.Digest.Hex() {
			t.Errorf("%d: %+v, %v", i, said, err)
		}
	}
	// What is there stays, whether it is known before or not.
	if err := at.refuseOverwriting(f); err == nil || !strings.Contains(err.Error(), "nothing is overwritten") {
		t.Error(err)
	}
	_, list = results([]string{"new", "tool"}, []string{"six", "one"})
	if err := at.attest(t.Context(), list); err == nil || !strings.Contains(err.Error(), "nothing is overwritten") {
		t.Error(err)
	}
	if list[0].Statement == "" || list[1].Statement != "" || len(files(t, at.dir)) != 6 {
		t.Errorf("%q and %q, %q", list[0].Statement, list[1].Statement, files(t, at.dir))
	}
}

// TestAttestFails shows that nothing is left behind.
func TestAttestFails(t *testing.T) {
	at := newAttester(t, &notary{fail: 2})
	_, list := results([]string{"a", "b"}, []string{"one", "two"})
	if err := at.attest(t.Context(), list); err == nil || !strings.Contains(err.Error(), "the key is gone") {
		t.Error(err)
	}
	if got := files(t, at.dir); len(got) > 0 || list[0].Statement != "" {
		t.Errorf("%q, said to be in %q", got, list[0].Statement)
	}
	at = newAttester(t, &notary{})
	list[0].Rebuilt = "" // a pass without a build
	if err := at.attest(t.Context(), list); err == nil || !strings.Contains(err.Error(), "nothing was rebuilt") {
		t.Error(err)
	}
	if got := files(t, at.dir); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

// TestFileName has two files that are alike as far as their names show it.
func TestFileName(t *testing.T) {
	at := &attester{dir: "d"}
	same := strings.Repeat("0", 60)
	taken := map[string]artifact.Digest{}
	var got []string
	for _, end := range []string{"aaaa", "bbbb", "aaaa"} {
		got = append(got, at.fileName(origin{name: "tool"}, artifact.Digest("sha256:"+same+end), taken))
	}
	if got[0] == got[1] || got[0] != got[2] || !strings.Contains(got[1], same+"bbbb") {
		t.Errorf("%q", got)
	}
}

func TestOrigin(t *testing.T) {
	digest := artifact.Of(nil)
	layer := []subject.Container{{Kind: subject.Image}, {Kind: subject.System}, {Kind: subject.Layer, Format: "tar.gz"}}
	// A statement says nothing about what is beside the file.
	for _, c := range []struct {
		s    subject.Subject
		in   []subject.Container
		want string
	}{
		{subject.Subject{Kind: subject.File, Ref: "/home/me/tool"}, nil, ""},
		{subject.Subject{Kind: subject.URL, Ref: "https://example.com/tool"}, []subject.Container{{Kind: subject.URL}}, "https://example.com/tool"},
		{subject.Subject{Kind: subject.URL, Ref: "https://example.com/tool.tgz"}, []subject.Container{{Kind: subject.URL, Format: "tar.gz"}}, "https://example.com/tool.tgz#bin/tool"},
		{subject.Subject{Kind: subject.Package, Ref: "npm:@esbuild/linux-x64@0.25.0"}, []subject.Container{{Kind: subject.Package, Format: "tar.gz"}}, "pkg:npm/%40esbuild/linux-x64@0.25.0#bin/tool"},
		{subject.Subject{Kind: subject.Image, Ref: "registry.example.com:5000/team/Tool:1.0", Digest: digest}, layer, ""},
		{subject.Subject{Kind: subject.Image, Ref: "registry.example.com:5000/team/tool:1.0", Digest: digest}, layer,
			"pkg:oci/tool@" + string(digest) + "?repository_url=registry.example.com:5000/team/tool#bin/tool"},
		{subject.Subject{Kind: subject.URL, Ref: "https://example.com/x"}, []subject.Container{{Kind: subject.URL}, {Kind: subject.Universal, Name: "x"}}, "https://example.com/x"},
	} {
		o := originOf(&c.s, subject.Executable{Name: "bin/tool", Containers: c.in})
		if o.resource != c.want || o.name != "tool" {
			t.Errorf("%s: %+v, want %s", c.s.Ref, o, c.want)
		}
	}
}
