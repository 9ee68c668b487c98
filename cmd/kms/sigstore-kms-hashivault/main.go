// Command sigstore-kms-hashivault is a plugin, by Sigstore's protocol, with which
// twice and cosign sign with a key in the transit engine of HashiCorp Vault
// or OpenBao:
//
//	hashivault://KEY
//
// They find it in PATH and run it; there is nothing to call by hand.
// VAULT_ADDR is the server. The token comes from VAULT_TOKEN, the token helper, or
// ~/.vault-token. TRANSIT_SECRET_ENGINE_PATH is the engine's path if that is not
// transit.
//
//	go install github.com/twicebuild/twice/cmd/kms/sigstore-kms-hashivault@latest
package main

import (
	_ "github.com/sigstore/sigstore/pkg/signature/kms/hashivault" // the provider

	"github.com/twicebuild/twice/cmd/kms/internal/plugin"
)

func main() { plugin.Main("hashivault") }
