// Command sigstore-kms-azurekms lets twice and cosign sign with a key in
// Azure Key Vault, which they name
//
//	azurekms://VAULT.vault.azure.net/KEY or azurekms://VAULT.vault.azure.net/KEY/VERSION
//
// It is a plugin of Sigstore's protocol, run by them from a folder of PATH.
// It has credentials from AZURE_* variables, a managed identity, or the Azure command line.
//
//	go install github.com/twicebuild/twice/cmd/kms/sigstore-kms-azurekms@latest
package main

import (
	_ "github.com/sigstore/sigstore/pkg/signature/kms/azure" // the provider

	"github.com/twicebuild/twice/cmd/kms/internal/plugin"
)

func main() { plugin.Main("azurekms") }
