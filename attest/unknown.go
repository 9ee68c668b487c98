package attest

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/digitorus/pkcs7"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
)

// maxWitnesses bounds the log entries of a bundle, and its time stamps.
const maxWitnesses = 32

// dropUnknownWitnesses takes those log entries and time stamps out of a bundle that no log or
// authority of the trusted root made, and returns them. Those that are left have to be good.
// Whoever hands a bundle on can take out any of them, so one that nobody can judge is worth as much
// as one that is not there: nothing.
func dropUnknownWitnesses(b *protobundle.Bundle, r *Root) ([]UnknownWitness, error) {
	m := b.GetVerificationMaterial()
	stamps := m.GetTimestampVerificationData()
	if len(m.GetTlogEntries()) > maxWitnesses || len(stamps.GetRfc3161Timestamps()) > maxWitnesses {
		return nil, refuse(Malformed, "more than %d log entries or time stamps", maxWitnesses)
	}
	if r == nil {
		if m != nil {
			m.TlogEntries, m.TimestampVerificationData = nil, nil
		}
		return nil, nil // no log is known, and none is looked at
	}

	// The ID of an entry names its log.
	var unknown []UnknownWitness
	if m != nil {
		m.TlogEntries = slices.DeleteFunc(m.TlogEntries, func(e *protorekor.TransparencyLogEntry) bool {
			id := hex.EncodeToString(e.GetLogId().GetKeyId())
			if r.material.RekorLogs()[id] != nil {
				return false
			}
			unknown = append(unknown, UnknownWitness{Kind: kindLog, By: fmt.Sprintf("%.64s", id)})
			return true
		})
	}

	if stamps == nil {
		return unknown, nil
	}

	// A time stamp that nobody can read has no maker to be unknown. It is refused.
	var unreadable error
	stamps.Rfc3161Timestamps = slices.DeleteFunc(stamps.Rfc3161Timestamps, func(s *protocommon.RFC3161SignedTimestamp) bool {
		signers, err := stampSigners(s.GetSignedTimestamp())
		if err != nil {
			unreadable = errors.Join(unreadable, err)
		}
		if err != nil || slices.ContainsFunc(signers, r.isTimestampSigner) {
			return false
		}
		unknown = append(unknown, UnknownWitness{Kind: kindTimestamp, By: signers[0].String()})
		return true
	})

	if unreadable != nil {
		return nil, refuse(WrongTime, "time stamp: %w", unreadable)
	}
	return unknown, nil
}

// certificateName is the name by which a signature refers to the certificate of its key.
type certificateName struct {
	issuer []byte // a DER name
	serial *big.Int
}

// String names the certificate for a message.
func (n certificateName) String() string {
	issuer := "somebody"
	var rdn pkix.RDNSequence
	if rest, err := asn1.Unmarshal(n.issuer, &rdn); err == nil && len(rest) == 0 {
		issuer = rdn.String()
	}
	return fmt.Sprintf("%.200s, certificate %.40x", issuer, n.serial)
}

// stampSigners returns the signers that a time stamp names, one at least. A time stamp is a
// TimeStampResp of RFC 3161.
func stampSigners(response []byte) ([]certificateName, error) {
	var r struct{ Status, Token asn1.RawValue }
	if rest, err := asn1.Unmarshal(response, &r); err != nil || len(rest) > 0 {
		return nil, errors.New("not a response of a time stamp authority")
	}

	// The token is signed data of PKCS #7, which names its signers.
	token, err := pkcs7.Parse(r.Token.FullBytes)
	if err != nil {
		return nil, err
	}

	var signers []certificateName
	for _, s := range token.Signers {
		if id := s.IssuerAndSerialNumber; id.SerialNumber != nil {
			signers = append(signers, certificateName{id.IssuerName.FullBytes, id.SerialNumber})
		}
	}
	if len(signers) == 0 {
		return nil, errors.New("nobody signed it")
	}
	return signers, nil
}

// isTimestampSigner reports whether the certificate is that of a time stamp authority of r. Some
// authorities leave it to their time stamps to hold the certificate: then one that they issued will
// do.
func (r *Root) isTimestampSigner(n certificateName) bool {
	return slices.ContainsFunc(r.material.TimestampingAuthorities(), func(a root.TimestampingAuthority) bool {
		tsa, ok := a.(*root.SigstoreTimestampingAuthority)
		switch {
		case !ok:
			return true // of a kind that is not known here: it has to be good
		case tsa.Leaf != nil:
			return bytes.Equal(tsa.Leaf.RawIssuer, n.issuer) && tsa.Leaf.SerialNumber.Cmp(n.serial) == 0
		}

		// The trusted root has no certificate of the authority itself, so its issuer has to do.
		for _, c := range append(slices.Clone(tsa.Intermediates), tsa.Root) {
			if c != nil && bytes.Equal(c.RawSubject, n.issuer) {
				return true
			}
		}
		return false
	})
}
