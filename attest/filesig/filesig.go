// Package filesig verifies signatures of files that say nothing but that somebody signed: those of
// minisign (https://jedisct1.github.io/minisign/#signature-format) and of SSH keys
// (https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig). They have no
// certificate, no log and no time.
package filesig

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"aead.dev/minisign"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/twicebuild/twice/pipeline/artifact"
)

// The formats.
const (
	Minisign = "minisign"
	SSH      = "ssh"
)

// MaxSize bounds a signature and a public key, in bytes.
const MaxSize = 64 << 10

// maxMessage bounds, in bytes, a file whose minisign signature is of the older kind, which is over
// the file itself.
const maxMessage = 64 << 20

// namespace is what a signature of a file is for: ssh-keygen -Y sign -n file.
const namespace = "file"

// ErrUnknown says that something is no public key of these formats.
var ErrUnknown = errors.New("no public key of minisign or SSH")

// ErrOtherKey says that another key made a signature.
var ErrOtherKey = errors.New("signed by another key")

// Key is a public key.
type Key struct {
	minisign *minisign.PublicKey
	ssh      ssh.PublicKey
}

// ParseKey reads a public key: the file of minisign, or a line of an SSH key, in one of the forms of
// authorized_keys and allowed_signers without options. Anything else is ErrUnknown, and a key that is
// damaged another error.
func ParseKey(text []byte) (*Key, error) {
	if len(text) > MaxSize {
		return nil, ErrUnknown
	}
	line := strings.TrimSpace(string(text))

	// The comment of minisign's is on a line of its own.
	if rest, ok := strings.CutPrefix(line, "untrusted comment:"); ok {
		_, line, _ = strings.Cut(rest, "\n")
		line = strings.TrimSpace(line)
	}
	if !strings.ContainsAny(line, " \t\n") && strings.HasPrefix(line, "RW") {
		var k minisign.PublicKey
		if err := k.UnmarshalText([]byte(line)); err != nil {
			return nil, fmt.Errorf("public key of minisign: %w", err)
		}
		return &Key{minisign: &k}, nil
	}

	// An allowed signer has a name in front.
	fields := strings.Fields(line)
	if strings.Contains(line, "\n") || len(fields) < 2 {
		return nil, ErrUnknown
	}
	if !isKeyType(fields[0]) && isKeyType(fields[1]) {
		fields = fields[1:]
	}
	if !isKeyType(fields[0]) {
		return nil, ErrUnknown
	}
	k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(strings.Join(fields, " ")))
	if err != nil {
		return nil, fmt.Errorf("public key of SSH: %w", err)
	}
	return &Key{ssh: k}, nil
}

// isKeyType reports whether s is the name of a kind of SSH keys.
func isKeyType(s string) bool {
	return strings.HasPrefix(s, "ssh-") || strings.HasPrefix(s, "ecdsa-sha2-") || strings.HasPrefix(s, "sk-ssh-") || strings.HasPrefix(s, "sk-ecdsa-")
}

// Format returns Minisign or SSH.
func (k *Key) Format() string {
	if k.minisign != nil {
		return Minisign
	}
	return SSH
}

// Suffix returns what follows the name of a file in that of its signature.
func (k *Key) Suffix() string {
	if k.minisign != nil {
		return ".minisig"
	}
	return ".sig"
}

// Fingerprint returns the SHA-256 of the key: of the text of minisign's, without its comment, and of
// the wire form of SSH's, as ssh-keygen -l shows it in base64.
func (k *Key) Fingerprint() artifact.Digest {
	if k.minisign != nil {
		text, _ := k.minisign.MarshalText() // never fails
		_, text, _ = bytes.Cut(text, []byte("\n"))
		return artifact.Of(bytes.TrimSpace(text))
	}
	return artifact.Of(k.ssh.Marshal())
}

// IsSignature reports whether data is a signature in one of the formats, whoever made it.
func IsSignature(data []byte) bool {
	if len(data) > MaxSize {
		return false
	}
	var m minisign.Signature
	if m.UnmarshalText(data) == nil {
		return true
	}
	_, err := sshsig.Unarmor(data)
	return err == nil
}

// Verify returns an error unless k made the signature of what r reads. It is ErrOtherKey if the
// signature says that another key made it.
func (k *Key) Verify(r io.Reader, signature []byte) error {
	if len(signature) > MaxSize {
		return fmt.Errorf("signature: more than %d bytes", MaxSize)
	}
	if k.minisign != nil {
		return k.verifyMinisign(r, signature)
	}

	s, err := sshsig.Unarmor(signature)
	switch {
	case err != nil:
		return fmt.Errorf("signature of SSH: %w", err)
	case !bytes.Equal(s.PublicKey.Marshal(), k.ssh.Marshal()):
		return fmt.Errorf("%w: %s", ErrOtherKey, ssh.FingerprintSHA256(s.PublicKey))
	case s.Namespace != namespace:
		return fmt.Errorf("the signature is for the namespace %.100q, not for %q", s.Namespace, namespace)
	}
	return sshsig.Verify(r, s, k.ssh, s.HashAlgorithm, namespace)
}

// verifyMinisign is Verify for a key of minisign.
func (k *Key) verifyMinisign(r io.Reader, signature []byte) error {
	var s minisign.Signature
	if err := s.UnmarshalText(signature); err != nil {
		return fmt.Errorf("signature of minisign: %w", err)
	}
	if s.KeyID != k.minisign.ID() {
		return fmt.Errorf("%w: %s", ErrOtherKey, strings.ToUpper(hex.EncodeToString(keyID(s.KeyID))))
	}

	good := false
	if s.Algorithm == minisign.HashEdDSA {
		m := minisign.NewReader(r)
		if _, err := io.Copy(io.Discard, m); err != nil {
			return err
		}
		good = m.Verify(*k.minisign, signature)
	} else {
		message, err := io.ReadAll(io.LimitReader(r, maxMessage+1))
		if err != nil {
			return err
		}
		if len(message) > maxMessage {
			return fmt.Errorf("a signature of the older kind, of a file of more than %d MiB", maxMessage>>20)
		}
		good = minisign.Verify(*k.minisign, message, signature)
	}
	if !good {
		return errors.New("the signature does not belong to the file, or its comment not to the signature")
	}
	return nil
}

// keyID returns the bytes of a key's ID in the order in which minisign shows them.
func keyID(id uint64) []byte {
	var b [8]byte
	for i := range b {
		b[i] = byte(id >> (8 * (7 - i)))
	}
	return b[:]
}
