// Command sigstore-kms-azurekms is a plugin, by Sigstore's protocol, with which
// twice and cosign sign with a key in Azure Key Vault:
//
//	azurekms://VAULT.vault.azure.net/KEY
//	azurekms://VAULT.vault.azure.net/KEY/VERSION
//
// They find it in PATH and run it; there is nothing to call by hand.
// Credentials come from AZURE_* variables, a managed identity, or the Azure
// command line.
//
//	go install github.com/twicebuild/twice/cmd/kms/sigstore-kms-azurekms@latest
package main

import (
	_ "github.com/sigstore/sigstore/pkg/signature/kms/azure" // the provider

	"github.com/twicebuild/twice/cmd/kms/internal/plugin"
)

func main() { plugin.Main("azurekms") }
