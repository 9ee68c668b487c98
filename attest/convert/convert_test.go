package convert_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/attesttest"
	"github.com/twicebuild/twice/attest/convert"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/pipeline/artifact"
)

const signer = "signer@example.com"

var (
	hello = []byte("hello\n")
	about = attest.Artifact{Digest: artifact.Of(hello), Content: hello}
	said  = intoto.Statement{
		Subjects:      []intoto.Subject{{Name: "hello.txt", Digest: artifact.Of(hello)}},
		PredicateType: "https://example.com/predicate/v1", Predicate: []byte(`{}`),
	}
)

// signed is a statement and a file's signature, keyless and with a key.
type signed struct {
	statement, file []byte
	trust           attest.Trust
}

func keyless(t testing.TB) signed {
	t.Helper()
	stack := attesttest.New(t, 1) // the older forms have entries of the first version
	root, err := attest.ParseRoot(stack.TrustedRoot)
	must(t, err)
	services, err := attest.NewServices(stack.SigningConfig, root, time.Now, http.DefaultTransport)
	must(t, err)
	s, err := attest.NewKeylessSigner(services, func(context.Context) (string, error) { return attesttest.Token(signer), nil })
	must(t, err)
	trust, err := attest.TrustIdentity(root, attest.Identity{Name: signer, Issuer: attesttest.Issuer})
	must(t, err)
	return sign(t, s, trust)
}

func withKey(t testing.TB) signed {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	sv, err := signature.LoadDefaultSigner(key)
	must(t, err)
	s, err := attest.NewSigner(t.Context(), sv)
	must(t, err)
	trust, err := attest.TrustKey(key.Public())
	must(t, err)
	return sign(t, s, trust)
}

func sign(t testing.TB, s *attest.Signer, trust attest.Trust) signed {
	t.Helper()
	statement, err := s.Sign(t.Context(), said)
	must(t, err)
	file, err := s.SignFile(t.Context(), "hello.txt", hello)
	must(t, err)
	return signed{statement, file, trust}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	must(t, err)
	return data
}

// parts are what the older forms are made of.
type parts struct {
	Cert      string // PEM, empty for a key
	Sig       string // base64
	Envelope  map[string]any
	Entry     map[string]any // nil for a key
	KeyID     string
	Payload   string
	Signature []byte
}

// partsOf takes a bundle apart.
func partsOf(t testing.TB, data []byte) parts {
	t.Helper()
	pb := &protobundle.Bundle{}
	must(t, protojson.Unmarshal(data, pb))
	var p parts
	m := pb.GetVerificationMaterial()
	if c := m.GetCertificate(); c != nil {
		p.Cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.GetRawBytes()}))
	}
	if e := pb.GetDsseEnvelope(); e != nil {
		signature := map[string]any{"keyid": "", "sig": base64.StdEncoding.EncodeToString(e.GetSignatures()[0].GetSig())}
		p.Envelope = map[string]any{"payloadType": e.GetPayloadType(), "payload": base64.StdEncoding.EncodeToString(e.GetPayload()), "signatures": []any{signature}}
		p.Sig = base64.StdEncoding.EncodeToString(marshal(t, p.Envelope))
	} else {
		p.Sig = base64.StdEncoding.EncodeToString(pb.GetMessageSignature().GetSignature())
	}
	for _, e := range m.GetTlogEntries() {
		p.Entry = map[string]any{
			"SignedEntryTimestamp": e.GetInclusionPromise().GetSignedEntryTimestamp(),
			"Payload": map[string]any{
				"body": e.GetCanonicalizedBody(), "integratedTime": e.GetIntegratedTime(), "logIndex": e.GetLogIndex(),
				"logID": hex.EncodeToString(e.GetLogId().GetKeyId()),
			},
		}
	}
	return p
}

