package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twicebuild/twice/attest"
	"github.com/twicebuild/twice/attest/attesttest"
	"github.com/twicebuild/twice/attest/intoto"
	"github.com/twicebuild/twice/attest/key"
	"github.com/twicebuild/twice/attest/rebuilt"
	"github.com/twicebuild/twice/attest/verify"
	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// market is a folder with a file that people have rebuilt, and with their keys.
type market struct {
	t       *testing.T
	dir     string
	about   artifact.Digest
	signers map[string]*attest.Signer
}

const marketFile = "the bytes of a tool\n"

// newMarket makes keys for pub, who publishes, ada and ben, who rebuild, and eve.
func newMarket(t *testing.T) *market {
	t.Helper()
	m := &market{t: t, dir: t.TempDir(), about: artifact.Of([]byte(marketFile)), signers: map[string]*attest.Signer{}}
	m.write("tool", []byte(marketFile))
	for _, name := range []string{"pub", "ada", "ben", "eve"} {
		k, err := key.Generate(t.Context(), filepath.Join(m.dir, name), key.GenerateOptions{Unencrypted: true})
		m.must(err)
		m.signers[name], err = attest.NewSigner(t.Context(), k.SignerVerifier())
		m.must(err)
	}
	return m
}

func (m *market) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *market) write(name string, data []byte) {
	m.t.Helper()
	m.must(os.WriteFile(filepath.Join(m.dir, name), data, 0o644))
}

// result is what somebody found out about the tool.
func (m *market) result(v compare.Verdict) rebuilt.Result {
	r := rebuilt.Result{
		Name: "tool", Digest: m.about, Version: map[string]string{"twice": "1", "go": "go1.26.8"}, Time: time.Unix(1790000000, 0),
		Evidence: rebuilt.Evidence{
			Content: inspect.ContentIntact, GoVersion: "go1.26.8", Target: "linux/amd64", Source: "example.com/tool@v1.2.3", Size: int64(len(marketFile)),
			RestsOn: []rebuilt.Ground{{What: "module zip", Why: "checksum database"}}, Verdict: v,
			Rebuilt: rebuilt.NewFile(artifact.Of([]byte("other")), 5),
		},
	}
	how, err := rebuilt.NewRecipe(recipe.Recipe{
		Schema: recipe.Schema, Argv: []string{"go", "install", "example.com/tool@v1.2.3"}, Binary: "tool", Env: []string{"GOARCH=amd64", "GOOS=linux"},
		Source:  recipe.Source{Dir: ".", Module: "example.com/tool", Version: "v1.2.3", Sum: "h1:2KYkUtPo1SxTNlmTV6iEwbKgCrrqI+ZSYbk+4Rm1Ys0="},
		Modules: []recipe.Module{}, Target: matrix.Target{OS: "linux", Arch: "amd64"}, Toolchain: recipe.Toolchain{Version: "go1.26.8"},
	})
	m.must(err)
	r.Recipe = how
	switch v {
	case compare.Reproduced:
		r.Rebuilt = rebuilt.NewFile(m.about, r.Size)
	case compare.Equivalent:
		r.Normalizations = []inspect.Normalization{inspect.WithoutBuildID}
	case compare.Differs:
		r.Reason = &rebuilt.Reason{Kind: "bytes differ", Text: "another dependency"}
	}
	return r
}

// says has somebody sign a result, in a file beside the tool, and returns the
// bundle.
func (m *market) says(who, file string, r rebuilt.Result) []byte {
	m.t.Helper()
	s, err := rebuilt.New(r)
	m.must(err)
	return m.states(who, file, s)
}

func (m *market) states(who, file string, s intoto.Statement) []byte {
	m.t.Helper()
	data, err := m.signers[who].Sign(m.t.Context(), s)
	m.must(err)
	m.write(file+".sigstore.json", data)
	return data
}

