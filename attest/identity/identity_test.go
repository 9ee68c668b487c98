package identity

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestAmbient(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer secret" || r.FormValue("audience") != Audience || r.FormValue("api-version") != "2":
			http.Error(w, "no", http.StatusForbidden)
		case r.URL.Path == "/odd":
			fmt.Fprint(w, `{"value":"not a token"}`)
		case r.URL.Path == "/text":
			fmt.Fprint(w, `hello`)
		default:
			fmt.Fprint(w, `{"count":1,"value":"a.b.c"}`)
		}
	}))
	defer server.Close()
	github := func(path, secret string) map[string]string {
		return map[string]string{"GITHUB_ACTIONS": "true", githubURL: server.URL + path + "?api-version=2", githubSecret: secret}
	}
	for name, test := range map[string]struct {
		env   map[string]string
		want  string
		fails string // when: at once, or when asked for the token
	}{
		"token":                 {env: map[string]string{tokenVariable: " x.y.z\n"}, want: "x.y.z"},
		"GitLab":                {env: map[string]string{"GITLAB_CI": "true", tokenVariable: "x.y.z"}, want: "x.y.z"},
		"GitHub":                {env: github("/token", "secret"), want: "a.b.c"},
		"no token":              {env: map[string]string{tokenVariable: "password"}, fails: "at once"},
		"long token":            {env: map[string]string{tokenVariable: "x.y." + strings.Repeat("z", maxToken)}, fails: "at once"},
		"GitHub, no permission": {env: map[string]string{"GITHUB_ACTIONS": "true"}, fails: "at once"},
		"GitLab, no token":      {env: map[string]string{"GITLAB_CI": "true"}, fails: "at once"},
		"nothing":               {env: nil, fails: "at once"},
		"GitHub, wrong secret":  {env: github("/token", "other"), fails: "when asked"},
		"GitHub, no answer":     {env: github("/text", "secret"), fails: "when asked"},
		"GitHub, odd answer":    {env: github("/odd", "secret"), fails: "when asked"},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := Ambient(test.env, server.Client())
			if (err != nil) != (test.fails == "at once") {
				t.Fatalf("%v", err)
			}
			if errors.Is(err, ErrNone) != (name == "nothing") {
				t.Errorf("%v", err)
			}
			if err != nil {
				if secret := test.env[tokenVariable]; secret != "" && strings.Contains(err.Error(), secret) {
					t.Errorf("shows the token: %v", err)
				}
				return
			}
			got, err := token(t.Context())
			if got != test.want && test.fails == "" || (err != nil) != (test.fails != "") {
				t.Errorf("%q, %v", got, err)
			}
			if err == nil {
				return
			}
			if secret := test.env[githubSecret]; strings.Contains(err.Error(), secret) && secret != "" {
				t.Errorf("shows the secret: %v", err)
			}
		})
	}
}

// issuer is an OIDC issuer that asks nobody.
type issuer struct {
	*httptest.Server
	key *rsa.PrivateKey
	// nonce, state and subject replace what should be answered, if set; slow
	// makes the person never answer.
	nonce, state, audience string
	denied, slow           bool
	challenge, sentNonce   string
	asked                  int
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key, audience: Audience}
	mux := http.NewServeMux()
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/auth",
			"token_endpoint": i.URL + "/token", "device_authorization_endpoint": i.URL + "/device", "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		b64 := base64.RawURLEncoding.EncodeToString
		answer(w, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k",
			"n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}}})
	})
	mux.HandleFunc("/device", func(w http.ResponseWriter, r *http.Request) {
		i.challenge = r.FormValue("code_challenge")
		answer(w, map[string]any{"device_code": "code", "user_code": "WXYZ", "verification_uri": i.URL + "/type", "expires_in": 60, "interval": 1})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		i.asked++
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		device := r.FormValue("device_code") != ""
		switch {
		case i.challenge != base64.RawURLEncoding.EncodeToString(sum[:]):
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		case device && (i.slow || i.asked < 2):
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"authorization_pending"}`)
		default:
			answer(w, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": i.token(t)})
		}
	})
	return i
}

func (i *issuer) token(t testing.TB) string {
	part := func(v any) string {
		b, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(map[string]string{"alg": "RS256", "kid": "k"}) + "." + part(map[string]any{
		"iss": i.URL, "aud": i.audience, "sub": "me", "email": "me@example.com", "nonce": i.sentNonce, "exp": time.Now().Add(time.Minute).Unix()})
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Error(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// browse is a browser whose person agrees.
func (i *issuer) browse(t *testing.T) func(string) error {
	return func(address string) error {
		u, err := url.Parse(address)
		if err != nil {
			return err
		}
		q := u.Query()
		i.challenge, i.sentNonce = q.Get("code_challenge"), q.Get("nonce")
		if i.nonce != "" {
			i.sentNonce = i.nonce
		}
		back := url.Values{"state": {q.Get("state")}, "code": {"code"}}
		if i.state != "" {
			back.Set("state", i.state)
		}
		if i.denied {
			back = url.Values{"state": {q.Get("state")}, "error": {"access_denied"}}
		}
		go func() {
			// Who asked may be done before the answer is read. What came is seen there.
			if resp, err := http.Get(q.Get("redirect_uri") + "?" + back.Encode()); err == nil {
				resp.Body.Close()
			}
		}()
		return nil
	}
}

func TestBrowser(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*issuer)
		want   string
	}{
		"agrees":           {func(*issuer) {}, ""},
		"denies":           {func(i *issuer) { i.denied = true }, "access_denied"},
		"another audience": {func(i *issuer) { i.audience = "else" }, "audience"},
		"another nonce":    {func(i *issuer) { i.nonce = "replayed" }, "not the answer"},
		"another state":    {func(i *issuer) { i.state = "forged" }, "deadline"}, // is not taken for an answer
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			test.change(i)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if i.state != "" {
				ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
			}
			defer cancel()
			p := Person{Issuer: i.URL, Client: i.Client(), Tell: func(line string) { t.Log(line) }, Open: i.browse(t)}
			token, err := p.Browser(ctx)
			switch {
			case test.want == "" && (err != nil || strings.Count(token, ".") != 2):
				t.Errorf("%q, %v", token, err)
			case test.want != "" && (err == nil || token != "" || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%q, %v; want %q", token, err, test.want)
			}
		})
	}
}

func TestDevice(t *testing.T) {
	i := newIssuer(t)
	var told []string
	p := Person{Issuer: i.URL, Client: i.Client(), Tell: func(line string) { told = append(told, line) }}
	token, err := p.Device(t.Context())
	if err != nil || strings.Count(token, ".") != 2 || len(told) != 1 || !strings.Contains(told[0], "WXYZ") {
		t.Errorf("%q, %v, %q", token, err, told)
	}
	i.slow = true
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	if token, err := p.Device(ctx); !errors.Is(err, context.DeadlineExceeded) || token != "" || time.Since(start) > 5*time.Second {
		t.Errorf("%q, %v", token, err)
	}
}
