package e2e

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	ct "github.com/google/certificate-transparency-go"
	cttls "github.com/google/certificate-transparency-go/tls"

	"github.com/twicebuild/twice/attest/attesttest"
)

// installed returns the file of a program, installed by the go command from its
// published module into the user's cache folder, where the next run finds it. The
// versions are the newest that build with this Go.
func installed(t *testing.T, pkg, version string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(pkg)
	dir := filepath.Join(cache, "twice-e2e", strings.NewReplacer("/", "_", "@", "_").Replace(pkg+"@"+version))
	file := filepath.Join(dir, name)
	if runtime.GOOS == "windows" {
		file += ".exe"
	}
	if _, err := os.Stat(file); err == nil {
		return file
	}
	cmd := exec.Command("go", "install", "-ldflags=-s -w", pkg+"@"+version)
	cmd.Env = []string{"GOBIN=" + dir, "CGO_ENABLED=0", "GOTOOLCHAIN=local"}
	for _, v := range []string{"HOME", "PATH", "GOPROXY", "GOSUMDB", "GOCACHE", "GOMODCACHE", "HTTPS_PROXY", "SSL_CERT_FILE", "TMPDIR"} {
		if value, ok := os.LookupEnv(v); ok {
			cmd.Env = append(cmd.Env, v+"="+value)
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go install %s@%s: %v\n%s", pkg, version, err, out)
	}
	return file
}

// stack is a Sigstore instance on loopback, made of the real servers. The OIDC
// issuer and the certificate log are handlers in this process.
type stack struct {
	dir, cosign                string
	trustedRoot, signingConfig string // files
	issuer                     string // URL
	issuerKey                  *rsa.PrivateKey
}

// sigstore starts a stack. It ends with the test.
func sigstore(t *testing.T) *stack {
	t.Helper()
	s := &stack{dir: t.TempDir(), cosign: installed(t, "github.com/sigstore/cosign/v3/cmd/cosign", "v3.1.3")}
	fulcio := installed(t, "github.com/sigstore/fulcio", "v1.8.8")
	rekor := installed(t, "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix", "v2.3.0")
	tsa := installed(t, "github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server", "v2.1.3")

	s.startIssuer(t)
	ctLog := s.startCTLog(t)

	_, logKey, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	logPEM := s.write(t, "rekor-key.pem", privatePEM(t, logKey))
	logPub := s.write(t, "rekor.pub", publicPEM(t, logKey.Public()))
	tsaPort, rekorPort, fulcioPort := freePort(t), freePort(t), freePort(t)
	must(t, os.Mkdir(filepath.Join(s.dir, "log"), 0o755))

	start(t, tsa, "serve", "--host", "127.0.0.1", "--port", tsaPort, "--timestamp-signer", "memory", "--disable-ntp-monitoring")
	start(t, rekor, "serve", "--http-address", "127.0.0.1", "--http-port", rekorPort, "--grpc-address", "127.0.0.1", "--grpc-port", freePort(t),
		"--http-metrics-port", freePort(t), "--hostname", "127.0.0.1", "--storage-dir", filepath.Join(s.dir, "log"), "--signer-filepath", logPEM,
		"--batch-max-age", "50ms", "--checkpoint-interval", "200ms")
	config := s.write(t, "fulcio.yaml", []byte(fmt.Sprintf(`oidc-issuers:
  %[1]s:
    issuer-url: %[1]s
    client-id: sigstore
    type: email
    contact: e2e@example.com
    description: the test's own
`, s.issuer)))
	start(t, fulcio, "serve", "--ca", "ephemeralca", "--config-path", config, "--host", "127.0.0.1", "--port", fulcioPort,
		"--grpc-host", "127.0.0.1", "--grpc-port", freePort(t), "--metrics-port", freePort(t),
		"--ct-log-url", ctLog, "--ct-log-public-key-path", filepath.Join(s.dir, "ctfe.pub"), "--legacy-unix-domain-socket", filepath.Join(s.dir, "fulcio.sock"))

	var bundle struct {
		Chains []struct{ Certificates []string }
	}
	must(t, json.Unmarshal(await(t, "http://127.0.0.1:"+fulcioPort+"/api/v2/trustBundle"), &bundle))
	fulcioChain := s.write(t, "fulcio.pem", []byte(strings.Join(bundle.Chains[0].Certificates, "")))
	tsaURL := "http://127.0.0.1:" + tsaPort + "/api/v1/timestamp"
	tsaChain := s.write(t, "tsa.pem", await(t, tsaURL+"/certchain"))
	await(t, "http://127.0.0.1:"+rekorPort+"/healthz")

	s.trustedRoot, s.signingConfig = filepath.Join(s.dir, "trusted_root.json"), filepath.Join(s.dir, "signing_config.json")
	from := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	s.run(t, "trusted-root", "create", "--out", s.trustedRoot,
		"--fulcio", fmt.Sprintf("url=http://127.0.0.1:%s,certificate-chain=%s,start-time=%s", fulcioPort, fulcioChain, from),
		"--ctfe", fmt.Sprintf("url=%s,public-key=%s,start-time=%s", ctLog, filepath.Join(s.dir, "ctfe.pub"), from),
		"--rekor", fmt.Sprintf("url=http://127.0.0.1:%s,public-key=%s,start-time=%s,origin=127.0.0.1", rekorPort, logPub, from),
		"--tsa", fmt.Sprintf("url=%s,certificate-chain=%s,start-time=%s", tsaURL, tsaChain, from))
	service := func(url string, version int) string {
		return fmt.Sprintf("url=%s,api-version=%d,start-time=%s,operator=e2e", url, version, from)
	}
	s.run(t, "signing-config", "create", "--out", s.signingConfig,
		"--fulcio", service("http://127.0.0.1:"+fulcioPort, 1), "--oidc-provider", service(s.issuer, 1),
		"--rekor", service("http://127.0.0.1:"+rekorPort, 2), "--rekor-config", "ANY",
		"--tsa", service(tsaURL, 1), "--tsa-config", "ANY")
	return s
}

// run runs cosign, which has to succeed.
func (s *stack) run(t *testing.T, args ...string) {
	t.Helper()
	if err := s.try(args...); err != nil {
		t.Error(err)
	}
}

// both has cosign accept a good file and refuse a bad one.
func (s *stack) both(t *testing.T, args []string, good, bad string) {
	t.Helper()
	args = slices.Clip(args)
	s.run(t, append(args, good)...)
	if err := s.try(append(args, bad)...); err == nil {
		t.Errorf("cosign %s: accepts another file", strings.Join(args, " "))
	}
}

// try runs cosign with a home of its own, so that it finds no trust there.
func (s *stack) try(args ...string) error {
	cmd := exec.Command(s.cosign, args...)
	cmd.Env = []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH"), "TUF_ROOT=" + filepath.Join(s.dir, "tuf")}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cosign %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (s *stack) write(t *testing.T, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(s.dir, name)
	must(t, os.WriteFile(file, data, 0o600))
	return file
}

// startIssuer serves the discovery document and the keys of an OIDC issuer.
func (s *stack) startIssuer(t *testing.T) {
	t.Helper()
	var err error
	s.issuerKey, err = rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.issuer = server.URL
	answer := func(path string, v any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(v)
		})
	}
	answer("/.well-known/openid-configuration", map[string]any{
		"issuer": s.issuer, "jwks_uri": s.issuer + "/keys", "authorization_endpoint": s.issuer + "/auth", "token_endpoint": s.issuer + "/token",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
	})
	b64 := base64.RawURLEncoding.EncodeToString
	answer("/keys", map[string]any{"keys": []any{map[string]any{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "e2e",
		"n": b64(s.issuerKey.N.Bytes()), "e": b64(big.NewInt(int64(s.issuerKey.E)).Bytes()),
	}}})
}

