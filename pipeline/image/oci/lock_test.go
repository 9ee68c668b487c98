package oci

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
)

var (
	digestA = artifact.Of([]byte("a"))
	digestB = artifact.Of([]byte("b"))
)

const lockText = `{
  "schema": "twice.lock/v1",
  "images": [
    {
      "reference": "r.example.com/a:1",
      "digest": "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    },
    {
      "reference": "r.example.com/a:2",
      "digest": "sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"
    }
  ]
}
`

func TestLock(t *testing.T) {
	l, err := DecodeLock([]byte(lockText))
	if err != nil {
		t.Fatal(err)
	}
	if enc, err := l.Encode(); err != nil || string(enc) != lockText {
		t.Errorf("%v: %s", err, enc)
	}
	for ref, want := range map[string]artifact.Digest{
		"r.example.com/a:1": digestA, "r.example.com/a:2": digestB, "r.example.com/a:1@" + string(digestB): digestB, "r.example.com/x@" + string(digestA): digestA,
		"r.example.com/a:3": "", "r.example.com/a": "", "scratch": "",
	} {
		got, err := l.Digest(ref)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %s, %v", ref, got, err)
		}
	}
	_, err = (*Lock)(nil).Digest("r.example.com/a:1")
	if err == nil || fault.RemedyOf(err) == "" {
		t.Errorf("no lock: %v", err)
	}

	now := map[string]artifact.Digest{"r.example.com/a:1": digestB, "r.example.com/c:x": digestA}
	resolve := func(_ context.Context, ref string) (artifact.Digest, error) {
		if now[ref] == "" {
			return "", errors.New("asked for " + ref)
		}
		return now[ref], nil
	}
	bases := []string{"r.example.com/c:x", "scratch", "r.example.com/a:1", "r.example.com/b@" + string(digestA), "r.example.com/a:1"}
	next, moved, err := l.Resolve(t.Context(), bases, resolve)
	if err != nil {
		t.Fatal(err)
	}
	want := []LockedBase{{"r.example.com/a:1", digestA}, {"r.example.com/c:x", digestA}}
	if !slices.Equal(next.Images, want) || !slices.Equal(moved, []MovedTag{{"r.example.com/a:1", digestA, digestB}}) {
		t.Errorf("next %+v, moved %v", next, moved)
	}
	if s := moved[0].String(); s != "r.example.com/a:1 is 3e23e8160039 in the registry and ca978112ca1b in release.lock" {
		t.Error(s)
	}
	next.AcceptMoves(moved)
	if next.Images[0].Digest != digestB {
		t.Errorf("not followed: %+v", next)
	}
	if next, moved, err := (*Lock)(nil).Resolve(t.Context(), bases, resolve); err != nil || moved != nil || len(next.Images) != 2 {
		t.Errorf("the first time: %+v, %v, %v", next, moved, err)
	}
	if _, _, err := l.Resolve(t.Context(), []string{"r.example.com/z:1"}, resolve); err == nil {
		t.Error("a registry that does not answer is no error")
	}
	if _, _, err := l.Resolve(t.Context(), []string{"nope"}, resolve); err == nil {
		t.Error("a bad reference is no error")
	}
	empty := &Lock{Schema: LockSchema}
	if enc, err := empty.Encode(); err != nil || string(enc) != "{\n  \"schema\": \"twice.lock/v1\",\n  \"images\": []\n}\n" {
		t.Errorf("%v: %s", err, enc)
	}
}

func TestLockErrors(t *testing.T) {
	for want, text := range map[string]string{
		"empty":                   "",
		"invalid character":       "x",
		"unknown field":           strings.Replace(lockText, `"reference"`, `"tag": "x", "reference"`, 1),
		"not laid out":            strings.Replace(lockText, "  \"images\"", "\"images\"", 1),
		"laid out":                lockText + "x",
		"laid out as":             strings.Replace(lockText, "  \"schema\"", "  \"schema\": \"twice.lock/v1\",\n  \"schema\"", 1),
		"laid out as twice":       strings.Replace(lockText, "\"schema\"", "\"Schema\"", 1),
		"schema":                  strings.Replace(lockText, "/v1", "/v2", 1),
		"no reference with a tag": strings.Replace(lockText, "a:1", "a", 1),
		"images[0]: \"a:1\" is":   strings.Replace(lockText, "r.example.com/a:1", "a:1", 1),
		"is no reference with":    strings.Replace(lockText, "a:1", "a:1@"+string(digestA), 1),
		"64 lower-case":           strings.Replace(lockText, "ca97", "CA97", 1),
		"not sorted":              strings.Replace(lockText, "a:1", "a:3", 1),
		"listed twice":            strings.Replace(lockText, "a:1", "a:2", 1),
		"more than":               strings.Repeat(" ", MaxLock+1),
	} {
		l, err := DecodeLock([]byte(text))
		if l != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

// What is accepted is written as it was read.
func FuzzDecodeLock(f *testing.F) {
	f.Add([]byte(lockText))
	f.Add([]byte(`{"schema":"twice.lock/v1","images":[]}`))
	f.Add([]byte("{\n  \"schema\": \"twice.lock/v1\",\n  \"images\": []\n}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := DecodeLock(data)
		if err != nil {
			if l != nil {
				t.Fatal("both a lock and an error")
			}
			return
		}
		enc, err := l.Encode()
		if err != nil || !bytes.Equal(enc, data) {
			t.Fatalf("%v: %q becomes %q", err, data, enc)
		}
		for _, img := range l.Images {
			if d, err := l.Digest(img.Reference); err != nil || d != img.Digest {
				t.Fatalf("%s: %s, %v", img.Reference, d, err)
			}
		}
	})
}
