// Command sigstore-kms-hashivault lets twice and cosign sign with a key in
// the transit engine of HashiCorp Vault or OpenBao, which they name
//
//	hashivault://KEY
//
// It is a plugin of Sigstore's protocol, run by them from a folder of PATH.
// It needs VAULT_ADDR, and takes the token from VAULT_TOKEN, the token helper, or ~/.vault-token. TRANSIT_SECRET_ENGINE_PATH names another path than transit.
//
//	go install github.com/twicebuild/twice/cmd/kms/sigstore-kms-hashivault@latest
package main

import (
	_ "github.com/sigstore/sigstore/pkg/signature/kms/hashivault" // the provider

	"github.com/twicebuild/twice/cmd/kms/internal/plugin"
)

func main() { plugin.Main("hashivault") }
