package e2e

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/attest/key"
)

// transit stands in for a Vault server: a small part of its transit engine's
// HTTP API (https://developer.hashicorp.com/vault/api-docs/secret/transit), which
// is what the plugin calls. No Vault is involved.
type transit struct {
	token string
	keys  map[string]crypto.Signer
	calls []string
}

func (v *transit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.calls = append(v.calls, r.Method+" "+r.URL.Path)
	fail := func(status int, reason string) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]any{"errors": []string{reason}})
	}
	if r.Header.Get("X-Vault-Token") != v.token {
		fail(http.StatusForbidden, "permission denied")
		return
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/transit/"), "/")
	signer := v.keys[parts[min(1, len(parts)-1)]]
	if signer == nil {
		fail(http.StatusNotFound, "no such key")
		return
	}
	var data map[string]any
	switch {
	case r.Method == http.MethodGet && parts[0] == "keys":
		version := map[string]any{}
		switch public := signer.Public().(type) {
		case ed25519.PublicKey:
			version = map[string]any{"name": "ed25519", "public_key": base64.StdEncoding.EncodeToString(public)}
		default:
			der, err := x509.MarshalPKIXPublicKey(public)
			if err != nil {
				fail(http.StatusInternalServerError, err.Error())
				return
			}
			version["public_key"] = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		}
		data = map[string]any{"latest_version": 1, "keys": map[string]any{"1": version}}
	case parts[0] == "sign":
		var request struct {
			Input     []byte `json:"input"`
			Prehashed bool   `json:"prehashed"`
			Algorithm string `json:"signature_algorithm"`
		}
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			fail(http.StatusBadRequest, err.Error())
			return
		}
		hash := crypto.Hash(0)
		if request.Prehashed {
			hash = map[string]crypto.Hash{"sha2-256": crypto.SHA256, "sha2-384": crypto.SHA384}[parts[len(parts)-1]]
		}
		if _, isRSA := signer.(*rsa.PrivateKey); isRSA && request.Algorithm != "pkcs1v15" {
			fail(http.StatusBadRequest, "want pkcs1v15")
			return
		}
		sig, err := signer.Sign(rand.Reader, request.Input, hash)
		if err != nil {
			fail(http.StatusBadRequest, err.Error())
			return
		}
		data = map[string]any{"signature": "vault:v1:" + base64.StdEncoding.EncodeToString(sig)}
	default:
		fail(http.StatusNotFound, "not in the stand-in")
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"data": data})
}

// TestHashivault signs with keys in a stand-in of Vault, through the plugin that
// module cmd/kms builds.
func TestHashivault(t *testing.T) {
	large(t)
	bin := t.TempDir()
	command(t, filepath.Join(repoRoot, "cmd", "kms"), nil, "go", "build", "-o", bin+string(filepath.Separator), "./sigstore-kms-hashivault")

	vault := &transit{token: "secret", keys: map[string]crypto.Signer{}}
	made := func(name string, signer crypto.Signer, err error) {
		if err != nil {
			t.Fatal(err)
		}
		vault.keys[name] = signer
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	made("p256", p256, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	made("p384", p384, err)
	_, ed, err := ed25519.GenerateKey(nil)
	made("ed25519", ed, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	made("rsa", rsaKey, err)
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	made("p521", p521, err)
	server := httptest.NewServer(vault)
	defer server.Close()

	var stderr bytes.Buffer
	opts := key.Options{Path: []string{bin}, Environ: []string{"VAULT_ADDR=" + server.URL, "VAULT_TOKEN=secret"}, Stderr: &stderr}
	if runtime.GOOS == "windows" {
		opts.Environ = append(opts.Environ, "SYSTEMROOT="+os.Getenv("SYSTEMROOT"))
	}
	message := []byte("what is signed")
	for _, name := range []string{"p256", "p384", "ed25519", "rsa"} {
		private, err := key.Load(t.Context(), "hashivault://"+name, opts)
		if err != nil {
			t.Fatalf("%v\n%s", err, &stderr)
		}
		if got := private.Public().Key(); !got.(interface{ Equal(crypto.PublicKey) bool }).Equal(vault.keys[name].Public()) {
			t.Errorf("%s: another public key", name)
		}
		sig, err := private.Sign(t.Context(), message)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, &stderr)
		}
		public, err := key.ParsePublic(private.Public().PEM())
		if err != nil {
			t.Fatal(err)
		}
		if err := public.Verify(message, sig); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, call := range []string{"GET /v1/transit/keys/p256", "PUT /v1/transit/sign/p256/sha2-256", "PUT /v1/transit/sign/p384/sha2-384"} {
		if !slices.Contains(vault.calls, call) {
			t.Errorf("no call %s in %q", call, vault.calls)
		}
	}

	// What goes wrong has a reason. The plugin's retries would take long, so no
	// server that fails is among it.
	for name, test := range map[string]struct {
		ref  string
		env  []string
		want string
	}{
		"refused kind": {"hashivault://p521", opts.Environ, "ECDSA P-521 is not accepted"},
		"no such key":  {"hashivault://other", opts.Environ, "could not read data from transit key path"},
		"wrong token":  {"hashivault://p256", []string{"VAULT_ADDR=" + server.URL, "VAULT_TOKEN=wrong"}, "permission denied"},
		"no address":   {"hashivault://p256", []string{"VAULT_TOKEN=secret"}, "VAULT_ADDR or BAO_ADDR is not set"},
		"reference":    {"hashivault://a/b", opts.Environ, "hashivault://<key>"},
	} {
		broken := opts
		broken.Environ = test.env
		if _, err := key.Load(t.Context(), test.ref, broken); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}

	// A key that is replaced between loading and signing: the signature is not
	// the loaded key's, and is refused.
	private, err := key.Load(t.Context(), "hashivault://p256", opts)
	if err != nil {
		t.Fatal(err)
	}
	p256, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	made("p256", p256, err)
	if _, err := private.Sign(t.Context(), message); err == nil || !strings.Contains(err.Error(), "does not verify") {
		t.Errorf("replaced key: %v", err)
	}
}

// TestOpenSSL reads keys that twice made with openssl, and holds the names of a
// key against openssl's.
func TestOpenSSL(t *testing.T) {
	large(t)
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("needs openssl")
	}
	dir := t.TempDir()
	for _, algorithm := range []key.Algorithm{key.P256, key.P384, key.Ed25519} {
		name := filepath.Join(dir, string(algorithm))
		private, err := key.Generate(t.Context(), name, key.GenerateOptions{Algorithm: algorithm, Unencrypted: true})
		if err != nil {
			t.Fatal(err)
		}
		public := command(t, dir, nil, "openssl", "pkey", "-in", name+".key", "-pubout")
		want, err := os.ReadFile(name + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		if public != string(want) {
			t.Errorf("%s: openssl says\n%s", algorithm, public)
		}
		der := filepath.Join(dir, "der")
		command(t, dir, nil, "openssl", "pkey", "-pubin", "-in", name+".pub", "-outform", "der", "-out", der)
		sum := command(t, dir, nil, "sha256sum", der)
		if got := private.Public().Fingerprint().Hex(); !strings.HasPrefix(sum, got+" ") {
			t.Errorf("%s: fingerprint %s, sha256sum says %s", algorithm, got, sum)
		}
	}
}
