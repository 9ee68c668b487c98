package explain

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// Descriptor names a part of an image
// (https://github.com/opencontainers/image-spec/blob/main/descriptor.md).
type Descriptor struct {
	MediaType string          `json:"mediaType"`
	Digest    artifact.Digest `json:"digest"`
	Size      int64           `json:"size"`
	Platform  *struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
	} `json:"platform"`
	Annotations map[string]string `json:"annotations"`
}

// Parts is where an image's parts are.
type Parts interface {
	// Manifest returns the bytes of the manifest or index that the digest names.
	Manifest(context.Context, artifact.Digest) ([]byte, error)
	// Blob returns a layer or a configuration.
	Blob(context.Context, Descriptor) (Content, error)
}

const (
	maxDocument  = 8 << 20  // bytes of a manifest or a configuration
	maxDocuments = 64 << 20 // bytes of all manifests of a tree
	maxParts     = 1000     // manifests in an index, and layers in a manifest
)

// Image returns the parts of an image: the index, and for each platform the manifest, the
// configuration and the layers. Documents are indented, so that single lines differ. Only the
// manifests are read at once.
func Image(ctx context.Context, name string, root artifact.Digest, parts Parts) (Tree, error) {
	t := Tree{Name: name, Kind: KindImage, Digest: root}
	r := &imageReader{ctx: ctx, parts: parts}
	if err := r.image("", root, true); err != nil {
		return t, fmt.Errorf("%s: %w", name, err)
	}
	t.Members = r.list
	slices.SortFunc(t.Members, func(a, b TreeMember) int { return strings.Compare(a.Name, b.Name) })
	return t, nil
}

// imageReader lists the parts of images.
type imageReader struct {
	ctx   context.Context
	parts Parts
	list  []TreeMember
	size  int // of the manifests
}

// document is an index or a manifest. It holds only the members that lead to other parts.
type document struct {
	Config    *Descriptor  `json:"config"`
	Layers    []Descriptor `json:"layers"`
	Manifests []Descriptor `json:"manifests"`
}

// image adds the parts of an image. With index it also takes an index, and adds the parts of the
// images in it.
func (r *imageReader) image(prefix string, root artifact.Digest, index bool) error {
	raw, err := r.parts.Manifest(r.ctx, root)
	if err != nil {
		return err
	}

	// The parts may come from a registry, which can send anything.
	if artifact.Of(raw) != root {
		return fmt.Errorf("%s: the bytes are of another digest", root)
	}
	var doc document
	if err := json.Unmarshal(raw, &doc); err != nil {
		return fmt.Errorf("%s: %w", root, err)
	}
	r.size += len(raw)
	if len(doc.Manifests) > maxParts || len(doc.Layers) > maxParts || r.size > maxDocuments || len(r.list) > maxMembers {
		return fmt.Errorf("%s: an image of too many parts", root)
	}

	if doc.Config == nil && doc.Manifests != nil {
		if !index {
			return fmt.Errorf("%s: an index in an index", root)
		}
		r.document(prefix+"index", raw)
		names := map[string]int{}
		for _, d := range doc.Manifests {
			if err := r.image(prefix+nth(names, d.platform())+"/", d.Digest, false); err != nil {
				return err
			}
		}
		return nil
	}

	r.document(prefix+"manifest", raw)

	// The configuration is shown as lines, so that the setting that differs is seen.
	if d := doc.Config; d != nil {
		err := r.blob(prefix+"config", *d, func(ctx context.Context) (Content, error) {
			c, err := r.parts.Blob(ctx, *d)
			if err != nil || c.Size() > maxDocument {
				return c, err
			}
			defer c.Close()
			data, err := readDocument(c)
			return indented(data), err
		})
		if err != nil {
			return fmt.Errorf("%s: config: %w", root, err)
		}
	}

	for i, d := range doc.Layers {
		err := r.blob(prefix+"layer "+strconv.Itoa(i+1), d, func(ctx context.Context) (Content, error) { return r.parts.Blob(ctx, d) })
		if err != nil {
			return fmt.Errorf("%s: layer %d: %w", root, i+1, err)
		}
	}
	return nil
}

func (r *imageReader) document(name string, raw []byte) {
	r.list = append(r.list, TreeMember{
		Name: name, Type: "file", Size: int64(len(raw)), Digest: artifact.Of(raw),
		Open: func(context.Context) (Content, error) { return indented(raw), nil },
	})
}

