package key

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/common"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// TestMain makes the test's executable a plugin when it has a plugin's name,
// whatever its environment: a plugin that ran the tests would start more of them.
func TestMain(m *testing.M) {
	if strings.HasPrefix(filepath.Base(os.Args[0]), pluginPrefix) {
		os.Exit(actAsPlugin(os.Getenv("KEY_TEST_PLUGIN")))
	}
	os.Exit(m.Run())
}

func actAsPlugin(mode string) int {
	args, err := handler.GetPluginArgs(os.Args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	signing := args.MethodName == common.SignMessageMethodName
	switch {
	case mode == "say" || mode == "say when signing" && signing:
		fmt.Fprint(os.Stderr, os.Getenv("KEY_TEST_STDERR"))
		fmt.Print(os.Getenv("KEY_TEST_SAY"))
		if os.Getenv("KEY_TEST_EXIT") != "" {
			return 3
		}
		return 0
	case mode == "environment":
		return respond(handler.WriteErrorResponse(os.Stdout, errors.New(strings.Join(os.Environ(), "|"))))
	case mode == "arguments":
		return respond(handler.WriteErrorResponse(os.Stdout, errors.New(strings.Join(os.Args[1:], "|"))))
	case mode == "flood":
		for {
			if _, err := os.Stdout.Write(make([]byte, 1<<16)); err != nil {
				return 1
			}
		}
	case mode == "kill":
		me, _ := os.FindProcess(os.Getpid())
		me.Kill()
		time.Sleep(time.Minute)
	case mode == "hang":
		// A child that holds the same output open, and of which the test hears.
		cmd := exec.Command(os.Args[0], os.Args[1:]...)
		cmd.Env = append(os.Environ(), "KEY_TEST_PLUGIN=hang alone")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return respond(cmd.Run())
	case mode == "hang alone":
		c, err := net.Dial("tcp", os.Getenv("KEY_TEST_ADDRESS"))
		if err != nil {
			return respond(err)
		}
		fmt.Fprint(c, "!")
		time.Sleep(time.Minute)
		return 1
	}
	if mode == "" {
		return respond(handler.WriteErrorResponse(os.Stdout, errors.New("no mode")))
	}
	// An honest plugin, with the other side of Sigstore's own implementation.
	key, err := loadTestKey(args.InitOptions.HashFunc)
	if err != nil {
		return respond(err)
	}
	stdin := io.Reader(os.Stdin)
	if mode == "sign something else" {
		stdin = strings.NewReader("something else")
	}
	_, err = handler.Dispatch(os.Stdout, stdin, args, key)
	return respond(err)
}

func respond(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// testKey is the key of the honest plugin.
type testKey struct{ signature.SignerVerifier }

func loadTestKey(hash crypto.Hash) (*testKey, error) {
	data, err := os.ReadFile(os.Getenv("KEY_TEST_FILE"))
	if err != nil {
		return nil, err
	}
	private, err := cryptoutils.UnmarshalPEMToPrivateKey(data, nil)
	if err != nil {
		return nil, err
	}
	sv, err := signature.LoadSignerVerifier(private, hash)
	return &testKey{sv}, err
}

func (*testKey) CreateKey(context.Context, string) (crypto.PublicKey, error) {
	return nil, errors.New("no")
}

func (*testKey) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return nil, nil, errors.New("no")
}
func (*testKey) SupportedAlgorithms() []string { return nil }
func (*testKey) DefaultAlgorithm() string      { return "" }

// testPlugin returns options with which test://... reaches a plugin of this mode.
func testPlugin(t *testing.T, mode string, env ...string) Options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := pluginPrefix + "test"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	file, err := filepath.Abs("testdata/p256-pkcs8.pem")
	if err != nil {
		t.Fatal(err)
	}
	environ := append([]string{"KEY_TEST_FILE=" + file, "KEY_TEST_PLUGIN=" + mode}, env...)
	return Options{Path: []string{"relative", t.TempDir(), dir}, Environ: environ}
}

