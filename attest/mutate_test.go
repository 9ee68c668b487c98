package attest_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/attesttest"
)

// harmless says why a changed bundle may be accepted: nothing that Open tells
// rests on what was changed. It returns nothing for all other changes.
func harmless(path string, before, after any, v *attest.Verified, good attest.Signature) string {
	old, _ := before.(string)
	changed, _ := after.(string)
	switch {
	case path == "verificationMaterial.publicKey.hint", path == "verificationMaterial.publicKey" && same(after, map[string]any{}):
		return "a hint helps to find a key, and Open is given one"
	case v.Signature().Key != "" && len(v.Signature().Times) == 0 &&
		(strings.Contains(path, ".timestampVerificationData") || strings.Contains(path, ".inclusionPromise")):
		return "a key is good without a time, and no time is told"
	case v.Signature().Key != "" && len(v.Signature().Times) == 0 && len(v.Signature().Unknown) == 1 && strings.HasSuffix(path, ".signedTimestamp"):
		return "it became the time stamp of nobody who is known, and is told to be one"
	case strings.HasSuffix(path, ".checkpoint.envelope"):
		// The line is an em dash, a name, and the signature with the ID of its key.
		a, b := strings.Split(old, " "), strings.Split(changed, " ")
		if len(a) == len(b) && len(a) > 2 && a[len(a)-1] == b[len(b)-1] && slices.Equal(a[:len(a)-2], b[:len(b)-2]) {
			return "in whose name a log of version 1 signed is told by its key"
		}
	case strings.HasSuffix(path, ".signedTimestamp") && same(v.Signature(), good):
		// RFC 5652 signs the content and the attributes, not the framing: digest
		// algorithms are listed twice, versions are not looked at.
		return "the same time of the same authority"
	}
	return ""
}

