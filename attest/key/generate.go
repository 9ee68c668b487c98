package key

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// Algorithm is a kind of key that [Generate] makes.
type Algorithm string

// The kinds of key. Some clients, cosign v3 among them, do not verify bundles with P-384 keys. Rekor
// v2 takes no Ed25519 keys.
const (
	P256    Algorithm = "ecdsa-p256"
	P384    Algorithm = "ecdsa-p384"
	Ed25519 Algorithm = "ed25519"
)

// GenerateOptions say what key to make.
type GenerateOptions struct {
	// Algorithm is the kind of key. If it is empty, it is [P256].
	Algorithm Algorithm
	// Passphrase returns the passphrase to encrypt the key with, which is not empty. It is called
	// once, when everything else is known to be in order.
	Passphrase func(context.Context) ([]byte, error)
	// Unencrypted leaves the key unencrypted. No passphrase is asked for.
	Unencrypted bool
}

// Generate makes a key and writes two files. name.key has the key, which cosign can use too
// (PKCS#8, in cosign's encryption unless it is to be unencrypted; mode 0600). name.pub has the
// public half (PKIX; mode 0644). Neither file may be there already. If there is an error, it leaves
// no file behind.
func Generate(ctx context.Context, name string, opts GenerateOptions) (*Private, error) {
	private, err := generate(ctx, name, opts)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return private, nil
}

// generate is Generate without the words in front of its errors.
func generate(ctx context.Context, name string, opts GenerateOptions) (*Private, error) {
	keyFile, pubFile := name+".key", name+".pub"
	// A first look, so that nobody thinks of a passphrase in vain.
	for _, path := range []string{keyFile, pubFile} {
		if _, err := os.Lstat(path); err == nil {
			return nil, alreadyExists(path)
		}
	}

	key, err := newKey(opts.Algorithm)
	if err != nil {
		return nil, err
	}
	block, err := marshal(key)
	if err != nil {
		return nil, err
	}
	if !opts.Unencrypted {
		if err := encrypt(ctx, block, opts.Passphrase); err != nil {
			return nil, err
		}
	}
	private, err := newPrivate(key)
	if err != nil {
		return nil, err
	}

	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}

	// Everything that can fail without a file is done.
	err = writeNew([]newFile{
		{keyFile, pem.EncodeToMemory(block), 0o600},
		{pubFile, private.public.PEM(), 0o644},
	})
	if err != nil {
		return nil, err
	}

	return private, nil
}

// newKey makes a key.
func newKey(algorithm Algorithm) (crypto.PrivateKey, error) {
	switch algorithm {
	case P256, "":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(nil)
		return key, err
	default:
		return nil, fmt.Errorf("unknown algorithm %q (%s, %s, %s)", algorithm, P256, P384, Ed25519)
	}
}

// marshal returns the PKCS#8 form of a key.
func marshal(key crypto.PrivateKey) (*pem.Block, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return &pem.Block{Type: pkcs8Block, Bytes: der}, nil
}

// encrypt turns block into cosign's encrypted form.
func encrypt(ctx context.Context, block *pem.Block, passphrase func(context.Context) ([]byte, error)) error {
	if passphrase == nil {
		return fault.WithRemedy(fault.Usage(errors.New("no passphrase")), "give one, or ask for an unencrypted key")
	}

	pass, err := passphrase(ctx)
	if err != nil {
		return fmt.Errorf("passphrase: %w", err)
	}
	if len(pass) == 0 {
		return fault.WithRemedy(fault.Usage(errors.New("the passphrase is empty")), "give one, or ask for an unencrypted key")
	}

	der, err := encrypted.Encrypt(block.Bytes, pass)
	if err != nil {
		return err
	}
	block.Type, block.Bytes = encryptedBlock, der
	return nil
}

// newFile is a file to be written.
type newFile struct {
	path string
	data []byte
	mode fs.FileMode
}

// alreadyExists returns the error about a file that must not be there.
func alreadyExists(path string) error {
	return fault.WithRemedy(fault.Usage(fmt.Errorf("%s: %w", path, fs.ErrExist)), "move it away, or take another name")
}

// writeNew writes all files or none. None of them may exist.
func writeNew(files []newFile) (err error) {
	for _, file := range files {
		f, openErr := fsx.CreateNew(file.path, file.mode)
		if errors.Is(openErr, fs.ErrExist) {
			return alreadyExists(file.path)
		}
		if errors.Is(openErr, fs.ErrNotExist) {
			return fault.Usage(openErr) // there is no such folder
		}
		if openErr != nil {
			return openErr
		}

		// A failure of a later file takes this one away, too.
		defer func() {
			if err != nil {
				err = errors.Join(err, os.Remove(file.path))
			}
		}()
		if err := writeAndSync(f, file.data); err != nil {
			return err
		}
	}
	return nil
}

// writeAndSync writes data to f and closes it. A key that a power cut takes away may have signed
// something, so it is on disk before anyone uses it.
func writeAndSync(f *os.File, data []byte) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// DevelopmentWarning is a warning of every [Development] key.
const DevelopmentWarning = "signed with a development key of this machine: that proves nothing about who built it"

// Development returns the development key in dir. It is in development.key, unencrypted, with
// development.pub beside it. If dir (of mode 0700) and the files are not there, it makes them.
// Several processes may do so at once, and get the same key.
func Development(ctx context.Context, dir string) (*Private, error) {
	private, err := development(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("development key: %w", err)
	}
	private.Development = true
	private.Warnings = append([]string{DevelopmentWarning}, private.Warnings...)
	return private, nil
}

// lockRetry is how often a lock that another process holds is tried again. That process needs
// milliseconds.
const lockRetry = 10 * time.Millisecond

// development loads the development key, and makes it if it is not there.
func development(ctx context.Context, dir string) (_ *Private, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}

	// Another process may be making the same key.
	lock := flock.New(filepath.Join(dir, "development.lock"), flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, lockRetry); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()

	path := filepath.Join(dir, "development.key")
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		key, err := newKey(P256)
		if err != nil {
			return nil, err
		}
		block, err := marshal(key)
		if err != nil {
			return nil, err
		}
		if err := replaceFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			return nil, err
		}
	}

	private, err := loadFile(ctx, path, Options{})
	if err != nil {
		return nil, fault.WithRemedy(fmt.Errorf("%s: %w", path, err), "remove it; the next run makes a new one")
	}
	// It is for twice verify --key. It follows from the key, so it may be written again.
	pub := filepath.Join(dir, "development.pub")
	if data, _, err := readFile(pub); err != nil || !bytes.Equal(data, private.public.PEM()) {
		if err := replaceFile(pub, private.public.PEM(), 0o644); err != nil {
			return nil, err
		}
	}

	return private, nil
}

// replaceFile writes data to path in one step. The caller holds a lock.
func replaceFile(path string, data []byte, mode fs.FileMode) (err error) {
	// A process that was killed may have left one behind.
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}

	if err := writeNew([]newFile{{temp, data, mode}}); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return nil
}
