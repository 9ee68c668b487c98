//go:build unix

package bench

import (
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	registryserver "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/registry"
)

// BenchmarkPublish pushes an image of 40 MB for two platforms to a registry in this
// process, each time an empty one: with publish, which reads back every byte, and
// bare, with the library's own push of the same layout, which reads back none. It
// reports MB moved, cpu-s and wall-s of each, the registry's own included, and the
// ratios; and again-MB, what publishing a second time moves.
func BenchmarkPublish(b *testing.B) {
	dir, digest, index := benchLayout(b)
	var bytes moved
	start := func() (host string, stop func()) {
		s := httptest.NewServer(bytes.count(registryserver.New(registryserver.Logger(log.New(io.Discard, "", 0)))))
		return strings.TrimPrefix(s.URL, "http://"), s.Close
	}
	timed := func(push func() error) (mb, cpu, wall float64) {
		before, used, at := bytes.sent.Load()+bytes.got.Load(), ownCPU(b), time.Now()
		if err := push(); err != nil {
			b.Fatal(err)
		}
		return float64(bytes.sent.Load()+bytes.got.Load()-before) / 1e6, (ownCPU(b) - used).Seconds(), time.Since(at).Seconds()
	}
	for b.Loop() {
		host, stop := start()
		im := []registry.Image{{Repository: host + "/tool", Tags: []string{"v1"}, Digest: digest}}
		push := func() error { _, err := registry.Push(b.Context(), dir, im, registry.Options{}); return err }
		mb, cpu, wall := timed(push)
		againMB, _, _ := timed(push)
		stop()

		host, stop = start()
		bareMB, bareCPU, bareWall := timed(func() error {
			tag, err := name.ParseReference(host + "/tool:v1")
			if err != nil {
				return err
			}
			return remote.WriteIndex(tag, index)
		})
		stop()
		b.ReportMetric(0, "ns/op")
		for name, v := range map[string]float64{
			"MB": mb, "bare-MB": bareMB, "MB:publish/bare": mb / bareMB, "again-MB": againMB,
			"cpu-s": cpu, "bare-cpu-s": bareCPU, "cpu:publish/bare": cpu / bareCPU,
			"wall-s": wall, "bare-wall-s": bareWall, "wall:publish/bare": wall / bareWall,
		} {
			b.ReportMetric(v, name)
		}
	}
}

// benchLayout makes a layout with an image of random layers.
func benchLayout(b *testing.B) (string, artifact.Digest, v1.ImageIndex) {
	b.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range []string{"amd64", "arm64"} {
		img, err := random.Image(10_000_000, 2)
		if err != nil {
			b.Fatal(err)
		}
		img = mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), types.OCIConfigJSON)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	dir := filepath.Join(b.TempDir(), "oci")
	path, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = path.AppendIndex(index)
	}
	if err != nil {
		b.Fatal(err)
	}
	digest, err := index.Digest()
	if err != nil {
		b.Fatal(err)
	}
	// From the files, as publish has it.
	all, err := path.ImageIndex()
	if err != nil {
		b.Fatal(err)
	}
	if index, err = all.ImageIndex(digest); err != nil {
		b.Fatal(err)
	}
	return dir, artifact.Digest(digest.String()), index
}

// ownCPU is the processor time of this process.
func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