// token mints an identity token for an email address.
func (s *stack) token(t *testing.T, email string) string {
	t.Helper()
	now := time.Now()
	part := func(v any) string {
		b, err := json.Marshal(v)
		must(t, err)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(map[string]any{"alg": "RS256", "typ": "JWT", "kid": "e2e"}) + "." + part(map[string]any{
		"iss": s.issuer, "aud": "sigstore", "sub": email, "email": email, "email_verified": true,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	})
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, s.issuerKey, crypto.SHA256, sum[:])
	must(t, err)
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// startCTLog serves the one request that a certificate authority makes to a
// certificate log (RFC 6962, section 4.2), and returns the log's URL.
func (s *stack) startCTLog(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	s.write(t, "ctfe.pub", publicPEM(t, key.Public()))
	promise := func(body io.Reader) (any, error) {
		var req struct{ Chain [][]byte }
		if err := json.NewDecoder(body).Decode(&req); err != nil {
			return nil, err
		}
		if len(req.Chain) < 2 {
			return nil, errors.New("want a chain")
		}
		var chain []ct.ASN1Cert
		for _, der := range req.Chain {
			chain = append(chain, ct.ASN1Cert{Data: der})
		}
		leaf, err := ct.MerkleTreeLeafFromRawChain(chain, ct.PrecertLogEntryType, 0)
		if err != nil {
			return nil, err
		}
		issuer, err := x509.ParseCertificate(req.Chain[1])
		if err != nil {
			return nil, err
		}
		sct, err := attesttest.SCT(key, issuer, leaf.TimestampedEntry.PrecertEntry.TBSCertificate, time.Now())
		if err != nil {
			return nil, err
		}
		sig, err := cttls.Marshal(sct.Signature)
		if err != nil {
			return nil, err
		}
		return map[string]any{"sct_version": 0, "id": sct.LogID.KeyID[:], "timestamp": sct.Timestamp, "extensions": "", "signature": sig}, nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ct/v1/add-pre-chain", func(w http.ResponseWriter, r *http.Request) {
		answer, err := promise(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(answer)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// start runs a server until the test ends. What it said is shown if that fails.
func start(t *testing.T, file string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), file, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			text := out.String()
			t.Logf("%s:\n%s", filepath.Base(file), text[max(0, len(text)-4000):])
		}
	})
}

// await asks until the answer is good.
func await(t *testing.T, url string) []byte {
	t.Helper()
	var last error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get(url)
		if err != nil {
			last = err
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && resp.StatusCode == http.StatusOK {
			return body
		}
		last = fmt.Errorf("%s: %s: %v", url, resp.Status, err)
	}
	t.Fatal(last)
	return nil
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	return port
}

func privatePEM(t *testing.T, key crypto.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func publicPEM(t *testing.T, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
