package explain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// folder is a folder whose names say what is in it.
func folder(t *testing.T, files map[string]string) Tree {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(to, name)
		} else if err = os.WriteFile(name, []byte(strings.TrimPrefix(text, "*")), 0o644); strings.HasPrefix(text, "*") {
			err = os.Chmod(name, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	tree, err := Folder(t.Context(), "dir", root.FS())
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// told lists the members that differ, and the causes with their places.
func told(r *Report) (members, causes []string) {
	for _, m := range r.Archive.Members {
		members = append(members, m.Name+" "+m.State)
	}
	for _, c := range r.Causes {
		causes = append(causes, strings.TrimSuffix(c.ID+" "+c.Where, " "))
	}
	return members, causes
}

func trees(t *testing.T, a, b Tree) *Report {
	t.Helper()
	r, err := Trees(t.Context(), a, b, Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	if err := r.Fprint(&page); err != nil || strings.Contains(page.String(), "offset -1") {
		t.Errorf("%v\n%s", err, &page)
	}
	return r
}

func TestFolders(t *testing.T) {
	x := map[string]string{
		"same": "same", "sub/changed": "one\n", "mode": "text", "link": "-> same", "kind": "a file", "gone": "x",
		"x.tar": string(tarball(t, tarFiles())),
	}
	files := tarFiles()
	files[0].text = "other\n"
	y := map[string]string{
		"same": "same", "sub/changed": "two\n", "mode": "*text", "link": "-> mode", "kind": "-> same", "new": "x",
		"x.tar": string(tarball(t, files)),
	}
	a, b := folder(t, x), folder(t, y)
	r := trees(t, a, b)
	members, causes := told(r)
	if want := []string{"gone only in A", "kind changed", "link attributes", "mode attributes", "sub/changed changed", "x.tar changed", "new only in B"}; !slices.Equal(members, want) {
		t.Errorf("members %q, want %q", members, want)
	}
	if want := []string{"archive-members", "archive-members", "archive-type", "content sub/changed", "content x.tar: README", "archive-mode"}; !slices.Equal(causes, want) {
		t.Errorf("causes %q, want %q", causes, want)
	}
	if r.Equal || r.A.Kind != KindFolder || r.A.SHA256 != "" || r.Archive.A.Members != 7 {
		t.Errorf("%+v", r)
	}
	if r := trees(t, a, folder(t, x)); !r.Equal || len(r.Causes)+len(r.Archive.Members) != 0 {
		t.Errorf("a folder differs from itself: %+v", r)
	}
}

// TestUnreadFolder: what could not be read is not called equal.
func TestUnreadFolder(t *testing.T) {
	fsys := brokenFS{fstest.MapFS{"a": {Data: []byte("a")}, "b/c": {Data: []byte("c")}}}
	tree, err := Folder(t.Context(), "dir", fsys)
	if err != nil || len(tree.Notes) != 1 || !strings.Contains(tree.Notes[0], "dir/b: ") {
		t.Fatalf("%+v, %v", tree, err)
	}
	if _, err := Trees(t.Context(), tree, tree, Options{}); err == nil || !strings.Contains(err.Error(), "not all could be") {
		t.Errorf("%v", err)
	}
	other, err := Folder(t.Context(), "dir", fstest.MapFS{"a": {Data: []byte("b")}})
	if err != nil {
		t.Fatal(err)
	}
	if r := trees(t, tree, other); r.Equal || len(r.Notes) != 1 {
		t.Errorf("%+v", r)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := Folder(ctx, "dir", fsys); !errors.Is(err, enough) {
		t.Errorf("%v", err)
	}
	if _, err := Trees(ctx, tree, other, Options{}); !errors.Is(err, enough) {
		t.Errorf("%v", err)
	}
}

// brokenFS has a folder b that cannot be read.
type brokenFS struct{ fstest.MapFS }

func (f brokenFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == "b" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return f.MapFS.ReadDir(name)
}

// images is a layout that is being made.
type images struct {
	fstest.MapFS
	t *testing.T
}

func newImages(t *testing.T) images {
	return images{fstest.MapFS{"oci-layout": {Data: []byte(`{"imageLayoutVersion": "1.0.0"}`)}}, t}
}

// blob stores a blob and returns its descriptor.
func (i images) blob(mediaType string, data []byte) map[string]any {
	d := artifact.Of(data)
	i.MapFS["blobs/sha256/"+d.Hex()] = &fstest.MapFile{Data: data}
	return map[string]any{"mediaType": mediaType, "digest": d, "size": len(data)}
}

func (i images) doc(v any) []byte {
	i.t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		i.t.Fatal(err)
	}
	return data
}

// image stores an image for two platforms.
func (i images) image(created string, layers ...[]byte) map[string]any {
	var manifests []any
	for _, arch := range []string{"amd64", "arm64"} {
		m := map[string]any{"config": i.blob("config", i.doc(map[string]any{"os": "linux", "architecture": arch, "created": created}))}
		var list []any
		for _, l := range layers {
			list = append(list, i.blob("layer", l))
		}
		m["layers"] = list
		d := i.blob("manifest", i.doc(m))
		d["platform"] = map[string]string{"os": "linux", "architecture": arch}
		manifests = append(manifests, d)
	}
	return i.blob("index", i.doc(map[string]any{"manifests": manifests}))
}

func (i images) index(list ...map[string]any) {
	i.MapFS["index.json"] = &fstest.MapFile{Data: i.doc(map[string]any{"manifests": list})}
}

func named(d map[string]any, name string) map[string]any {
	d["annotations"] = map[string]string{"org.opencontainers.image.ref.name": name}
	return d
}

func TestImages(t *testing.T) {
	base, app := tarball(t, tarFiles()[:1]), tarFiles()
	make := func(created, text string) images {
		app[0].text = text
		i := newImages(t)
		i.index(i.image(created, base, tarball(t, app)))
		return i
	}
	open := func(fsys fs.FS) Tree {
		t.Helper()
		tree, err := Folder(t.Context(), "layout", fsys)
		if err != nil || len(tree.Notes) > 0 || tree.Kind != KindImage {
			t.Fatalf("%+v, %v", tree, err)
		}
		return tree
	}
	first := make("2026-01-02T03:04:05Z", "one\n")
	a, b := open(first), open(make("2026-01-02T03:04:06Z", "two\n"))
	if a.Digest == "" || a.Digest == b.Digest {
		t.Errorf("digests %q and %q", a.Digest, b.Digest)
	}
	r := trees(t, a, b)
	members, causes := told(r)
	want := []string{"index changed",
		"linux/amd64/config changed", "linux/amd64/layer 2 changed", "linux/amd64/manifest changed",
		"linux/arm64/config changed", "linux/arm64/layer 2 changed", "linux/arm64/manifest changed"}
	if !slices.Equal(members, want) {
		t.Errorf("members %q, want %q", members, want)
	}
	for _, c := range []string{"time-stamp linux/amd64/config", "content linux/amd64/layer 2: README"} {
		if !slices.Contains(causes, c) {
			t.Errorf("causes %q lack %q", causes, c)
		}
	}
	if r := trees(t, a, open(make("2026-01-02T03:04:05Z", "one\n"))); !r.Equal {
		t.Errorf("an image differs from itself: %+v", r)
	}

	// Several images, and a layout in a folder.
	two := newImages(t)
	two.index(named(two.image("x", base), "tool:1"), named(two.image("y", base), "tool:2"))
	if tree := open(two); tree.Digest != "" || tree.Members[0].Name != "index.json" || !slices.ContainsFunc(tree.Members, func(m TreeMember) bool { return m.Name == "tool:2/linux/arm64/layer 1" }) {
		t.Errorf("%+v", tree)
	}
	dist := fstest.MapFS{"SHA256SUMS": {Data: []byte("x")}}
	for name, f := range two.MapFS {
		dist["oci/"+name] = f
	}
	tree, err := Folder(t.Context(), "dist", dist)
	if err != nil || tree.Kind != KindFolder || len(tree.Members) != 2+2*7 || tree.Members[1].Name != "oci/index.json" {
		t.Errorf("%+v, %v", tree, err)
	}
}

// TestBrokenImages: a layout that says what is not so is a folder of files.
func TestBrokenImages(t *testing.T) {
	for name, breakIt := range map[string]func(images, map[string]any) map[string]any{
		"other bytes": func(i images, d map[string]any) map[string]any {
			i.MapFS["blobs/sha256/"+d["digest"].(artifact.Digest).Hex()].Data = []byte("{}")
			return d
		},
		"gone": func(i images, d map[string]any) map[string]any {
			delete(i.MapFS, "blobs/sha256/"+d["digest"].(artifact.Digest).Hex())
			return d
		},
		"no digest": func(i images, d map[string]any) map[string]any { d["digest"] = "sha256:../../x"; return d },
		"no JSON":   func(i images, d map[string]any) map[string]any { return i.blob("x", []byte("no")) },
		"too deep": func(i images, d map[string]any) map[string]any {
			return i.blob("x", i.doc(map[string]any{"manifests": []any{d}}))
		},
		"too many": func(i images, d map[string]any) map[string]any {
			return i.blob("x", i.doc(map[string]any{"manifests": slices.Repeat([]any{d}, maxParts+1)}))
		},
		"too large": func(i images, d map[string]any) map[string]any {
			return i.blob("x", bytes.Repeat([]byte(" "), maxDocument+1))
		},
		"only lists": func(i images, d map[string]any) map[string]any { return i.blob("x", []byte("[]")) },
	} {
		i := newImages(t)
		i.index(breakIt(i, i.image("x")))
		tree, err := Folder(t.Context(), "layout", i)
		if err != nil || len(tree.Notes) != 1 || tree.Kind != KindFolder || len(tree.Members) < 2 {
			t.Errorf("%s: %+v, %v", name, tree, err)
		}
	}
}

// partsOf answers every question with the same bytes.
type partsOf []byte

func (p partsOf) Manifest(context.Context, artifact.Digest) ([]byte, error) { return p, nil }

func (p partsOf) Blob(context.Context, Descriptor) (Content, error) { return indented(p), nil }

// FuzzImage: whatever a manifest says, names are unique and the image is equal to
// itself.
func FuzzImage(f *testing.F) {
	f.Add([]byte(`{"config": {"digest": "sha256:00"}, "layers": [{"size": 1}, {"size": -1}]}`))
	f.Add([]byte(`{"manifests": [{"platform": {"os": "linux", "architecture": "amd64"}}]}`))
	f.Add([]byte(`{"layers": null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		tree, err := Image(t.Context(), "image", artifact.Of(data), partsOf(data))
		if err != nil {
			return
		}
		names := map[string]bool{}
		for _, m := range tree.Members {
			if names[m.Name] {
				t.Errorf("%q is there twice", m.Name)
			}
			names[m.Name] = true
		}
		r, err := Trees(t.Context(), tree, tree, Options{})
		if err != nil || !r.Equal {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// TestManyMembers: of many members that differ the first are explained.
func TestManyMembers(t *testing.T) {
	make := func(text string) Tree {
		m := fstest.MapFS{}
		for i := range maxListed + maxTreeExplained {
			m[fmt.Sprintf("%04d", i)] = &fstest.MapFile{Data: []byte(text)}
		}
		tree, err := Folder(t.Context(), "dir", m)
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	r := trees(t, make("a\n"), make("b\n"))
	explained := 0
	for _, m := range r.Archive.Members {
		if m.Content != nil {
			explained++
		}
	}
	if explained != maxTreeExplained || len(r.Archive.Members) != maxListed || r.Archive.MoreMembers != maxTreeExplained || len(r.Notes) != 1 || len(r.Causes) > maxListed+maxTreeExplained {
		t.Errorf("%d explained, %d listed, %d more, %d causes, notes %q", explained, len(r.Archive.Members), r.Archive.MoreMembers, len(r.Causes), r.Notes)
	}
}

// sparse is a member of a tar archive that has size bytes, of which none is in it
// (https://www.gnu.org/software/tar/manual/html_node/Standard.html, GNU_SPARSE).
func sparse(size int64) []byte {
	b := make([]byte, 512)
	for at, s := range map[int]string{
		0: "sparse", 100: "0000644", 108: "0000000", 116: "0000000", 124: "00000000000", 136: "00000000000", 148: "        ",
		156: "S", 257: "ustar  ", 483: fmt.Sprintf("%011o", size),
	} {
		copy(b[at:], s)
	}
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// TestSparse: a sparse member counts as what it is when it is unpacked, read or not.
func TestSparse(t *testing.T) {
	unread := func(int, *member, func() (io.Reader, error)) error { return nil }
	for size, want := range map[int64]error{1 << 20: nil, maxUncompressed / 2: errArchiveTooLarge} {
		tar := append(bytes.Repeat(sparse(size), 3), make([]byte, 1024)...)
		if err := walkTar(bytes.NewReader(tar), newBudget(), unread); !errors.Is(err, want) {
			t.Errorf("three of %d bytes: %v", size, err)
		}
	}
}
