package key

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// MaxFile bounds key files, in bytes.
const MaxFile = 1 << 20

// maxBlock bounds the content of a PEM block, in bytes. An encrypted RSA key of 4096 bits takes 3.5
// KB. To check one of a megabyte would take minutes.
const maxBlock = 8 << 10

// Types of PEM blocks.
const (
	publicBlock    = "PUBLIC KEY"
	pkcs8Block     = "PRIVATE KEY"
	sec1Block      = "EC PRIVATE KEY"
	pkcs1Block     = "RSA PRIVATE KEY"
	encryptedBlock = "ENCRYPTED SIGSTORE PRIVATE KEY"
	olderBlock     = "ENCRYPTED COSIGN PRIVATE KEY"
)

// readFile returns the content of a regular file and what is known about it.
func readFile(path string) ([]byte, fs.FileInfo, error) {
	f, info, err := fsx.OpenNamed(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fault.WithRemedy(fault.Usage(withoutPath(err)), "twice keygen makes a key")
	}
	if errors.Is(err, fsx.ErrNotRegular) {
		return nil, nil, fault.Usage(errors.New("not a regular file"))
	}
	if err != nil {
		return nil, nil, withoutPath(err)
	}

	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, nil, withoutPath(err)
	}

	if len(data) > MaxFile {
		return nil, nil, fmt.Errorf("more than %d bytes: not a key", MaxFile)
	}
	return data, info, nil
}

// withoutPath drops the path from an error of package os. The callers name it.
func withoutPath(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// loadFile loads a private key in a file.
func loadFile(ctx context.Context, path string, opts Options) (*Private, error) {
	data, info, err := readFile(path)
	if err != nil {
		return nil, err
	}

	private, err := parsePrivate(ctx, data, opts.Passphrase)
	if err != nil {
		return nil, err
	}
	// Windows keeps no such bits.
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		private.Warnings = append(private.Warnings,
			fmt.Sprintf("others can open the signing key %s (mode %04o): chmod 600 keeps it to you", path, mode))
	}
	return private, nil
}

// ParsePublic reads a PUBLIC KEY block.
func ParsePublic(data []byte) (*Public, error) {
	block, err := onlyBlock(data)
	if err != nil {
		return nil, err
	}

	// A private key in this place is a mistake that can be explained.
	switch block.Type {
	case publicBlock:
	case pkcs8Block, sec1Block, pkcs1Block, encryptedBlock, olderBlock:
		return nil, fault.WithRemedy(fault.Usage(fmt.Errorf("holds a private key (%s)", block.Type)), "give the public half, NAME.pub")
	default:
		return nil, fmt.Errorf("holds %q: want %s", block.Type, publicBlock)
	}

	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	return newPublic(key)
}

// parsePrivate reads a private key of any of the formats that the package
// comment lists. The passphrase is asked for last.
func parsePrivate(ctx context.Context, data []byte, passphrase func(context.Context) ([]byte, error)) (*Private, error) {
	block, err := onlyBlock(data)
	if err != nil {
		return nil, err
	}

	if block.Type == encryptedBlock || block.Type == olderBlock {
		if block.Bytes, err = decrypt(ctx, block.Bytes, passphrase); err != nil {
			return nil, err
		}
		block.Type = pkcs8Block
	}

	key, err := parseBlock(block)
	if err != nil {
		return nil, err
	}
	return newPrivate(key)
}

// parseBlock reads the private key in a PEM block that is not encrypted, or not any more.
func parseBlock(block *pem.Block) (crypto.PrivateKey, error) {
	var key crypto.PrivateKey
	var err error
	switch block.Type {
	case pkcs8Block:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case sec1Block:
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case pkcs1Block:
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, fault.WithRemedy(fault.Usage(errors.New("encrypted as PKCS#8 does it: want cosign's encryption")),
			"cosign import-key-pair --key FILE converts it")

	case "OPENSSH PRIVATE KEY":
		return nil, fault.WithRemedy(fault.Usage(errors.New("in OpenSSH's own format")),
			"ssh-keygen -p -m PKCS8 -f FILE converts a copy of it; better, have a key for this alone: twice keygen")

	case publicBlock, "RSA PUBLIC KEY", "CERTIFICATE":
		return nil, fault.WithRemedy(fault.Usage(fmt.Errorf("holds no private key (%s)", block.Type)), "give the private half, NAME.key")
	default:
		return nil, fmt.Errorf("holds %q: want a private key", block.Type)
	}
	if err != nil {
		return nil, err
	}
	// The parsers above do not mind what follows.
	var outer asn1.RawValue
	if rest, err := asn1.Unmarshal(block.Bytes, &outer); err != nil || len(rest) > 0 {
		return nil, errors.New("there is something after the key")
	}
	return key, nil
}

