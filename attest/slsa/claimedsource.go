package slsa

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Predicate types of older provenance. It is not made any more, and is still around
// (https://slsa.dev/spec/v0.2/provenance, https://slsa.dev/spec/v0.1/provenance).
const (
	provenanceType02 = "https://slsa.dev/provenance/v0.2"
	provenanceType01 = "https://slsa.dev/provenance/v0.1"
)

var commitRE = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// maxClaimed bounds a text from a provenance, in bytes.
const maxClaimed = 1024

// ClaimedSource returns what an encoded statement says of the source: the URL of its repository,
// the commit and the tag. It is for guesses, not for judgement. Nothing is verified, and any
// subjects will do. It reads versions 0.1, 0.2 and 1 of provenance, as GitHub's workflows, the SLSA
// generators and the npm client write it, and provenance of ours. It leaves out what it does not
// understand. ok tells that something was found.
func ClaimedSource(statement []byte) (s Source, ok bool) {
	var doc struct {
		PredicateType string          `json:"predicateType"`
		Predicate     json.RawMessage `json:"predicate"`
	}
	if json.Unmarshal(statement, &doc) != nil {
		return s, false
	}
	switch doc.PredicateType {
	case ProvenanceType:
		s = sourceFromV1(doc.Predicate)
	case provenanceType01, provenanceType02:
		s = sourceFromV0(doc.Predicate)
	}
	return s, s != Source{}
}

// sourceFromV1 reads a predicate of version 1.
func sourceFromV1(predicate []byte) (s Source) {
	var p struct {
		BuildDefinition struct {
			ExternalParameters struct {
				Workflow struct {
					Repository string `json:"repository"`
					Ref        string `json:"ref"`
				} `json:"workflow"`
				Source json.RawMessage `json:"source"`
			} `json:"externalParameters"`
			ResolvedDependencies []material `json:"resolvedDependencies"`
		} `json:"buildDefinition"`
	}
	if json.Unmarshal(predicate, &p) != nil {
		return s
	}

	// Provenance of ours has a source of its own.
	ext := p.BuildDefinition.ExternalParameters
	var ours struct {
		Commit, Repository, Tag string
	}
	if json.Unmarshal(ext.Source, &ours) == nil && ours.Commit+ours.Repository != "" {
		s.fillIn(ours.Repository, "", ours.Commit)
		s.Tag = oneLine(ours.Tag)
		return s
	}

	var uri string // of other generators: git+https://HOST/OWNER/NAME@REF
	if json.Unmarshal(ext.Source, &uri) == nil {
		s.fillInURI(uri, "")
	}

	// The workflow comes first, so that dependencies of other repositories add nothing.
	s.fillIn(ext.Workflow.Repository, ext.Workflow.Ref, "")

	for _, m := range p.BuildDefinition.ResolvedDependencies[:min(16, len(p.BuildDefinition.ResolvedDependencies))] {
		if repository, _ := splitURI(m.URI); s.Repository == "" || repository == s.Repository {
			s.fillInURI(m.URI, m.commit())
		}
	}

	return s
}

// sourceFromV0 reads a predicate of version 0.1 or 0.2.
func sourceFromV0(predicate []byte) (s Source) {
	var p struct {
		Invocation struct {
			ConfigSource material `json:"configSource"`
		} `json:"invocation"`
		Recipe struct {
			DefinedInMaterial *int `json:"definedInMaterial"`
		} `json:"recipe"`
		Materials []material `json:"materials"`
	}
	if json.Unmarshal(predicate, &p) != nil {
		return s
	}

	// Version 0.1 points into the list of materials, and version 0.2 repeats the material.
	config := p.Invocation.ConfigSource
	if i := p.Recipe.DefinedInMaterial; config.URI == "" && i != nil && *i >= 0 && *i < len(p.Materials) {
		config = p.Materials[*i]
	}
	s.fillInURI(config.URI, config.commit())
	return s
}

// material is a thing that went into a build.
type material struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
}

// commit returns the digest of a git commit, or nothing.
func (m material) commit() string {
	for _, algorithm := range []string{"gitCommit", "sha1"} {
		if c := m.Digest[algorithm]; c != "" {
			return c
		}
	}
	return ""
}

// splitURI splits git+https://HOST/OWNER/NAME@REF.
func splitURI(uri string) (repository, ref string) {
	uri, git := strings.CutPrefix(uri, "git+")
	if !git && !strings.HasPrefix(uri, "https://") {
		return "", ""
	}
	repository, ref, _ = strings.Cut(uri, "@")
	return repository, ref
}

// fillInURI takes over the repository and the ref in a URI, and a commit.
func (s *Source) fillInURI(uri, commit string) {
	if repository, ref := splitURI(uri); repository != "" {
		s.fillIn(repository, ref, commit)
	}
}

// fillIn takes over what has the right form, where nothing is there yet.
func (s *Source) fillIn(repository, ref, commit string) {
	if u, err := url.Parse(repository); s.Repository == "" && err == nil && u.Scheme == "https" && u.User == nil {
		s.Repository = oneLine(repository)
	}
	if tag, ok := strings.CutPrefix(ref, "refs/tags/"); ok && s.Tag == "" {
		s.Tag = oneLine(tag)
	}
	if s.Commit == "" && commitRE.MatchString(commit) {
		s.Commit = commit
	}
}

// oneLine returns a text of one line that is not too long, or nothing.
func oneLine(s string) string {
	if len(s) > maxClaimed || slices.ContainsFunc([]byte(s), func(c byte) bool { return c < ' ' || c == 0x7f }) {
		return ""
	}
	return s
}
