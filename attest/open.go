// Package attest signs statements and files, and opens what was signed.
//
// A signature is a Sigstore bundle v0.3. That is one JSON document with three things: an in-toto
// Statement in a DSSE envelope, or the digest of a file; the signature; and what it is verified
// with: a hint at a key, or a certificate, entries of transparency logs and time stamps
// (https://docs.sigstore.dev/about/bundle/). Bundles of the versions 0.1 and 0.2 are read and not
// written.
//
// [Open] judges a bundle without a network. It alone makes a [Verified] value, so whoever holds one
// need not ask again. A [Signer] makes bundles, and opens each with the same code before it hands
// the bundle out.
//
// Judging is strict. Every log entry and every time stamp of a log or authority that the trusted
// root knows must be good, not only as many as are needed. Those of others count for nothing, and
// [Signature] names them. Members that are unknown or there twice, several signatures and unknown
// payload types are refused. P-384 and P-521 keys are accepted with SHA-384 and SHA-512 only, as
// they are registered.
package attest

import (
	"bytes"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/pipeline/artifact"
)

// MediaType is the media type of the bundles that a [Signer] makes.
const MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// MaxSize bounds a bundle, in bytes. It is the limit for what can be attached to an image. The list
// of what a program of a thousand modules is made of takes one megabyte.
const MaxSize = 16 << 20

// maxBeside bounds, in bytes, two parts of a bundle: everything beside its longest text, which is
// the statement, and what it has to verify the signature with. The longest that are known have some
// 20,000. A parser of certificates, time stamps or JSON may take a hundred times as much memory as
// it is given.
const maxBeside = 1 << 20

// maxSubjects is sigstore-go's limit.
const maxSubjects = 1024

// mediaTypes are those that Open reads. The first three are from older clients.
var mediaTypes = []string{
	"application/vnd.dev.sigstore.bundle+json;version=0.1",
	"application/vnd.dev.sigstore.bundle+json;version=0.2",
	"application/vnd.dev.sigstore.bundle+json;version=0.3",
	MediaType,
}

// Artifact is the file that a bundle has to be about.
type Artifact struct {
	// Digest names the bytes.
	Digest artifact.Digest
	// SHA512 is that of the same bytes, in lower-case hexadecimal. It may be empty. Only a
	// statement that names its subject by nothing else needs it.
	SHA512 string
	// Content is the bytes, where they are at hand. Only the detached signature of an Ed25519,
	// P-384 or P-521 key needs it, since that is not over a SHA-256.
	Content []byte
}

