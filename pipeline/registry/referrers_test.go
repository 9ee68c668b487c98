package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/twicebuild/twice/pipeline/artifact"
)

func TestResolve(t *testing.T) {
	s := newServer(t, true)
	im := newImage(t)
	to := im.to(s.host+"/team/tool", "v1")
	if _, err := Push(t.Context(), im.dir, []Image{to}, patient()); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{":v1", "@" + string(im.digest), ":gone@" + string(im.digest)} {
		m, err := Resolve(t.Context(), to.Repository+ref, patient())
		if err != nil || m.Digest != im.digest || m.Reference() != to.Repository+"@"+string(im.digest) || artifact.Of(m.Raw) != im.digest || int64(len(m.Raw)) != m.Size || m.MediaType != string(types.OCIImageIndex) {
			t.Errorf("%s: %+v, %v", ref, m, err)
			continue
		}
		if len(m.Platforms) != 2 || m.Platforms[1].Name != "linux/arm64" || m.Platforms[1].Digest != im.members[1] {
			t.Errorf("%s: %+v", ref, m.Platforms)
		}
	}
	m, err := Resolve(t.Context(), to.Repository+"@"+string(im.members[0]), patient())
	if err != nil || m.Platforms != nil || m.MediaType != string(types.OCIManifestSchema1) {
		t.Errorf("platform: %+v, %v", m, err)
	}
	for _, ref := range []string{":v2", "@" + string(artifact.Of(nil))} {
		if _, err := Resolve(t.Context(), to.Repository+ref, patient()); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	for _, ref := range []string{"", "A", "a b", "http://x/y", "x:5000/", to.Repository + "@sha256:12", to.Repository + "@sha512:" + strings.Repeat("0", 128), s.host + "/a/../b", s.host + "/a:-x"} {
		if m, err := Resolve(t.Context(), ref, patient()); err == nil {
			t.Errorf("%q: %+v", ref, m)
		}
	}
	if _, err := Referrers(t.Context(), to.Repository+":v1", patient()); err == nil || !strings.Contains(err.Error(), "a tag can move") {
		t.Error(err)
	}
	if got, err := Referrers(t.Context(), to.Repository+"@"+string(artifact.Of(nil)), patient()); err != nil || len(got) != 0 {
		t.Errorf("of nothing: %v, %v", got, err)
	}
}

// TestSigned has a registry that uses a privilege of the manifest format of old:
// its digest is what the registry says, as far as the library is concerned.
func TestSigned(t *testing.T) {
	want := artifact.Of([]byte("image"))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Content-Digest", string(want))
		w.Header().Set("Content-Type", string(types.DockerManifestSchema1Signed))
		_, _ = w.Write([]byte(`{"schemaVersion":2}`))
	}))
	defer s.Close()
	_, err := Resolve(t.Context(), strings.TrimPrefix(s.URL, "http://")+"/r@"+string(want), patient())
	if err == nil || !strings.Contains(err.Error(), "answers with bytes of digest") {
		t.Error(err)
	}
}

// serve is a registry that says what a test wants it to say.
type serve struct {
	*httptest.Server
	manifests map[string]rawManifest
	blobs     map[string][]byte
	pages     []string // of the referrers API; the Link header is made up
	link      string
}

func newServe(t *testing.T) *serve {
	t.Helper()
	s := &serve{manifests: map[string]rawManifest{}, blobs: map[string][]byte{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *serve) repository() string { return strings.TrimPrefix(s.URL, "http://") + "/r" }

func (s *serve) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	switch kind := stepOf(r); kind {
	case "ping GET":
	case "referrers GET":
		var n int
		_, _ = fmt.Sscan(r.URL.Query().Get("page"), &n)
		if s.pages == nil {
			http.NotFound(w, r)
			return
		}
		if s.link != "" {
			w.Header().Set("Link", fmt.Sprintf(s.link, n+1))
		} else if n+1 < len(s.pages) {
			w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, r.URL.Path, n+1))
		}
		w.Header().Set("Content-Type", string(types.OCIImageIndex))
		_, _ = w.Write([]byte(s.pages[min(n, len(s.pages)-1)]))
	case "blob GET":
		_, _ = w.Write(s.blobs[id])
	default:
		o, ok := s.manifests[id]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", string(o.desc.MediaType))
		_, _ = w.Write(o.raw)
	}
}

