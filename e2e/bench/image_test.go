package bench

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}

// moved counts the bytes of requests' and answers' bodies.
type moved struct{ sent, got atomic.Int64 }

func (m *moved) count(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = &counted{r.Body, &m.sent}
		h.ServeHTTP(&counting{w, &m.got}, r)
	})
}

type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

type counting struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *counting) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return c.ResponseWriter.Write(p)
}

// BenchmarkImage releases filippo.io/age@v1.3.2 for linux/amd64 and linux/arm64 as
// an image with twice, which builds everything two times, and builds and pushes the
// same with ko, which builds it once; both from empty build caches and to an empty
// registry on this machine. It reports cpu-s, wall-s and MB moved of each, and the
// ratios twice/ko; and again-MB: what publishing a second time moves.
func BenchmarkImage(b *testing.B) {
	ko := install(b, "github.com/google/ko", "v0.18.1")
	dir, twice, _ := prepare(b)
	tree, goCmd, modCache := checkout(b)
	var bytes moved
	server := httptest.NewServer(bytes.count(registry.New(registry.Logger(log.New(io.Discard, "", 0)))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	base := host + "/base:latest"
	pushBase(b, base)

	config := filepath.Join(dir, "image.toml")
	text := "project = \"age\"\n[[binary]]\npackage = \"./cmd/age\"\n[matrix]\nos = [\"linux\"]\narch = [\"amd64\", \"arm64\"]\n" +
		"[[image]]\nrepository = \"" + host + "/twice/age\"\ncertificates = false\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	signing := filepath.Join(dir, "bench")
	if out, err := exec.Command(twice, "keygen", "--unencrypted", signing).CombinedOutput(); err != nil {
		b.Fatalf("twice keygen: %v\n%s", err, out)
	}
	dist := filepath.Join(dir, "dist")
	run := func(argv []string, env ...string) (usage, float64) {
		before := bytes.sent.Load() + bytes.got.Load()
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Dir = tree
		if env != nil {
			cmd.Env = env
		}
		u := measure(b, cmd)
		return u, float64(bytes.sent.Load()+bytes.got.Load()-before) / 1e6
	}
	for b.Loop() {
		mine, mineMB := run([]string{twice, "release", "--module", module, "--config", config, "--cache", filepath.Join(dir, "cache"), "--out", dist, "--key", signing + ".key"})
		_, againMB := run([]string{twice, "publish", dist})
		theirs, theirsMB := run([]string{ko, "build", "--bare", "--platform=linux/amd64,linux/arm64", "--sbom=none", "./cmd/age"},
			"HOME="+dir, "PATH="+filepath.Dir(goCmd)+":"+os.Getenv("PATH"), "GOCACHE="+filepath.Join(dir, "ko"), "GOMODCACHE="+modCache, "GOFLAGS=", "GOPROXY=off",
			"KO_DOCKER_REPO="+host+"/ko/age", "KO_DEFAULTBASEIMAGE="+base, "CGO_ENABLED=0")
		if err := os.RemoveAll(filepath.Join(dir, "ko")); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(0, "ns/op")
		for name, v := range map[string]float64{
			"cpu-s": mine.cpu.Seconds(), "ko-cpu-s": theirs.cpu.Seconds(), "cpu:twice/ko": mine.cpu.Seconds() / theirs.cpu.Seconds(),
			"wall-s": mine.wall.Seconds(), "ko-wall-s": theirs.wall.Seconds(), "wall:twice/ko": mine.wall.Seconds() / theirs.wall.Seconds(),
			"MB": mineMB, "ko-MB": theirsMB, "MB:twice/ko": mineMB / theirsMB, "again-MB": againMB,
		} {
			b.ReportMetric(v, name)
		}
	}
}

// pushBase makes an empty base for ko, which wants one.
func pushBase(b *testing.B, ref string) {
	b.Helper()
	var adds []mutate.IndexAddendum
	for _, arch := range []string{"amd64", "arm64"} {
		img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: arch, RootFS: v1.RootFS{Type: "layers"}})
		if err != nil {
			b.Fatal(err)
		}
		adds = append(adds, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	tag, err := name.ParseReference(ref)
	if err == nil {
		err = remote.WriteIndex(tag, mutate.AppendManifests(empty.Index, adds...))
	}
	if err != nil {
		b.Fatal(err)
	}
}
