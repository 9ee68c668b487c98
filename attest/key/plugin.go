package key

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/common"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/encoding"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/process"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// The protocol's types and encodings are Sigstore's, but not its client
// (package cliplugin), which takes the plugin from the ambient PATH, gives it
// the ambient environment and the process's stderr, reads any amount of output,
// and crashes on an answer that lacks the member that was asked for.

// plugin is a key that an executable reaches. It implements signature.SignerVerifier. It signs
// remotely and verifies here.
type plugin struct {
	name    string // sigstore-kms-scheme
	path    string // of the executable
	id      string // of the key: the reference without its scheme
	environ []string
	stderr  io.Writer
	public  *Public
}

const pluginPrefix = "sigstore-kms-"

// schemes are those that module cmd/kms has plugins for.
var schemes = []string{"awskms", "azurekms", "gcpkms", "hashivault"}

// schemeForm is the form of a scheme, which becomes a part of a file name.
var schemeForm = regexp.MustCompile(`^[a-z][a-z0-9.+-]*$`)

// loadPlugin asks the plugin for the public half of the key that ref names.
func loadPlugin(ctx context.Context, ref string, opts Options) (*Private, error) {
	scheme, id, _ := strings.Cut(ref, "://")
	if !schemeForm.MatchString(scheme) || id == "" {
		return nil, errors.New("want a path, or scheme://id with a scheme in lower case")
	}

	path, err := findPlugin(scheme, opts.Path)
	if err != nil {
		return nil, err
	}
	p := &plugin{name: pluginPrefix + scheme, path: path, id: id, environ: opts.Environ, stderr: opts.Stderr}
	// Plugins do not need the hash to tell the public key, and do not start without one.
	answer, err := p.call(ctx, nil, crypto.SHA256, &common.MethodArgs{
		MethodName: common.PublicKeyMethodName,
		PublicKey:  &common.PublicKeyArgs{PublicKeyOptions: &common.PublicKeyOptions{RPCOptions: *deadline(ctx)}},
	})
	if err != nil {
		return nil, err
	}

	if answer.PublicKey == nil {
		return nil, fmt.Errorf("%s: answered without the public key", p.name)
	}
	if p.public, err = ParsePublic(answer.PublicKey.PublicKeyPEM); err != nil {
		return nil, fmt.Errorf("%s: public key: %w", p.name, err)
	}

	return &Private{public: p.public, signer: p}, nil
}

// findPlugin returns the absolute path of the executable for scheme.
func findPlugin(scheme string, folders []string) (string, error) {
	name := pluginPrefix + scheme
	for _, dir := range folders {
		if !filepath.IsAbs(dir) {
			continue
		}
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}

	remedy := "install the plugin of that KMS for Sigstore: an executable " + name + " in a folder of PATH"
	if slices.Contains(schemes, scheme) {
		remedy = "go install github.com/twicebuild/twice/cmd/kms/" + name + "@latest, into a folder of PATH"
	}
	return "", fault.WithRemedy(fault.Usage(fmt.Errorf("there is no executable %s in PATH", name)), remedy)
}

// deadline returns the context's deadline, as the protocol has it.
func deadline(ctx context.Context) *common.RPCOptions {
	if t, ok := ctx.Deadline(); ok {
		return &common.RPCOptions{CtxDeadline: &t}
	}
	return &common.RPCOptions{}
}

// PublicKey returns the key that the plugin told when it was loaded.
func (p *plugin) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return p.public.key, nil
}

// VerifySignature verifies here, with the same key.
func (p *plugin) VerifySignature(sig, message io.Reader, opts ...signature.VerifyOption) error {
	return p.public.verifier.VerifySignature(sig, message, opts...)
}

