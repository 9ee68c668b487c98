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
	rounds := 8
	if os.Getenv("TWICE_E2E") == "everything" {
		rounds = 200
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	c := newChaos(t, rand.New(rand.NewPCG(seed, 0)))
	for i := range rounds {
		// A publication takes no time beside a release.
		kill := c.publication
		if i%4 == 0 {
			kill = c.release
		}
		kill(t, i)
		if t.Failed() {
			t.Fatalf("round %d", i)
		}
		if i%10 == 9 {
			t.Logf("%d rounds: killed while they ran: %d releases (%d in their last step), %d publications", i+1, c.releases, c.late, c.publications)
		}
	}
	t.Logf("%d rounds: killed while they ran: %d releases (%d in their last step), %d publications", rounds, c.releases, c.late, c.publications)
	if c.releases == 0 || c.publications == 0 {
		t.Error("nothing was killed while it ran")
	}
}

// chaos is a project, with a dist and a registry.
type chaos struct {
	random    *rand.Rand
	dir, dist string
	cache     string
	host      string
	handler   atomic.Pointer[http.Handler]
	names     []string // of what is in a dist
	// How long things take that are not killed.
	releaseTime, publishTime     time.Duration
	releases, late, publications int
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

	start := time.Now()
	twice(t, c.dir, c.releaseArgs()[1:]...)
	c.releaseTime = time.Since(start)
	c.names = slices.Sorted(maps.Keys(files(t, c.dist)))
	start = time.Now()
	command(t, c.dir, nil, c.publishArgs()...)
	c.publishTime = time.Since(start)
	c.complete(t)
	return c
}

func (c *chaos) releaseArgs() []string {
	return []string{twiceFile, "release", "--key", keyFile, "--no-publish"}
}

func (c *chaos) publishArgs() []string { return []string{twiceFile, "publish", "dist"} }

// empty gives the registry a new beginning.
func (c *chaos) empty() {
	h := registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0)))
	c.handler.Store(&h)
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
	at := time.Duration(c.random.Float64() * 1.1 * float64(c.releaseTime))
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

	twice(t, c.dir, c.releaseArgs()[1:]...)
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

// publication kills a publication.
func (c *chaos) publication(t *testing.T, round int) {
	t.Helper()
	c.empty()
	at := time.Duration(c.random.Float64() * 1.1 * float64(c.publishTime))
	if c.killed(t, c.publishArgs(), func() { time.Sleep(at) }) {
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
