package attest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/attesttest"
	"github.com/twicebuild/twice/attest/intoto"
)

// committed returns good bundles that are kept in testdata, so that all workers
// of a fuzz test have the same, and all trusts: each bundle is good for one. They
// are refreshed by -update.
func committed(f *testing.F) (bundles [][]byte, trusts []attest.Trust) {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", "open", name))
		if err != nil {
			f.Fatal(err)
		}
		return data
	}
	pub, err := cryptoutils.UnmarshalPEMToPublicKey(read("key.pem"))
	if err != nil {
		f.Fatal(err)
	}
	key, err := attest.TrustKey(pub)
	if err != nil {
		f.Fatal(err)
	}
	trusts = append(trusts, key)
	for _, version := range []string{"v1", "v2"} {
		root, err := attest.ParseRoot(read("root-" + version + ".json"))
		if err != nil {
			f.Fatal(err)
		}
		identity, err := attest.TrustIdentity(root, attest.Identity{Name: signer, Issuer: attesttest.Issuer})
		if err != nil {
			f.Fatal(err)
		}
		logged, err := attest.TrustLoggedKey(pub, root)
		if err != nil {
			f.Fatal(err)
		}
		trusts = append(trusts, identity, logged)
	}
	names, err := filepath.Glob(filepath.Join("testdata", "open", "*.sigstore.json"))
	if err != nil || len(names) < 6 {
		f.Fatal(names, err)
	}
	for _, name := range names {
		data, good := read(filepath.Base(name)), 0
		for _, trust := range trusts {
			if _, err := attest.Open(data, trust, about); err == nil {
				good++
			}
		}
		if good == 0 {
			f.Fatalf("%s is good for nobody", name)
		}
		bundles = append(bundles, data)
	}
	return bundles, trusts
}

// FuzzOpen asks that hostile bytes end in a reason, and that what is accepted is
// about what was asked for.
func FuzzOpen(f *testing.F) {
	bundles, trusts := committed(f)
	for _, data := range bundles {
		f.Add(data)
	}
	for _, data := range bundles {
		for _, change := range []struct{ old, new string }{{"dsseEnvelope", "dsse_envelope"}, {"messageSignature", "message_signature"}, {"messageDigest", "message_digest"}, {"=\"", "\""}} {
			f.Add(bytes.ReplaceAll(data, []byte(change.old), []byte(change.new)))
		}
	}
	for _, s := range []string{"", "{}", "null", "[]", `{"mediaType":"` + attest.MediaType + `"}`,
		`{"mediaType":"` + attest.MediaType + `","verificationMaterial":{"publicKey":{}},"dsseEnvelope":{"payload":"e30=","payloadType":"` + intoto.PayloadType + `","signatures":[{"sig":"AAAA"}]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { judge(t, data, trusts) })
}

var (
	memberRE = regexp.MustCompile(`"([A-Za-z0-9]+)":`)
	valueRE  = regexp.MustCompile(`:("[^"\\]*")`)
)

// FuzzReadClaim writes good bundles in other ways: names in the other form that
// protocol buffers have, in another case, escaped, twice; values in other forms of
// base64. What Open takes all the same has to be what ReadClaim has chosen it for:
// otherwise a statement could hide from whoever looks for those about a file.
func FuzzReadClaim(f *testing.F) {
	bundles, trusts := committed(f)
	for i := range bundles {
		for form := range uint8(8) {
			for _, member := range []uint8{0, 1, 5, 9, 14, 20} {
				f.Add(uint8(i), member, form, "null")
			}
		}
	}
	f.Fuzz(func(t *testing.T, i, member, form uint8, extra string) {
		data := string(bundles[int(i)%len(bundles)])
		re := memberRE
		if form%8 < 2 {
			re = valueRE
		}
		all := re.FindAllStringSubmatchIndex(data, -1)
		at := all[int(member)%len(all)]
		whole, part := data[at[0]:at[1]], data[at[2]:at[3]]
		snake := strings.ToLower(regexp.MustCompile(`[A-Z]`).ReplaceAllString(part, "_$0"))
		with := map[uint8]string{
			0: ":" + strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(part[:len(part)-1]), "=") + `"`,
			1: ":" + strings.Replace(part, "=", "", -1),
			2: `"` + snake + `":`,
			3: `"` + strings.ToUpper(part) + `":`,
			4: fmt.Sprintf(`"\u%04x%s":`, part[0], part[1:]),
			5: whole + extra + "," + whole,
			6: `"` + snake + `":` + extra + "," + whole,
			7: `"` + strings.ToUpper(part) + `":` + extra + "," + whole,
		}[form%8]
		judge(t, []byte(data[:at[0]]+with+data[at[1]:]), trusts)
	})
}

// FuzzMember puts hostile bytes where a bundle has some: into certificates, log
// entries, checkpoints, time stamps and payloads.
func FuzzMember(f *testing.F) {
	bundles, trusts := committed(f)
	for i, data := range bundles {
		var doc any
		if err := json.Unmarshal(data, &doc); err != nil {
			f.Fatal(err)
		}
		for member, n := range nodes("", doc, nil, nil) {
			if s, ok := n.value.(string); ok {
				b, err := base64.StdEncoding.DecodeString(s)
				if err != nil {
					b = []byte(s)
				}
				f.Add(uint8(i), uint8(member), err == nil, b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, i, member uint8, encode bool, value []byte) {
		i %= uint8(len(bundles))
		var doc any
		if err := json.Unmarshal(bundles[i], &doc); err != nil {
			t.Fatal(err)
		}
		all := nodes("", doc, func(any) {}, nil)
		text := string(value)
		if encode {
			text = base64.StdEncoding.EncodeToString(value)
		}
		all[int(member)%len(all)].set(text)
		data, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		judge(t, data, trusts)
	})
}

func sameJSON(a, b []byte) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

// judge opens data with each trust.
func judge(t *testing.T, data []byte, trusts []attest.Trust) {
	t.Helper()
	for _, trust := range trusts {
		v, err := attest.Open(data, trust, about)
		var e *attest.Error
		switch {
		case (v == nil) == (err == nil):
			t.Fatalf("%v, %v", v, err)
		case err != nil:
			if !errors.As(err, &e) || e.Reason == "" || e.Error() == "" {
				t.Fatalf("no reason: %v", err)
			}
		default:
			if v.Artifact() != about.Digest || !json.Valid(data) {
				t.Fatalf("accepted %q", data)
			}
			s, ok := v.Statement()
			if ok && s.Subjects[0].Digest != about.Digest {
				t.Fatalf("accepted %q", data)
			}
			// What is not claimed is never opened, so nothing that counts may be overlooked.
			c := attest.ReadClaim(data)
			if !c.About(about.Digest) || c.PredicateType != s.PredicateType || ok && !sameJSON(c.Predicate, s.Predicate) {
				t.Fatalf("accepted, and it claims %s about %s: %q", c.PredicateType, c.Subjects, data)
			}
		}
	}
}
