package subject

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/httpguard"
	"github.com/twicebuild/twice/pipeline/registry"
)

// maxAttestations bounds the attestations of a package, in bytes.
const maxAttestations = 64 << 20

// Fetched is a package of npm that was fetched as it is.
type Fetched struct {
	Name, Version string
	// File is the file of the package, with the integrity that the registry states.
	File string
	// Attestations are those that the registry has, as its attestation service answers
	// (https://github.com/npm/attestation). It is nil if there are none.
	Attestations []byte
}

// FetchNPM has the npm client fetch the package NAME@VERSION to dir, an existing folder, from the
// registry that the user's settings name, and fetches the attestations that the registry names. Of r
// the transport and the time are used. A spec that names no package and version is a usage error.
func FetchNPM(ctx context.Context, n NPM, r registry.Options, dir, spec string) (*Fetched, error) {
	name, version, err := parseNPM(spec)
	if err != nil {
		return nil, fault.Usage(err)
	}
	if err := n.check(); err != nil {
		return nil, err
	}

	out, integrity, err := n.pack(ctx, dir, name, version)
	if err != nil {
		return nil, err
	}
	f := &Fetched{Name: name, Version: version}
	if f.File, err = checkIntegrity(ctx, out, integrity); err != nil {
		return nil, fmt.Errorf("npm pack: %w", err)
	}

	address, err := n.attestationURL(ctx, dir, name, version)
	if err != nil || address == "" {
		return f, err
	}
	if f.Attestations, err = fetchAttestations(ctx, r, address); err != nil {
		return nil, fmt.Errorf("attestations of the package: %w", err)
	}
	return f, nil
}

// checkIntegrity returns the one file in a folder, if it has the integrity.
func checkIntegrity(ctx context.Context, dir, integrity string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()

	list, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	if len(list) != 1 {
		return "", fmt.Errorf("it left %d files", len(list))
	}
	f, err := openIn(root, list[0].Name(), Limits{}.withDefaults().Spool)
	if err != nil {
		return "", err
	}
	defer f.Close()

	h := sha512.New()
	if _, err := io.Copy(h, fsx.Until(ctx, f)); err != nil {
		return "", err
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(h.Sum(nil)); got != integrity {
		return "", fmt.Errorf("the file it left has integrity %s, and it says %s", got, integrity)
	}
	return filepath.Join(dir, list[0].Name()), nil
}

// attestationURL returns where the attestations of a package are, or nothing if the registry has
// none.
func (n NPM) attestationURL(ctx context.Context, dir, name, version string) (string, error) {
	answer, err := n.run(ctx, dir, "view", "--json", "--workspaces=false", "--", name+"@"+version, "dist.attestations")
	if err != nil {
		return "", err
	}
	if len(bytes.TrimSpace(answer)) == 0 {
		return "", nil
	}

	var attestations struct {
		URL string `json:"url"`
	}
	if err := json.Unmarshal(answer, &attestations); err != nil {
		return "", fmt.Errorf("npm view: its answer: %w", err)
	}
	if attestations.URL == "" {
		return "", errors.New("npm view: its answer has attestations without an address")
	}
	return attestations.URL, nil
}

// fetchAttestations returns what is at an address that a registry named.
func fetchAttestations(ctx context.Context, r registry.Options, address string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("the registry names no address of the web")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, withoutURL(err)
	}
	req.Header.Set("User-Agent", "twice")

	next := r.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	client := &http.Client{Transport: &httpguard.Transport{Next: next, Host: u.Host, Timeout: cmp.Or(r.Timeout, 2*time.Minute), Stretch: 1, MaxBody: maxAttestations}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server says %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}

	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAttestations+1))
	if err != nil {
		return nil, withoutURL(err)
	}
	if len(data) > maxAttestations {
		return nil, fmt.Errorf("more than %d MiB: %w", maxAttestations>>20, ErrLimit)
	}
	return data, nil
}
