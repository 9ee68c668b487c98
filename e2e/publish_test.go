package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/registry"
)

// registryModule is the registry of the CNCF's distribution project.
const registryModule = "github.com/distribution/distribution/v3/cmd/registry@v3.1.2"

// distribution is that registry as a process of its own, with a folder that
// outlives it.
type distribution struct {
	host, config string
	cmd          *exec.Cmd
}

// startDistribution starts a registry. A secure one speaks TLS alone, with the
// certificate that is returned, and asks user for the password right.
func startDistribution(t *testing.T, secure bool) (*distribution, *x509.CertPool) {
	t.Helper()
	bin := filepath.Join(cacheDir, "bin")
	command(t, repoRoot, []string{"GOBIN=" + bin}, "go", "install", registryModule)
	d := &distribution{host: freeAddress(t)}
	dir := t.TempDir()
	config := fmt.Sprintf("version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: %s\nhttp:\n  addr: %s\n  secret: none\n", filepath.Join(dir, "data"), d.host)
	pool := x509.NewCertPool()
	if secure {
		cert, key := certificate(t)
		pool.AppendCertsFromPEM(cert)
		config += fmt.Sprintf("  tls:\n    certificate: %s\n    key: %s\nauth:\n  htpasswd:\n    realm: e2e\n    path: %s\n", put(t, dir, "cert.pem", cert), put(t, dir, "key.pem", key),
			// bcrypt of "right".
			put(t, dir, "htpasswd", []byte("user:$2a$04$Rd7kOQ7vmNaTyvnAVoJIAeR3WVJpiZDncZOqWYB2WR4shk5jlQZaa\n")))
	}
	d.config = put(t, dir, "config.yml", []byte(config))
	d.start(t)
	t.Cleanup(func() { d.stop() })
	return d, pool
}

// freeAddress returns an address to listen on. It is none of the ports that the
// system gives to clients, as one of them could have it while the registry is
// down.
func freeAddress(t *testing.T) string {
	t.Helper()
	for port := 20000 + os.Getpid()%10000; port < 32000; port++ {
		host := fmt.Sprint("127.0.0.1:", port)
		if l, err := net.Listen("tcp", host); err == nil {
			l.Close()
			return host
		}
	}
	t.Fatal("no free port")
	return ""
}

