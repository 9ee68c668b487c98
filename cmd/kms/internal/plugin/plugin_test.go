package plugin

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/common"
	"github.com/sigstore/sigstore/pkg/signature/kms/fake"
)

// answer runs the plugin of Sigstore's fake provider, whose key is in the
// context, and returns what it writes.
func answer(t *testing.T, key *ecdsa.PrivateKey, scheme, stdin string, args ...string) (*common.PluginResp, error) {
	t.Helper()
	ctx := context.WithValue(t.Context(), fake.KmsCtxKey{}, crypto.PrivateKey(key))
	var stdout bytes.Buffer
	err := run(ctx, scheme, append([]string{"sigstore-kms-" + scheme}, args...), strings.NewReader(stdin), &stdout)
	var resp common.PluginResp
	dec := json.NewDecoder(&stdout)
	dec.DisallowUnknownFields()
	if e := dec.Decode(&resp); e != nil {
		t.Fatalf("no JSON document: %v", e)
	}
	if (err != nil) != (resp.ErrorMessage != "") {
		t.Errorf("error %v, answer %q", err, resp.ErrorMessage)
	}
	return &resp, err
}

const start = `{"initOptions":{"protocolVersion":"v1","keyResourceID":"key","hashFunc":5,"rpcOptions":{}},`

func TestPlugin(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := answer(t, key, "fakekms", "", "v1", start+`"methodName":"publicKey","publicKey":{"publicKeyOptions":{"rpcOptions":{}}}}`)
	if err != nil || resp.PublicKey == nil {
		t.Fatal(resp, err)
	}
	public, err := cryptoutils.UnmarshalPEMToPublicKey(resp.PublicKey.PublicKeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	if !key.PublicKey.Equal(public) {
		t.Error("another public key")
	}

	resp, err = answer(t, key, "fakekms", "message", "v1", start+`"methodName":"signMessage","signMessage":{"signOptions":{"rpcOptions":{},"messageOptions":{}}}}`)
	if err != nil || resp.SignMessage == nil {
		t.Fatal(resp, err)
	}
	verifier, err := signature.LoadVerifier(public, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.VerifySignature(bytes.NewReader(resp.SignMessage.Signature), strings.NewReader("message")); err != nil {
		t.Error(err)
	}

	for message, want := range map[string]bool{"message": true, "another": false} {
		args, err := json.Marshal(map[string]any{"signature": resp.SignMessage.Signature, "verifyOptions": map[string]any{"rpcOptions": struct{}{}, "messageOptions": struct{}{}}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := answer(t, key, "fakekms", message, "v1", start+`"methodName":"verifySignature","verifySignature":`+string(args)+"}")
		if (err == nil && got.VerifySignature != nil) != want {
			t.Errorf("%s: %v", message, err)
		}
	}
}

// TestRefused: each wrong call has a reason, in the answer, and none ends the
// process otherwise.
func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		scheme string
		args   []string
		want   string
	}{
		"by hand":        {"fakekms", nil, "want the arguments"},
		"one argument":   {"fakekms", []string{"--help"}, "want the arguments"},
		"version":        {"fakekms", []string{"v2", start + `"methodName":"publicKey"}`}, `protocol version "v2"`},
		"no JSON":        {"fakekms", []string{"v1", "x"}, "invalid character"},
		"null":           {"fakekms", []string{"v1", "null"}, "arguments without"},
		"empty":          {"fakekms", []string{"v1", "{}"}, "arguments without"},
		"no method":      {"fakekms", []string{"v1", start[:len(start)-1] + "}"}, "arguments without"},
		"unknown method": {"fakekms", []string{"v1", start + `"methodName":"steal"}`}, `unsupported method "steal"`},
		"publicKey":      {"fakekms", []string{"v1", start + `"methodName":"publicKey"}`}, "publicKey: no arguments"},
		"its options":    {"fakekms", []string{"v1", start + `"methodName":"publicKey","publicKey":{}}`}, "publicKey: no arguments"},
		"signMessage":    {"fakekms", []string{"v1", start + `"methodName":"signMessage","signMessage":{}}`}, "signMessage: no arguments"},
		"verify":         {"fakekms", []string{"v1", start + `"methodName":"verifySignature"}`}, "verifySignature: no arguments"},
		"createKey":      {"fakekms", []string{"v1", start + `"methodName":"createKey"}`}, "createKey: no arguments"},
		"no provider":    {"gone", []string{"v1", start + `"methodName":"publicKey"}`}, "built without its provider"},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := answer(t, key, test.scheme, "", test.args...)
			if err == nil || !strings.Contains(resp.ErrorMessage, test.want) {
				t.Errorf("%q, %v", resp.ErrorMessage, err)
			}
		})
	}
}