// verify runs twice verify on the tool and returns the exit status, what was
// printed, and the document of --json.
func (m *market) verify(args ...string) (int, string, verify.Report) {
	m.t.Helper()
	run := func(args ...string) (int, string, string) {
		var stdout, stderr bytes.Buffer
		a := &app{stdout: &stdout, stderr: &stderr, now: time.Now, transport: http.DefaultTransport}
		root := a.root()
		root.SetArgs(append([]string{"-C", m.dir, "verify"}, args...))
		status := a.report(root.ExecuteContext(m.t.Context()))
		return status, stdout.String(), stderr.String()
	}
	status, stdout, stderr := run(append(args, "tool")...)
	again, out, _ := run(append(args, "--json", "tool")...)
	if again != status {
		m.t.Errorf("exit status %d, with --json %d", status, again)
	}
	var doc verify.Report
	m.must(json.Unmarshal([]byte(out), &doc))
	return status, stdout + stderr, doc
}

const (
	adaAndBen = `rebuilds = { atLeast = 2, by = [{ name = "ada", key = "ada.pub" }, { name = "ben", key = "ben.pub" }] }`
	adaOrBen  = `rebuilds = { atLeast = 1, by = [{ name = "ada", key = "ada.pub" }, { name = "ben", key = "ben.pub" }] }`
)