func (d *distribution) start(t *testing.T) {
	t.Helper()
	var log bytes.Buffer
	d.cmd = exec.Command(filepath.Join(cacheDir, "bin", "registry"), "serve", d.config)
	d.cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	d.cmd.Stderr = &log
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 600 {
		if conn, err := net.Dial("tcp", d.host); err == nil {
			conn.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	d.stop() // which ends writing to log
	t.Fatalf("the registry does not answer\n%s", log.Bytes())
}

// stop kills the registry.
func (d *distribution) stop() {
	_ = d.cmd.Process.Kill()
	_ = d.cmd.Wait()
}

func put(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// certificate makes one for 127.0.0.1 that vouches for itself.
func certificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e2e"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// randomImage lays out an index of two platforms.
func randomImage(t *testing.T) (dir string, index, platform artifact.Digest) {
	t.Helper()
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range []string{"amd64", "arm64"} {
		img, err := random.Image(200_000, 3)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config.OS, config.Architecture = "linux", arch
		if img, err = mutate.ConfigFile(img, config); err != nil {
			t.Fatal(err)
		}
		img = mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), types.OCIConfigJSON)
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
		d, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		platform = artifact.Digest(d.String())
	}
	dir = filepath.Join(t.TempDir(), "dist", "oci")
	lp, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := lp.AppendIndex(idx); err != nil {
		t.Fatal(err)
	}
	d, err := idx.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return dir, artifact.Digest(d.String()), platform
}

func bundleOf(subject artifact.Digest, text string) registry.Attachment {
	return registry.Attachment{Subject: subject, PredicateType: "https://slsa.dev/provenance/v1", Bundle: []byte(text), Created: time.Unix(1_700_000_000, 0)}
}

// bundles returns what is attached to a digest, sorted.
func bundles(t *testing.T, ref string, opt registry.Options) []string {
	t.Helper()
	list, err := registry.Referrers(t.Context(), ref, opt)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, a := range list {
		texts = append(texts, string(a.Bundle))
	}
	slices.Sort(texts)
	return texts
}

// TestPublishSecure pushes to the CNCF's registry with TLS and basic
// authentication; crane's validation has the last word.
func TestPublishSecure(t *testing.T) {
	large(t)
	reg, pool := startDistribution(t, true)
	dir, index, platform := randomImage(t)
	repository := reg.host + "/team/tool"
	im := registry.Image{Repository: repository, Tags: []string{"v1.0.0", "latest"}, Digest: index, Attachments: []registry.Attachment{
		bundleOf(index, `{"n":1}`), bundleOf(index, `{"n":2}`), bundleOf(platform, `{"n":3}`),
	}}
	// The password is where docker login leaves it.
	docker := t.TempDir()
	put(t, docker, "config.json", fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, reg.host, base64.StdEncoding.EncodeToString([]byte("user:right"))))
	t.Setenv("DOCKER_CONFIG", docker)
	opt := registry.Options{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, Keychain: authn.DefaultKeychain}

	denied := opt
	denied.Keychain = nil
	if _, err := registry.Push(t.Context(), dir, []registry.Image{im}, denied); err == nil || !strings.Contains(fault.RemedyOf(err), "docker login "+reg.host) {
		t.Errorf("without a password: %v, hint %q", err, fault.RemedyOf(err))
	}

	res, err := registry.Push(t.Context(), dir, []registry.Image{im}, opt)
	if err != nil {
		t.Fatal(err)
	}
	if res.Sent != 12 || !slices.Equal(res.Images[0].Moved, im.Tags) {
		t.Errorf("%+v", res)
	}
	ref, err := name.ParseReference(repository + ":v1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	idx, err := remote.Index(ref, remote.WithTransport(opt.Transport), remote.WithAuthFromKeychain(opt.Keychain))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(idx); err != nil {
		t.Error(err)
	}
	m, err := registry.Resolve(t.Context(), repository+":latest", opt)
	if err != nil {
		t.Fatal(err)
	}
	if m.Digest != index || len(m.Platforms) != 2 || m.Platforms[1].Digest != platform {
		t.Errorf("%+v", m)
	}
	if got := bundles(t, m.Reference(), opt); !slices.Equal(got, []string{`{"n":1}`, `{"n":2}`}) {
		t.Errorf("index: %q", got)
	}
	if got := bundles(t, repository+"@"+string(platform), opt); !slices.Equal(got, []string{`{"n":3}`}) {
		t.Errorf("platform: %q", got)
	}
	// The library's own client, which cosign uses, sees the same list.
	found, err := remote.Referrers(ref.Context().Digest(string(index)), remote.WithFilter("artifactType", registry.BundleType), remote.WithTransport(opt.Transport), remote.WithAuthFromKeychain(opt.Keychain))
	if err != nil {
		t.Fatal(err)
	}
	if list, err := found.IndexManifest(); err != nil || len(list.Manifests) != 2 {
		t.Errorf("%+v, %v", list, err)
	}

	// Again, and to another repository: no blob moves.
	im2 := im
	im2.Repository = reg.host + "/other/tool"
	if res, err = registry.Push(t.Context(), dir, []registry.Image{im, im2}, opt); err != nil {
		t.Fatal(err)
	}
	if res.Sent != 0 || res.Present != 24 || !slices.Equal(res.Images[0].Kept, im.Tags) || !slices.Equal(res.Images[1].Moved, im.Tags) {
		t.Errorf("again: %+v", res)
	}

	otherDir, otherIndex, _ := randomImage(t)
	other := registry.Image{Repository: repository, Tags: []string{"latest"}, Digest: otherIndex}
	var exists *registry.TagExistsError
	if _, err := registry.Push(t.Context(), otherDir, []registry.Image{other}, opt); !errors.As(err, &exists) || exists.Have != index {
		t.Errorf("another image: %v", err)
	}
	opt.ForceTag = true
	if _, err := registry.Push(t.Context(), otherDir, []registry.Image{other}, opt); err != nil {
		t.Error(err)
	}
}

// countdown kills something at the n-th request.
type countdown struct {
	left atomic.Int64
	kill func()
}

func (c *countdown) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.left.Add(-1) == 0 {
		c.kill()
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestPublishKilled kills the registry in the middle of pushes, and pushes again
// when it is back. In the end several push at once.
func TestPublishKilled(t *testing.T) {
	large(t)
	reg, _ := startDistribution(t, false)
	dir, index, platform := randomImage(t)
	repository := reg.host + "/team/tool"
	im := registry.Image{Repository: repository, Tags: []string{"v1"}, Digest: index, Attachments: []registry.Attachment{bundleOf(index, `{"n":1}`), bundleOf(platform, `{"n":2}`)}}
	quick := registry.Options{Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
	for n := range 12 {
		dying := quick
		death := &countdown{kill: reg.stop}
		death.left.Store(int64(3 + 6*n))
		dying.Transport = death
		_, err := registry.Push(t.Context(), dir, []registry.Image{im}, dying)
		if left := death.left.Load(); left > 0 {
			if err != nil {
				t.Fatal(err)
			}
			break // it was faster
		}
		if err == nil {
			t.Error("the registry was killed, and nobody noticed")
		}
		reg.start(t)
		if _, err := registry.Resolve(t.Context(), repository+":v1", quick); !errors.Is(err, registry.ErrNotFound) {
			if err != nil {
				t.Fatal(err)
			}
			break // the tag was the last thing to be done
		}
	}
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			if _, err := registry.Push(t.Context(), dir, []registry.Image{im}, registry.Options{}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	ref, err := name.ParseReference(repository + ":v1")
	if err != nil {
		t.Fatal(err)
	}
	idx, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(idx); err != nil {
		t.Error(err)
	}
	if got := bundles(t, repository+"@"+string(index), quick); !slices.Equal(got, []string{`{"n":1}`}) {
		t.Errorf("index: %q", got)
	}
}
