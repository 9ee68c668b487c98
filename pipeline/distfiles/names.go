// Package distfiles says which files are in a dist, the folder that a release writes, and which
// bundle signs which file. The pipeline writes a dist by these names, and attest/verify judges one
// by them. Neither of the two has to import the other for that.
package distfiles

import (
	"path"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/slsa"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/record"
)

// RecordName is the name of the release record in dist.
const RecordName = "release.json"

// ImagesName is the name of the folder with OCI images in dist.
const ImagesName = "oci"

// BundleSuffix is how the names of bundles end. The bundle of a statement about
// one file has the name of the file with this suffix.
const BundleSuffix = ".sigstore.json"

// ImageSignatureType is the type of a statement that says only that its subject is signed.
// cosign verify looks for it
// (https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md).
const ImageSignatureType = "https://sigstore.dev/cosign/sign/v1"

// Binary returns the path of a binary below dist.
func Binary(b record.Binary) string { return path.Join("bin", b.Target.Slug(), b.Name) }

// SBOM returns the path of a list of components below dist. suffix is that of its format.
func SBOM(b record.Binary, suffix string) string {
	return path.Join("sbom", b.Target.Slug(), b.Name+suffix)
}

// Provenance returns the path below dist of the bundle with the provenance, without
// [BundleSuffix].
func Provenance(rec *record.Record) string { return rec.Project + "_" + rec.Version + ".provenance" }

// TestResult returns the path below dist of the bundle with the test result, without
// [BundleSuffix].
func TestResult(rec *record.Record) string { return rec.Project + "_" + rec.Version + ".double-build" }

// SignatureOfImage returns the path below dist of the signature of an image, or of its manifest
// for one platform, without [BundleSuffix].
func SignatureOfImage(d artifact.Digest) string { return "oci-signatures/sha256-" + d.Hex() }

// SignedImages returns the images and their manifests. Each has a signature of its own.
func SignedImages(rec *record.Record) []intoto.Subject {
	var list []intoto.Subject
	for _, img := range rec.Images {
		list = append(list, intoto.Subject{Name: img.Repository, Digest: img.Digest})
		for _, m := range img.Manifests {
			list = append(list, intoto.Subject{Name: img.Repository, Digest: m.Digest})
		}
	}
	return list
}

// RejectedBinary returns the path of a pass's binary below dist.rejected. The signed test result
// has it by the same name.
func RejectedBinary(pass pass.Pass, t matrix.Target, name string) string {
	return slsa.PassName(pass, t, name)
}

// RejectedFile returns the path of a pass's file below dist.rejected, named likewise.
func RejectedFile(pass pass.Pass, name string) string { return slsa.PassFile(pass, name) }
