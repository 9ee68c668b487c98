package identity

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
)

// answers is a network in which every server answers with the same bytes.
type answers struct{ body []byte }

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	body := a.body
	code := http.StatusOK
	if bytes.Contains(body, []byte(`"error"`)) {
		code = http.StatusBadRequest
	}
	return &http.Response{
		StatusCode: code, Status: fmt.Sprint(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: -1,
	}, nil
}

// FuzzAnswers reads what an issuer could answer. What is told to a person is a line
// that a terminal only shows, and a token that is accepted is one that the issuer
// signed.
func FuzzAnswers(f *testing.F) {
	i := newIssuer(f)
	good := i.token(f)
	head, body, _ := strings.Cut(good, ".")
	body, _, _ = strings.Cut(body, ".")
	for _, s := range []string{
		`{"count":1,"value":"a.b.c"}`, `{"value":"a.b.c\u001b[31m"}`, `{"value":"..."}`,
		`{"device_code":"code","user_code":"WXYZ-1234","verification_uri":"https://issuer.example/type","expires_in":60,"interval":1}`,
		`{"device_code":"code","user_code":"\u001b]0;","verification_uri":"javascript:1","interval":-1}`,
		`{"device_code":"code","user_code":"A","verification_uri":"https://issuer.example","interval":9223372036854775807}`,
		`{"access_token":"x","token_type":"Bearer","id_token":"` + good + `"}`,
		`{"access_token":"x","token_type":"Bearer","id_token":"` + head + "." + body + `."}`,
		`{"access_token":"x","id_token":"eyJhbGciOiJub25lIn0.` + body + `."}`,
		`{"error":"access_denied","error_description":"\u202eno"}`,
		`{"issuer":"` + i.URL + `","jwks_uri":"","authorization_endpoint":":","token_endpoint":"x","device_authorization_endpoint":"y"}`,
		"\x1b[2J", `[]`, `null`, ``,
	} {
		f.Add([]byte(s))
	}
	now := &answers{}
	ctx, provider, config, err := Person{Issuer: i.URL, Client: &http.Client{Transport: http.DefaultTransport}}.provider(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	ctx = oidc.ClientContext(ctx, boundedClient(&http.Client{Transport: now}))
	f.Fuzz(func(t *testing.T, data []byte) {
		now.body = data
		shown := func(err error) {
			if err != nil {
				line(t, err.Error())
			}
		}

		// A CI system's.
		token, err := githubToken(t.Context(), boundedClient(&http.Client{Transport: now}), "https://ci.example/token", "secret")
		if err == nil && (!jwt.MatchString(token) || len(token) > maxToken) {
			t.Errorf("accepted %q", token)
		}
		ambient, aerr := Ambient(map[string]string{githubURL: "https://ci.example/token", githubSecret: "secret"}, &http.Client{Transport: now})
		if aerr != nil {
			t.Fatal(aerr)
		}
		_, aerr = ambient(t.Context())
		shown(aerr)
		if (err == nil) != (aerr == nil) {
			t.Errorf("%v, and %v", err, aerr)
		}

		// An issuer's description of itself.
		_, _, _, err = Person{Issuer: "https://issuer.example", Client: &http.Client{Transport: now}}.provider(t.Context())
		shown(err)

		// What it says to a device.
		if device, err := (Person{Client: &http.Client{Transport: now}}).deviceAuth(t.Context(), config, "verifier"); err != nil {
			shown(identityError(err))
		} else if text, err := instruction(device); err != nil {
			shown(identityError(err))
		} else {
			line(t, text)
			time.NewTicker(time.Duration(max(device.Interval, 1)) * time.Second).Stop() // as oauth2 does
		}

		// And the token in the end.
		tokens, err := config.Exchange(ctx, "code")
		if err != nil {
			shown(identityError(err))
			return
		}
		raw, err := verifyToken(ctx, provider, config, tokens, "")
		shown(err)
		if err == nil && !strings.HasPrefix(raw, head+"."+body+".") {
			t.Errorf("accepted %q", raw)
		}
	})
}

// line fails for what a terminal does not only show, and for what is long.
func line(t *testing.T, text string) {
	t.Helper()
	if len(text) > 2*maxText || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("shown: %.2000q", text)
	}
}
