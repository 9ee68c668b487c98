package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
)

// both runs a test with and without a referrers API.
func both(t *testing.T, f func(t *testing.T, s *server)) {
	t.Run("referrers", func(t *testing.T) { f(t, newServer(t, true)) })
	t.Run("fallback", func(t *testing.T) { f(t, newServer(t, false)) })
}

func TestPush(t *testing.T) {
	both(t, func(t *testing.T, s *server) {
		im := newImage(t)
		to := im.to(s.host+"/team/tool", "v1.0.0", "latest")
		var last Progress
		opt := patient()
		opt.Progress = func(p Progress) {
			if p.Bytes > p.BytesTotal || p.Blobs > p.BlobsTotal || p.Blobs < last.Blobs {
				t.Errorf("progress %+v after %+v", p, last)
			}
			last = p
		}
		res, err := Push(t.Context(), im.dir, []Image{to}, opt)
		if err != nil {
			t.Fatal(err)
		}
		// Two platforms of a config and two layers, three bundles, an empty config.
		if res.Sent != 10 || res.Present != 0 || res.SentBytes != last.BytesTotal || last.Bytes != last.BytesTotal || last.Blobs != 10 {
			t.Errorf("result %+v, progress %+v", res, last)
		}
		if p := res.Images[0]; p.Digest != im.digest || p.Repository != to.Repository || !slices.Equal(p.Moved, to.Tags) || p.Kept != nil {
			t.Errorf("pushed %+v", p)
		}
		if n := s.count("upload PATCH"); n != 10 {
			t.Errorf("%d uploads", n)
		}
		complete(t, s, im, to, "v1.0.0")
		complete(t, s, im, to, "latest")

		// crane validate.
		ref, err := name.ParseReference(to.Repository + ":latest")
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
		// Other clients find the attachments too.
		found, err := remote.Referrers(ref.Context().Digest(string(im.digest)))
		if err != nil {
			t.Fatal(err)
		}
		if m, err := found.IndexManifest(); err != nil || len(m.Manifests) != 2 {
			t.Errorf("referrers: %+v, %v", m, err)
		}

		// Again: no blob and no manifest moves.
		s.breakWith(nil)
		last = Progress{}
		res, err = Push(t.Context(), im.dir, []Image{to}, opt)
		if err != nil {
			t.Fatal(err)
		}
		if res.Sent != 0 || res.SentBytes != 0 || res.Present != 10 || !slices.Equal(res.Images[0].Kept, to.Tags) || res.Images[0].Moved != nil {
			t.Errorf("again: %+v", res)
		}
		for _, step := range []string{"upload", "manifest PUT", "tag PUT", "fallback PUT", "blob HEAD"} {
			if n := s.count(step); n != 0 {
				t.Errorf("again: %d of %s", n, step)
			}
		}
		if n := s.count("blob GET"); n != 10 || res.ReadBytes != last.BytesTotal {
			t.Errorf("again: %d blobs and %d bytes were read back", n, res.ReadBytes)
		}
	})
}

// TestOrder holds what is pushed before what.
func TestOrder(t *testing.T) {
	s := newServer(t, false)
	im := newImage(t)
	if _, err := Push(t.Context(), im.dir, []Image{im.to(s.host+"/a", "one"), im.to(s.host+"/b", "two")}, patient()); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := func(step string) (first, last int) {
		return slices.Index(s.seen, step), len(s.seen) - 1 - slices.Index(reversed(s.seen), step)
	}
	_, lastBlob := at("upload PUT")
	firstManifest, lastManifest := at("manifest PUT")
	firstList, lastList := at("fallback PUT")
	firstTag, _ := at("tag PUT")
	if !(0 < lastBlob && lastBlob < firstManifest && lastManifest < firstList && lastList < firstTag) {
		t.Errorf("blob %d, manifests %d-%d, lists %d-%d, tag %d", lastBlob, firstManifest, lastManifest, firstList, lastList, firstTag)
	}
}

func reversed(s []string) []string {
	s = slices.Clone(s)
	slices.Reverse(s)
	return s
}

