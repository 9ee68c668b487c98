package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/spf13/cobra"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/verify"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/image"
	"github.com/twicebuild/twice/pipeline/record"
	"github.com/twicebuild/twice/pipeline/registry"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// publishDoc is what `twice publish --json` prints.
type publishDoc struct {
	Schema    string     `json:"schema"` // "twice.publish/v1"
	Images    []imageDoc `json:"images"`
	Sent      int        `json:"sent"`
	SentBytes int64      `json:"sentBytes"`
	Present   int        `json:"present"`
	// ReadBytes is how much was read back and compared.
	ReadBytes int64 `json:"readBytes"`
}

type imageDoc struct {
	Repository string          `json:"repository"`
	Digest     artifact.Digest `json:"digest"`
	Moved      []string        `json:"moved"`
	Kept       []string        `json:"kept"`
}

// registry returns how registries are reached.
func (a *app) registry(insecure bool) registry.Options {
	return registry.Options{Transport: a.transport, Keychain: authn.DefaultKeychain, Insecure: insecure}
}

func (a *app) publishCmd() *cobra.Command {
	var insecure, force bool
	var trusted trustFlags
	c := &cobra.Command{
		Use:   "publish [DIST]",
		Short: "Push the images of a finished release",
		Long: `Publish pushes the images in DIST (default: dist) to their registries, with their
signatures and statements attached, and moves their tags when everything is there
and was read back, byte for byte. What a registry has already is not sent again, so
the same command goes on where one that was interrupted ended. A tag that points to
something else is an error. Credentials are those of docker, with its helpers.

Before anything is pushed, DIST has to be what was signed: with --key or an identity
all of it is verified, as twice verify does, and without, the names and digests of
the images have to be those that the signed statements name, whoever signed them.`,
		RunE: func(c *cobra.Command, args []string) error {
			dist := "dist"
			switch {
			case len(args) > 1:
				return fault.Usage(fmt.Errorf("%s takes one folder", c.CommandPath()))
			case len(args) == 1:
				dist = args[0]
			}

			var trust *attest.Trust
			if trusted != (trustFlags{}) {
				t, err := a.trust(c.Context(), trusted)
				if err != nil {
					return err
				}
				trust = &t
			}

			opt := a.registry(insecure)
			opt.ForceTag = force
			return a.publish(c.Context(), a.inDir(dist), opt, trust)
		},
	}
	trusted.add(c)
	c.Flags().BoolVar(&force, "force-tag", false, "move tags that point to something else")
	insecureFlag(c, &insecure)
	return c
}

// publish pushes the images of dist. The folder has to be what was signed: by whom trust names or,
// if that is nil, by anybody.
func (a *app) publish(ctx context.Context, dist string, opt registry.Options, trust *attest.Trust) error {
	if err := isDist(dist); err != nil {
		return err
	}

	data, err := fsx.ReadNamed(filepath.Join(dist, distfiles.RecordName), record.MaxSize)
	if errors.Is(err, os.ErrNotExist) {
		return fault.WithRemedy(fault.Usage(err), "make a release first: twice release")
	}
	if err != nil {
		return err
	}

	rec, err := record.Decode(data)
	if err != nil {
		return err
	}
	if len(rec.Images) == 0 {
		return fault.WithRemedy(fault.Usage(fmt.Errorf("%s: this release has no images", displayPath(dist))), "declare one with [[image]] in the release file")
	}

	images, err := attached(dist, rec)
	if err != nil {
		return err
	}

	// Without a key it cannot be said who signed, but what is pushed has to be what somebody signed.
	if trust != nil {
		err = a.verifyDist(ctx, dist, *trust)
	} else {
		err = verify.CheckSignatureClaim(filepath.Join(dist, distfiles.RecordName), data, displayPath)
		if err != nil {
			err = fmt.Errorf("nothing was pushed: %w", err)
		}
	}
	if err != nil {
		return err
	}
	if trust == nil {
		a.progress.Line("not checked: who signed %s (that takes --key or --certificate-identity)", displayPath(dist))
	}

	opt.Progress = func(p registry.Progress) {
		a.progress.Stage(fmt.Sprintf("publish: %d of %d blobs, %.1f of %.1f MB", p.Blobs, p.BlobsTotal, float64(p.Bytes)/1e6, float64(p.BytesTotal)/1e6))
	}
	res, err := registry.Push(ctx, filepath.Join(dist, distfiles.ImagesName), images, opt)
	a.progress.Hide()
	if err != nil {
		return err
	}

	if a.json && !a.printed { // a release has printed its own
		doc := publishDoc{Schema: "twice.publish/v1", Sent: res.Sent, SentBytes: res.SentBytes, Present: res.Present, ReadBytes: res.ReadBytes, Images: []imageDoc{}}

		for _, img := range res.Images {
			doc.Images = append(doc.Images, imageDoc{img.Repository, img.Digest, append([]string{}, img.Moved...), append([]string{}, img.Kept...)})
		}
		return printJSON(a.document(), doc)
	}
	if a.json {
		return nil
	}
	for _, img := range res.Images {
		fmt.Fprintf(a.stdout, "published   %s@%s  %s\n", img.Repository, img.Digest, strings.Join(slices.Concat(img.Moved, img.Kept), " "))
	}
	fmt.Fprintf(a.stdout, "%s sent (%.1f MB), %d were there; all were read back (%.1f MB)\n", count(res.Sent, "blob"), float64(res.SentBytes)/1e6, res.Present, float64(res.ReadBytes)/1e6)
	return nil
}

