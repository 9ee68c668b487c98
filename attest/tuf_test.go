package attest_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/twicebuild/twice/attest"
)

// repository serves targets by TUF, and returns its root.json.
func repository(t *testing.T, targets map[string]string) (*httptest.Server, []byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := metadata.KeyFromPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := signature.LoadSigner(private, crypto.Hash(0))
	if err != nil {
		t.Fatal(err)
	}
	expires := time.Now().Add(time.Hour)
	root, list, snapshot, stamp := metadata.Root(expires), metadata.Targets(expires), metadata.Snapshot(expires), metadata.Timestamp(expires)
	for _, role := range []string{metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		if err := root.Signed.AddKey(key, role); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string][]byte{}
	for name, content := range targets {
		file, err := metadata.TargetFile().FromBytes(name, []byte(content), "sha256")
		if err != nil {
			t.Fatal(err)
		}
		list.Signed.Targets[name] = file
		sum := sha256.Sum256([]byte(content))
		files["/targets/"+hex.EncodeToString(sum[:])+"."+name] = []byte(content)
	}
	encode := func(sign func(signature.Signer) (*metadata.Signature, error), bytes func(bool) ([]byte, error)) []byte {
		if _, err := sign(signer); err != nil {
			t.Fatal(err)
		}
		b, err := bytes(false)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	rootJSON := encode(root.Sign, root.ToBytes)
	files["/1.root.json"] = rootJSON
	files["/1.targets.json"] = encode(list.Sign, list.ToBytes)
	files["/1.snapshot.json"] = encode(snapshot.Sign, snapshot.ToBytes)
	files["/timestamp.json"] = encode(stamp.Sign, stamp.ToBytes)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b, ok := files[r.URL.Path]; ok {
			w.Write(b)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	return server, rootJSON
}

func TestInstance(t *testing.T) {
	server, root := repository(t, map[string]string{"trusted_root.json": "trust", "signing_config.v0.2.json": "where"})
	_, otherRoot := repository(t, nil)
	i := attest.Instance{Mirror: server.URL, Root: root, CacheDir: t.TempDir(), Transport: http.DefaultTransport}
	undetermined := func(name string, i attest.Instance, ctx context.Context, hint string) {
		t.Helper()
		data, err := i.TrustedRoot(ctx)
		var e *attest.Error
		if data != nil || !errors.As(err, &e) || e.Reason != attest.Undetermined || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	get := func() {
		t.Helper()
		if data, err := i.TrustedRoot(t.Context()); err != nil || string(data) != "trust" {
			t.Errorf("%q, %v", data, err)
		}
		if data, err := i.SigningConfig(t.Context()); err != nil || string(data) != "where" {
			t.Errorf("%q, %v", data, err)
		}
	}
	get()
	server.Close()
	get() // from the cache, without a network
	cold := i
	cold.CacheDir = t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	undetermined("no network, no cache", cold, ctx, "")

	server, _ = repository(t, map[string]string{"trusted_root.json": "forged"})
	forged := attest.Instance{Mirror: server.URL, Root: otherRoot, CacheDir: t.TempDir(), Transport: http.DefaultTransport}
	undetermined("signed by others", forged, t.Context(), "")
	undetermined("a mirror without a root", attest.Instance{Mirror: server.URL, CacheDir: t.TempDir(), Transport: http.DefaultTransport}, t.Context(), "root.json")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	undetermined("cancelled", cold, cancelled, "canceled")
}