// cosign returns the older bundle of cosign.
func (p parts) cosign(t testing.TB) []byte {
	t.Helper()
	doc := map[string]any{"base64Signature": p.Sig}
	if p.Cert != "" {
		doc["cert"] = base64.StdEncoding.EncodeToString([]byte(p.Cert))
	}
	if p.Entry != nil {
		doc["rekorBundle"] = p.Entry
	}
	return marshal(t, doc)
}

// withCertificate returns the envelope with the certificate beside its signature.
func (p parts) withCertificate(t testing.TB) []byte {
	t.Helper()
	p.Envelope["signatures"].([]any)[0].(map[string]any)["cert"] = p.Cert
	return marshal(t, p.Envelope)
}

// forms returns the forms of what was signed, and how many bundles are in each.
func forms(t testing.TB, s signed) map[string]struct {
	content []byte
	bundles int
} {
	t.Helper()
	statement, file := partsOf(t, s.statement), partsOf(t, s.file)
	var compact bytes.Buffer
	must(t, json.Compact(&compact, s.statement))
	line := append(compact.Bytes(), '\n')
	list := func(members ...string) []byte {
		return marshal(t, map[string]any{"attestations": []any{
			map[string]any{"bundle": json.RawMessage(s.statement), members[0]: 1},
			map[string]any{"bundle": json.RawMessage(s.file), members[0]: "x"},
		}})
	}
	type form = struct {
		content []byte
		bundles int
	}
	return map[string]form{
		"a bundle":            {s.statement, 1},
		"a bundle of a file":  {s.file, 1},
		"a line":              {line, 1},
		"lines":               {slices.Concat(line, []byte("\r\n\n"), line, bytes.TrimSpace(line)), 3},
		"GitHub's answer":     {list("repository_id"), 2},
		"npm's answer":        {list("predicateType"), 2},
		"answers":             {slices.Concat(list("a"), []byte("\n"), list("b")), 4},
		"cosign's, of a file": {file.cosign(t), 1},
		"cosign's":            {statement.cosign(t), 1},
	}
}

// Every form of what is signed is accepted for whoever signed it.
func TestForms(t *testing.T) {
	for who, s := range map[string]signed{"keyless": keyless(t), "key": withKey(t)} {
		all := forms(t, s)
		statement, file := partsOf(t, s.statement), partsOf(t, s.file)
		if who == "key" {
			all["an envelope"] = struct {
				content []byte
				bundles int
			}{marshal(t, statement.Envelope), 1}
		}
		for name, form := range all {
			found, err := convert.Bundles(form.content, about.Digest)
			if err != nil || len(found) != form.bundles {
				t.Errorf("%s, %s: %d bundles, %v", who, name, len(found), err)
			}
			for _, b := range found {
				if (b.Place == "") != (form.bundles == 1 && name != "a line") && name != "a line" {
					t.Errorf("%s, %s: place %q", who, name, b.Place)
				}
				if _, err := attest.Open(b.Data, s.trust, about); err != nil {
					t.Errorf("%s, %s: %s: %v", who, name, b.Place, err)
				}
				if c := attest.ReadClaim(b.Data); !c.About(about.Digest) {
					t.Errorf("%s, %s: %s: claims %+v", who, name, b.Place, c)
				}
			}
		}

		// The files of cosign sign-blob.
		var entry []byte
		if file.Entry != nil {
			entry = marshal(t, file.Entry)
		}
		for name, certificate := range map[string]string{"PEM": file.Cert, "base64": base64.StdEncoding.EncodeToString([]byte(file.Cert))} {
			b, err := convert.Detached(about.Digest, []byte(file.Sig+"\n"), []byte(certificate), entry)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := attest.Open(b, s.trust, about); err != nil {
				t.Errorf("%s, detached, %s: %v", who, name, err)
			}
		}
	}
}

