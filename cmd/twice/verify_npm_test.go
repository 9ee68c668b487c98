package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/twicebuild/twice/attest/verify"
)

// npmRegistry is a registry with one version of the package @scope/hello.
type npmRegistry struct {
	url, tgz     string
	attestations string // what the service answers, empty for a package without any
	status       int    // of that answer
	elsewhere    string // where the attestations are said to be, unless it is empty
}

func newNPMRegistry(t *testing.T) *npmRegistry {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range map[string]string{"package/package.json": `{"name":"@scope/hello","version":"1.0.0"}`, "package/hello.js": "1\n"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}

	r := &npmRegistry{tgz: b.String(), status: http.StatusOK}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *npmRegistry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	sum := sha512.Sum512([]byte(r.tgz))
	switch req.URL.Path {
	case "/@scope/hello":
		dist := map[string]any{"tarball": r.url + "/hello-1.0.0.tgz", "integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}
		if r.attestations != "" {
			at := r.url + "/attestations"
			if r.elsewhere != "" {
				at = r.elsewhere
			}
			dist["attestations"] = map[string]any{"url": at, "provenance": map[string]any{"predicateType": "https://slsa.dev/provenance/v1"}}
		}
		json.NewEncoder(w).Encode(map[string]any{
			"name": "@scope/hello", "dist-tags": map[string]string{"latest": "1.0.0"},
			"versions": map[string]any{"1.0.0": map[string]any{"name": "@scope/hello", "version": "1.0.0", "dist": dist}},
		})
	case "/hello-1.0.0.tgz":
		w.Write([]byte(r.tgz))
	case "/attestations":
		w.WriteHeader(r.status)
		w.Write([]byte(r.attestations))
	default:
		http.NotFound(w, req)
	}
}

// A package of npm is fetched by the real client, and judged by what its registry has.
func TestVerifyNPM(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("needs npm")
	}
	r := newNPMRegistry(t)
	p, other := newPublisher(t), newPublisher(t)
	t.Setenv("npm_config_registry", r.url)
	t.Setenv("npm_config_cache", t.TempDir())
	t.Setenv("HOME", t.TempDir())

	sum := sha512.Sum512([]byte(r.tgz))
	statement := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"pkg:npm/%%40scope/hello@1.0.0","digest":{"sha512":%q}}],"predicateType":"https://example.com/p","predicate":{}}`,
		hex.EncodeToString(sum[:]))
	bundle := func(p publisher, statement string) string {
		var e map[string]any
		if err := json.Unmarshal([]byte(p.envelope(t, statement)), &e); err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(map[string]any{
			"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial": map[string]any{"publicKey": map[string]string{"hint": p.hint(t)}}, "dsseEnvelope": e,
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	answer := func(bundles ...string) string {
		var list []string
		for _, b := range bundles {
			list = append(list, `{"predicateType":"x","bundle":`+b+`}`)
		}
		return `{"attestations":[` + strings.Join(list, ",") + `]}`
	}

	const name = "npm:@scope/hello@1.0.0"
	for what, test := range map[string]struct {
		attestations string
		status       int
		elsewhere    string
		want         int
		say          string
	}{
		"signed":                         {answer(bundle(p, statement)), 200, "", exitOK, ""},
		"by the registry and by p":       {answer(bundle(other, statement), bundle(p, statement)), 200, "", exitOK, ""},
		"by the registry alone":          {answer(bundle(other, statement)), 200, "", exitDiffers, "nobody whom you trust"},
		"no attestations":                {"", 200, "", exitDiffers, "unsigned"},
		"an empty list":                  {`{"attestations":[]}`, 200, "", exitFailure, "there is none"},
		"of another package":             {answer(bundle(p, strings.Replace(statement, `"sha512":"`, `"sha512":"`+strings.Repeat("0", 128)+`","x":"`, 1))), 200, "", exitDiffers, "not among the subjects"},
		"tampered":                       {answer(strings.Replace(bundle(p, statement), `"sig":"ME`, `"sig":"MF`, 1)), 200, "", exitDiffers, ""},
		"under another name":             {answer(bundle(p, strings.Replace(statement, "hello@", "hallo@", 1))), 200, "", exitOK, "another name"},
		"no JSON":                        {"hello", 200, "", exitFailure, "no signature in a form that is known"},
		"a registry that is broken":      {"x", 500, "", exitFailure, "500 Internal Server Error"},
		"an address of another kind":     {"x", 200, "file:///etc/passwd", exitFailure, "no address of the web"},
		"an address on plain HTTP":       {"x", 200, "http://192.0.2.1/x", exitFailure, ""},
		"an address that has a password": {"x", 200, "https://me:pw@192.0.2.1/x", exitFailure, "no address of the web"},
	} {
		r.attestations, r.status, r.elsewhere = test.attestations, test.status, test.elsewhere
		doc, exit, stderr := verifies(t, name, "--key", p.public)
		said, _ := json.Marshal(doc)
		if exit != test.want || !strings.Contains(string(said)+stderr, test.say) || len(doc.Files) != 1 || doc.Files[0].Name != name {
			t.Errorf("%s: exit status %d\n%s\n%s", what, exit, said, stderr)
		}
	}

	// What does not name a version, or names none that there is.
	for arg, want := range map[string]int{"npm:@scope/hello": exitUsage, "npm:@scope/hello@latest": exitUsage, "npm:../x@1.0.0": exitUsage, "npm:@scope/hello@2.0.0": exitFailure} {
		if _, exit, stderr := verifies(t, arg, "--key", p.public); exit != want {
			t.Errorf("%s: exit status %d\n%s", arg, exit, stderr)
		}
	}
	r.attestations, r.status, r.elsewhere = answer(bundle(p, statement)), 200, ""
	if doc, exit, _ := verifies(t, "npm:@scope/hello@2.0.0", name, "--key", p.public); exit != exitFailure || len(doc.Files) != 2 || doc.Files[1].Verdict != verify.Verified {
		t.Errorf("one of two: exit status %d, %+v", exit, doc)
	}
}
