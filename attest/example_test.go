package attest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/pipeline/artifact"
)

// A statement about a file is signed. Who trusts the key opens the bundle for
// that file, and for no other.
func Example() {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	key, err := signature.LoadDefaultSigner(private)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := attest.NewSigner(context.Background(), key)
	if err != nil {
		log.Fatal(err)
	}
	hello := artifact.Of([]byte("hello\n"))
	bundle, err := signer.Sign(context.Background(), intoto.Statement{
		Subjects:      []intoto.Subject{{Name: "hello.txt", Digest: hello}},
		PredicateType: "https://example.com/review/v1",
		Predicate:     []byte(`{"approved":true}`),
	})
	if err != nil {
		log.Fatal(err)
	}

	trust, err := attest.TrustKey(private.Public())
	if err != nil {
		log.Fatal(err)
	}
	verified, err := attest.Open(bundle, trust, attest.Artifact{Digest: hello})
	if err != nil {
		log.Fatal(err)
	}
	statement, _ := verified.Statement()
	fmt.Println(statement.PredicateType, string(statement.Predicate))

	_, err = attest.Open(bundle, trust, attest.Artifact{Digest: artifact.Of([]byte("something else"))})
	fmt.Println("opens for another file:", err == nil)
	// Output:
	// https://example.com/review/v1 {"approved":true}
	// opens for another file: false
}