// samples are good bundles of every kind, with the trust that opens each.
func samples(t testing.TB) map[string]sample {
	t.Helper()
	all := map[string]sample{}
	add := func(name string, s *attest.Signer, trust attest.Trust, files map[string][]byte) {
		statement, err := s.Sign(t.Context(), said)
		if err != nil {
			t.Fatal(err)
		}
		file, err := s.SignFile(t.Context(), "hello.txt", hello)
		if err != nil {
			t.Fatal(err)
		}
		all[name+" statement"], all[name+" file"] = sample{statement, trust, files}, sample{file, trust, files}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sv, err := signature.LoadDefaultSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := attest.NewSigner(t.Context(), sv)
	if err != nil {
		t.Fatal(err)
	}
	byKey, err := attest.TrustKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public, err := cryptoutils.MarshalPublicKeyToPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	add("key", s, byKey, map[string][]byte{"key.pem": public})
	for _, version := range []uint32{1, 2} {
		stack := attesttest.New(t, version)
		files := map[string][]byte{fmt.Sprintf("root-v%d.json", version): stack.TrustedRoot}
		add(fmt.Sprintf("keyless v%d", version), keyless(t, stack), trustSigner(t, stack), files)
		s, err := attest.NewLoggedSigner(t.Context(), sv, services(t, stack))
		if err != nil {
			t.Fatal(err)
		}
		trust, err := attest.TrustLoggedKey(key.Public(), parseRoot(t, stack))
		if err != nil {
			t.Fatal(err)
		}
		add(fmt.Sprintf("logged v%d", version), s, trust, files)
	}
	return all
}

var update = flag.Bool("update", false, "write the seeds of FuzzOpen")

// TestUpdate writes samples where FuzzOpen finds them.
func TestUpdate(t *testing.T) {
	if !*update {
		t.Skip("writes files: runs with -update")
	}
	files := map[string][]byte{}
	for name, s := range samples(t) {
		files[strings.ReplaceAll(name, " ", "-")+".sigstore.json"] = s.data
		for other, data := range s.files {
			files[other] = data
		}
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join("testdata", "open", name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

type sample struct {
	data  []byte
	trust attest.Trust
	// files are what the trust was made from, by name.
	files map[string][]byte
}

// node is a value of a JSON document and where it is.
type node struct {
	path string
	// set replaces the value; remove takes it out of its object or list.
	value  any
	set    func(any)
	remove func()
}

// nodes returns every value below v, in order.
func nodes(path string, v any, set func(any), remove func()) []node {
	all := []node{{path, v, set, remove}}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			all = append(all, nodes(strings.TrimPrefix(path+"."+k, "."), v[k], func(x any) { v[k] = x }, func() { delete(v, k) })...)
		}
	case []any:
		for i := range v {
			all = append(all, nodes(fmt.Sprintf("%s[%d]", path, i), v[i], func(x any) { v[i] = x }, func() { set(slices.Delete(slices.Clone(v), i, i+1)) })...)
		}
	}
	return all
}

// others returns values that are not v.
func others(v any) []any {
	s, ok := v.(string)
	if !ok {
		return []any{nil, "x", 1, []any{}, map[string]any{}, map[string]any{"unknown": 1}}
	}
	all := []any{"", nil, s + "x", "x" + s}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return append(all, fmt.Sprint(n+1), fmt.Sprint(n-1), fmt.Sprint(-n-1), "9223372036854775807")
	}
	if b, err := base64.StdEncoding.DecodeString(s); err == nil && len(b) > 8 {
		for i := range 16 {
			c := bytes.Clone(b)
			c[i*(len(c)-1)/15] ^= 1 << (i % 8)
			all = append(all, base64.StdEncoding.EncodeToString(c))
		}
		return append(all, base64.StdEncoding.EncodeToString(b[1:]), base64.StdEncoding.EncodeToString(b[:len(b)-1]))
	}
	for i := range 8 {
		c := []byte(s)
		c[i*(len(c)-1)/7] ^= 1
		all = append(all, string(c))
	}
	return all
}

// TestMutations changes every member of good bundles, one at a time, in several
// ways, takes each out, and doubles each. Whatever is not harmless must be
// refused, for a reason.
func TestMutations(t *testing.T) {
	for name, s := range samples(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			original, err := attest.Open(s.data, s.trust, about)
			if err != nil {
				t.Fatal(err)
			}
			parse := func() (doc any) {
				if err := json.Unmarshal(s.data, &doc); err != nil {
					t.Fatal(err)
				}
				return doc
			}
			count := 0
			try := func(n node, after, doc any) {
				data, err := json.Marshal(doc)
				if err != nil {
					t.Fatal(err)
				}
				count++
				v, err := attest.Open(data, s.trust, about)
				if v != nil && harmless(n.path, n.value, after, v, original.Signature()) != "" {
					return
				}
				mustRefuse(t, fmt.Sprintf("%s: %.80v", n.path, after), v, err)
			}
			all := nodes("", parse(), nil, nil)
			for i, n := range all {
				if i == 0 {
					continue
				}
				for _, other := range others(n.value) {
					doc := parse()
					nodes("", doc, nil, nil)[i].set(other)
					if same(doc, parse()) {
						continue
					}
					try(n, other, doc)
				}
				doc := parse()
				nodes("", doc, nil, nil)[i].remove()
				try(n, nil, doc)
				if list, ok := n.value.([]any); ok {
					doc := parse()
					nodes("", doc, nil, nil)[i].set(append(slices.Clone(list), list[0]))
					try(n, "twice", doc)
				}
			}
			if count < 100 {
				t.Errorf("%d mutations", count)
			}
			// Members that are there twice, which a JSON tree cannot hold.
			for _, n := range all[1:] {
				name := n.path[strings.LastIndexByte(n.path, '.')+1:]
				if strings.HasSuffix(name, "]") {
					continue
				}
				member, err := json.Marshal(map[string]any{name: n.value})
				if err != nil {
					t.Fatal(err)
				}
				doubled := append(bytes.TrimSuffix(member, []byte("}")), ',')
				at := []byte(`"` + name + `":`)
				v, err := attest.Open(bytes.Replace(s.data, at, append(doubled[1:], at...), 1), s.trust, about)
				mustRefuse(t, "double "+n.path, v, err)
			}
		})
	}
}

func same(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

func mustRefuse(t *testing.T, what string, v *attest.Verified, err error) {
	t.Helper()
	var e *attest.Error
	switch {
	case v != nil || err == nil:
		t.Errorf("%s: accepted", what)
	case !errors.As(err, &e) || e.Reason == "" || e.Reason == attest.Undetermined:
		t.Errorf("%s: refused without a reason: %v", what, err)
	}
}

// TestPayloadMutations changes every value of the signed statement.
func TestPayloadMutations(t *testing.T) {
	for name, s := range samples(t) {
		if !strings.HasSuffix(name, "statement") {
			continue
		}
		var b map[string]any
		if err := json.Unmarshal(s.data, &b); err != nil {
			t.Fatal(err)
		}
		envelope := b["dsseEnvelope"].(map[string]any)
		payload, err := base64.StdEncoding.DecodeString(envelope["payload"].(string))
		if err != nil {
			t.Fatal(err)
		}
		parse := func() (doc any) {
			if err := json.Unmarshal(payload, &doc); err != nil {
				t.Fatal(err)
			}
			return doc
		}
		for i, n := range nodes("", parse(), nil, nil)[1:] {
			for _, other := range others(n.value) {
				doc := parse()
				nodes("", doc, nil, nil)[i+1].set(other)
				changed, err := json.Marshal(doc)
				if err != nil {
					t.Fatal(err)
				}
				envelope["payload"] = base64.StdEncoding.EncodeToString(changed)
				data, err := json.Marshal(b)
				if err != nil {
					t.Fatal(err)
				}
				v, err := attest.Open(data, s.trust, about)
				refused(t, v, err, attest.Tampered)
			}
		}
	}
}