// isDist returns an error unless dist itself is a folder. A link could be changed between the
// verification and the push.
func isDist(dist string) error {
	info, err := os.Lstat(dist)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fault.WithRemedy(fault.Usage(err), "make a release first: twice release")
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := filepath.EvalSymlinks(dist)
		if err != nil {
			return fault.Usage(fmt.Errorf("%s is a link to what is not there: %w", displayPath(dist), err))
		}
		return fault.WithRemedy(fault.Usage(fmt.Errorf("%s is a link, and a release is a folder", displayPath(dist))), "twice publish "+displayPath(to))
	case !info.IsDir():
		return fault.WithRemedy(fault.Usage(fmt.Errorf("%s is no folder, and a release is one", displayPath(dist))), "name the folder that twice release made, dist as a rule")
	}
	return nil
}

// attached returns the images of rec. Each has the bundles in dist that say they are about it or
// about one of its manifests.
func attached(dist string, rec *record.Record) ([]registry.Image, error) {
	var images []registry.Image
	for _, img := range rec.Images {
		images = append(images, registry.Image{Repository: img.Repository, Tags: img.Tags, Digest: img.Digest})
	}

	read := int64(0)
	err := filepath.WalkDir(dist, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(name, distfiles.BundleSuffix) {
			return err
		}
		data, err := fsx.ReadNamed(name, registry.MaxBundle)
		if err != nil {
			return err
		}
		if read += int64(len(data)); read > verify.MaxBundleBytes {
			return fault.WithRemedy(fmt.Errorf("%s: more than %d MiB of bundles", displayPath(dist), verify.MaxBundleBytes>>20), "make the release anew: no bundle of twice is that large")
		}

		claim := attest.ReadClaim(data)
		for i, img := range rec.Images {
			for _, d := range digestsOf(img) {
				if claim.PredicateType != "" && claim.About(d) {
					images[i].Attachments = append(images[i].Attachments, registry.Attachment{
						Subject: d, PredicateType: claim.PredicateType, Bundle: data, Created: rec.Source.Time,
					})
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}

	// An image without its signature would be published as if nobody had vouched for it.
	for i, img := range rec.Images {
		for _, d := range digestsOf(img) {
			if !slices.ContainsFunc(images[i].Attachments, func(a registry.Attachment) bool {
				return a.Subject == d && a.PredicateType == distfiles.ImageSignatureType
			}) {
				return nil, fault.Refused(fmt.Errorf("nothing was pushed: %s: the signature of %s:%s is gone (%s)", displayPath(dist), img.Repository, img.Tags[0], d))
			}
		}
	}

	return images, nil
}

// digestsOf returns the digests of an image and of its manifests.
func digestsOf(img image.Image) []artifact.Digest {
	list := []artifact.Digest{img.Digest}
	for _, m := range img.Manifests {
		list = append(list, m.Digest)
	}
	return list
}

// verifyDist returns an error unless everything in dist is verified: the record, all that
// it names, and every bundle that is to be attached to an image.
func (a *app) verifyDist(ctx context.Context, dist string, trust attest.Trust) error {
	a.progress.Stage("verify " + displayPath(dist))
	defer a.progress.Hide()

	opt := a.verifyOptions(ctx, false)
	opt.Publisher = &trust

	doc, err := verify.New(opt).Verify(ctx, []verify.Subject{{Name: dist, Path: dist}})
	if err != nil {
		return err
	}

	// The first file with the verdict of the whole says why.
	for _, f := range doc.Files {
		if f.Verdict == verify.Verified || f.Verdict != doc.Verdict {
			continue
		}
		p := f.Problems[0]
		err := fault.WithRemedy(fmt.Errorf("nothing was pushed: %s: %s", safetext.Clean(f.Name), safetext.Clean(p.Error)), p.Remedy)
		if f.Verdict == verify.Refused {
			return fault.Refused(err)
		}
		return err
	}
	return nil
}
