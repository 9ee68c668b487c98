package toolchain

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/gocmd"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
)

const (
	fakeVersion = "go1.99.3"
	fakeName    = fakeVersion + ".plan8-mos6502"
	fakeGoEnv   = "# defaults\nGOPROXY=direct\nGOTOOLCHAIN=auto\n"
)

var fakeModule = module.Version{Path: modulePath, Version: "v0.0.1-" + fakeName}

// published is the files of a toolchain as they are installed.
var published = map[string]string{
	"VERSION":                      fakeVersion + "\ntime 2026-01-02T03:04:05Z\n",
	"go.env":                       fakeGoEnv,
	"bin/go":                       "#!/bin/sh\n",
	"bin/gofmt":                    "#!/bin/sh\n",
	"pkg/tool/plan8_mos6502/link":  "#!/bin/sh\n",
	"lib/wasm/go_js_wasm_exec":     "#!/bin/sh\n",
	"lib/time/zoneinfo.zip":        strings.Repeat("zone", 50_000),
	"src/go.mod":                   "module std\n",
	"src/cmd/go.mod":               "module cmd\n",
	"src/fmt/print.go":             "package fmt\n",
	"src/crypto/test/test.go":      "package test\n", // a folder called test that is not at the top
	"src/fmt/testdata/empty":       "",
	"src/net/http/doc/api/misc.go": "package misc\n",
}

// install writes the published files to a new folder, with those that only an
// installation has.
func install(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "go")
	for name, data := range published {
		write(t, filepath.Join(dir, name), data)
	}
	for _, name := range []string{"api/go1.txt", "doc/go_spec.html", "misc/x/go.mod", "test/a.go"} {
		write(t, filepath.Join(dir, name), "only here")
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t testing.TB, name, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

// fakeZip returns the published files as the module's zip has them.
func fakeZip(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, data := range files {
		if path.Base(name) == "go.mod" {
			name = path.Join(path.Dir(name), "_go.mod")
		}
		w, err := z.Create(fakeModule.String() + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func hashZip(t testing.TB, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "x.zip")
	write(t, name, string(data))
	sum, err := dirhash.HashZip(name, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// world is a checksum database and a module proxy with one toolchain, and a
// real go command to talk to them.
type world struct {
	client gocmd.Go
	key    string // the database's, without its name
	sum    string // of the published toolchain
	proxy  string // folder of the module's files in the proxy
	server *httptest.Server
}

// offline returns the client without a network.
func (w *world) offline() gocmd.Go { return w.client.With("GOPROXY=off") }

const fakeDatabase = "sums.example"

// newKey returns a signer and a verifier key for fakeDatabase, the same for
// the same seed.
func newKey(t testing.TB, seed byte) (signer, verifier string) {
	t.Helper()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	verifier, err := note.NewEd25519VerifierKey(fakeDatabase, private.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	// The format is that of note.GenerateKey: 1 is Ed25519.
	hash := strings.Split(verifier, "+")[1]
	signer = "PRIVATE+KEY+" + fakeDatabase + "+" + hash + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, private.Seed()...))
	return signer, verifier
}

// gomod is the go.mod file of the toolchain in the proxy.
const gomod = "module " + modulePath + "\n"

// newDatabase has the record of a toolchain whose hash is sum, and so many
// others that there are several tiles.
func newDatabase(t testing.TB, signer, sum string) *sumdb.Server {
	t.Helper()
	gomodSum, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(gomod)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ops := sumdb.NewTestServer(signer, func(path, vers string) ([]byte, error) {
		h := gomodSum
		if (module.Version{Path: path, Version: vers}) == fakeModule {
			h = sum
		}
		return fmt.Appendf(nil, "%s %s %s\n%[1]s %[2]s/go.mod %[4]s\n", path, vers, h, gomodSum), nil
	})
	for i := range 700 {
		m := module.Version{Path: fmt.Sprintf("example.com/m%d", i), Version: "v1.0.0"}
		if i == 300 {
			m = fakeModule
		}
		if _, err := ops.Lookup(context.Background(), m); err != nil {
			t.Fatal(err)
		}
	}
	return sumdb.NewServer(ops)
}

func newWorld(t testing.TB) *world {
	t.Helper()
	signer, verifier := newKey(t, 1)
	data := fakeZip(t, published)
	w := &world{sum: hashZip(t, data), key: strings.TrimPrefix(verifier, fakeDatabase+"+")}

	// The proxy is a folder.
	proxy := t.TempDir()
	w.proxy = filepath.Join(proxy, "golang.org", "toolchain", "@v")
	write(t, filepath.Join(w.proxy, fakeModule.Version+".zip"), string(data))
	write(t, filepath.Join(w.proxy, fakeModule.Version+".mod"), gomod)
	write(t, filepath.Join(w.proxy, fakeModule.Version+".info"), fmt.Sprintf("{%q: %q}", "Version", fakeModule.Version))
	w.server = httptest.NewServer(newDatabase(t, signer, w.sum))
	t.Cleanup(w.server.Close)

	gocommand, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	// A telemetry process would go on writing there while the test cleans up.
	write(t, filepath.Join(home, ".config", "go", "telemetry", "mode"), "off")
	w.client = gocmd.Go{Path: gocommand, Env: []string{
		"HOME=" + home, "PATH=" + filepath.Dir(gocommand), "GOENV=off",
		"GOPROXY=" + fileURL(proxy), "GOSUMDB=" + verifier + " " + w.server.URL,
	}}
	return w
}

func fileURL(dir string) string {
	dir = filepath.ToSlash(dir)
	if !strings.HasPrefix(dir, "/") {
		dir = "/" + dir
	}
	u := url.URL{Scheme: "file", Path: dir}
	return strings.ReplaceAll(u.String(), ",", "%2C") // a comma would end it in GOPROXY
}

// options have an empty cache folder.
func (w *world) options(t testing.TB, installed ...string) Options {
	return Options{Installed: installed, CacheDir: t.TempDir(), HostOS: "plan8", HostArch: "mos6502", key: w.key}
}