// What is missing is missing afterwards, too: an envelope with a certificate has no time.
func TestNothingIsAdded(t *testing.T) {
	s := keyless(t)
	statement, file := partsOf(t, s.statement), partsOf(t, s.file)
	found, err := convert.Bundles(statement.withCertificate(t), "")
	must(t, err)
	_, err = attest.Open(found[0].Data, s.trust, about)
	var e *attest.Error
	if !errors.As(err, &e) || e.Reason != attest.WrongTime && e.Reason != attest.WrongLog {
		t.Errorf("without a log entry: %v", err)
	}
	b, err := convert.Detached(about.Digest, []byte(file.Sig), []byte(file.Cert), nil)
	must(t, err)
	if _, err = attest.Open(b, s.trust, about); !errors.As(err, &e) {
		t.Errorf("detached, without a log entry: %v", err)
	}

	// Each part is the one that was signed, or nothing is accepted.
	for name, change := range map[string]func(*parts){
		"another signature":   func(p *parts) { p.Sig = partsOf(t, keyless(t).file).Sig },
		"another certificate": func(p *parts) { p.Cert = partsOf(t, keyless(t).file).Cert },
		"another entry":       func(p *parts) { p.Entry = partsOf(t, keyless(t).file).Entry },
		"another time":        func(p *parts) { p.Entry["Payload"].(map[string]any)["integratedTime"] = 1 },
		"another index":       func(p *parts) { p.Entry["Payload"].(map[string]any)["logIndex"] = 7 },
		"no entry":            func(p *parts) { p.Entry = nil },
		"no certificate":      func(p *parts) { p.Cert = "" },
	} {
		p := partsOf(t, s.file)
		change(&p)
		found, err := convert.Bundles(p.cosign(t), about.Digest)
		if err != nil {
			continue
		}
		if _, err := attest.Open(found[0].Data, s.trust, about); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	other := []byte("another\n")
	found, err = convert.Bundles(file.cosign(t), artifact.Of(other))
	must(t, err)
	if _, err := attest.Open(found[0].Data, s.trust, attest.Artifact{Digest: artifact.Of(other), Content: other}); err == nil {
		t.Error("another file: accepted")
	}
}

func TestRefuses(t *testing.T) {
	s := withKey(t)
	statement, file := partsOf(t, s.statement), partsOf(t, s.file)
	envelope, cosign := string(marshal(t, statement.Envelope)), string(file.cosign(t))
	for name, test := range map[string]struct{ content, want string }{
		"nothing":                {"", "no signature"},
		"white space":            {" \n\n", "no signature"},
		"text":                   {"hello", "line 1: no signature"},
		"another document":       {`{"a":1}`, "no signature"},
		"a list":                 {`[{"mediaType":"x"}]`, "no signature"},
		"null":                   {`null`, "no signature"},
		"a line of text":         {string(s.statement) + "\nhello\n", "no signature"},
		"a line that is cut off": {envelope + "\n" + envelope[:40], "line 2: envelope: unexpected EOF"},
		"no attestations":        {`{"attestations":[]}`, "there is none"},
		"no list":                {`{"attestations":7}`, "attestations"},
		"a list behind others":   {`{"a":1,"attestations":[{}]}`, "in the first member"},
		"far behind":             {`{` + strings.Repeat(`"a":1,`, 20) + `"mediaType":"x"}`, "no signature"},
		"an address alone":       {`{"attestations":[{"bundle":null,"bundle_url":"https://example.com"}]}`, "attestations[0]: without a bundle"},
		"two signatures":         {strings.Replace(envelope, `"signatures":[`, `"signatures":[{"sig":""},`, 1), "more than one signature"},
		"no signature":           {`{"payloadType":"x","payload":"","signatures":[]}`, "without a signature"},
		"a member more":          {strings.Replace(envelope, `{`, `{"more":1,`, 1), "unknown field"},
		"a member twice":         {strings.Replace(envelope, `{`, `{"payload":"",`, 1), "there twice"},
		"no base64":              {strings.Replace(envelope, `"payload":"`, `"payload":"!`, 1), "payload"},
		"a bad certificate":      {strings.Replace(cosign, `{`, `{"cert":"!",`, 1), "not PEM"},
		"a private key":          {strings.Replace(cosign, `{`, `{"cert":"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",`, 1), `"PRIVATE KEY"`},
		"a bad entry":            {strings.Replace(cosign, `{`, `{"rekorBundle":{"Payload":{"body":"AAAA"}},`, 1), "log entry: body"},
		"an empty signature":     {`{"base64Signature":""}`, "signature: want base64"},
		"something more":         {strings.Replace(cosign, `{`, `{"bundle":1,`, 1), "unknown field"},
	} {
		got, err := convert.Bundles([]byte(test.content), about.Digest)
		if err == nil || got != nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %d bundles, %v; want %q", name, len(got), err, test.want)
		}
		if strings.HasPrefix(test.want, "no signature") != errors.Is(err, convert.ErrUnknown) && !strings.Contains(test.want, "line") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := convert.Bundles([]byte(cosign), ""); err == nil || !strings.Contains(err.Error(), "does not say which file") {
		t.Errorf("a signature of nothing: %v", err)
	}
	many := bytes.Repeat([]byte("{\"mediaType\":\"x\"}\n"), convert.MaxBundles+1)
	if _, err := convert.Bundles(many, ""); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("many: %v", err)
	}
	if _, err := convert.Bundles(make([]byte, convert.MaxFile+1), ""); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("large: %v", err)
	}
}

