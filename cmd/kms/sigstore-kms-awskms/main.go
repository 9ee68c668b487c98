// Command sigstore-kms-awskms is a plugin, by Sigstore's protocol, with which
// twice and cosign sign with a key in the AWS Key Management Service:
//
//	awskms:///KEY-ID
//	awskms:///alias/NAME
//	awskms:///ARN
//	awskms://HOST/...   at another endpoint
//
// They find it in PATH and run it; there is nothing to call by hand.
// Credentials and region come from where the AWS command line has them.
//
//	go install github.com/twicebuild/twice/cmd/kms/sigstore-kms-awskms@latest
package main

import (
	_ "github.com/sigstore/sigstore/pkg/signature/kms/aws" // the provider

	"github.com/twicebuild/twice/cmd/kms/internal/plugin"
)

func main() { plugin.Main("awskms") }
