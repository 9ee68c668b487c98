package slsa

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/record"
)

// toolchainNotes are the annotations of the toolchain.
type toolchainNotes struct {
	Arch      string `json:"arch"`
	From      string `json:"from"`
	GoEnv     string `json:"goEnv,omitempty"`
	OS        string `json:"os"`
	Published bool   `json:"published"`
	Version   string `json:"version"`
}

// toolchainDescriptor describes the toolchain of a release. It has a URI if it is a published one.
func toolchainDescriptor(rec *record.Record) (intoto.Descriptor, error) {
	tc := rec.Varying.Toolchain
	d := intoto.Descriptor{Name: "toolchain"}
	var err error
	if d.Digest, err = dirHash(tc.Sum); err != nil {
		return d, err
	}

	d.Annotations, err = intoto.Annotations(toolchainNotes{
		Arch: rec.Varying.Host.Arch, From: tc.From, GoEnv: tc.GoEnv, OS: rec.Varying.Host.OS,
		Published: tc.Published, Version: rec.Toolchain.Version,
	})

	if err == nil && tc.Published {
		d.URI, err = toolchainPURL(rec.Toolchain.Version, rec.Varying.Host.OS, rec.Varying.Host.Arch)
	}
	return d, err
}

// checkToolchain checks a descriptor that toolchainDescriptor should have made, also against the
// recipes.
func checkToolchain(d intoto.Descriptor, in *InternalParameters) error {
	var notes toolchainNotes
	if err := intoto.FromAnnotations(d.Annotations, &notes); err != nil {
		return err
	}

	// The hash and the annotations are taken as they are. The rest follows from them.
	want := intoto.Descriptor{Name: "toolchain", Digest: map[string]string{"dirHash": d.Digest["dirHash"]}, Annotations: d.Annotations}
	if notes.Published {
		var err error
		if want.URI, err = toolchainPURL(notes.Version, notes.OS, notes.Arch); err != nil {
			return err
		}
	}
	if err := checkDescriptors([]intoto.Descriptor{d}, []intoto.Descriptor{want}); err != nil || len(d.Digest["dirHash"]) != 64 {
		return fmt.Errorf("not %s for %s/%s, published %t, by its name, uri and dirHash", notes.Version, notes.OS, notes.Arch, notes.Published)
	}

	if !slices.Contains([]string{"installed", "cache", "downloaded"}, notes.From) {
		return fmt.Errorf("from %.100q: unknown", notes.From)
	}

	// All recipes were built with this toolchain. A recipe has the hash of one that is not
	// published.
	for _, r := range in.Recipes {
		tc := r.Recipe.Toolchain
		if tc.Version != notes.Version || (tc.Sum == "") != notes.Published {
			return fmt.Errorf("version %q, published %t: the recipe of %s for %s says something else", notes.Version, notes.Published, r.Recipe.Binary, r.Recipe.Target)
		}
		if tc.Sum != "" {
			if sum, err := dirHash(tc.Sum); err != nil || sum["dirHash"] != d.Digest["dirHash"] {
				return fmt.Errorf("digest %v: the recipe of %s for %s says something else", d.Digest, r.Recipe.Binary, r.Recipe.Target)
			}
		}
	}
	return nil
}

// dependencies derives the descriptors of everything that was fetched: the source, the release
// file, the toolchain (which is given), the modules by their names, and the bases of images.
func dependencies(ext *ExternalParameters, in *InternalParameters, toolchain intoto.Descriptor) ([]intoto.Descriptor, error) {
	if len(in.Recipes) == 0 {
		return nil, errors.New("recipes: there is none")
	}

	// All recipes have one source, which checkProvenance makes sure of.
	src := in.Recipes[0].Recipe.Source
	source, config := intoto.Descriptor{Name: "source"}, intoto.Descriptor{Name: "config", Digest: ext.Config.Digest}
	var err error

	if src.Module != "" {
		if source.Digest, err = dirHash(src.Sum); err != nil {
			return nil, fmt.Errorf("source: %w", err)
		}
		if source.URI, err = modulePURL(src.Module, src.Version); err != nil {
			return nil, fmt.Errorf("source: %w", err)
		}
	} else {
		source.Digest = map[string]string{"gitCommit": src.Commit, "gitTree": src.Tree}
		if ext.Source.Repository != "" {
			if source.URI, err = gitURI(ext.Source.Repository, src.Commit); err != nil {
				return nil, fmt.Errorf("source: %w", err)
			}
		}
		if ext.Source.Uncommitted {
			source.Annotations = map[string]json.RawMessage{"uncommitted": json.RawMessage("true")}
		}
	}

	list := []intoto.Descriptor{source, config, toolchain}

	// Recipes share modules. Each is there once.
	byName := map[string]intoto.Descriptor{}
	for _, r := range in.Recipes {
		for _, m := range r.Recipe.Modules {
			d, ok, err := moduleDescriptor(m)
			if err != nil {
				return nil, fmt.Errorf("module %.200q: %w", m.Path, err)
			}
			if !ok {
				continue
			}
			if known, ok := byName[d.Name]; ok && known.Digest["dirHash"] != d.Digest["dirHash"] {
				return nil, fmt.Errorf("module %s: the recipes have different hashes of it", d.Name)
			}
			byName[d.Name] = d
		}
	}

	var modules []intoto.Descriptor
	for _, d := range byName {
		modules = append(modules, d)
	}
	slices.SortFunc(modules, func(a, b intoto.Descriptor) int { return strings.Compare(a.Name, b.Name) })

	list = append(list, modules...)

	// Bases come last, in the order of the record.
	for _, b := range in.Bases {
		if _, err := artifact.ParseDigest(string(b.Digest)); err != nil || b.Reference == "" {
			return nil, fmt.Errorf("base %.200q: %q is no digest", b.Reference, b.Digest)
		}
		list = append(list, intoto.Descriptor{Name: b.Reference, Digest: sha256Set(b.Digest)})
	}
	return list, nil
}

// moduleDescriptor describes a module, or its replacement where it has one. Its name is
// path@version. It returns false for a module without a version: that one is in a folder of the
// source tree, which the source covers.
func moduleDescriptor(m recipe.Module) (intoto.Descriptor, bool, error) {
	path, version := m.Path, m.Version
	if m.Replace != "" {
		i := strings.LastIndexByte(m.Replace, '@')
		if i < 0 || !semver.IsValid(m.Replace[i+1:]) || module.CheckPath(m.Replace[:i]) != nil {
			if m.Sum != "" {
				return intoto.Descriptor{}, false, fmt.Errorf("replaced by %.200q, which is no module, but has a hash", m.Replace)
			}
			return intoto.Descriptor{}, false, nil
		}
		path, version = m.Replace[:i], m.Replace[i+1:]
	}

	if version == "" {
		if m.Sum != "" {
			return intoto.Descriptor{}, false, errors.New("a hash without a version")
		}
		return intoto.Descriptor{}, false, nil
	}

	d := intoto.Descriptor{Name: path + "@" + version}
	var err error
	if d.URI, err = modulePURL(path, version); err != nil {
		return d, false, err
	}

	if m.Sum == "" {
		// Vendored: its bytes are in the source.
		d.Annotations = map[string]json.RawMessage{"vendored": json.RawMessage("true")}
		return d, true, nil
	}
	d.Digest, err = dirHash(m.Sum)
	return d, true, err
}