// What is large and has many small members takes no more memory than what is read.
func TestHostileSize(t *testing.T) {
	fill := func(before, element, after string) []byte {
		n := (convert.MaxFile/32 - len(before) - len(after)) / (len(element) + 1)
		return []byte(before + strings.Repeat(element+",", n) + element + after)
	}
	for name, content := range map[string][]byte{
		"members":             fill(`{`, `"a":1`, `}`),
		"members of envelope": fill(`{"payloadType":"x",`, `"a":1`, `}`),
		"attestations":        fill(`{"attestations":[`, `{"bundle":{}}`, `]}`),
		"empty ones":          fill(`{"attestations":[`, `{}`, `]}`),
		"signatures":          fill(`{"payloadType":"x","signatures":[`, `{}`, `]}`),
		"lines":               bytes.Repeat([]byte("{}\n"), convert.MaxFile/96),
		"empty lines":         bytes.Repeat([]byte("\n"), convert.MaxFile/32),
		"brackets":            bytes.Repeat([]byte("["), convert.MaxFile/32),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if found, err := convert.Bundles(content, about.Digest); err == nil {
			t.Errorf("%s: %d bundles", name, len(found))
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > uint64(64*len(content)) {
			t.Errorf("%s: %d MB of memory for %d MB", name, used>>20, len(content)>>20)
		}
	}
}

// FuzzBundles shows that nothing makes it panic, and that what comes out of an older form holds the
// bytes that went in.
func FuzzBundles(f *testing.F) {
	for _, s := range []signed{withKey(f), keyless(f)} {
		for _, form := range forms(f, s) {
			f.Add(form.content)
		}
		f.Add(partsOf(f, s.statement).withCertificate(f))
	}
	f.Add([]byte(`{"base64Signature":"e30="}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		found, err := convert.Bundles(content, about.Digest)
		if (err == nil) == (len(found) == 0) {
			t.Fatalf("%d bundles, %v", len(found), err)
		}
		for _, b := range found {
			if !json.Valid(b.Data) {
				t.Fatalf("no JSON: %q", b.Data)
			}
			pb := &protobundle.Bundle{}
			if protojson.Unmarshal(b.Data, pb) != nil || bytes.Contains(content, b.Data) {
				continue // a bundle as it was
			}
			if e := pb.GetDsseEnvelope(); e != nil && !json.Valid(content) && len(e.GetPayload()) > len(content) {
				t.Errorf("a payload from nowhere: %q", e.GetPayload())
			}
			for _, entry := range pb.GetVerificationMaterial().GetTlogEntries() {
				if len(entry.GetCanonicalizedBody()) > len(content) {
					t.Errorf("an entry from nowhere: %q", entry.GetCanonicalizedBody())
				}
			}
		}
	})
}
