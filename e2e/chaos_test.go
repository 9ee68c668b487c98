package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// TestChaos kills releases and publications at random times, without a chance to
// tidy up. Whenever that is, dist is the old or a new one and verifies; what has a
// tag in the registry is complete; the next run succeeds, and nothing is left.
func TestChaos(t *testing.T) {
	large(t)
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be killed like that")
	}
	rounds := 4 // each of which kills something that runs
	if os.Getenv("TWICE_E2E") == "everything" {
		rounds = 200
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	c := newChaos(t, rand.New(rand.NewPCG(seed, 0)))
	for i := 0; c.releases+c.publications < rounds; i++ {
		if i == 3*rounds {
			t.Fatalf("in %d rounds no more than %d releases and %d publications were killed before they were done", i, c.releases, c.publications)
		}
		// A publication takes no time beside a release.
		kill := c.publication
		if i%4 == 0 {
			kill = c.release
		}
		kill(t, i)
		if t.Failed() {
			t.Fatalf("round %d", i)
		}
		if i%20 == 19 {
			t.Logf("after %d rounds: %s", i+1, c)
		}
	}
	t.Logf("killed while they ran: %s", c)
}

// chaos is a project, with a dist and a registry.
type chaos struct {
	random    *rand.Rand
	dir, dist string
	cache     string
	host      string
	handler   atomic.Pointer[http.Handler]
	names     []string // of what is in a dist
	// How long the last release took that was not killed, and how many requests a
	// publication makes: a machine that has other work is slower at times.
	releaseTime time.Duration
	requests    int
	seen        atomic.Int32 // requests since the registry is empty
	// What was killed while it ran.
	releases, late, publications int
}

func (c *chaos) String() string {
	return fmt.Sprintf("%d releases (%d of them in their last step), %d publications", c.releases, c.late, c.publications)
}

func newChaos(t *testing.T, random *rand.Rand) *chaos {
	t.Helper()
	c := &chaos{random: random, cache: cacheDir}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(2 * time.Millisecond) // as far away as a registry at least
		// A registry of the real world keeps nothing of which half has arrived; this one
		// would take it for the whole.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		c.seen.Add(1)
		(*c.handler.Load()).ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	c.host = strings.TrimPrefix(server.URL, "http://")
	c.dir = repository(t, map[string]string{
		"go.mod":     "module example.com/tiny\n\ngo 1.26.8\n",
		"main.go":    "package main\n\nfunc main() { println(\"tiny\") }\n",
		".gitignore": "/dist*/\n",
		"release.toml": "project = \"tiny\"\n[[binary]]\npackage = \".\"\n[matrix]\ninclude = [\"linux/amd64\"]\n" +
			"[[image]]\nrepository = \"" + c.host + "/chaos/tiny\"\n",
	}, "v1.0.0")
	c.dist = filepath.Join(c.dir, "dist")
	c.empty()

	c.next(t)
	c.names = slices.Sorted(maps.Keys(files(t, c.dist)))
	command(t, c.dir, nil, c.publishArgs()...)
	c.requests = int(c.seen.Load())
	c.complete(t)
	return c
}

func (c *chaos) releaseArgs() []string {
	return []string{twiceFile, "release", "--key", keyFile, "--no-publish"}
}

// next makes a release that is not killed.
func (c *chaos) next(t *testing.T) {
	t.Helper()
	start := time.Now()
	twice(t, c.dir, c.releaseArgs()[1:]...)
	c.releaseTime = time.Since(start)
}

func (c *chaos) publishArgs() []string { return []string{twiceFile, "publish", "dist"} }

// empty gives the registry a new beginning.
func (c *chaos) empty() {
	h := registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0)))
	c.handler.Store(&h)
	c.seen.Store(0)
}

// killed starts a command and kills it when it is time, and tells whether it was
// still running.
func (c *chaos) killed(t *testing.T, args []string, when func()) bool {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	var said bytes.Buffer
	cmd.Dir, cmd.Stderr = c.dir, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	when()
	killed := cmd.Process.Kill() == nil
	err := cmd.Wait()
	if exit := (*exec.ExitError)(nil); killed && errors.As(err, &exit) && !exit.Exited() {
		return true
	}
	if err != nil {
		t.Errorf("it failed by itself: %v\n%s", err, &said)
	}
	return false
}

