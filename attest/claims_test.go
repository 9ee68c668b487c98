package attest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/intoto"
)

// Whatever Open accepts is claimed, in whatever form it is written.
func TestReadClaimForms(t *testing.T) {
	rename := func(old, new string) func([]byte) []byte {
		return func(data []byte) []byte { return bytes.ReplaceAll(data, []byte(old), []byte(new)) }
	}
	claimed := regexp.MustCompile(`"(payload|digest)": *"[^"]*"`)
	encode := func(pairs ...string) func([]byte) []byte {
		return func(data []byte) []byte {
			return claimed.ReplaceAllFunc(data, func(member []byte) []byte { return []byte(strings.NewReplacer(pairs...).Replace(string(member))) })
		}
	}
	for name, s := range samples(t) {
		for form, change := range map[string]func([]byte) []byte{
			"as it is": bytes.Clone, "no padding": encode("=", ""), "for addresses": encode("+", "-", "/", "_"),
			"envelope": rename("dsseEnvelope", "dsse_envelope"), "message": rename("messageSignature", "message_signature"), "digest": rename("messageDigest", "message_digest"),
		} {
			data := change(s.data)
			if _, err := attest.Open(data, s.trust, about); err != nil {
				t.Errorf("%s, %s: %v", name, form, err) // the form is not one that Open reads
			}
			if c := attest.ReadClaim(data); !c.About(about.Digest) || (c.PredicateType != "") != strings.HasSuffix(name, "statement") {
				t.Errorf("%s, %s: claims %+v", name, form, c)
			}
		}
	}
}

// peak runs f and returns by how much the memory that was in use grew, in bytes.
func peak(f func()) uint64 {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A bundle whose members are small and many takes no more memory than a large one.
func TestHostileSize(t *testing.T) {
	trust := samples(t)["keyless v2 statement"].trust
	fill := func(before, element, after string) []byte {
		n := (attest.MaxSize/4 - len(before) - len(after)) / (len(element) + 1)
		return []byte(before + strings.Repeat(element+",", n) + element + after)
	}
	envelope := func(payload []byte) []byte {
		return fmt.Appendf(nil, `{"mediaType":%q,"verificationMaterial":{"publicKey":{}},"dsseEnvelope":{"payload":%q,"payloadType":%q,"signatures":[{"sig":"AAAA"}]}}`,
			attest.MediaType, base64.StdEncoding.EncodeToString(payload), intoto.PayloadType)
	}
	material := func(list, element string) []byte {
		return fill(`{"mediaType":"`+attest.MediaType+`","verificationMaterial":{"publicKey":{},`+list, element, `]}}}`)
	}
	set := bytes.Repeat([]byte{0x30, 0}, attest.MaxSize/8) // of empty sequences
	for name, data := range map[string][]byte{
		"log entries":    material(`"x":{},"tlogEntries":[`, `{}`),
		"hashes":         material(`"tlogEntries":[{"inclusionProof":{"hashes":[`, `""`),
		"subjects":       envelope(fill(`{"predicateType":"x","subject":[`, `{"digest":{"sha256":"x"}}`, `]}`)),
		"empty subjects": envelope(fill(`{"predicateType":"x","subject":[`, `{}`, `]}`)),
		"a time stamp": []byte(`{"mediaType":"` + attest.MediaType + `","verificationMaterial":{"publicKey":{},"timestampVerificationData":{"rfc3161Timestamps":[{"signedTimestamp":"` +
			base64.StdEncoding.EncodeToString(set) + `"}]}},"messageSignature":{"signature":"AAAA"}}`),
		"a certificate": []byte(`{"mediaType":"` + attest.MediaType + `","verificationMaterial":{"certificate":{"rawBytes":"` +
			base64.StdEncoding.EncodeToString(set) + `"}},"messageSignature":{"signature":"AAAA"}}`),
		"spaces": bytes.Repeat([]byte(" "), attest.MaxSize/4),
		"quotes": bytes.Repeat([]byte(`"`), attest.MaxSize/4),
	} {
		t.Run(name, func(t *testing.T) {
			used := peak(func() {
				v, err := attest.Open(data, trust, about)
				mustRefuse(t, name, v, err)
				if c := attest.ReadClaim(data); len(c.Subjects) > 1024 {
					t.Errorf("claims %d subjects", len(c.Subjects))
				}
			})
			if limit := uint64(12 * len(data)); used > limit {
				t.Errorf("%d MB of memory for %d MB", used>>20, len(data)>>20)
			}
		})
	}
	// What is good stays far below the bound.
	names, err := filepath.Glob(filepath.Join("testdata", "open", "*.sigstore.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(data) || len(data) > 64<<10 {
			t.Errorf("%s: %d bytes", name, len(data))
		}
	}
}
