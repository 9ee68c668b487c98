// Command sigstore-kms-gcpkms is a plugin, by Sigstore's protocol, with which
// twice and cosign sign with a key in Google Cloud KMS:
//
//	gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K
//	gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N
//
// They find it in PATH and run it; there is nothing to call by hand.
// Credentials are the application default ones.
//
//	go install github.com/twicebuild/twice/cmd/kms/sigstore-kms-gcpkms@latest
package main

import (
	_ "github.com/sigstore/sigstore/pkg/signature/kms/gcp" // the provider

	"github.com/twicebuild/twice/cmd/kms/internal/plugin"
)

func main() { plugin.Main("gcpkms") }