// TestMount pushes one image to two repositories: the bytes go once.
func TestMount(t *testing.T) {
	s := newServer(t, true)
	// The registry of the library shares blobs among repositories, and refuses
	// mounts. This one does neither.
	there := map[string]bool{}
	mounts := 0
	s.breakWith(func(step string, w http.ResponseWriter, r *http.Request) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		repo := strings.Split(r.URL.Path, "/")[2]
		switch q := r.URL.Query(); {
		case strings.HasPrefix(step, "blob ") && !there[repo+r.URL.Path[strings.LastIndex(r.URL.Path, "/"):]]:
			w.WriteHeader(http.StatusNotFound)
			return true
		case step == "upload POST" && q.Get("mount") != "" && there[q.Get("from")+"/"+q.Get("mount")]:
			there[repo+"/"+q.Get("mount")] = true
			mounts++
			w.WriteHeader(http.StatusCreated)
			return true
		case step == "upload PUT":
			there[repo+"/"+q.Get("digest")] = true
		}
		return false
	})
	im := newImage(t)
	res, err := Push(t.Context(), im.dir, []Image{im.to(s.host+"/one", "v1"), im.to(s.host+"/two", "v1")}, patient())
	if err != nil {
		t.Fatal(err)
	}
	if res.Sent != 10 || res.Present != 10 || mounts != 10 {
		t.Errorf("%+v, %d mounts", res, mounts)
	}
}

func TestTagExists(t *testing.T) {
	both(t, func(t *testing.T, s *server) {
		first, second := newImage(t), newImage(t)
		repo := s.host + "/team/tool"
		if _, err := Push(t.Context(), first.dir, []Image{first.to(repo, "v1")}, patient()); err != nil {
			t.Fatal(err)
		}
		s.breakWith(nil)
		// The other image comes first, so that something could have been pushed.
		_, err := Push(t.Context(), second.dir, []Image{second.to(s.host+"/other", "v2"), second.to(repo, "new", "v1")}, patient())
		var exists *TagExistsError
		if !errors.As(err, &exists) || exists.Have != first.digest || exists.Want != second.digest || exists.Tag != "v1" || exists.Repository != repo {
			t.Fatalf("%v", err)
		}
		if h, want := fault.RemedyOf(err), fmt.Sprintf("twice publish %s --force-tag moves it from %s to %s", filepath.Dir(second.dir), first.digest, second.digest); !strings.Contains(h, want) {
			t.Errorf("hint %q", h)
		}
		if n := s.count("upload") + s.count("manifest PUT") + s.count("tag PUT"); n != 0 {
			t.Errorf("%d requests that change something", n)
		}
		complete(t, s, first, first.to(repo), "v1")

		opt := patient()
		opt.ForceTag = true
		// The registry says that the tag was moved, and it was not.
		s.breakWith(func(step string, w http.ResponseWriter, _ *http.Request) bool {
			if step == "tag PUT" {
				w.WriteHeader(http.StatusCreated)
			}
			return step == "tag PUT"
		})
		if _, err := Push(t.Context(), second.dir, []Image{second.to(repo, "v1")}, opt); err == nil || !strings.Contains(err.Error(), "was given "+string(second.digest)) ||
			!strings.Contains(fault.RemedyOf(err), fmt.Sprintf("--force-tag moves it from %s to %s", first.digest, second.digest)) {
			t.Errorf("%v, hint %q", err, fault.RemedyOf(err))
		}
		s.breakWith(nil)
		res, err := Push(t.Context(), second.dir, []Image{second.to(repo, "new", "v1")}, opt)
		if err != nil || !slices.Equal(res.Images[0].Moved, []string{"new", "v1"}) {
			t.Fatalf("%+v, %v", res, err)
		}
		complete(t, s, second, second.to(repo), "v1")
	})
}

// TestTagMovedMeanwhile has somebody else push the tag while blobs are sent.
func TestTagMovedMeanwhile(t *testing.T) {
	s := newServer(t, true)
	first, second := newImage(t), newImage(t)
	repo := s.host + "/team/tool"
	var once sync.Once
	s.breakWith(func(step string, w http.ResponseWriter, r *http.Request) bool {
		if step == "upload PUT" {
			once.Do(func() {
				s.breakWith(nil)
				if _, err := Push(context.Background(), first.dir, []Image{first.to(repo, "v1")}, patient()); err != nil {
					t.Error(err)
				}
			})
		}
		return false
	})
	_, err := Push(t.Context(), second.dir, []Image{second.to(repo, "v1")}, patient())
	var exists *TagExistsError
	if !errors.As(err, &exists) || exists.Have != first.digest {
		t.Fatalf("%v", err)
	}
	complete(t, s, first, first.to(repo), "v1")
}

