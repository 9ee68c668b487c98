package attest

import (
	"encoding/hex"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/verify"
)

// explain finds the reason of a refusal. It checks each part alone, the most telling ones first.
// The refusal stands whatever it finds.
func (o *opening) explain(refusal error) error {
	for _, faultOf := range []func() error{o.signatureFault, o.subjectFault, o.certificateFault, o.missingLogFault, o.timeFault, o.logFault} {
		if err := faultOf(); err != nil {
			return err
		}
	}
	return refuse(Tampered, "%w", refusal)
}

// signatureFault returns an error if the signature is not one of the content by the expected key.
func (o *opening) signatureFault() error {
	var err error
	switch {
	case o.envelope != nil:
		err = verify.VerifySignature(o.content, o.signer, o.material)
	case o.artifact.Content != nil:
		err = verify.VerifySignatureWithArtifacts(o.content, o.signer, o.material, readers(o.artifact.Content))
	default:
		if o.trust.key != nil && !o.trust.key.prehashes() {
			return refuse(Undetermined, "the signature of an Ed25519 key is over the file itself").withRemedy("give the file, not its digest")
		}
		sum, _ := hex.DecodeString(o.artifact.Digest.Hex())
		err = verify.VerifySignatureWithArtifactDigests(o.content, o.signer, o.material, []verify.ArtifactDigest{{Algorithm: "sha256", Digest: sum}})
	}
	// A hint that names another key explains why the signature is not the key's.
	switch {
	case err == nil:
		return nil
	case o.trust.key != nil && o.signer.PublicKey().Hint() != o.trust.key.hint:
		return refuse(WrongKey, "not signed by the key %s: %w", o.trust.key.fingerprint.Short(), err)
	}
	return refuse(Tampered, "the signature is not one of this content: %w", err)
}

// subjectFault returns an error if the statement is not about the artifact.
func (o *opening) subjectFault() error {
	if o.envelope == nil {
		return nil
	}
	_, err := o.statement()
	return err
}

// timeFault returns an error if a time stamp is bad, or the certificate was not valid at the time.
func (o *opening) timeFault() error {
	times, failures, err := verify.VerifySignedTimestamp(o.bundle, o.material)
	switch {
	case o.leaf != nil && o.promises+len(o.stamps) == 0:
		return refuse(WrongTime, "nothing tells when it was signed: neither a log's time nor a time stamp%s", o.unknownWitnesses(kindTimestamp))
	case err != nil:
		return refuse(WrongTime, "time stamps: %w", err)
	case len(failures) > 0:
		return refuse(WrongTime, "time stamp: %w", failures[0])
	case o.leaf == nil:
		return nil
	}

	// Each time has to be within the certificate's validity, those of time stamps and those of
	// logs.
	var all []time.Time
	for _, t := range times {
		all = append(all, t.Time)
	}
	for _, e := range o.entries {
		if e.HasInclusionPromise() {
			all = append(all, e.IntegratedTime())
		}
	}

	for _, t := range all {
		if t.Before(o.leaf.NotBefore) {
			return refuse(WrongTime, "signed at %s, before the certificate was valid (from %s)", formatUTC(t), formatUTC(o.leaf.NotBefore))
		}
		if t.After(o.leaf.NotAfter) {
			return refuse(WrongTime, "signed at %s, after the certificate had expired (at %s)", formatUTC(t), formatUTC(o.leaf.NotAfter))
		}
	}
	return nil
}

// missingLogFault returns an error if fewer log entries are known than must be there.
func (o *opening) missingLogFault() error {
	if len(o.entries) < o.trust.logs {
		return refuse(WrongLog, "no entry of a transparency log of the trusted root%s", o.unknownWitnesses(kindLog))
	}
	return nil
}

// unknownWitnesses ends a sentence that says that no witness of a kind is known. It names those
// that are unknown.
func (o *opening) unknownWitnesses(kind string) string {
	var names []string
	for _, u := range o.unknown {
		if u.Kind == kind {
			names = append(names, u.By)
		}
	}
	if len(names) == 0 {
		return ""
	}

	return ": it does not know " + strings.Join(names[:min(3, len(names))], ", ")
}

// logFault returns an error if a log entry is bad.
func (o *opening) logFault() error {
	if len(o.entries) == 0 {
		return nil
	}
	if _, err := verify.VerifyTlogEntry(o.bundle, o.material, len(o.entries), true); err != nil {
		return refuse(WrongLog, "%w", err)
	}
	return nil
}

// certificateFault returns an error if no authority and no certificate log of the trusted root
// stands behind the certificate.
func (o *opening) certificateFault() error {
	if o.leaf == nil {
		return nil
	}

	chains, err := verify.VerifyLeafCertificate(o.leaf.NotBefore, o.leaf, o.material)
	if err != nil {
		return refuse(WrongAuthority, "the certificate is not of an authority of the trusted root (or that was not valid at %s)", formatUTC(o.leaf.NotBefore))
	}
	if err := verify.VerifySignedCertificateTimestamp(chains, 1, o.material); err != nil {
		return refuse(WrongAuthority, "the certificate is in no certificate log of the trusted root: %w", err)
	}
	return nil
}

// formatUTC returns a time as messages show it.
func formatUTC(t time.Time) string { return t.UTC().Format(time.RFC3339) }
