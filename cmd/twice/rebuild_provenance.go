package main

import (
	"context"
	"errors"
	"path"
	"slices"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/verify"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/rebuild"
	"github.com/twicebuild/twice/pipeline/safetext"
	"github.com/twicebuild/twice/pipeline/subject"
)

// provenanceReader returns a reader of the bundles beside what is rebuilt.
func (a *app) provenanceReader(ctx context.Context, f trustFlags) (*verify.ProvenanceReader, error) {
	var trust *attest.Trust
	byIdentity := f.identity != (attest.Identity{})
	switch {
	case f.key != "" && byIdentity:
		return nil, fault.Usage(errors.New("--trust-key and --certificate-... exclude each other: a signature is a key's or a certificate's"))
	case f.isSet() && f.key == "" && !byIdentity:
		return nil, fault.Usage(errors.New("--trust-root does not say whose provenance counts: give --trust-key or --certificate-identity, too"))
	case f.isSet():
		t, err := a.trust(ctx, f)
		if err != nil {
			return nil, err
		}
		trust = &t
	}

	return verify.NewProvenanceReader(trust, displayPath, func(line string) { a.progress.Line("%s", safetext.Clean(line)) }), nil
}

// addProvenance adds to s what bundles say of an executable. It returns the bundles that say
// something.
func addProvenance(s *rebuild.Subject, e *subject.Executable, reader *verify.ProvenanceReader, bundles []verify.LoadedBundle) (used []intoto.Descriptor) {
	if e.Stated != nil {
		s.Stated = &rebuild.Stated{Recipe: e.Stated.Recipe, By: "release.json"}
	}

	var containers []artifact.Digest
	for _, c := range e.Containers {
		containers = append(containers, c.Digest)
	}
	var hints []rebuild.Hint

	for _, p := range reader.About(e.Digest, containers, bundles) {
		used = append(used, intoto.Descriptor{Name: p.Bundle, Digest: map[string]string{"sha256": p.Digest.Hex()}})

		// The first recipe that is signed counts, or else the first one.
		if p.Recipe != nil && (s.Stated == nil || p.Verified && !s.Stated.Verified) {
			s.Stated = &rebuild.Stated{Recipe: *p.Recipe, By: p.Bundle, Verified: p.Verified}
		}

		if p.Source == nil {
			continue
		}
		from := p.Bundle + ", whose signature was not verified"
		if p.Verified {
			from = p.Bundle + ", signed by whom you trust"
		}
		// Of a module below the repository's root the tag is DIR/VERSION.
		if tag := path.Base(p.Source.Tag); p.Source.Tag != "" {
			hints = append(hints, rebuild.Hint{Version: tag, From: from})
		}
		if p.Source.Commit != "" {
			hints = append(hints, rebuild.Hint{Revision: p.Source.Commit, From: from})
		}
	}

	s.Hints = slices.Concat(hints, s.Hints)
	return used
}
