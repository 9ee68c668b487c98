// Package identity gets OpenID Connect identity tokens, for which a certificate
// authority gives certificates to sign with: from the CI system that a program
// runs in, or from a person with a browser on this or another device.
//
// A token is a JWT for the audience "sigstore". It is a secret for some minutes.
// It is not verified here: that is the certificate authority's part.
//
// The flows for a person are RFC 6749 with PKCE (RFC 7636), and RFC 8628, both
// by golang.org/x/oauth2. The one in sigstore's oauthflow cannot be cancelled
// and, where no browser opens, reads from standard input.
package identity

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/twicebuild/twice/pipeline/fault"
)

// Audience is whom tokens are for.
const Audience = "sigstore"

// Token gets a token. It is called for each certificate.
type Token = func(context.Context) (string, error)

// maxToken bounds a token, in bytes, and what servers answer.
const maxToken = 64 << 10

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

// ErrNone is that the environment has no identity: this is no CI job.
var ErrNone = errors.New("no identity token in the environment")

// Ambient returns the identity of the CI job whose environment is env: a token
// in SIGSTORE_ID_TOKEN, or else that of GitHub Actions. It is ErrNone where there
// is none, and another error in a CI job that lacks the permission.
func Ambient(env map[string]string, client *http.Client) (Token, error) {
	switch {
	case env[tokenVariable] != "":
		token := strings.TrimSpace(env[tokenVariable])
		if err := check(token); err != nil {
			return nil, fmt.Errorf("%s: %w", tokenVariable, err)
		}
		return func(context.Context) (string, error) { return token, nil }, nil
	case env[githubURL] != "" && env[githubSecret] != "":
		return func(ctx context.Context) (string, error) {
			token, err := github(ctx, client, env[githubURL], env[githubSecret])
			if err != nil {
				return "", fmt.Errorf("GitHub Actions: %w", err)
			}
			return token, nil
		}, nil
	case env["GITHUB_ACTIONS"] == "true":
		return nil, fault.Usage(errors.New("this GitHub Actions job may not have an identity token"), "give it permissions: id-token: write")
	case env["GITLAB_CI"] == "true":
		return nil, fault.Usage(errors.New("this GitLab job has no identity token"), "declare id_tokens: SIGSTORE_ID_TOKEN: aud: sigstore")
	}
	return nil, ErrNone
}

// check tells what could not be a token, so that an error need not show it.
func check(token string) error {
	if len(token) > maxToken || strings.Count(token, ".") != 2 || strings.ContainsAny(token, " \t\r\n") {
		return errors.New("not a token (want a JWT)")
	}
	return nil
}

func github(ctx context.Context, client *http.Client, address, secret string) (string, error) {
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
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxToken)).Decode(&answer); err != nil {
		return "", fmt.Errorf("%s: %w", u.Host, err)
	}
	return answer.Value, check(answer.Value)
}

// Person is how somebody at a terminal proves who they are.
type Person struct {
	// Issuer is the URL of the OpenID Connect issuer
	// ("https://oauth2.sigstore.dev/auth" for the public instance).
	Issuer string
	// ClientID names this program to the issuer; "sigstore" if empty.
	ClientID string
	// Client makes all requests.
	Client *http.Client
	// Tell shows a line to the person.
	Tell func(line string)
	// Open opens a URL in a browser. Without it the person is only told of it.
	Open func(url string) error
}

// provider finds the endpoints of the issuer, and the context for requests.
func (p Person) provider(ctx context.Context) (context.Context, *oidc.Provider, oauth2.Config, error) {
	ctx = oidc.ClientContext(ctx, p.Client)
	provider, err := oidc.NewProvider(ctx, p.Issuer)
	if err != nil {
		return nil, nil, oauth2.Config{}, fmt.Errorf("identity: %w", err)
	}
	id := p.ClientID
	if id == "" {
		id = Audience
	}
	return ctx, provider, oauth2.Config{ClientID: id, Endpoint: provider.Endpoint(), Scopes: []string{oidc.ScopeOpenID, "email"}}, nil
}

// Browser gets a token through a browser on this machine, which must be able to
// reach it at localhost.
func (p Person) Browser(ctx context.Context) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx, provider, config, err := p.provider(ctx)
	if err != nil {
		return "", err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "localhost:0")
	if err != nil {
		return "", fmt.Errorf("identity: %w", err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		listener.Close()
		return "", fmt.Errorf("identity: %w", err)
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
	var answer url.Values
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case answer = <-answers:
	}
	if e := answer.Get("error"); e != "" {
		return "", fmt.Errorf("identity: the issuer says %.100q %.200q", e, answer.Get("error_description"))
	}
	tokens, err := config.Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		return "", fmt.Errorf("identity: %w", err)
	}
	return accept(ctx, provider, config, tokens, nonce)
}

// callback takes the first answer with the right state.
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

// Device gets a token through a browser on any device, where the person types a
// code.
func (p Person) Device(ctx context.Context) (string, error) {
	ctx, provider, config, err := p.provider(ctx)
	if err != nil {
		return "", err
	}
	verifier := oauth2.GenerateVerifier()
	device, err := config.DeviceAuth(ctx, oauth2.S256ChallengeOption(verifier))
	if err != nil {
		return "", fmt.Errorf("identity: %w", err)
	}
	p.Tell(fmt.Sprintf("type the code %s at %s", device.UserCode, device.VerificationURI))
	tokens, err := config.DeviceAccessToken(ctx, device, oauth2.VerifierOption(verifier))
	if err != nil {
		return "", fmt.Errorf("identity: %w", err)
	}
	return accept(ctx, provider, config, tokens, "")
}

// accept verifies the identity token that came with others, so that a wrong one
// is noticed before it is used.
func accept(ctx context.Context, provider *oidc.Provider, config oauth2.Config, tokens *oauth2.Token, nonce string) (string, error) {
	raw, _ := tokens.Extra("id_token").(string)
	if raw == "" {
		return "", errors.New("identity: the issuer gave no identity token")
	}
	token, err := provider.Verifier(&oidc.Config{ClientID: config.ClientID}).Verify(ctx, raw)
	if err != nil {
		return "", fmt.Errorf("identity: %w", err)
	}
	if token.Nonce != nonce {
		return "", errors.New("identity: the token is not the answer to our question")
	}
	return raw, nil
}
