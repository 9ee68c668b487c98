package attest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/attesttest"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/pipeline/fault"
)

// witnesses are what a bundle has of logs and time stamp authorities.
type witnesses struct{ entries, stamps []any }

func witnessesOf(t *testing.T, data []byte) witnesses {
	t.Helper()
	var b struct {
		VerificationMaterial struct {
			TlogEntries               []any
			TimestampVerificationData struct{ Rfc3161Timestamps []any }
		}
	}
	if err := json.Unmarshal(data, &b); err != nil {
		t.Fatal(err)
	}
	return witnesses{b.VerificationMaterial.TlogEntries, b.VerificationMaterial.TimestampVerificationData.Rfc3161Timestamps}
}

// with returns the bundle with other witnesses.
func (w witnesses) with(t *testing.T, data []byte) []byte {
	t.Helper()
	var b map[string]any
	if err := json.Unmarshal(data, &b); err != nil {
		t.Fatal(err)
	}
	m := b["verificationMaterial"].(map[string]any)
	m["tlogEntries"], m["timestampVerificationData"] = w.entries, map[string]any{"rfc3161Timestamps": w.stamps}
	changed, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// What the trusted root does not know counts for nothing and is told. What it knows has
// to be good, whatever stands beside it.
func TestUnknownWitnesses(t *testing.T) {
	s, other := attesttest.New(t, 2), attesttest.New(t, 2)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sv, err := signature.LoadDefaultSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	byLoggedKey, err := attest.TrustLoggedKey(key.Public(), parseRoot(t, s))
	if err != nil {
		t.Fatal(err)
	}
	byKey, err := attest.TrustKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	logged := func(s *attesttest.Stack, statement intoto.Statement) []byte {
		signer, err := attest.NewLoggedSigner(t.Context(), sv, services(t, s))
		if err != nil {
			t.Fatal(err)
		}
		data, err := signer.Sign(t.Context(), statement)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	keyed := logged(s, said)
	certified, err := keyless(t, s).Sign(t.Context(), said)
	if err != nil {
		t.Fatal(err)
	}
	foreign := witnessesOf(t, logged(other, said))
	// A good entry and a good time stamp, but of another signature.
	misplaced := witnessesOf(t, logged(s, intoto.Statement{Subjects: said.Subjects, PredicateType: said.PredicateType, Predicate: []byte(`{"is":"bad"}`)}))
	// A log that is known is said to have made what another made.
	var renamed []any
	for _, e := range foreign.entries {
		entry := map[string]any{}
		for k, v := range e.(map[string]any) {
			entry[k] = v
		}
		entry["logId"] = misplaced.entries[0].(map[string]any)["logId"]
		renamed = append(renamed, entry)
	}
	// Of a log that is not known, not even the form is.
	strange := map[string]any{
		"logId": map[string]any{"keyId": "AAAA"}, "kindVersion": map[string]any{"kind": "unheard", "version": "9"}, "canonicalizedBody": "AAAA",
		"inclusionProof": map[string]any{"checkpoint": map[string]any{"envelope": "x"}},
	}
	unreadable := map[string]any{"signedTimestamp": "AAAA"}

	for name, test := range map[string]struct {
		data           []byte
		trust          attest.Trust
		entries        func(own []any) []any
		stamps         func(own []any) []any
		want           attest.Reason
		unknownEntries int
		unknownStamps  int
	}{
		"key, as signed":                     {data: keyed, trust: byLoggedKey},
		"key, and others'":                   {keyed, byLoggedKey, plus(foreign.entries...), plus(foreign.stamps...), "", 1, 1},
		"key, others' first":                 {keyed, byLoggedKey, after(foreign.entries...), after(foreign.stamps...), "", 1, 1},
		"key, stamp of others alone":         {keyed, byLoggedKey, plus(), only(foreign.stamps...), "", 0, 1},
		"key, entry of others alone":         {keyed, byLoggedKey, only(foreign.entries...), plus(), attest.WrongLog, 0, 0},
		"key, an entry of no known form":     {keyed, byLoggedKey, plus(strange), plus(), "", 1, 0},
		"key, misplaced stamp":               {keyed, byLoggedKey, plus(), only(misplaced.stamps...), attest.WrongTime, 0, 0},
		"key, misplaced stamp and others'":   {keyed, byLoggedKey, plus(), only(misplaced.stamps[0], foreign.stamps[0]), attest.WrongTime, 0, 0},
		"key, misplaced entry":               {keyed, byLoggedKey, plus(misplaced.entries...), plus(), attest.WrongLog, 0, 0},
		"key, an entry in the log's name":    {keyed, byLoggedKey, only(renamed...), plus(), attest.WrongLog, 0, 0},
		"key, unreadable stamp":              {keyed, byLoggedKey, plus(), plus(unreadable), attest.WrongTime, 0, 0},
		"key, very many entries":             {keyed, byLoggedKey, plus(slices.Repeat(foreign.entries, 33)...), plus(), attest.Malformed, 0, 0},
		"key, very many stamps":              {keyed, byLoggedKey, plus(), plus(slices.Repeat(foreign.stamps, 33)...), attest.Malformed, 0, 0},
		"key alone, whatever is there":       {keyed, byKey, plus(strange), plus(foreign.stamps...), "", 0, 0},
		"certificate, as signed":             {data: certified, trust: trustSigner(t, s)},
		"certificate, and others'":           {certified, trustSigner(t, s), plus(foreign.entries...), plus(foreign.stamps...), "", 1, 1},
		"certificate, stamp of others alone": {certified, trustSigner(t, s), plus(), only(foreign.stamps...), attest.WrongTime, 0, 0},
		"certificate, entry of others alone": {certified, trustSigner(t, s), only(foreign.entries...), plus(), attest.WrongLog, 0, 0},
		"certificate, nothing":               {certified, trustSigner(t, s), only(), only(), attest.WrongLog, 0, 0},
		"certificate, no stamp":              {certified, trustSigner(t, s), plus(), only(), attest.WrongTime, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			data := test.data
			if test.entries != nil {
				own := witnessesOf(t, data)
				data = witnesses{test.entries(own.entries), test.stamps(own.stamps)}.with(t, data)
			}
			v, err := attest.Open(data, test.trust, about)
			if test.want != "" {
				refused(t, v, err, test.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			count := map[string]int{}
			for _, u := range v.Signature().Unknown {
				count[u.Kind]++
				if u.By == "" {
					t.Errorf("%+v: whose?", u)
				}
			}
			if count["log"] != test.unknownEntries || count["timestamp"] != test.unknownStamps || len(count) > 2 {
				t.Errorf("unknown: %v", v.Signature().Unknown)
			}
			original, err := attest.Open(test.data, test.trust, about)
			if err != nil {
				t.Fatal(err)
			}
			if !same(v.Signature().Logs, original.Signature().Logs) {
				t.Errorf("logs: %+v, and without the unknown ones %+v", v.Signature().Logs, original.Signature().Logs)
			}
		})
	}
}

func plus(more ...any) func([]any) []any {
	return func(own []any) []any { return slices.Concat(own, more) }
}

func after(more ...any) func([]any) []any {
	return func(own []any) []any { return slices.Concat(more, own) }
}

func only(these ...any) func([]any) []any { return func([]any) []any { return these } }

// Who signs finds out when the two files that describe an instance are of two.
func TestSignerOfTwoInstances(t *testing.T) {
	s, other := attesttest.New(t, 2), attesttest.New(t, 2)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sv, err := signature.LoadDefaultSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	// The log is that of the root, the time stamps are another's.
	var own, others map[string]any
	if err := errors.Join(json.Unmarshal(s.SigningConfig, &own), json.Unmarshal(other.SigningConfig, &others)); err != nil {
		t.Fatal(err)
	}
	own["tsaUrls"] = others["tsaUrls"]
	config, err := json.Marshal(own)
	if err != nil {
		t.Fatal(err)
	}
	services, err := attest.NewServices(config, parseRoot(t, s), time.Now, http.DefaultTransport)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := attest.NewLoggedSigner(t.Context(), sv, services)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := signer.SignFile(t.Context(), "hello.txt", hello); err == nil || fault.RemedyOf(err) == "" {
		t.Errorf("signed %s, %v", data, err)
	}
}