// Open verifies that somebody whom t trusts signed a bundle, and that it is about a. It uses
// neither a network nor the clock. Its errors are of type [*Error].
func Open(data []byte, t Trust, a Artifact) (*Verified, error) {
	if t.fileKey != nil {
		return nil, refuse(WrongKey, "a bundle, and the trusted key is one of %s, which makes none", t.fileKey.Format())
	}
	if t.key == nil && t.identity == nil && !t.anyone {
		return nil, refuse(Undetermined, "nothing to trust").withRemedy("name a key, or a trusted root and an identity")
	}
	if _, err := artifact.ParseDigest(string(a.Digest)); err != nil {
		return nil, refuse(Undetermined, "%w", err)
	}
	if a.Content != nil && artifact.Of(a.Content) != a.Digest {
		return nil, refuse(Undetermined, "the artifact's content is not that of its digest %s", a.Digest)
	}
	if sum, err := hex.DecodeString(a.SHA512); err != nil || a.SHA512 != "" && len(sum) != sha512.Size {
		return nil, refuse(Undetermined, "%.200q: not a SHA-512 in hexadecimal", a.SHA512)
	}

	o, err := parse(data, t, a)
	if err != nil {
		return nil, err
	}

	// These checks come first because they say more of what is wrong than sigstore-go does.
	if err := o.checkSigner(); err != nil {
		return nil, err
	}
	if err := o.checkShape(); err != nil {
		return nil, err
	}

	result, err := o.verify()
	if err != nil {
		return nil, o.explain(err)
	}
	if err := o.checkLogs(result.VerifiedTimestamps); err != nil {
		return nil, err
	}

	// The signature is good. A bundle of a file's signature has no statement.
	v := &Verified{artifact: a.Digest, signature: o.signature(result)}
	if o.envelope != nil {
		if v.statement, err = o.statement(); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// CheckFormat returns an error of type [*Error], with the reason [Malformed], if data is no bundle
// that [Open] could read, whoever signed it and whatever it is about.
func CheckFormat(data []byte) error {
	_, err := parse(data, Trust{}, Artifact{})
	return err
}

// opening is a bundle that is being verified.
type opening struct {
	trust    Trust
	material root.TrustedMaterial
	artifact Artifact
	bundle   strictBundle
	// entries and stamps are those that the trusted root knows, unknown all others.
	entries []*tlog.Entry
	stamps  [][]byte
	unknown []UnknownWitness
	// promises is the number of entries with a time that their log signed.
	promises int
	content  verify.SignatureContent
	signer   verify.VerificationContent
	// leaf is the certificate, or nil. summary is its content.
	leaf    *x509.Certificate
	summary certificate.Summary
	// envelope is nil where the bundle is a file's signature. message is nil where it is not.
	envelope verify.EnvelopeContent
	message  verify.MessageSignatureContent
}

// strictBundle hides the version of a bundle from sigstore-go. Knowing the version, it would try
// P-384 and P-521 with SHA-256, too, and say so on stderr.
type strictBundle struct{ *bundle.Bundle }

func (strictBundle) Version() (string, error) { return "strict", nil }

// parse reads a bundle, without its unknown witnesses. It bounds what the parsers get.
func parse(data []byte, t Trust, a Artifact) (*opening, error) {
	if len(data) > MaxSize {
		return nil, refuse(Malformed, "more than %d bytes", MaxSize)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, refuse(Malformed, "is empty")
	}
	if len(data)-longestText(data) > maxBeside {
		return nil, refuse(Malformed, "not a bundle: more than %d bytes beside the longest text in it", maxBeside)
	}

	// Bytes are counted before a parser sees them.
	pb := &protobundle.Bundle{}
	if err := protojson.Unmarshal(data, pb); err != nil {
		return nil, refuse(Malformed, "not a bundle: %w", err)
	}
	if proto.Size(pb.GetVerificationMaterial()) > maxBeside {
		return nil, refuse(Malformed, "more than %d bytes of certificates, log entries and time stamps", maxBeside)
	}

	// Unknown witnesses have to go before sigstore-go sees them.
	unknown, err := dropUnknownWitnesses(pb, t.root)
	if err != nil {
		return nil, err
	}

	// From here on the library reads, and what it refuses is malformed.
	b, err := bundle.NewBundle(pb)
	if err != nil {
		return nil, refuse(Malformed, "not a bundle: %w", err)
	}
	if !slices.Contains(mediaTypes, b.MediaType) {
		return nil, refuse(Malformed, "media type %q: unknown", b.MediaType)
	}

	o := &opening{trust: t, material: t.material(), artifact: a, bundle: strictBundle{b}, unknown: unknown}
	if o.entries, err = b.TlogEntries(); err != nil {
		return nil, refuse(Malformed, "log entries: %w", err)
	}
	for _, e := range o.entries {
		if e.HasInclusionPromise() {
			o.promises++
		}
	}
	if o.stamps, err = b.Timestamps(); err != nil {
		return nil, refuse(Malformed, "time stamps: %w", err)
	}
	if o.content, err = b.SignatureContent(); err != nil {
		return nil, refuse(Malformed, "content: %w", err)
	}
	if o.signer, err = b.VerificationContent(); err != nil {
		return nil, refuse(Malformed, "signer: %w", err)
	}

	// Nobody would compare a second name of the signer.
	if o.leaf = o.signer.Certificate(); o.leaf != nil {
		if o.summary, err = certificate.SummarizeCertificate(o.leaf); err != nil {
			return nil, refuse(Malformed, "certificate: %w", err)
		}
		if n := len(o.leaf.URIs) + len(o.leaf.EmailAddresses) + len(o.leaf.DNSNames) + len(o.leaf.IPAddresses); n > 1 {
			return nil, refuse(Malformed, "certificate: %d subject alternative names: want one", n)
		}
	}

	o.envelope, o.message = o.content.EnvelopeContent(), o.content.MessageSignatureContent()
	return o, nil
}

// longestText returns the length of the longest string in a JSON document.
func longestText(data []byte) int {
	longest := 0
	for {
		begin := bytes.IndexByte(data, '"')
		if begin < 0 {
			return longest
		}
		data = data[begin+1:]

		end := 0
		for end < len(data) && data[end] != '"' {
			if data[end] == '\\' {
				end++
			}
			end++
		}

		end = min(end, len(data))
		longest = max(longest, end)
		data = data[min(end+1, len(data)):]
	}
}

// checkSigner compares the signer that the bundle names with the one that is expected. Whether the
// bundle speaks the truth comes later.
func (o *opening) checkSigner() error {
	id := o.trust.identity

	switch {
	case o.trust.key != nil && o.leaf != nil:
		return refuse(WrongKey, "signed by a certificate for %q, not by the key %s", o.summary.SubjectAlternativeName, o.trust.key.fingerprint.Short()).
			withRemedy("verify it by identity and issuer")
	case o.trust.key != nil:
		return nil
	case o.leaf == nil:
		return refuse(WrongIdentity, "signed by a key, not by a certificate").withRemedy("verify it by the public key")
	case o.trust.anyone:
		return nil
	case !id.name.MatchString(o.summary.SubjectAlternativeName):
		return refuse(WrongIdentity, "signed by %q, not by %q", o.summary.SubjectAlternativeName, id.Name+id.NameRegexp)
	case !id.issuer.MatchString(o.summary.Issuer):
		return refuse(WrongIssuer, "the identity %q comes from %q, not from %q", o.summary.SubjectAlternativeName, o.summary.Issuer, id.Issuer+id.IssuerRegexp)
	}
	return nil
}

// checkShape refuses parts that are missing, empty or there too often.
func (o *opening) checkShape() error {
	if o.envelope != nil {
		env := o.envelope.RawEnvelope()
		if len(env.Signatures) != 1 {
			return refuse(Malformed, "%d signatures: want one", len(env.Signatures))
		}
		if env.PayloadType != intoto.PayloadType {
			return refuse(Malformed, "payload type %q: want %q", env.PayloadType, intoto.PayloadType)
		}
	}

	if o.message != nil {
		if err := o.checkMessageDigest(); err != nil {
			return err
		}
	}

	if len(o.content.Signature()) == 0 {
		return refuse(Malformed, "the signature is empty")
	}

	for _, e := range o.entries {
		if err := checkLogEntry(e); err != nil {
			return err
		}
	}
	return nil
}

// checkMessageDigest compares the digest in the bundle with the artifact's.
func (o *opening) checkMessageDigest() error {
	algorithm := o.message.DigestAlgorithm()
	switch {
	case algorithm == protocommon.HashAlgorithm_SHA2_256.String():
		if got := hex.EncodeToString(o.message.Digest()); got != o.artifact.Digest.Hex() {
			return refuse(WrongSubject, "signs the file with digest sha256:%.64s, not %s", got, o.artifact.Digest)
		}
	case algorithm != protocommon.HashAlgorithm_SHA2_384.String() && algorithm != protocommon.HashAlgorithm_SHA2_512.String():
		return refuse(Malformed, "message digest %q: unknown", algorithm)
	case o.artifact.Content == nil:
		return refuse(Undetermined, "the signature is over a %s digest, which the file's SHA-256 does not tell", algorithm).withRemedy("give the file itself")
	}
	return nil
}

// checkLogEntry refuses wrong values in an entry that neither a signature covers nor sigstore-go
// compares.
func checkLogEntry(e *tlog.Entry) error {
	tle := e.TransparencyLogEntry()
	var body struct {
		Kind    string `json:"kind"`
		Version string `json:"apiVersion"`
	}
	if err := json.Unmarshal(tle.GetCanonicalizedBody(), &body); err != nil {
		return refuse(Malformed, "log entry: %w", err)
	}

	// The kind stands in the entry twice, and only the body is signed.
	if k := tle.GetKindVersion(); k.GetKind() != body.Kind || k.GetVersion() != body.Version {
		return refuse(WrongLog, "the log entry is a %.40q %.40q and is said to be a %.40q %.40q", body.Kind, body.Version, k.GetKind(), k.GetVersion())
	}
	if p := tle.GetInclusionProof(); p != nil {
		// The checkpoint's lines are: origin, size of the tree, root hash.
		lines := strings.SplitN(p.GetCheckpoint().GetEnvelope(), "\n", 3)
		if len(lines) < 3 || lines[1] != strconv.FormatInt(p.GetTreeSize(), 10) {
			return refuse(WrongLog, "the inclusion proof is for another tree than its checkpoint")
		}
	}

	if !e.IsRekorV2() {
		return nil
	}

	// These members are Rekor v1's, or stand in the entry twice. Nothing signs them in Rekor v2.
	if tle.GetIntegratedTime() != 0 || tle.GetInclusionPromise() != nil {
		return refuse(WrongLog, "the log entry has a time, which Rekor v2 does not sign")
	}
	if tle.GetLogIndex() != tle.GetInclusionProof().GetLogIndex() {
		return refuse(WrongLog, "the log entry is number %d, and its proof is for number %d", tle.GetLogIndex(), tle.GetInclusionProof().GetLogIndex())
	}
	return nil
}

// verify has sigstore-go decide. The rest of this package may refuse more, and says why. It accepts
// nothing that was refused here.
func (o *opening) verify() (*verify.VerificationResult, error) {
	var options []verify.VerifierOption
	if entries := max(len(o.entries), o.trust.logs); entries > 0 {
		options = append(options, verify.WithTransparencyLog(entries))
	}

	// Every witness counts, not as many as would be enough. A certificate lives for minutes, so it
	// takes a time at least.
	times := o.promises + len(o.stamps)
	if o.leaf != nil {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
		times = max(times, 1)
	}
	if times > 0 {
		options = append(options, verify.WithObserverTimestamps(times))
	} else {
		options = append(options, verify.WithNoObserverTimestamps())
	}

	v, err := verify.NewVerifier(o.material, options...)
	if err != nil {
		return nil, err
	}

	policy := verify.WithKey() // expects a key instead of a certificate
	switch id := o.trust.identity; {
	case o.trust.anyone:
		policy = verify.WithoutIdentitiesUnsafe()
	case id != nil:
		// Exactly what the certificate says: checkSigner has matched it, and
		// it is compared again here.
		ci, err := verify.NewShortCertificateIdentity("", id.issuer.String(), "", id.name.String())
		if err != nil {
			return nil, err
		}
		policy = verify.WithCertificateIdentity(ci)
	}

	return v.Verify(o.bundle, verify.NewPolicy(o.artifactPolicy(), policy))
}

// artifactPolicy returns the artifact in the form that sigstore-go takes.
func (o *opening) artifactPolicy() verify.ArtifactPolicyOption {
	if o.message != nil && o.artifact.Content != nil {
		return verify.WithArtifact(bytes.NewReader(o.artifact.Content))
	}
	sum, _ := hex.DecodeString(o.artifact.Digest.Hex()) // is one: Open has parsed it
	if o.artifact.SHA512 != "" && o.envelope != nil && o.hasOnlySHA512() {
		sum, _ = hex.DecodeString(o.artifact.SHA512) // as above
		return verify.WithArtifactDigest("sha512", sum)
	}
	return verify.WithArtifactDigest("sha256", sum)
}

// hasOnlySHA512 reports whether the statement names the artifact by its SHA-512 and not by its
// SHA-256. The library takes one of them.
func (o *opening) hasOnlySHA512() bool {
	s, err := intoto.Decode(o.payload())
	if err != nil || s.Has(o.artifact.Digest) {
		return false
	}
	return slices.ContainsFunc(s.Subjects, func(sub intoto.Subject) bool { return sub.SHA512 == o.artifact.SHA512 })
}

// payload returns the encoded statement of an envelope.
func (o *opening) payload() []byte {
	return o.bundle.Content.(*protobundle.Bundle_DsseEnvelope).DsseEnvelope.GetPayload()
}

// checkLogs refuses two things that sigstore-go does not look at. One is the body of an entry of
// Rekor v2, in whose place it takes one that it makes itself. The other is a log's key that was not
// in use at the time.
func (o *opening) checkLogs(times []verify.TimestampVerificationResult) error {
	for _, e := range o.entries {
		id := hex.EncodeToString([]byte(e.LogKeyID()))
		log := o.material.RekorLogs()[id]
		if log == nil {
			return refuse(WrongLog, "the log %s is not one of the trusted root", id)
		}

		if e.IsRekorV2() {
			if err := checkInclusion(e, log); err != nil {
				return refuse(WrongLog, "%w", err)
			}
		}

		// The log may have retired its key before that.
		for _, t := range times {
			if t.Timestamp.Before(log.ValidityPeriodStart) || !log.ValidityPeriodEnd.IsZero() && t.Timestamp.After(log.ValidityPeriodEnd) {
				return refuse(WrongTime, "signed at %s, when the key of the log %s was not valid", formatUTC(t.Timestamp), shortLogID([]byte(e.LogKeyID())))
			}
		}
	}
	return nil
}

// statement decodes the payload, and looks for the artifact among its subjects.
func (o *opening) statement() (*intoto.Statement, error) {
	s, err := intoto.Decode(o.payload())
	if err != nil {
		return nil, refuse(Malformed, "%w", err)
	}

	if len(s.Subjects) > maxSubjects {
		return nil, refuse(Malformed, "statement: %d subjects: want at most %d", len(s.Subjects), maxSubjects)
	}

	// The artifact's digest stands for its SHA-512 from here on: whoever holds the statement
	// against something need not know both.
	found := false
	for i, sub := range s.Subjects {
		switch {
		case sub.Digest == o.artifact.Digest:
			found = true
		case sub.SHA512 != "" && sub.SHA512 == o.artifact.SHA512:
			s.Subjects[i] = intoto.Subject{Name: sub.Name, Digest: o.artifact.Digest}
			found = true
		}
	}
	if !found {
		return nil, refuse(WrongSubject, "%s is not among the subjects: %s", o.artifact.Digest, subjects(s))
	}
	return &s, nil
}

// subjects names a few subjects for a message.
func subjects(s intoto.Statement) string {
	const few = 3
	var names []string
	for _, sub := range s.Subjects[:min(few, len(s.Subjects))] {
		digest := "sha256:" + sub.Digest.Short()
		if sub.SHA512 != "" {
			digest = "sha512:" + sub.SHA512[:12]
		}
		names = append(names, fmt.Sprintf("%.100q (%s...)", sub.Name, digest))
	}
	if n := len(s.Subjects) - few; n > 0 {
		names = append(names, fmt.Sprintf("and %d more", n))
	}

	return strings.Join(names, ", ")
}