// blob adds a blob that a manifest names. It is an error if that is no digest.
func (r *imageReader) blob(name string, d Descriptor, open func(context.Context) (Content, error)) error {
	if _, err := artifact.ParseDigest(string(d.Digest)); err != nil {
		return err
	}
	r.list = append(r.list, TreeMember{Name: name, Type: "file", Size: d.Size, Digest: d.Digest, Open: open})
	return nil
}

// nth makes a name unique.
func nth(names map[string]int, name string) string {
	if names[name]++; names[name] > 1 {
		return name + " (" + strconv.Itoa(names[name]) + ")"
	}
	return name
}

// platform names the platform that a manifest is for.
func (d Descriptor) platform() string {
	if d.Platform == nil {
		return "manifest"
	}
	return strings.TrimSuffix(d.Platform.OS+"/"+d.Platform.Architecture+"/"+d.Platform.Variant, "/")
}

// bytesContent is content in memory.
type bytesContent struct{ *bytes.Reader }

func (bytesContent) Close() error { return nil }

// indented returns a JSON document with a line for each value. Other content stays as it
// is.
func indented(data []byte) Content {
	var b bytes.Buffer
	if json.Indent(&b, data, "", "  ") != nil {
		return bytesContent{bytes.NewReader(data)}
	}
	b.WriteByte('\n')
	return bytesContent{bytes.NewReader(b.Bytes())}
}

// isLayout reports whether a folder is an OCI image layout
// (https://github.com/opencontainers/image-spec/blob/main/image-layout.md).
func isLayout(fsys fs.FS, dir string) bool {
	for _, name := range []string{"oci-layout", "index.json"} {
		if info, err := fs.Stat(fsys, path.Join(dir, name)); err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// layout has the parts of images in a folder.
type layout struct {
	fsys fs.FS
	dir  string
}

func (l layout) open(d artifact.Digest) (Content, error) {
	if _, err := artifact.ParseDigest(string(d)); err != nil {
		return nil, err
	}
	return openIn(l.fsys, path.Join(l.dir, "blobs", "sha256", d.Hex()))
}

func (l layout) Manifest(_ context.Context, d artifact.Digest) ([]byte, error) {
	c, err := l.open(d)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return readDocument(c)
}

func readDocument(c Content) ([]byte, error) {
	if c.Size() > maxDocument {
		return nil, fmt.Errorf("more than %d bytes", maxDocument)
	}
	return io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
}

// Blob returns the content of the file. Its bytes are compared, so they need not be those
// that the digest names.
func (l layout) Blob(_ context.Context, d Descriptor) (Content, error) { return l.open(d.Digest) }

// layoutMembers returns the parts of the images of a layout, below its path. A layout by itself may
// hold one image alone, under any number of names. Then the layout is that image, and its digest is
// returned.
func layoutMembers(ctx context.Context, fsys fs.FS, dir string) ([]TreeMember, artifact.Digest, error) {
	f, err := openIn(fsys, path.Join(dir, "index.json"))
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	raw, err := readDocument(f)
	if err != nil {
		return nil, "", err
	}

	var doc document
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, "", fmt.Errorf("index.json: %w", err)
	}
	if len(doc.Manifests) > maxParts {
		return nil, "", fmt.Errorf("index.json: more than %d images", maxParts)
	}

	other := func(d Descriptor) bool { return d.Digest != doc.Manifests[0].Digest }
	if dir == "." && len(doc.Manifests) > 0 && !slices.ContainsFunc(doc.Manifests, other) {
		t, err := Image(ctx, "image", doc.Manifests[0].Digest, layout{fsys, dir})
		return t.Members, t.Digest, err
	}
	prefix := ""
	if dir != "." {
		prefix = dir + "/"
	}

	// Several images are told apart by their names.
	r := &imageReader{ctx: ctx, parts: layout{fsys, dir}}
	r.document(prefix+"index.json", raw)
	names := map[string]int{}

	for _, d := range doc.Manifests {
		name := cmp.Or(cut(d.Annotations["org.opencontainers.image.ref.name"]), "image")
		if err := r.image(prefix+nth(names, name)+"/", d.Digest, true); err != nil {
			return nil, "", err
		}
	}
	return r.list, "", nil
}
