// Package identity gets OpenID Connect identity tokens, for which a certificate authority gives
// certificates to sign with. They come from the CI system that a program runs in, or from a person
// with a browser on this or another device.
//
// A token is a JWT for the audience "sigstore". It is a secret for some minutes. It is not verified
// here: the certificate authority does that.
//
// The flows for a person are RFC 6749 with PKCE (RFC 7636), and RFC 8628, both by
// golang.org/x/oauth2. The one in sigstore's oauthflow cannot be cancelled and, where no browser
// opens, reads from standard input.
package identity

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// Audience is the audience of tokens.
const Audience = "sigstore"

// Token gets a token. It is called for each certificate.
type Token = func(context.Context) (string, error)

// maxToken bounds a token, in bytes.
const maxToken = 64 << 10

// maxAnswer bounds the answer of a server, in bytes.
const maxAnswer = 1 << 20

// boundedClient returns a client like c whose answers have at most maxAnswer bytes. A longer one
// ends early, and then is no document any more.
func boundedClient(c *http.Client) *http.Client {
	b := *c
	if b.Transport == nil {
		b.Transport = http.DefaultTransport
	}
	b.Transport = boundedTransport{b.Transport}
	return &b
}

// boundedTransport bounds the body of each answer.
type boundedTransport struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// quotedError is an error that may quote a server. Its text is one line that is safe on a terminal
// and not long.
type quotedError struct{ err error }

// maxText bounds such a line, in bytes.
const maxText = 600

func (f quotedError) Error() string {
	return safetext.Replace(safetext.Cut(f.err.Error(), maxText, " ..."), '?')
}

func (f quotedError) Unwrap() error { return f.err }

// The variables that Ambient looks at.
const (
	// tokenVariable holds a token. GitLab sets it for a job with
	// id_tokens: {SIGSTORE_ID_TOKEN: {aud: sigstore}}
	// (https://docs.gitlab.com/ci/yaml/signing_examples/); others can, too.
	tokenVariable = "SIGSTORE_ID_TOKEN"
	// GitHub gives a job with permissions: {id-token: write} the address of its
	// issuer (https://docs.github.com/en/actions/reference/security/oidc).
	githubURL    = "ACTIONS_ID_TOKEN_REQUEST_URL"
	githubSecret = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
)

// ErrNone says that the environment has no identity: this is no CI job.
var ErrNone = errors.New("no identity token in the environment")

// Ambient returns the identity of the CI job whose environment is env. It is a token in
// SIGSTORE_ID_TOKEN, or else that of GitHub Actions. The error is ErrNone where there is none, and
// another one in a CI job that lacks the permission.
func Ambient(env map[string]string, client *http.Client) (Token, error) {
	switch {
	case env[tokenVariable] != "":
		token := strings.TrimSpace(env[tokenVariable])
		if err := checkToken(token); err != nil {
			return nil, fmt.Errorf("%s: %w", tokenVariable, err)
		}
		return func(context.Context) (string, error) { return token, nil }, nil
	case env[githubURL] != "" && env[githubSecret] != "":
		return func(ctx context.Context) (string, error) {
			token, err := githubToken(ctx, boundedClient(client), env[githubURL], env[githubSecret])
			if err != nil {
				return "", quotedError{fmt.Errorf("GitHub Actions: %w", err)}
			}
			return token, nil
		}, nil
	case env["GITHUB_ACTIONS"] == "true":
		return nil, fault.WithRemedy(fault.Usage(errors.New("this GitHub Actions job may not have an identity token")), "give it permissions: id-token: write")
	case env["GITLAB_CI"] == "true":
		return nil, fault.WithRemedy(fault.Usage(errors.New("this GitLab job has no identity token")), "declare id_tokens: SIGSTORE_ID_TOKEN: aud: sigstore")
	}
	return nil, ErrNone
}

// jwt is the form of a token (https://www.rfc-editor.org/rfc/rfc7515#section-7.1).
var jwt = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)

// checkToken returns an error for a text that could not be a token. The error does not show it.
func checkToken(token string) error {
	if len(token) > maxToken || !jwt.MatchString(token) {
		return errors.New("not a token (want a JWT)")
	}
	return nil
}

// githubToken asks GitHub's issuer for the token of a job.
func githubToken(ctx context.Context, client *http.Client, address, secret string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("%s: %w", githubURL, err)
	}
	q := u.Query()
	q.Set("audience", Audience)
	u.RawQuery = q.Encode()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}

	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answers %s", u.Host, resp.Status)
	}

	var answer struct{ Value string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", fmt.Errorf("%s: %w", u.Host, err)
	}
	if err := checkToken(answer.Value); err != nil {
		return "", fmt.Errorf("%s: %w", u.Host, err)
	}

	return answer.Value, nil
}

// Person says how somebody at a terminal proves who they are.
type Person struct {
	// Issuer is the URL of the OpenID Connect issuer
	// ("https://oauth2.sigstore.dev/auth" for the public instance).
	Issuer string
	// ClientID names this program to the issuer. If it is empty, it is "sigstore".
	ClientID string
	// Client makes all requests.
	Client *http.Client
	// Tell shows a line to the person.
	Tell func(line string)
	// Open opens a URL in a browser. Without it the person is only told of it.
	Open func(url string) error
}

// provider finds the endpoints of the issuer. The context that it returns is for requests.
func (p Person) provider(ctx context.Context) (context.Context, *oidc.Provider, oauth2.Config, error) {
	ctx = oidc.ClientContext(ctx, boundedClient(p.Client))
	provider, err := oidc.NewProvider(ctx, p.Issuer)
	if err != nil {
		return nil, nil, oauth2.Config{}, identityError(err)
	}

	id := p.ClientID
	if id == "" {
		id = Audience
	}
	return ctx, provider, oauth2.Config{ClientID: id, Endpoint: provider.Endpoint(), Scopes: []string{oidc.ScopeOpenID, "email"}}, nil
}

