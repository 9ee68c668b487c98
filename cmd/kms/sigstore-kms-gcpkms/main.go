// Command sigstore-kms-gcpkms lets twice and cosign sign with a key in
// Google Cloud KMS, which they name
//
//	gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K, and /cryptoKeyVersions/N after it for one version
//
// It is a plugin of Sigstore's protocol, run by them from a folder of PATH.
// It has the application default credentials.
//
//	go install github.com/twicebuild/twice/cmd/kms/sigstore-kms-gcpkms@latest
package main

import (
	_ "github.com/sigstore/sigstore/pkg/signature/kms/gcp" // the provider

	"github.com/twicebuild/twice/cmd/kms/internal/plugin"
)

func main() { plugin.Main("gcpkms") }
