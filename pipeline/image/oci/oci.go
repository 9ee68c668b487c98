// Package oci makes OCI images from verified binaries. Their bytes depend on the
// input alone: equal inputs give equal images, on any host, in any order of the lists
// and of the work.
//
// # What an image consists of
//
// An image is an index (image-spec v1.1,
// https://github.com/opencontainers/image-spec/blob/v1.1.1/spec.md) with one
// manifest for each platform. The layers of a manifest are, from the bottom:
//
//  1. those of the base for the platform, if there is one: the same bytes. Their
//     media types are OCI's also where they were Docker's, since the manifest is
//     OCI's.
//  2. what the options of the release file stand for, if anything: /etc/passwd and
//     /etc/group with root, nobody and the user, and the user's home (only without
//     a base); /tmp; the certification authorities; the time zones.
//  3. the files of the release file, if any.
//  4. each binary, in a layer of its own.
//
// Layers with the same content are one blob, whichever images and platforms they
// belong to. A layer has the files and the folders that lead to them, unless the
// base has these, in bytewise order of their names (a folder's ends in a slash).
// Owner and group are 0, and the user's in its home. The modification time is that
// of the commit. The tar stream is USTAR, PAX where an entry does not fit, and
// compressed by the same pinned compressor as archives. The file in the layer is,
// byte for byte, the binary that was compared: writing fails if it is not.
//
// An image takes from the configuration of its base the environment, the labels that
// are not standard annotations (those describe the base itself), the working
// directory, ports, volumes, the stop signal and the history. It does not take the
// entrypoint, command, user, health check, shell and build triggers.
//
// # Sizes
//
// Unpacked and packed, in kilobytes: users and /tmp 5 and 0.3; certificates 175
// and 102; the time zones of Go 1.26 821 and 107.
//
// # The image layout
//
// [Write] makes an OCI image layout
// (https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md): a
// folder with oci-layout, index.json and blobs/sha256. index.json has one
// descriptor for each image, of its index, in bytewise order of these annotations:
//
//	org.opencontainers.image.ref.name       repository:tag, with the first tag
//	io.containerd.image.name                the same: what containerd imports it as
//	com.github.twicebuild.twice.repository  the repository
//	com.github.twicebuild.twice.tags        all tags, separated by spaces, in the
//	                                        order of the release file
//
// The name is complete, and not a tag alone, since a layout can hold images of
// several repositories. All tags share one descriptor, since many tools want a
// layout to have just one, unless they are told which image to take.
//
// # What is refused
//
// An image that could not start is refused before anything is written, with all its
// faults at once. Its binaries must be for its platform. A loader (PT_INTERP) and
// shared libraries (DT_NEEDED) that they ask for must be there, and so must the
// interpreter of a script. The entrypoint must be there and be executable for the
// user. Two files must not have one path. A file that a base has behind a symbolic
// link must be named by its real path: unpacking would replace the link.
package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/image"
)

// Input is everything that images are made from.
type Input struct {
	Images []matrix.ImagePlan
	// Bases holds every base of Images but scratch, by ImagePlan.Base.
	Bases map[string]*Base
	// Binaries holds every binary of Images for every target of theirs.
	Binaries []Binary
	// Files holds the files of the source tree, by ImageFile.Source.
	Files map[string]Content
	// Zoneinfo is lib/time/zoneinfo.zip of the Go distribution that built the
	// binaries. It is needed where an image has time zones.
	Zoneinfo []byte
	// Title, Revision and Version are the values of standard annotations: the
	// project, the commit, the version. One that is empty is left out.
	Title, Revision, Version string
	// Created is the time of the commit. Every file and image gets it, in whole
	// seconds.
	Created time.Time
	// Jobs is how many layers are compressed at once; at least 1.
	Jobs int
}

// Binary is a binary for a target.
type Binary struct {
	Target matrix.Target
	// Name is that of the release file, as in matrix.ImageBinary.
	Name string
	Content
}

// These types describe what was made.
type (
	Image    = image.Image
	Manifest = image.Manifest
	Layer    = image.Layer
)

// Write makes the images and an image layout in dir, which must not exist or be
// empty. It returns them in the order of index.json. Nothing is written if an
// image is refused (see the package comment). After another error dir is no layout,
// as index.json comes last.
func Write(ctx context.Context, dir string, in Input) ([]Image, error) {
	a, err := prepare(in)
	if err != nil {
		return nil, err
	}

	// A file that was there before would become part of the layout.
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s: not empty", dir)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("images: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}

	a.layout = layoutWriter{dir}
	return a.assemble(ctx)
}

// Digests returns the same images as [Write]. Their bytes are made and hashed, and not
// kept.
func Digests(ctx context.Context, in Input) ([]Image, error) {
	a, err := prepare(in)
	if err != nil {
		return nil, err
	}
	return a.assemble(ctx)
}