func TestPlugin(t *testing.T) {
	for file, kind := range map[string]string{
		"p256-pkcs8.pem":    "ECDSA P-256",
		"p384-pkcs8.pem":    "ECDSA P-384", // signs with another hash than it loads with
		"rsa2048-pkcs8.pem": "RSA 2048",
		"ed25519-pkcs8.pem": "Ed25519",
	} {
		t.Run(kind, func(t *testing.T) {
			path, err := filepath.Abs(filepath.Join("testdata", file))
			if err != nil {
				t.Fatal(err)
			}
			opts := testPlugin(t, "honest", "KEY_TEST_FILE="+path)
			private, err := Load(t.Context(), "test://some/key", opts)
			if err != nil {
				t.Fatal(err)
			}
			want, err := Load(t.Context(), path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			public, err := LoadPublic(t.Context(), "test://some/key", opts)
			if err != nil {
				t.Fatal(err)
			}
			if public.Kind() != kind || public.Hint() != want.Public().Hint() || private.Public().Hint() != want.Public().Hint() {
				t.Errorf("%s, %s", public.Kind(), public.Hint())
			}
			signs(t, private, public)

			// As Sigstore's libraries use it.
			sv := private.SignerVerifier()
			sig, err := sv.SignMessage(strings.NewReader("message"), options.WithContext(t.Context()))
			if err != nil {
				t.Fatal(err)
			}
			if err := sv.VerifySignature(bytes.NewReader(sig), strings.NewReader("message")); err != nil {
				t.Error(err)
			}
			if key, err := sv.PublicKey(); err != nil || !public.Key().(interface{ Equal(crypto.PublicKey) bool }).Equal(key) {
				t.Errorf("%v, %v", key, err)
			}
			if _, err := sv.SignMessage(strings.NewReader(""), options.WithDigest(make([]byte, 32))); err == nil {
				t.Error("signed a digest")
			}
		})
	}
}

// TestPluginArguments holds what a plugin is run with against the protocol.
func TestPluginArguments(t *testing.T) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Date(2999, 1, 2, 3, 4, 5, 0, time.UTC))
	defer cancel()
	_, err := Load(ctx, "test://some/key?a=\"b\"\x00", testPlugin(t, "arguments"))
	want := `v1|{"initOptions":{"ctxDeadline":"2999-01-02T03:04:05Z","protocolVersion":"v1","keyResourceID":"some/key?a=\"b\"\u0000",` +
		`"hashFunc":5,"rpcOptions":{"ctxDeadline":"2999-01-02T03:04:05Z"}},"methodName":"publicKey",` +
		`"publicKey":{"publicKeyOptions":{"rpcOptions":{"ctxDeadline":"2999-01-02T03:04:05Z"}}}}`
	if err == nil || !strings.HasSuffix(err.Error(), "sigstore-kms-test: "+want) {
		t.Errorf("%v\nwant %s", err, want)
	}
}

// TestPluginEnvironment: a plugin gets what it is given and nothing else.
func TestPluginEnvironment(t *testing.T) {
	t.Setenv("KEY_TEST_SECRET", "of another program")
	opts := testPlugin(t, "environment", "CREDENTIAL=x")
	_, err := Load(t.Context(), "test://key", opts)
	if err == nil {
		t.Fatal("no error")
	}
	_, list, _ := strings.Cut(err.Error(), "sigstore-kms-test: ")
	got := strings.Split(list, "|")
	// Windows adds SYSTEMROOT to any environment.
	got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(strings.ToUpper(s), "SYSTEMROOT=") })
	if !slices.Equal(got, opts.Environ) {
		t.Errorf("got %q: want %q", got, opts.Environ)
	}
	// No variables at all is not this process's own.
	opts.Environ = nil
	t.Setenv("KEY_TEST_PLUGIN", "environment")
	if _, err := Load(t.Context(), "test://key", opts); err == nil || !strings.HasSuffix(err.Error(), "no mode") {
		t.Errorf("%v", err)
	}
}

func TestPluginMissing(t *testing.T) {
	opts := testPlugin(t, "honest")
	dir := t.TempDir()
	if runtime.GOOS != "windows" {
		write(t, filepath.Join(dir, "sigstore-kms-plain"), []byte("#!/bin/sh\n"), 0o600)
	}
	opts.Path = append(opts.Path, dir)
	for ref, test := range map[string]struct{ want, hint string }{
		"awskms:///alias/a":      {"there is no executable sigstore-kms-awskms in PATH", "go install github.com/twicebuild/twice/cmd/kms/sigstore-kms-awskms@latest"},
		"gcpkms://projects/p":    {"sigstore-kms-gcpkms", "cmd/kms/sigstore-kms-gcpkms@latest"},
		"azurekms://v/k":         {"sigstore-kms-azurekms", "cmd/kms/sigstore-kms-azurekms@latest"},
		"hashivault://k":         {"sigstore-kms-hashivault", "cmd/kms/sigstore-kms-hashivault@latest"},
		"my-hsm://slot":          {"sigstore-kms-my-hsm", "an executable sigstore-kms-my-hsm in a folder of PATH"},
		"plain://not/executable": {"sigstore-kms-plain", "an executable"},
		"test://":                {"scheme://id", ""},
		"://key":                 {"scheme://id", ""},
		"../test://key":          {"scheme://id", ""},
		"a/b://key":              {"scheme://id", ""},
		"TEST://key":             {"scheme://id", ""},
	} {
		_, err := Load(t.Context(), ref, opts)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(hintOf(err), test.hint) {
			t.Errorf("%s: %v\nhint %s", ref, err, hintOf(err))
		}
	}
	// The folders alone count, and only absolute ones.
	folder := opts.Path[2]
	t.Setenv("PATH", folder)
	t.Chdir(folder)
	opts.Path = []string{".", ""}
	if _, err := Load(t.Context(), "test://key", opts); err == nil || !strings.Contains(err.Error(), "there is no executable") {
		t.Errorf("took the plugin from PATH or the current folder: %v", err)
	}
}