// TestAtOnce pushes different images and attachments, and equal ones, at the
// same time.
func TestAtOnce(t *testing.T) {
	both(t, func(t *testing.T, s *server) {
		im := newImage(t)
		repo := s.host + "/team/tool"
		want := im.to(repo)
		var wait sync.WaitGroup
		for i := range 6 {
			to := im.to(repo, fmt.Sprint("tag", i), "all")
			to.Attachments = append(to.Attachments, Attachment{Subject: im.digest, PredicateType: "test", Bundle: fmt.Appendf(nil, "%d", i%3), Created: time.Unix(0, 0)})
			if i < 3 {
				want.Attachments = append(want.Attachments, to.Attachments[3])
				want.Attachments[len(want.Attachments)-1].Created = time.Unix(0, 0).UTC()
			}
			wait.Go(func() {
				if _, err := Push(t.Context(), im.dir, []Image{to}, patient()); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		for i := range 6 {
			complete(t, s, im, want, fmt.Sprint("tag", i))
		}
		complete(t, s, im, want, "all")
	})
}

// TestListUndone has another process overwrite the list of referrers right after
// it was written.
func TestListUndone(t *testing.T) {
	for _, times := range []int{1, 3, 100} {
		t.Run(fmt.Sprint(times), func(t *testing.T) {
			s := newServer(t, false)
			im := newImage(t)
			to := im.to(s.host+"/team/tool", "v1")
			undone := 0
			s.breakWith(func(step string, w http.ResponseWriter, r *http.Request) bool {
				if step != "fallback PUT" || undone == times {
					return false
				}
				undone++
				rec := s.record(r)
				other := strings.NewReader(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{"by":"somebody"}}`)
				over, _ := http.NewRequest(http.MethodPut, r.URL.String(), other)
				over.Header = r.Header
				s.record(over)
				replay(w, rec, rec.Body.Bytes())
				return true
			})
			opt := patient()
			opt.Jobs = 1
			_, err := Push(t.Context(), im.dir, []Image{to}, opt)
			s.breakWith(nil)
			if times < 100 {
				if err != nil {
					t.Fatal(err)
				}
			} else {
				if err == nil || !strings.Contains(err.Error(), "list of referrers") || s.has(to.Repository, "v1") {
					t.Fatalf("%v", err)
				}
				if _, err := Push(t.Context(), im.dir, []Image{to}, patient()); err != nil {
					t.Fatal(err)
				}
			}
			complete(t, s, im, to, "v1")
			// What the other process said stays.
			kept := 0
			for _, subject := range []artifact.Digest{im.digest, im.members[0]} {
				m, err := Resolve(t.Context(), to.Repository+":"+fallbackTag(subject), patient())
				if err != nil {
					t.Fatal(err)
				}
				kept += strings.Count(string(m.Raw), "somebody")
			}
			if kept == 0 {
				t.Error("the other process's index is gone")
			}
		})
	}
}

// TestCheck holds that nothing is sent if anything is wrong.
func TestCheck(t *testing.T) {
	s := newServer(t, true)
	base := newImage(t)
	m, err := base.index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := base.index.Image(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	hash, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	layer := base.file(artifact.Digest(hash.String()))
	index, member := base.file(base.digest), base.file(base.members[1])
	damage := func(file string, f func([]byte) []byte) func(*testing.T, *Image) func() {
		return func(t *testing.T, _ *Image) func() {
			old := mustRead(t, file)
			if data := f(slices.Clone(old)); data == nil {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			} else {
				mustWrite(t, file, data)
			}
			return func() { os.Remove(file); mustWrite(t, file, old) }
		}
	}
	remove := func([]byte) []byte { return nil }
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	cut := func(b []byte) []byte { return b[:len(b)-1] }
	longer := func(b []byte) []byte { return append(b, 0) }
	set := func(f func(*Image)) func(*testing.T, *Image) func() {
		return func(_ *testing.T, im *Image) func() { f(im); return func() {} }
	}
	for name, c := range map[string]struct {
		harm func(*testing.T, *Image) func()
		want string
	}{
		"layer gone":       {damage(layer, remove), "no such file"},
		"layer changed":    {damage(layer, flip), "the file has digest"},
		"layer cut":        {damage(layer, cut), "bytes, and its descriptor says"},
		"layer longer":     {damage(layer, longer), "bytes, and its descriptor says"},
		"manifest gone":    {damage(member, remove), "no such file"},
		"manifest changed": {damage(member, flip), "the file has digest"},
		"index changed":    {damage(index, flip), "the file has digest"},
		"layer is a link": {func(t *testing.T, _ *Image) func() {
			old := mustRead(t, layer)
			mustWrite(t, layer+".real", old)
			if err := errors.Join(os.Remove(layer), os.Symlink(layer+".real", layer)); err != nil {
				t.Fatal(err)
			}
			return func() { os.Remove(layer); os.Remove(layer + ".real"); mustWrite(t, layer, old) }
		}, "is a link, which is not followed"},
		"no marker":         {damage(base.dir+"/oci-layout", remove), "oci-layout"},
		"other version":     {damage(base.dir+"/oci-layout", func([]byte) []byte { return []byte(`{"imageLayoutVersion":"2.0.0"}`) }), `version "2.0.0"`},
		"no index.json":     {damage(base.dir+"/index.json", remove), "index.json"},
		"index.json broken": {damage(base.dir+"/index.json", cut), "index.json"},
		"other size": {damage(base.dir+"/index.json", func(b []byte) []byte {
			return []byte(strings.Replace(string(b), `"size": `, `"size": 1`, 1))
		}), "bytes, and its descriptor says"},
		"unknown digest":    {set(func(im *Image) { im.Digest = artifact.Of([]byte("x")) }), "not in the layout"},
		"a platform":        {set(func(im *Image) { im.Digest = base.members[0] }), "not in the layout"},
		"no digest":         {set(func(im *Image) { im.Digest = "latest" }), "want sha256"},
		"no registry":       {set(func(im *Image) { im.Repository = "team/tool" }), "want a registry's host"},
		"no path":           {set(func(im *Image) { im.Repository = s.host }), "want a registry's host"},
		"bad path":          {set(func(im *Image) { im.Repository = s.host + "/a/../b" }), "is no path"},
		"double slash":      {set(func(im *Image) { im.Repository = s.host + "/a//b" }), "is no path"},
		"upper case":        {set(func(im *Image) { im.Repository = s.host + "/A" }), "want a registry's host"},
		"a tag in it":       {set(func(im *Image) { im.Repository += ":v1" }), "want a registry's host"},
		"bad tag":           {set(func(im *Image) { im.Tags = []string{"v1+build"} }), "letters, digits"},
		"tag as a path":     {set(func(im *Image) { im.Tags = []string{"a/b"} }), "letters, digits"},
		"empty tag":         {set(func(im *Image) { im.Tags = []string{""} }), "letters, digits"},
		"fallback tag":      {set(func(im *Image) { im.Tags = []string{fallbackTag(base.digest)} }), "such tags"},
		"tag twice":         {set(func(im *Image) { im.Tags = []string{"v1", "v1"} }), "twice"},
		"foreign subject":   {set(func(im *Image) { im.Attachments[0].Subject = artifact.Of(nil) }), "neither the index"},
		"bundle no JSON":    {set(func(im *Image) { im.Attachments[0].Bundle = []byte("{") }), "not JSON"},
		"no predicate":      {set(func(im *Image) { im.Attachments[0].PredicateType = "" }), "predicate type"},
		"no time":           {set(func(im *Image) { im.Attachments[0].Created = time.Time{} }), "no time"},
		"bad artifact type": {set(func(im *Image) { im.Attachments[0].ArtifactType = "x" }), "not a media type"},
		"attached twice":    {set(func(im *Image) { im.Attachments[1] = im.Attachments[0] }), "attached already"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := base.to(s.host+"/team/tool", "v1")
			defer c.harm(t, &bad)()
			s.breakWith(nil)
			// A good one comes first.
			_, err := Push(t.Context(), base.dir, []Image{base.to(s.host+"/good", "v1"), bad}, patient())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if n := s.count(""); n != 0 {
				t.Errorf("%d requests", n)
			}
		})
	}
	if _, err := Push(t.Context(), base.dir, nil, patient()); err == nil {
		t.Error("no images: accepted")
	}
	if _, err := Push(t.Context(), base.dir, []Image{base.to(s.host+"/team/tool", "v1")}, patient()); err != nil {
		t.Error("not harmed:", err)
	}
}

// TestCancel ends the context at each step.
func TestCancel(t *testing.T) {
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			s := newServer(t, false)
			im := newImage(t)
			to := im.to(s.host+"/team/tool", "v1")
			ctx, cancel := context.WithCancel(t.Context())
			s.breakWith(func(at string, w http.ResponseWriter, r *http.Request) bool {
				if at != step {
					return false
				}
				cancel()
				s.silence(r)
				return true
			})
			opt := patient()
			opt.Timeout, opt.Sleep = time.Minute, nil
			start := time.Now()
			_, err := Push(ctx, im.dir, []Image{to}, opt)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			if d := time.Since(start); d > 10*time.Second {
				t.Errorf("took %s", d)
			}
			s.breakWith(nil)
			if s.has(to.Repository, "v1") {
				t.Error("there is a tag")
			}
			if _, err := Push(t.Context(), im.dir, []Image{to}, patient()); err != nil {
				t.Fatal(err)
			}
			complete(t, s, im, to, "v1")
		})
	}
	t.Run("while waiting", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		if err := sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := sleep(t.Context(), time.Millisecond); err != nil {
			t.Error(err)
		}
	})
}
