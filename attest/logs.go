package attest

import (
	"bytes"
	"fmt"
	"net/url"

	"github.com/sigstore/rekor-tiles/v2/pkg/note"
	rekor "github.com/sigstore/rekor-tiles/v2/pkg/verify"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore/pkg/signature"
)

// checkInclusion proves that an entry of Rekor v2, as it stands in the bundle, is in the log. It
// also proves that the members of the proof are those of the signed checkpoint.
func checkInclusion(e *tlog.Entry, log *root.TransparencyLog) error {
	base, err := url.Parse(log.BaseURL)
	if err != nil {
		return fmt.Errorf("trusted root: log %q: %w", log.BaseURL, err)
	}
	verifier, err := signature.LoadVerifier(log.PublicKey, log.SignatureHashFunc)
	if err != nil {
		return fmt.Errorf("trusted root: log %q: %w", log.BaseURL, err)
	}
	// The checkpoints of a log are signed in the name of its host.
	checkpoints, err := note.NewNoteVerifier(base.Hostname(), verifier)
	if err != nil {
		return fmt.Errorf("trusted root: log %q: %w", log.BaseURL, err)
	}

	entry := e.TransparencyLogEntry()
	proof := entry.GetInclusionProof()
	checkpoint, err := rekor.VerifyCheckpoint(proof.GetCheckpoint().GetEnvelope(), checkpoints)
	if err != nil {
		return err
	}

	if err := rekor.VerifyInclusionProof(entry, checkpoint); err != nil {
		return err
	}

	if !bytes.Equal(proof.GetRootHash(), checkpoint.Hash) {
		return fmt.Errorf("the inclusion proof is for another tree than its checkpoint")
	}
	return nil
}