// begin is how a PEM block begins.
var begin = []byte("-----BEGIN ")

// onlyBlock returns the PEM block in data. Anything else in data is an error.
func onlyBlock(data []byte) (*pem.Block, error) {
	data = bytes.TrimSpace(data)
	if !bytes.HasPrefix(data, begin) {
		return nil, errors.New("not in PEM")
	}

	block, rest := pem.Decode(data)
	blocks := 1
	if block != nil && block.Type == "EC PARAMETERS" {
		// "openssl ecparam -genkey" writes them; the key names its curve itself.
		block, rest = pem.Decode(rest)
		blocks = 2
	}

	if block == nil {
		return nil, errors.New("damaged PEM")
	}
	// pem.Decode passes over a damaged block and finds the next one.
	if bytes.Count(data, begin) != blocks || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("there is more than one key, or more than a key")
	}
	if len(block.Headers) > 0 {
		return nil, fault.WithRemedy(fault.Usage(errors.New("has PEM headers, as the outdated encryption of openssl does")),
			"openssl pkey -in FILE -out NEW writes it without")
	}
	if len(block.Bytes) > maxBlock {
		return nil, fmt.Errorf("of %d bytes: no key that is accepted takes more than %d", len(block.Bytes), maxBlock)
	}
	return block, nil
}

// cosignBox is the document in cosign's encrypted keys. It is checked before it is decrypted.
type cosignBox struct {
	KDF struct {
		Name   string `json:"name"`
		Params struct {
			N int `json:"N"`
			R int `json:"r"`
			P int `json:"p"`
		} `json:"params"`
		Salt []byte `json:"salt"`
	} `json:"kdf"`
	Cipher struct {
		Name  string `json:"name"`
		Nonce []byte `json:"nonce"`
	} `json:"cipher"`
	Ciphertext []byte `json:"ciphertext"`
}

// checkBox refuses a document that is not cosign's encryption, so that a later failure is the
// passphrase's. A document with an unknown member, with one that is there twice, or in another
// order encodes to something else.
func checkBox(data []byte) error {
	var b cosignBox
	if err := json.Unmarshal(data, &b); err != nil {
		return err
	}

	// What encodes to the same bytes has no member that is hidden.
	enc, err := json.Marshal(b)
	if err != nil {
		return err
	}

	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		return err
	}
	if !bytes.Equal(enc, compact.Bytes()) {
		return errors.New("not laid out as cosign does it")
	}

	if b.KDF.Name != "scrypt" || b.Cipher.Name != "nacl/secretbox" {
		return fmt.Errorf("unknown key derivation %q or cipher %q", b.KDF.Name, b.Cipher.Name)
	}
	// Package encrypted takes the three N that were ever written: others could
	// ask for any amount of time and memory.
	if p := b.KDF.Params; (p.N != 1<<15 && p.N != 1<<16 && p.N != 1<<17) || p.R != 8 || p.P != 1 {
		return fmt.Errorf("unknown scrypt parameters N=%d r=%d p=%d", p.N, p.R, p.P)
	}

	if len(b.KDF.Salt) == 0 || len(b.Ciphertext) == 0 {
		return errors.New("no salt, or nothing encrypted")
	}
	if len(b.Cipher.Nonce) != 24 {
		return fmt.Errorf("nonce of %d bytes: want 24", len(b.Cipher.Nonce))
	}
	return nil
}

// decrypt returns the PKCS#8 key in cosign's encryption.
func decrypt(ctx context.Context, data []byte, passphrase func(context.Context) ([]byte, error)) ([]byte, error) {
	if err := checkBox(data); err != nil {
		return nil, fmt.Errorf("encrypted key: %w", err)
	}

	if passphrase == nil {
		return nil, fault.WithRemedy(fault.Usage(errors.New("is encrypted, and there is no passphrase")), "give the passphrase")
	}
	// The document is sound, so the user is asked for nothing in vain.
	pass, err := passphrase(ctx)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}

	der, err := encrypted.Decrypt(data, pass)
	if err != nil {
		return nil, fault.WithRemedy(fault.Usage(errors.New("cannot be decrypted: the passphrase is wrong, or the file was changed")),
			"check the passphrase")
	}
	return der, nil
}