// attach serves an attachment after change, and returns its descriptor.
func (s *serve) attach(t *testing.T, subject artifact.Digest, bundle string, change func(*v1.Manifest)) v1.Descriptor {
	t.Helper()
	b := newBlob([]byte(bundle), BundleType)
	s.blobs[b.desc.Digest.String()] = []byte(bundle)
	m := v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: BundleType, Config: newBlob(emptyConfig, types.OCIEmptyJSON).desc,
		Layers: []v1.Descriptor{b.desc}, Subject: &v1.Descriptor{MediaType: types.OCIImageIndex, Size: 1, Digest: v1.Hash{Algorithm: "sha256", Hex: subject.Hex()}},
		Annotations: map[string]string{predicateAnnotation: "p", createdAnnotation: "2026-02-03T04:05:06Z"},
	}
	if change != nil {
		change(&m)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	o := newRawManifest(raw, types.OCIManifestSchema1)
	s.manifests[o.desc.Digest.String()] = o
	d := o.desc
	d.ArtifactType = m.ArtifactType
	return d
}

func index(t *testing.T, list ...v1.Descriptor) string {
	t.Helper()
	if list == nil {
		list = []v1.Descriptor{}
	}
	raw, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: list})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestReferrers(t *testing.T) {
	subject := artifact.Of([]byte("image"))
	get := func(s *serve) ([]string, error) {
		list, err := Referrers(t.Context(), s.repository()+"@"+string(subject), patient())
		var bundles []string
		for _, a := range list {
			bundles = append(bundles, string(a.Bundle))
		}
		slices.Sort(bundles)
		return bundles, err
	}
	t.Run("pages", func(t *testing.T) {
		s := newServe(t)
		one, two := s.attach(t, subject, "1", nil), s.attach(t, subject, "2", nil)
		other := one
		other.ArtifactType = "application/spdx+json"
		other.Digest = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}
		unsaid := s.attach(t, subject, "3", nil)
		unsaid.ArtifactType = string(types.OCIEmptyJSON)
		s.pages = []string{index(t, one, other), index(t), index(t, two, one), index(t, unsaid)}
		if got, err := get(s); err != nil || !slices.Equal(got, []string{"1", "2", "3"}) {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("not a bundle after all", func(t *testing.T) {
		s := newServe(t)
		d := s.attach(t, subject, "1", func(m *v1.Manifest) { m.ArtifactType = "application/x" })
		d.ArtifactType = ""
		s.pages = []string{index(t, d)}
		if got, err := get(s); err != nil || got != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
	for name, c := range map[string]struct {
		prepare func(t *testing.T, s *serve)
		want    string
	}{
		"endless pages": {func(t *testing.T, s *serve) {
			s.pages, s.link = []string{index(t)}, "</v2/r/referrers/x?page=%d>; rel=next"
		}, "pages"},
		"pages elsewhere": {func(t *testing.T, s *serve) {
			s.pages, s.link = []string{index(t)}, "<http://127.0.0.2:1/v2/r/referrers/x?page=%d>; rel=next"
		}, "is not on"},
		"no URL": {func(t *testing.T, s *serve) { s.pages, s.link = []string{index(t)}, "page %d" }, "header Link"},
		"too many": {func(t *testing.T, s *serve) {
			var list []v1.Descriptor
			for i := range maxBundles + 1 {
				list = append(list, s.attach(t, subject, fmt.Sprint(i), nil))
			}
			s.pages = []string{index(t, list...)}
		}, "more than 100 attachments"},
		"listed, and gone": {func(t *testing.T, s *serve) {
			d := s.attach(t, subject, "1", nil)
			delete(s.manifests, d.Digest.String())
			s.pages = []string{index(t, d)}
		}, "not there"},
		"another subject": {func(t *testing.T, s *serve) {
			s.pages = []string{index(t, s.attach(t, artifact.Of([]byte("other")), "1", nil))}
		}, "not about"},
		"no subject": {func(t *testing.T, s *serve) {
			s.pages = []string{index(t, s.attach(t, subject, "1", func(m *v1.Manifest) { m.Subject = nil }))}
		}, "not about"},
		"two layers": {func(t *testing.T, s *serve) {
			s.pages = []string{index(t, s.attach(t, subject, "1", func(m *v1.Manifest) { m.Layers = append(m.Layers, m.Layers[0]) }))}
		}, "one layer"},
		"another layer": {func(t *testing.T, s *serve) {
			s.pages = []string{index(t, s.attach(t, subject, "1", func(m *v1.Manifest) { m.Layers[0].MediaType = "application/x" }))}
		}, "one layer"},
		"a huge layer": {func(t *testing.T, s *serve) {
			s.pages = []string{index(t, s.attach(t, subject, "1", func(m *v1.Manifest) { m.Layers[0].Size = MaxBundle + 1 }))}
		}, "more than"},
		"another size": {func(t *testing.T, s *serve) {
			s.pages = []string{index(t, s.attach(t, subject, "12", func(m *v1.Manifest) { m.Layers[0].Size = 1 }))}
		}, "tried 5 times"},
		"another blob": {func(t *testing.T, s *serve) {
			s.pages = []string{index(t, s.attach(t, subject, "1", nil))}
			for d := range s.blobs {
				s.blobs[d] = []byte("2")
			}
		}, "tried 5 times"},
		"no JSON": {func(t *testing.T, s *serve) { s.pages = []string{index(t, s.attach(t, subject, "{", nil))} }, "not JSON"},
		"no time": {func(t *testing.T, s *serve) {
			s.pages = []string{index(t, s.attach(t, subject, "1", func(m *v1.Manifest) { m.Annotations[createdAnnotation] = "now" }))}
		}, "no time"},
		"a list that is none": {func(t *testing.T, s *serve) { s.pages = []string{"{}"} }, "schema version"},
		"fallback tag of an image": {func(t *testing.T, s *serve) {
			d := s.attach(t, subject, "1", nil)
			s.manifests[fallbackTag(subject)] = s.manifests[d.Digest.String()]
		}, "not a list of referrers"},
		"another manifest": {func(t *testing.T, s *serve) {
			one, two := s.attach(t, subject, "1", nil), s.attach(t, subject, "2", nil)
			s.manifests[one.Digest.String()] = s.manifests[two.Digest.String()]
			s.manifests[fallbackTag(subject)] = newRawManifest([]byte(index(t, one, two)), types.OCIImageIndex)
		}, "tried 5 times"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServe(t)
			c.prepare(t, s)
			got, err := get(s)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func FuzzParseManifest(f *testing.F) {
	digest := `"digest":"sha256:` + strings.Repeat("ab", 32) + `"`
	desc := `{"mediaType":"a/b","size":3,` + digest + `}`
	for _, s := range []string{
		`{"schemaVersion":2,"config":` + desc + `,"layers":[` + desc + `],"subject":` + desc + `,"artifactType":"x/y","annotations":{"a":"b","A ":"c"}}`,
		`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[` + desc + `]}`,
		`{"schemaVersion":2,"manifests":[],"Manifests":[]}`, `{"schemaVersion":2,"layerſ":[],"config":` + desc + `}`, `{"a":{"b":1,"B":2}}`, `[]`, `{}{}`, strings.Repeat("[", 100), `{"`, `"`,
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, isIndex bool) {
		mt, other := types.OCIManifestSchema1, types.OCIImageIndex
		if isIndex {
			mt, other = other, mt
		}
		m, err := parseManifest(raw, mt)
		if err != nil {
			return
		}
		// Nothing is both, unless there is nothing in it that would tell.
		if _, err := parseManifest(raw, other); err == nil && (!isIndex && m.Config != nil || len(m.Manifests) > 0) {
			t.Errorf("an image and an index: %q", raw)
		}
		// A decoder that is strict about the spelling of names sees the same.
		var exact map[string]json.RawMessage
		if err := json.Unmarshal(raw, &exact); err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]any{"layers": m.Layers, "manifests": m.Manifests} {
			var list []v1.Descriptor
			if err := json.Unmarshal(exact[name], &list); err != nil && exact[name] != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(list) != fmt.Sprint(value) {
				t.Errorf("%s: %v, %v", name, list, value)
			}
		}
		for _, d := range slices.Concat(m.Layers, m.Manifests, listOptional(m.Config), listOptional(m.Subject)) {
			if _, err := artifact.ParseDigest(d.Digest.String()); err != nil || d.Size < 0 {
				t.Errorf("descriptor %v", d)
			}
		}
		if isIndex {
			o := newRawManifest(raw, mt)
			add := v1.Descriptor{MediaType: "a/b", Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}}
			merged, err := extendIndex(&o, []v1.Descriptor{add})
			if err != nil {
				return // too large now
			}
			got, err := parseManifest(merged.raw, mt)
			if err != nil || len(got.Manifests) != len(m.Manifests)+1 || len(missingFrom(got.Manifests, append(m.Manifests, add))) > 0 {
				t.Errorf("extended: %q, %v", merged.raw, err)
			}
		}
	})
}

func TestParseManifest(t *testing.T) {
	digest := `"digest":"sha256:` + strings.Repeat("ab", 32) + `"`
	desc := `{"mediaType":"a/b","size":3,` + digest + `}`
	for raw, want := range map[string]string{
		`{"schemaVersion":2,"config":` + desc + `,"layers":[` + desc + `]}`:                               "",
		`{"schemaVersion":2,"config":` + desc + `,"layers":[],"unknown":{"x":[1,{"y":2}]}}`:               "",
		`{"schemaVersion":1,"config":` + desc + `}`:                                                       "schema version",
		`{"schemaVersion":2,"config":` + desc + `,"manifests":[` + desc + `]}`:                            "with manifests",
		`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","config":` + desc + `}`: "inside",
		`{"schemaVersion":2}`: "without config",
		`{"schemaVersion":2,"config":` + desc + `,"config":` + desc + `}`:                                              "twice",
		`{"schemaVersion":2,"config":` + desc + `,"layers":[],"Layers":[]}`:                                            "twice",
		`{"schemaVersion":2,"config":` + desc + `,"layer\u017f":[]}`:                                                   "want \"layers\"",
		`{"schemaVersion":2,"config":` + desc + `,"x":{"a":1,"a":2}}`:                                                  "twice",
		`{"schemaVersion":2,"config":{"mediaType":"a/b","size":-3,` + digest + `}}`:                                    "size -3",
		`{"schemaVersion":2,"config":{"mediaType":"a/b","size":3}}`:                                                    "digest",
		`{"schemaVersion":2,"config":{"mediaType":"a/b","size":3,"digest":"sha512:` + strings.Repeat("ab", 64) + `"}}`: "digest",
		`{"schemaVersion":2,"config":` + desc + `} {}`:                                                                 "more than one",
		`{"schemaVersion":2,"config":` + desc:                                                                          "unexpected EOF",
		`{"schemaVersion":2,"x":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`:                            "nested",
		strings.Repeat(" ", maxManifest+1):                                                                             "more than",
		``:                                                                                                             "unexpected EOF",
	} {
		_, err := parseManifest([]byte(raw), types.OCIManifestSchema1)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.200s: %v, want %q", raw, err, want)
		}
	}
}

func FuzzNextPage(f *testing.F) {
	for _, s := range []string{`</v2/r/referrers/x?page=1>; rel="next"`, `<https://r.example/x>; rel=next`, `<https://other.example/x>;rel="next"`, `<//other.example>; REL=next`,
		`<x>; rel=prev`, `<`, `<>;rel=next`, `x`, `<https://user@r.example/>; rel=next`, "<\x00>; rel=next", `</a>; title="x"; rel="next"`, ``} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, link string) {
		at := mustURL(t, "https://r.example/v2/r/referrers/x?page=0")
		next, err := nextPage(at, []string{link})
		if err == nil && next != nil && (next.Scheme != "https" || next.Host != "r.example" || next.User != nil) {
			t.Errorf("%q: %s", link, next)
		}
	})
}