// TestRebuilders has everything that can be wrong with statements of rebuilds, and
// what is right.
func TestRebuilders(t *testing.T) {
	good := func(m *market) {
		m.says("ada", "ada", m.result(compare.Reproduced))
		m.says("ben", "ben", m.result(compare.Reproduced))
	}
	for what, c := range map[string]struct {
		policy string
		offer  func(m *market)
		args   []string
		status int
		want   string // on stdout or stderr
	}{
		"both": {adaAndBen, good, nil, 0, "policy        rebuilds: met by ada, ben"},
		"both, and the publisher": {adaAndBen, func(m *market) {
			good(m)
			m.says("pub", "pub", m.result(compare.Reproduced))
		}, []string{"--key", "pub.pub"}, 0, "rebuilds: met by ada, ben"},
		"both, and not the publisher who was asked for": {adaAndBen, good, []string{"--key", "pub.pub"}, 1, "unsigned: nobody whom you trust has signed a bundle here that is about sha256:"},
		"equivalent": {adaAndBen, func(m *market) {
			m.says("ada", "ada", m.result(compare.Reproduced))
			m.says("ben", "ben", m.result(compare.Equivalent))
		}, nil, 0, "equivalent, example.com/tool@v1.2.3 with go1.26.8, but for build ID copied"},
		"only equivalent": {strings.Replace(adaAndBen, "atLeast", "reproduced = true, atLeast", 1), func(m *market) {
			m.says("ada", "ada", m.result(compare.Reproduced))
			m.says("ben", "ben", m.result(compare.Equivalent))
		}, nil, 1, "1 of at least 2: ben says that it is equivalent, not reproduced"},
		"the source": {strings.Replace(adaAndBen, "atLeast", `module = "example.com/tool@v1.2.3", atLeast`, 1), good, nil, 0, "met by ada, ben"},
		"another source": {strings.Replace(adaAndBen, "atLeast", `module = "example.com/tool@v1.2.4", atLeast`, 1), good, nil, 1,
			"0 of at least 2: ada rebuilt it from example.com/tool@v1.2.3; ben rebuilt it from example.com/tool@v1.2.3"},

		"nothing":    {adaAndBen, func(*market) {}, nil, 1, "policy: rebuilds: not shown: 0 of at least 2: nothing of ada; nothing of ben"},
		"too few":    {adaAndBen, func(m *market) { m.says("ada", "ada", m.result(compare.Reproduced)) }, nil, 1, "1 of at least 2: nothing of ben"},
		"one of two": {adaOrBen, func(m *market) { m.says("ada", "ada", m.result(compare.Reproduced)) }, nil, 0, "rebuilds: met by ada"},
		"one of them twice": {adaAndBen, func(m *market) {
			m.says("ada", "ada", m.result(compare.Reproduced))
			m.says("ada", "again", m.result(compare.Equivalent))
		}, nil, 1, "1 of at least 2: nothing of ben"},
		"a wrong key": {adaAndBen, func(m *market) {
			m.says("ada", "ada", m.result(compare.Reproduced))
			m.says("eve", "ben", m.result(compare.Reproduced))
		}, nil, 1, "not counted   ben.sigstore.json: a rebuild, signed by none of ada, ben"},
		"a stranger beside": {adaAndBen, func(m *market) {
			good(m)
			m.says("eve", "eve", m.result(compare.Differs))
		}, nil, 0, "not counted   eve.sigstore.json: a rebuild, signed by none of ada, ben"},
		"another subject": {adaAndBen, func(m *market) {
			m.says("ada", "ada", m.result(compare.Reproduced))
			r := m.result(compare.Equivalent)
			r.Digest = artifact.Of([]byte("another tool"))
			m.says("ben", "ben", r)
		}, nil, 1, "1 of at least 2: nothing of ben"},
		"another subject, by name": {adaOrBen, func(m *market) {
			m.says("ada", "ada", m.result(compare.Reproduced))
			r := m.result(compare.Equivalent)
			r.Digest = artifact.Of([]byte("another tool"))
			m.says("ben", "ben", r)
		}, []string{"--bundle", "ada.sigstore.json", "--bundle", "ben.sigstore.json"}, 1, "is not among the subjects"},
		"it differs": {adaOrBen, func(m *market) {
			m.says("ada", "ada", m.result(compare.Reproduced))
			m.says("ben", "ben", m.result(compare.Differs))
		}, nil, 1, "rebuilds: failed: ben says that it differs from what its source compiles to: another dependency"},
		"it differs, says whoever said the contrary": {adaOrBen, func(m *market) {
			good(m)
			m.says("ada", "changed", m.result(compare.Differs))
		}, nil, 1, "rebuilds: failed: ada says that it differs"},
		"tampered": {adaOrBen, func(m *market) {
			m.says("ada", "ada", m.result(compare.Reproduced))
			data := m.says("ben", "ben", m.result(compare.Differs))
			m.write("ben.sigstore.json", tamper(m.t, data, "another dependency", "another Dependency"))
		}, nil, 1, "ben.sigstore.json: open bundle: the signature is not one of this content"},
		"a failure made a pass": {adaOrBen, func(m *market) {
			pass, err := rebuilt.New(m.result(compare.Reproduced))
			m.must(err)
			payload, err := pass.Encode()
			m.must(err)
			m.write("ben.sigstore.json", replacePayload(m.t, m.says("ben", "ben", m.result(compare.Differs)), payload))
		}, nil, 1, "the signature is not one of this content"},
		"signed nonsense": {adaOrBen, func(m *market) {
			m.says("ada", "ada", m.result(compare.Reproduced))
			s, err := rebuilt.New(m.result(compare.Reproduced))
			m.must(err)
			s.Predicate = []byte(strings.Replace(string(s.Predicate), rebuilt.LevelRebuilt, "SLSA_BUILD_REPRODUCED", 1))
			m.states("ben", "ben", s)
		}, nil, 1, "rebuilds: failed: ben: statement of a rebuild: verifiedLevels"},
		// The first rule asked for less: neither word of it counts.
		"a pass by the first rule": {adaOrBen, func(m *market) {
			m.says("ada", "ada", m.result(compare.Reproduced))
			m.states("ben", "ben", byFirstRule(m, compare.Reproduced))
		}, nil, 1, "rebuilds: failed: ben: statement of a rebuild: another rule judged: "},
		"a failure by the first rule": {adaOrBen, func(m *market) {
			m.says("ada", "ada", m.result(compare.Reproduced))
			m.states("ben", "ben", byFirstRule(m, compare.Differs))
		}, nil, 1, "sign anew, and drop this statement"},
		"a stranger's, by the first rule": {adaOrBen, func(m *market) {
			good(m)
			m.states("eve", "eve", byFirstRule(m, compare.Differs))
		}, nil, 0, "not counted   eve.sigstore.json"},
		"no policy, by the first rule": {"", func(m *market) { m.states("pub", "pub", byFirstRule(m, compare.Reproduced)) },
			[]string{"--key", "pub.pub"}, 1, "pub.sigstore.json: statement of a rebuild: another rule judged: "},
		"not even a bundle": {adaOrBen, func(m *market) {
			data := m.says("ada", "ada", m.result(compare.Reproduced))
			m.write("ben.sigstore.json", bytes.Replace(data, []byte(`"mediaType"`), []byte(`"mediatype"`), 1))
		}, nil, 1, "ben.sigstore.json: open bundle: "},

		"a key twice": {`rebuilds = { atLeast = 2, by = [{ name = "ada", key = "ada.pub" }, { name = "carl", key = "ada.pub" }] }`, good, nil, 1,
			"1 of at least 2: carl is the same signer as ada, and counts once"},
		"the publisher's key": {strings.ReplaceAll(adaAndBen, "ben", "pub"), func(m *market) {
			good(m)
			m.says("pub", "pub", m.result(compare.Reproduced))
		}, []string{"--key", "pub.pub"}, 1, "1 of at least 2: pub is the publisher, who is no second witness"},
		"the publisher's key twice": {`rebuilds = { atLeast = 1, by = [{ name = "pub", key = "pub.pub" }, { name = "too", key = "pub.pub" }] }`, func(m *market) {
			m.says("pub", "pub", m.result(compare.Reproduced))
		}, []string{"--key", "pub.pub"}, 1, "0 of at least 1: pub is the publisher, who is no second witness; too is the publisher, who is no second witness"},
		"the publisher's failure": {adaAndBen, func(m *market) {
			good(m)
			m.says("pub", "pub", m.result(compare.Differs))
		}, []string{"--key", "pub.pub"}, 1, "pub.sigstore.json: it was rebuilt, and differs from what its source compiles to: another dependency"},
		"a rebuilder as the publisher": {adaOrBen + "\nbuild = { double = true }", func(m *market) {
			good(m)
			m.says("pub", "pub", m.result(compare.Reproduced))
			m.states("ada", "double", intoto.Statement{Subjects: []intoto.Subject{{Digest: m.about}}, PredicateType: "https://example.com/other", Predicate: []byte("{}")})
		}, []string{"--key", "pub.pub"}, 1, "double.sigstore.json: open bundle: not signed by the key"},
		"something else beside": {adaAndBen, func(m *market) {
			good(m)
			m.states("pub", "other", intoto.Statement{Subjects: []intoto.Subject{{Digest: m.about}}, PredicateType: "https://example.com/other", Predicate: []byte("{}")})
		}, nil, 0, "not counted   other.sigstore.json: the policy asks for rebuilds alone"},
		"something else by a rebuilder": {adaOrBen, func(m *market) {
			m.states("ada", "ada", intoto.Statement{Subjects: []intoto.Subject{{Digest: m.about}}, PredicateType: "https://example.com/other", Predicate: []byte("{}")})
		}, nil, 1, "0 of at least 1: nothing of ada; nothing of ben"},

		"no policy, and a stranger beside": {"", func(m *market) {
			m.says("pub", "pub", m.result(compare.Reproduced))
			m.says("eve", "eve", m.result(compare.Differs))
		}, []string{"--key", "pub.pub"}, 0, "not counted   eve.sigstore.json: a rebuild, signed by none of the publisher"},
		"no policy, and a stranger alone": {"", func(m *market) { m.says("eve", "eve", m.result(compare.Reproduced)) },
			[]string{"--key", "pub.pub"}, 1, "unsigned: nobody whom you trust"},
		"no policy, and a stranger who is named": {"", func(m *market) { m.says("eve", "eve", m.result(compare.Reproduced)) },
			[]string{"--key", "pub.pub", "--bundle", "eve.sigstore.json"}, 1, "not signed by the key"},
		"no policy, a rebuilder's key": {"", func(m *market) { m.says("ada", "ada", m.result(compare.Reproduced)) },
			[]string{"--key", "ada.pub"}, 0, "rebuilt       reproduced, example.com/tool@v1.2.3 with go1.26.8"},

		"a policy that asks for more": {adaOrBen + "\nbuild = { double = true }", good, nil, 2, "nothing says whom to trust"},
		"no such key":                 {strings.Replace(adaOrBen, "ada.pub", "nowhere.pub", 1), good, nil, 2, "policy: rebuilds.by: ada: "},
		"a private key":               {strings.Replace(adaOrBen, "ada.pub", "tool", 1), good, nil, 2, "policy: rebuilds.by: ada: "},
		"never":                       {`rebuilds = { atLeast = 3, by = [{ name = "ada", key = "ada.pub" }] }`, good, nil, 2, "rebuilds.atLeast: 3, and only 1 in by"},
	} {
		t.Run(what, func(t *testing.T) {
			m := newMarket(t)
			c.offer(m)
			args := c.args
			for i, a := range args {
				if strings.HasSuffix(a, ".json") {
					args[i] = filepath.Join(m.dir, a)
				}
			}
			if c.policy != "" {
				// The keys in a policy are relative to it.
				m.write("policy.toml", []byte(c.policy))
				args = append(args, "--policy", "policy.toml")
			}
			status, out, doc := m.verify(args...)
			out = strings.ReplaceAll(out, m.dir+string(filepath.Separator), "")
			if status != c.status || !strings.Contains(out, c.want) {
				t.Errorf("exit status %d, want %d\n%s\nwant %q", status, c.status, out, c.want)
			}
			if verdict := map[int]verify.Verdict{0: verify.Verified, 1: verify.Refused}[c.status]; verdict != "" && doc.Verdict != verdict {
				t.Errorf("--json: %s", doc.Verdict)
			}
			for _, f := range doc.Files {
				for _, r := range f.Rebuilds {
					if r.By == "" || r.Name == "" || len(r.Predicate) == 0 || r.Signature.Key == "" {
						t.Errorf("--json: %+v", r)
					}
				}
			}
		})
	}
}