func publicAnswer(t *testing.T, block []byte) string {
	t.Helper()
	data, err := json.Marshal(common.PluginResp{PublicKey: &common.PublicKeyResp{PublicKeyPEM: block}})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestPluginHostile: whatever a plugin says, there is a reason and no key.
func TestPluginHostile(t *testing.T) {
	weak, err := pkcs8Public(t, "testdata/bad/p521.pem")
	if err != nil {
		t.Fatal(err)
	}
	sound := publicAnswer(t, read(t, "testdata/p256.pub"))
	for name, test := range map[string]struct{ say, want string }{
		"nothing":      {"", "no answer"},
		"text":         {"hello", "answer: invalid character"},
		"null":         {"null", "want one JSON object"},
		"list":         {"[]", "cannot unmarshal array"},
		"empty object": {"{}", "answered without the public key"},
		"null member":  {`{"publicKey":null}`, "answered without the public key"},
		"other method": {`{"signMessage":{"signature":"AAAA"}}`, "answered without the public key"},
		"no key":       {`{"publicKey":{}}`, "public key: not in PEM"},
		"no PEM":       {`{"publicKey":{"publicKeyPEM":"AAAA"}}`, "public key: not in PEM"},
		"bad base64":   {`{"publicKey":{"publicKeyPEM":"A"}}`, "answer: illegal base64"},
		"cut":          {sound[:40], "answer: unexpected EOF"},
		"two":          {sound + sound, "want one JSON object"},
		"text after":   {sound + " bye", "want one JSON object"},
		"unknown":      {strings.Replace(sound, "{", `{"more":1,`, 1), `unknown field "more"`},
		"P-521":        {publicAnswer(t, weak), "ECDSA P-521 is not accepted"},
		"private key":  {publicAnswer(t, read(t, "testdata/p256-pkcs8.pem")), "holds a private key"},
		"terminal":     {`{"errorMessage":"` + `\u001b[31mred\r\nline\u202e"}`, "sigstore-kms-test:  [31mred  line"},
		"long":         {`{"errorMessage":"` + strings.Repeat("x", 100_000) + `"}`, "xxx..."},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(t.Context(), "test://key", testPlugin(t, "say", "KEY_TEST_SAY="+test.say))
			if err == nil {
				t.Fatal("accepted")
			}
			// A leading blank of the plugin's is dropped.
			msg := strings.ReplaceAll(err.Error(), "sigstore-kms-test: ", "sigstore-kms-test:  ")
			if !strings.Contains(err.Error(), test.want) && !strings.Contains(msg, test.want) {
				t.Errorf("%v\nwant %s", err, test.want)
			}
			if strings.ContainsAny(msg, "\x1b\n\r\u202e") || len(msg) > maxMessage+200 {
				t.Errorf("not fit for a terminal: %q", msg)
			}
		})
	}
	t.Run("flood", func(t *testing.T) {
		if _, err := Load(t.Context(), "test://key", testPlugin(t, "flood")); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
			t.Error(err)
		}
	})
	t.Run("killed", func(t *testing.T) {
		if _, err := Load(t.Context(), "test://key", testPlugin(t, "kill")); err == nil || !strings.Contains(err.Error(), "killed") && runtime.GOOS != "windows" {
			t.Error(err)
		}
	})
	t.Run("not a program", func(t *testing.T) {
		opts := testPlugin(t, "honest")
		dir := t.TempDir()
		write(t, filepath.Join(dir, "sigstore-kms-other"), []byte("\x7fnothing"), 0o700)
		opts.Path = []string{dir}
		if _, err := Load(t.Context(), "other://key", opts); err == nil {
			t.Error("accepted")
		}
	})
}

// TestPluginStderr: the user sees what a plugin says, and an error without an
// answer repeats the last line of it.
func TestPluginStderr(t *testing.T) {
	opts := testPlugin(t, "say", "KEY_TEST_STDERR=connecting\ntoken expired\n\n", "KEY_TEST_EXIT=3")
	var stderr bytes.Buffer
	opts.Stderr = &stderr
	_, err := Load(t.Context(), "test://key", opts)
	if err == nil || !strings.HasSuffix(err.Error(), "no answer (exit status 3): token expired") {
		t.Error(err)
	}
	if stderr.String() != "connecting\ntoken expired\n\n" {
		t.Errorf("stderr %q", stderr.String())
	}
	// The exit status does not count where there is an answer.
	opts = testPlugin(t, "say", "KEY_TEST_EXIT=3", "KEY_TEST_SAY="+publicAnswer(t, read(t, "testdata/p256.pub")))
	if _, err := Load(t.Context(), "test://key", opts); err != nil {
		t.Error(err)
	}
}