// release kills a release: at any time, or while it writes and replaces dist.
func (c *chaos) release(t *testing.T, round int) {
	t.Helper()
	at := time.Duration(c.random.Float64() * float64(c.releaseTime))
	late := c.random.IntN(2) == 0
	when := func() { time.Sleep(at) }
	if late {
		// From here on it is a matter of milliseconds.
		wait := time.Duration(c.random.IntN(60)) * time.Millisecond
		when = func() {
			for end := time.Now().Add(20 * c.releaseTime); time.Now().Before(end); time.Sleep(200 * time.Microsecond) {
				if _, err := os.Lstat(filepath.Join(c.dir, "dist.staging", "new", "bin")); err == nil {
					break
				}
			}
			time.Sleep(wait)
		}
	}
	if c.killed(t, append(c.releaseArgs(), "--cache", c.cache), when) {
		c.releases++
		if late {
			c.late++
		}
	}
	c.intact(t, fmt.Sprintf("round %d: a release was killed", round))

	c.next(t)
	c.intact(t, fmt.Sprintf("round %d: the next release", round))
	for _, name := range []string{"dist.staging", "dist.rejected", "dist.old"} {
		if _, err := os.Lstat(filepath.Join(c.dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("round %d: %s is left", round, name)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(c.cache, "work", "run-*")); len(left) > 0 {
		t.Errorf("round %d: workspaces are left: %q", round, left)
	}
	if out := command(t, c.dir, nil, "git", "status", "--porcelain", "--ignored"); out != "!! dist/\n" {
		t.Errorf("round %d: the work tree has\n%s", round, out)
	}
}

// publication kills a publication, some time after one of its requests.
func (c *chaos) publication(t *testing.T, round int) {
	t.Helper()
	c.empty()
	request, wait := int32(c.random.IntN(c.requests)), time.Duration(c.random.IntN(4000))*time.Microsecond
	if c.killed(t, c.publishArgs(), func() {
		for end := time.Now().Add(time.Minute); c.seen.Load() < request && time.Now().Before(end); {
			time.Sleep(100 * time.Microsecond)
		}
		time.Sleep(wait)
	}) {
		c.publications++
	}
	// There is no tag yet, or all that it needs.
	if ref := c.tag(t); !c.missing(t, ref) {
		c.complete(t)
	}
	c.intact(t, fmt.Sprintf("round %d: a publication was killed", round))
	command(t, c.dir, nil, c.publishArgs()...)
	c.complete(t)
}

func (c *chaos) tag(t *testing.T) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(c.host + "/chaos/tiny:1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func (c *chaos) missing(t *testing.T, ref name.Reference) bool {
	t.Helper()
	_, err := remote.Head(ref)
	if status := (*transport.Error)(nil); errors.As(err, &status) && status.StatusCode == http.StatusNotFound {
		return true
	}
	if err != nil {
		t.Fatal(err)
	}
	return false
}

// complete fails unless the image with the tag is complete, to its last byte.
func (c *chaos) complete(t *testing.T) {
	t.Helper()
	index, err := remote.Index(c.tag(t))
	if err == nil {
		err = validate.Index(index)
	}
	if err != nil {
		t.Errorf("the image of the tag: %v", err)
	}
}

// intact fails unless dist is complete, and verifies.
func (c *chaos) intact(t *testing.T, what string) {
	t.Helper()
	have := files(t, c.dist)
	if got := slices.Sorted(maps.Keys(have)); !slices.Equal(got, c.names) {
		t.Fatalf("%s: dist has %q, want %q", what, got, c.names)
	}
	for _, a := range readRecord(t, c.dist).Artifacts {
		if have[a.Name] != a.Digest {
			t.Errorf("%s: %s is %s, want %s", what, a.Name, have[a.Name], a.Digest)
		}
	}
	if _, err := try(c.dir, nil, twiceFile, "verify", "dist", "--key", strings.TrimSuffix(keyFile, ".key")+".pub"); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// files returns the digests of the files below dir, by name.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	list := map[string]string{}
	err := filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(file)
		rel, _ := filepath.Rel(dir, file)
		sum := sha256.Sum256(data)
		list[filepath.ToSlash(rel)] = "sha256:" + hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