// SignMessage has the plugin sign, and verifies what it returns. The option WithDigest is an error,
// as a digest does not tell what is signed.
func (p *plugin) SignMessage(message io.Reader, opts ...signature.SignOption) ([]byte, error) {
	packed := encoding.PackSignOptions(opts)
	if d := packed.MessageOptions.Digest; d != nil && len(*d) > 0 {
		return nil, fmt.Errorf("%s: can sign a message, not a digest", p.name)
	}

	ctx := context.Background()
	for _, opt := range opts {
		opt.ApplyContext(&ctx)
	}

	data, err := io.ReadAll(message)
	if err != nil {
		return nil, err
	}

	answer, err := p.call(ctx, data, p.public.algorithm.GetHashType(), &common.MethodArgs{
		MethodName:  common.SignMessageMethodName,
		SignMessage: &common.SignMessageArgs{SignOptions: packed},
	})
	if err != nil {
		return nil, err
	}
	if answer.SignMessage == nil {
		return nil, fmt.Errorf("%s: answered without a signature", p.name)
	}

	// A KMS whose key was rotated signs with another one.
	if err := p.public.Verify(data, answer.SignMessage.Signature); err != nil {
		flag, _ := signature.FormatSignatureAlgorithmFlag(p.public.algorithm.GetSignatureAlgorithm())
		return nil, fault.WithRemedy(fmt.Errorf("%s: returned a signature that its key does not verify: %w", p.name, err),
			"the key in the KMS must be one for "+flag+", and must not have been rotated meanwhile")
	}
	return answer.SignMessage.Signature, nil
}

// Limits of a plugin's output, in bytes: an answer, and a message. A public key or a signature takes
// less than a kilobyte.
const (
	maxAnswer  = 1 << 20
	maxMessage = 2000
)

// call runs the plugin once. The exit status does not count, as the protocol says. The answer must
// be sound all the same.
func (p *plugin) call(ctx context.Context, stdin []byte, hash crypto.Hash, args *common.MethodArgs) (*common.PluginResp, error) {
	init := &common.InitOptions{
		ProtocolVersion: common.ProtocolVersion,
		KeyResourceID:   p.id,
		HashFunc:        hash,
		RPCOptions:      deadline(ctx),
	}
	init.CtxDeadline = init.RPCOptions.CtxDeadline
	arg, err := json.Marshal(common.PluginArgs{InitOptions: init, MethodArgs: args})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}

	messages := &lastLine{next: p.stderr}
	answer := &boundedBuffer{max: maxAnswer}

	cmd := exec.CommandContext(ctx, p.path, common.ProtocolVersion, string(arg))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), answer, messages
	// Nil would be this process's own environment.
	cmd.Env = append([]string{}, p.environ...)

	cmd.WaitDelay = time.Second
	// A process of another group cannot ask on the terminal: its credentials are in its
	// environment.
	process.Group(cmd)

	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", p.name, context.Cause(ctx))
	case answer.full:
		return nil, fmt.Errorf("%s: answered with more than %d bytes", p.name, maxAnswer)
	case err != nil && (!errors.As(err, &exit) || !exit.Exited()):
		return nil, fmt.Errorf("%s: %w", p.name, err)
	case answer.buf.Len() == 0:
		return nil, fmt.Errorf("%s: no answer (%v): %s", p.name, cmd.ProcessState, messages)
	}

	resp, err := parseAnswer(answer.buf.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	return resp, nil
}

// parseAnswer reads one document, without members that the protocol does not have. A member may be
// there twice: the user will compare a public key, and a signature is verified.
func parseAnswer(data []byte) (*common.PluginResp, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var resp *common.PluginResp
	if err := dec.Decode(&resp); err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}

	if _, err := dec.Token(); !errors.Is(err, io.EOF) || resp == nil {
		return nil, errors.New("answer: want one JSON object")
	}

	if resp.ErrorMessage != "" {
		return nil, errors.New(printable(resp.ErrorMessage))
	}
	return resp, nil
}

// printable makes a text of another program fit for a terminal.
func printable(s string) string {
	return strings.TrimSpace(safetext.Replace(safetext.Cut(s, maxMessage, "..."), ' '))
}

// boundedBuffer keeps what is written. If that is too much it ends the writer with an error.
type boundedBuffer struct {
	buf  bytes.Buffer
	max  int
	full bool
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if len(p) > b.max-b.buf.Len() {
		b.full = true
		return 0, errors.New("too much")
	}
	return b.buf.Write(p)
}

// lastLine passes on what is written, and keeps the last line of it.
type lastLine struct {
	next io.Writer
	line []byte
}

func (l *lastLine) Write(p []byte) (int, error) {
	tail := append(l.line, p...)
	if end := bytes.TrimRight(tail, "\r\n"); len(end) > 0 {
		from := bytes.LastIndexByte(end, '\n') + 1
		tail = tail[from:]
	}
	l.line = slices.Clone(tail[max(0, len(tail)-maxMessage):])
	if l.next == nil {
		return len(p), nil
	}
	return l.next.Write(p)
}

func (l *lastLine) String() string { return printable(string(l.line)) }
