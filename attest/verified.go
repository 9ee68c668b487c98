package attest

import (
	"cmp"
	"encoding/hex"
	"time"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/pipeline/artifact"
)

// Verified is a bundle that [Open] has judged to be good. Its zero value says
// nothing about anything.
type Verified struct {
	artifact  artifact.Digest
	statement *intoto.Statement
	signature Signature
}

// Artifact returns the digest of the bytes that were asked about. It is that of one of the
// statement's subjects, or of the signed file.
func (v *Verified) Artifact() artifact.Digest { return v.artifact }

// Statement returns the statement about the artifact. It returns false where the bundle is the
// signature of a file and says nothing more.
func (v *Verified) Statement() (intoto.Statement, bool) {
	if v.statement == nil {
		return intoto.Statement{}, false
	}
	return *v.statement, true
}

// Signature is a verified signature: who made it, and what vouches for that.
func (v *Verified) Signature() Signature { return v.signature }

// Signature is what was verified about a signature.
type Signature struct {
	// Key is the SHA-256 of the trusted key's PKIX form. Either Key or Certificate is there.
	Key artifact.Digest `json:"key,omitempty"`
	// Format is that of a signature which is no bundle, as [filesig.Key] has it: then Key is the
	// fingerprint that it has.
	Format string `json:"format,omitempty"`
	// Certificate says who signed.
	Certificate *Certificate `json:"certificate,omitempty"`
	// Logs are the entries in transparency logs. Without a trusted root none is looked at.
	Logs []LogEntry `json:"logs"`
	// Times say when it was signed. None comes from the clock of who verifies.
	Times []Time `json:"times"`
	// Unknown are the bundle's log entries and time stamps that the trusted root cannot judge. They
	// count for nothing.
	Unknown []UnknownWitness `json:"unknown,omitempty"`
}

// Certificate is a certificate of a certificate authority that the trusted root has.
type Certificate struct {
	// Name is the signer: an email address, or the URL of a CI job's definition.
	Name string `json:"name"`
	// Issuer is the URL of the OIDC issuer that vouched for them.
	Issuer string `json:"issuer"`
	// Authority is the distinguished name of the certificate authority.
	Authority string    `json:"authority"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	// What the issuer said about a CI job; absent where a person signed. The
	// meaning of each is at
	// https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
	SourceRepository       string `json:"sourceRepository,omitempty"`
	SourceRepositoryRef    string `json:"sourceRepositoryRef,omitempty"`
	SourceRepositoryDigest string `json:"sourceRepositoryDigest,omitempty"`
	BuildConfig            string `json:"buildConfig,omitempty"`
	BuildConfigDigest      string `json:"buildConfigDigest,omitempty"`
	BuildSigner            string `json:"buildSigner,omitempty"`
	BuildSignerDigest      string `json:"buildSignerDigest,omitempty"`
	BuildTrigger           string `json:"buildTrigger,omitempty"`
	RunInvocation          string `json:"runInvocation,omitempty"`
	RunnerEnvironment      string `json:"runnerEnvironment,omitempty"`
}

// LogEntry is an entry of a transparency log.
type LogEntry struct {
	// Log is the log's URL as the trusted root has it, and ID its key's.
	Log string `json:"log"`
	ID  string `json:"id"`
	// Index is the entry's number in its tree, from 0.
	Index int64 `json:"index"`
}

// Time is a time that somebody trusted signed together with the signature.
type Time struct {
	Time time.Time `json:"time"`
	// Kind is log or timestamp.
	Kind string `json:"kind"`
	// By is the URL of the log or authority.
	By string `json:"by"`
}

// UnknownWitness is an entry of a log, or a time stamp of an authority, that the trusted root does
// not know.
type UnknownWitness struct {
	// Kind is log or timestamp.
	Kind string `json:"kind"`
	// By is the ID of the log's key, or the issuer and serial number of the authority's
	// certificate, as the bundle has it.
	By string `json:"by"`
}

// The values of Kind.
const (
	kindLog       = "log"
	kindTimestamp = "timestamp"
)

// String names the kind of the witness and its maker.
func (u UnknownWitness) String() string {
	if u.Kind == kindLog {
		return "an entry of the log " + u.By
	}
	return "a time stamp of " + u.By
}

// signature describes the signature that result and the checks of o found good.
func (o *opening) signature(result *verify.VerificationResult) Signature {
	s := Signature{Logs: []LogEntry{}, Times: []Time{}, Unknown: o.unknown}
	if o.leaf == nil {
		s.Key = o.trust.key.fingerprint
	} else {
		s.Certificate = o.certificate(o.summary)
	}

	for _, e := range o.entries {
		id := hex.EncodeToString([]byte(e.LogKeyID()))
		entry := LogEntry{Log: o.material.RekorLogs()[id].BaseURL, ID: id, Index: e.LogIndex()}
		if p := e.TransparencyLogEntry().GetInclusionProof(); p != nil {
			entry.Index = p.GetLogIndex() // which the proof covers
		}
		s.Logs = append(s.Logs, entry)
	}

	for _, t := range result.VerifiedTimestamps {
		kind := kindTimestamp
		if t.Type == "Tlog" {
			kind = kindLog
		}
		s.Times = append(s.Times, Time{t.Timestamp.UTC(), kind, t.URI})
	}

	return s
}

// certificate describes the certificate.
func (o *opening) certificate(s certificate.Summary) *Certificate {
	c := &Certificate{
		Name: s.SubjectAlternativeName, Issuer: s.Issuer, Authority: s.CertificateIssuer,
		NotBefore: o.leaf.NotBefore.UTC(), NotAfter: o.leaf.NotAfter.UTC(),
		SourceRepository: s.SourceRepositoryURI, SourceRepositoryRef: s.SourceRepositoryRef, SourceRepositoryDigest: s.SourceRepositoryDigest,
		BuildConfig: s.BuildConfigURI, BuildConfigDigest: s.BuildConfigDigest,
		BuildSigner: s.BuildSignerURI, BuildSignerDigest: s.BuildSignerDigest,
		BuildTrigger: s.BuildTrigger, RunInvocation: s.RunInvocationURI, RunnerEnvironment: s.RunnerEnvironment,
	}

	// Until 2022 the same stood in extensions for GitHub alone.
	if c.SourceRepository == "" && s.GithubWorkflowRepository != "" {
		c.SourceRepository = "https://github.com/" + s.GithubWorkflowRepository
	}
	c.SourceRepositoryRef = cmp.Or(c.SourceRepositoryRef, s.GithubWorkflowRef)
	c.SourceRepositoryDigest = cmp.Or(c.SourceRepositoryDigest, s.GithubWorkflowSHA)
	return c
}
