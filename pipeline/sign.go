package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/image"
	"github.com/twicebuild/twice/pipeline/record"
	"github.com/twicebuild/twice/pipeline/sbom"
)

// Signer signs. It returns Sigstore bundles in JSON, and has verified each of them. Several
// goroutines may use it.
type Signer interface {
	// Sign signs a statement.
	Sign(context.Context, intoto.Statement) ([]byte, error)
	// SignFile signs a file's content.
	SignFile(ctx context.Context, name string, content []byte) ([]byte, error)
}

// signers is how many bundles are made at once. With a signature log, each of them waits for
// servers.
const signers = 4

// sign signs the statements about the files in dir, the record, and the checksums.
func (o *Outcome) sign(ctx context.Context, dir string, rec *record.Record, encoded []byte, opt WriteOptions) error {
	if opt.Signer == nil {
		return nil
	}
	// Without a verdict there is nothing to state: only agreement and difference are signed.
	if err := o.Err(); err != nil && !errors.Is(err, ErrDiffers) {
		return nil
	}

	o.run.cfg.Progress.Stage("sign")
	statements, err := o.statements(dir, rec, opt.Invocation)
	if err != nil {
		return err
	}

	files := map[string][]byte{distfiles.RecordName: encoded}
	for _, a := range rec.Artifacts {
		if a.Kind == artifact.Checksums {
			if files[a.Name], err = fsx.ReadNamed(filepath.Join(dir, a.Name), a.Size); err != nil {
				return err
			}
		}
	}

	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(signers)
	save := func(name string, sign func() ([]byte, error)) {
		g.Go(func() error {
			bundle, err := sign()
			if err != nil {
				return fmt.Errorf("sign %s: %w", name, err)
			}
			file := filepath.Join(dir, filepath.FromSlash(name)+distfiles.BundleSuffix)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return err
			}
			return fsx.WriteNew(file, bundle, 0o644)
		})
	}

	for name, s := range statements {
		save(name, func() ([]byte, error) { return opt.Signer.Sign(ctx, s) })
	}
	for name, content := range files {
		save(name, func() ([]byte, error) { return opt.Signer.SignFile(ctx, name, content) })
	}

	return g.Wait()
}

// statements returns the statements about a release, by the names of their bundles.
func (o *Outcome) statements(dir string, rec *record.Record, invocation slsa.Invocation) (map[string]intoto.Statement, error) {
	list := map[string]intoto.Statement{}
	var err error
	if list[distfiles.TestResult(rec)], err = slsa.NewTestResult(rec, ""); err != nil {
		return nil, err
	}
	if o.Err() != nil {
		return list, nil
	}

	if list[distfiles.Provenance(rec)], err = slsa.NewProvenance(rec, invocation); err != nil {
		return nil, err
	}

	for _, b := range o.Binaries {
		for _, format := range sbom.Formats {
			name := distfiles.SBOM(b, format.Suffix)
			i := slices.IndexFunc(rec.Artifacts, func(a artifact.Artifact) bool { return a.Name == name })
			if i < 0 {
				continue // reported when the lists were written
			}

			doc, err := fsx.ReadNamed(filepath.Join(dir, filepath.FromSlash(name)), rec.Artifacts[i].Size)
			if err != nil {
				return nil, err
			}

			list[name] = intoto.Statement{
				Subjects:      append([]intoto.Subject{{Name: distfiles.Binary(b), Digest: b.A}}, holders(rec, b)...),
				PredicateType: format.PredicateType, Predicate: json.RawMessage(doc),
			}
		}
	}

	for _, s := range distfiles.SignedImages(rec) {
		list[distfiles.SignatureOfImage(s.Digest)] = intoto.Statement{Subjects: []intoto.Subject{s}, PredicateType: distfiles.ImageSignatureType, Predicate: json.RawMessage("{}")}
	}

	return list, nil
}

// holders returns the images and manifests that hold a binary. They are subjects of its list of
// components, so that a client finds the list by an image too.
func holders(rec *record.Record, b record.Binary) []intoto.Subject {
	var list []intoto.Subject

	for _, img := range rec.Images {
		name := img.Repository + ":" + img.Tags[0]
		for _, m := range img.Manifests {
			holds := slices.ContainsFunc(m.Layers, func(l image.Layer) bool {
				return !l.Base && slices.ContainsFunc(l.Files, func(f string) bool { return path.Base(f) == b.Name })
			})

			if m.Target != b.Target || !holds {
				continue
			}

			if !slices.ContainsFunc(list, func(s intoto.Subject) bool { return s.Name == name }) {
				list = append(list, intoto.Subject{Name: name, Digest: img.Digest})
			}
			list = append(list, intoto.Subject{Name: name + "#" + m.Platform, Digest: m.Digest})
		}
	}

	return list
}
