// Command sigstore-kms-awskms lets twice and cosign sign with a key in
// the AWS Key Management Service, which they name
//
//	awskms:///KEY-ID, awskms:///ARN or awskms:///alias/NAME, with a host before the third slash for another endpoint
//
// It is a plugin of Sigstore's protocol, run by them from a folder of PATH.
// It has credentials and region from where the AWS command line has them.
//
//	go install github.com/twicebuild/twice/cmd/kms/sigstore-kms-awskms@latest
package main

import (
	_ "github.com/sigstore/sigstore/pkg/signature/kms/aws" // the provider

	"github.com/twicebuild/twice/cmd/kms/internal/plugin"
)

func main() { plugin.Main("awskms") }