// TestPluginSignature: a signature counts only if the key verifies it.
func TestPluginSignature(t *testing.T) {
	for name, test := range map[string]struct{ mode, say, want string }{
		"of something else": {"sign something else", "", "that its key does not verify"},
		"missing":           {"say when signing", `{}`, "answered without a signature"},
		"empty":             {"say when signing", `{"signMessage":{}}`, "that its key does not verify"},
		"error":             {"say when signing", `{"errorMessage":"permission denied"}`, "sign: sigstore-kms-test: permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			private, err := Load(t.Context(), "test://key", testPlugin(t, test.mode, "KEY_TEST_SAY="+test.say))
			if err != nil {
				t.Fatal(err)
			}
			sig, err := private.Sign(t.Context(), []byte("message"))
			if err == nil || !strings.Contains(err.Error(), test.want) || sig != nil {
				t.Errorf("%x, %v", sig, err)
			}
			if strings.Contains(test.want, "verify") && !strings.Contains(hintOf(err), "ecdsa-sha2-256-nistp256") {
				t.Errorf("hint %q", hintOf(err))
			}
		})
	}
}

// TestPluginCanceled: the context ends a plugin, and what it has started.
func TestPluginCanceled(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("interrupted")
	done := make(chan error, 1)
	opts := testPlugin(t, "hang", "KEY_TEST_ADDRESS="+l.Addr().String())
	go func() {
		_, err := Load(ctx, "test://key", opts)
		done <- err
	}()
	grandchild, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer grandchild.Close()
	if _, err := io.ReadFull(grandchild, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel(cause)
	select {
	case err := <-done:
		if !errors.Is(err, cause) {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("still waiting")
	}
	if runtime.GOOS == "windows" {
		return // the plugin alone is killed
	}
	grandchild.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := grandchild.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("what the plugin started is still alive")
	}
}

func TestLastLine(t *testing.T) {
	for _, test := range []struct {
		writes []string
		want   string
	}{
		{nil, ""},
		{[]string{"a"}, "a"},
		{[]string{"a\nb\n"}, "b"},
		{[]string{"a\nb\n", "\n", "\r\n"}, "b"},
		{[]string{"a\n", "b", "c\n"}, "bc"},
		{[]string{"a\nb", "\nc"}, "c"},
		{[]string{strings.Repeat("x", 3*maxMessage) + "end"}, strings.Repeat("x", maxMessage-3) + "end"},
	} {
		l := &lastLine{}
		for _, w := range test.writes {
			if n, err := l.Write([]byte(w)); n != len(w) || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		}
		if got := l.String(); got != test.want {
			t.Errorf("%q: %q", test.writes, got)
		}
	}
}

// FuzzParseAnswer: an answer that is accepted is one sound document without an
// error, and its text never reaches a terminal as it is.
func FuzzParseAnswer(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `{"errorMessage":"\u001b[0m"}`, `{"publicKey":{"publicKeyPEM":"AAAA"}}`, `{"signMessage":{"signature":"AAAA"}}`,
		`{"signMessage":{"signature":"AAAA"},"signMessage":null}`, `{"verifySignature":{}} {}`, `{"more":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		resp, err := parseAnswer(data)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\x1b\n\r") {
				t.Errorf("%q", err)
			}
			return
		}
		if resp == nil || resp.ErrorMessage != "" {
			t.Fatalf("%v", resp)
		}
		enc, err := json.Marshal(resp)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseAnswer(enc)
		if err != nil {
			t.Fatalf("%s: %v", enc, err)
		}
		if enc2, err := json.Marshal(again); err != nil || !bytes.Equal(enc, enc2) {
			t.Errorf("%s became %s", enc, enc2)
		}
	})
}

// The block type of the fixtures is what the tests above say it is.
func TestFixtures(t *testing.T) {
	for file, want := range map[string]string{
		"p256-sec1-parameters.pem": "EC PARAMETERS", "p256-sec1.pem": "EC PRIVATE KEY", "rsa2048-pkcs1.pem": "RSA PRIVATE KEY", "p256-pkcs8.pem": "PRIVATE KEY",
	} {
		if block, _ := pem.Decode(read(t, filepath.Join("testdata", file))); block == nil || block.Type != want {
			t.Errorf("%s: %v", file, block)
		}
	}
}