// identityError says that there is no identity, and why.
func identityError(err error) error { return quotedError{fmt.Errorf("identity: %w", err)} }

// Browser gets a token through a browser on this machine, which must be able to
// reach it at localhost.
func (p Person) Browser(ctx context.Context) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx, provider, config, err := p.provider(ctx)
	if err != nil {
		return "", err
	}

	// The browser comes back to an address of this machine, on any port that is free.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "localhost:0")
	if err != nil {
		return "", identityError(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		listener.Close()
		return "", identityError(err)
	}

	config.RedirectURL = "http://localhost:" + port + "/auth/callback"
	state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()

	answers := make(chan url.Values, 1)
	server := &http.Server{Handler: callback(state, answers), ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(listener)
	defer server.Close()

	address := config.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier))
	if p.Open == nil || p.Open(address) != nil {
		p.Tell("open this address in a browser on this machine: " + address)
	} else {
		p.Tell("waiting for your browser, at " + address)
	}

	// The person may take any time. The context ends the wait.
	var answer url.Values
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case answer = <-answers:
	}
	if e := answer.Get("error"); e != "" {
		return "", fmt.Errorf("identity: the issuer says %.100q %.200q", e, answer.Get("error_description"))
	}

	// The code is worth nothing without the verifier, which has not left this process.
	tokens, err := config.Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		return "", identityError(err)
	}
	return verifyToken(ctx, provider, config, tokens, nonce)
}

// callback returns a handler that takes the first answer with the right state.
func callback(state string, answers chan<- url.Values) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /auth/callback", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("state") != state {
			http.Error(w, "not the answer to our question", http.StatusBadRequest)
			return
		}
		select {
		case answers <- r.URL.Query():
		default:
		}
		fmt.Fprintln(w, "Thank you. You may close this page.")
	})
	return mux
}

// Device gets a token through a browser on any device, where the person types a code.
func (p Person) Device(ctx context.Context) (string, error) {
	ctx, provider, config, err := p.provider(ctx)
	if err != nil {
		return "", err
	}
	verifier := oauth2.GenerateVerifier()
	device, err := p.deviceAuth(ctx, config, verifier)
	if err != nil {
		return "", identityError(err)
	}

	line, err := instruction(device)
	if err != nil {
		return "", identityError(err)
	}
	p.Tell(line)

	tokens, err := config.DeviceAccessToken(ctx, device, oauth2.VerifierOption(verifier))
	if err != nil {
		return "", identityError(err)
	}
	return verifyToken(ctx, provider, config, tokens, "")
}

// deviceAuth asks for a code (https://www.rfc-editor.org/rfc/rfc8628#section-3.1). The function of
// oauth2 panics where the answer is null.
func (p Person) deviceAuth(ctx context.Context, config oauth2.Config, verifier string) (*oauth2.DeviceAuthResponse, error) {
	form := url.Values{
		"client_id": {config.ClientID}, "scope": {strings.Join(config.Scopes, " ")},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, config.Endpoint.DeviceAuthURL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")

	resp, err := boundedClient(p.Client).Do(req)
	if err != nil {
		return nil, err
	}

	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the issuer answers %s: %s", resp.Status, body)
	}

	var answer struct {
		DeviceCode      string `json:"device_code"`
		UserCode        string `json:"user_code"`
		VerificationURI string `json:"verification_uri"`
		VerificationURL string `json:"verification_url"` // what some say for it
		Interval        int64  `json:"interval"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("the issuer's answer: %w", err)
	}
	// When the code expires, the issuer says so when it is asked.
	return &oauth2.DeviceAuthResponse{
		DeviceCode: answer.DeviceCode, UserCode: answer.UserCode, Interval: answer.Interval,
		VerificationURI: cmp.Or(answer.VerificationURI, answer.VerificationURL),
	}, nil
}

// userCode is the form of a code that a person can type
// (https://www.rfc-editor.org/rfc/rfc8628#section-6.1).
var userCode = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 -]{0,63}$`)

// maxInterval bounds the seconds that an issuer may ask to wait between questions.
const maxInterval = 600

// instruction tells a person what to do with the issuer's answer. The answer must have a code, an
// address, and a bearable time to wait.
func instruction(device *oauth2.DeviceAuthResponse) (string, error) {
	u, err := url.Parse(device.VerificationURI)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return "", fmt.Errorf("the issuer names %.100q as the address to go to", device.VerificationURI)
	}

	if device.Interval < 0 || device.Interval > maxInterval {
		return "", fmt.Errorf("the issuer asks to wait %d seconds between questions", device.Interval)
	}
	if !userCode.MatchString(device.UserCode) {
		return "", fmt.Errorf("the issuer gives %.100q as the code to type", device.UserCode)
	}

	return fmt.Sprintf("type the code %s at %s", device.UserCode, u), nil
}

// verifyToken verifies the identity token that came with others, so that a wrong one is noticed
// before it is used.
func verifyToken(ctx context.Context, provider *oidc.Provider, config oauth2.Config, tokens *oauth2.Token, nonce string) (string, error) {
	raw, _ := tokens.Extra("id_token").(string)
	if raw == "" {
		return "", errors.New("identity: the issuer gave no identity token")
	}

	// The nonce ties the token to this attempt.
	token, err := provider.Verifier(&oidc.Config{ClientID: config.ClientID}).Verify(ctx, raw)
	if err != nil {
		return "", identityError(err)
	}
	if token.Nonce != nonce {
		return "", errors.New("identity: the token is not the answer to our question")
	}

	return raw, nil
}