// byFirstRule is a statement as an older twice made it.
func byFirstRule(m *market, v compare.Verdict) intoto.Statement {
	m.t.Helper()
	s, err := rebuilt.New(m.result(v))
	m.must(err)
	old := regexp.MustCompile(`#(policy|test)-2"`).ReplaceAll(s.Predicate, []byte(`#$1"`))
	if bytes.Equal(old, s.Predicate) {
		m.t.Fatalf("no rule in %s", s.Predicate)
	}
	s.Predicate = old
	return s
}

// tamper changes the statement in a bundle.
func tamper(t *testing.T, bundle []byte, old, new string) []byte {
	t.Helper()
	payload := payloadOf(t, bundle)
	changed := bytes.Replace(payload, []byte(old), []byte(new), 1)
	if bytes.Equal(changed, payload) {
		t.Fatalf("no %q in %s", old, payload)
	}
	return replacePayload(t, bundle, changed)
}

func payloadOf(t *testing.T, bundle []byte) []byte {
	t.Helper()
	var b struct {
		Envelope struct{ Payload []byte } `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal(bundle, &b); err != nil || len(b.Envelope.Payload) == 0 {
		t.Fatalf("no payload: %v", err)
	}
	return b.Envelope.Payload
}

func replacePayload(t *testing.T, bundle, payload []byte) []byte {
	t.Helper()
	in := func(b []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(b)) }
	return bytes.Replace(bundle, in(payloadOf(t, bundle)), in(payload), 1)
}

// TestRebuilderIdentities has rebuilders whom a certificate names.
func TestRebuilderIdentities(t *testing.T) {
	const ci = "ci@example.com"
	s, other := attesttest.New(t, 2), attesttest.New(t, 2)
	keyless := func(s *attesttest.Stack, email string) *attest.Signer {
		t.Helper()
		root, err := attest.ParseRoot(s.TrustedRoot)
		if err != nil {
			t.Fatal(err)
		}
		services, err := attest.NewServices(s.SigningConfig, root, time.Now, http.DefaultTransport)
		if err != nil {
			t.Fatal(err)
		}
		k, err := attest.NewKeylessSigner(services, func(context.Context) (string, error) { return attesttest.Token(email), nil })
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	rebuilder := func(name, identity, more string) string {
		return fmt.Sprintf(`{ name = %q, identity = %q, issuer = %q%s }`, name, identity, attesttest.Issuer, more)
	}
	policy := func(atLeast int, by ...string) string {
		return fmt.Sprintf("rebuilds = { atLeast = %d, by = [%s] }", atLeast, strings.Join(by, ", "))
	}
	root, otherRoot := `, trustedRoot = "root.json"`, `, trustedRoot = "other.json"`
	for what, c := range map[string]struct {
		policy string
		args   []string
		signer *attest.Signer
		status int
		want   string
	}{
		"good":                {policy(1, rebuilder("ci", ci, root)), nil, keyless(s, ci), 0, "rebuilt by    ci (" + ci + ", says " + attesttest.Issuer + "): reproduced"},
		"root on the command": {policy(1, rebuilder("ci", ci, "")), []string{"--trusted-root", "root.json"}, keyless(s, ci), 0, "met by ci"},
		"somebody else":       {policy(1, rebuilder("ci", ci, root)), nil, keyless(s, "eve@example.com"), 1, "not counted"},
		"another instance":    {policy(1, rebuilder("ci", ci, root)), nil, keyless(other, ci), 1, "the certificate is not of an authority of the trusted root"},
		"either instance":     {policy(1, rebuilder("ci", ci, root), rebuilder("too", ci, otherRoot)), nil, keyless(other, ci), 0, "met by too"},
		"an identity twice":   {policy(2, rebuilder("ci", ci, root), rebuilder("too", ci, root)), nil, keyless(s, ci), 1, "too is the same signer as ci, and counts once"},
		"the publisher":       {policy(1, rebuilder("ci", ci, root)), []string{"--trusted-root", "root.json", "--certificate-identity-regexp", ".*@example.com", "--certificate-oidc-issuer", attesttest.Issuer}, keyless(s, ci), 1, "ci is the publisher, who is no second witness"},
		"a key for another":   {policy(1, rebuilder("ci", ci, root)), nil, nil, 1, "not counted"},
	} {
		t.Run(what, func(t *testing.T) {
			m := newMarket(t)
			m.write("root.json", s.TrustedRoot)
			m.write("other.json", other.TrustedRoot)
			m.write("policy.toml", []byte(c.policy))
			if c.signer != nil {
				m.signers["ci"] = c.signer
				m.says("ci", "ci", m.result(compare.Reproduced))
			} else {
				m.says("ada", "ci", m.result(compare.Reproduced))
			}
			if status, out, _ := m.verify(append(c.args, "--policy", "policy.toml")...); status != c.status || !strings.Contains(out, c.want) {
				t.Errorf("exit status %d, want %d\n%s\nwant %q", status, c.status, out, c.want)
			}
		})
	}

	// Whoever asks more of the publisher's signatures than of a rebuilder's still
	// knows the publisher by the key.
	m := newMarket(t)
	m.write("root.json", s.TrustedRoot)
	m.write("policy.toml", []byte(`rebuilds = { atLeast = 1, by = [{ name = "pub", key = "pub.pub" }] }`))
	m.says("pub", "pub", m.result(compare.Reproduced))
	if status, out, _ := m.verify("--key", "pub.pub", "--trusted-root", "root.json", "--policy", "policy.toml"); status != 1 || !strings.Contains(out, "pub is the publisher") {
		t.Errorf("exit status %d\n%s", status, out)
	}
	// And a rebuilder's key can be asked for a log's entry, too.
	m.write("policy.toml", []byte(`rebuilds = { atLeast = 1, by = [{ name = "ada", key = "ada.pub", trustedRoot = "root.json" }] }`))
	m.says("ada", "ada", m.result(compare.Reproduced))
	if status, out, _ := m.verify("--policy", "policy.toml"); status != 1 || !strings.Contains(out, "no entry of a transparency log") {
		t.Errorf("exit status %d\n%s", status, out)
	}
}
