package toolchain

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
)

// publicKey is the key of the public checksum database, without the name that
// stands before it in a verifier key (golang.org/x/mod/sumdb/note). Its first
// part is a hash of name and key, so no other name goes with it. It is the
// same constant as in the go command (cmd/go/internal/modfetch/key.go), and
// stands here so that an installed go command need not be believed.
const publicKey = "033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

// proof holds the answers of the checksum database about one toolchain: the record of
// its hash, the signed head of a tree that holds the record, and those tiles
// of the tree that connect the two, all as the database sent them. It needs no
// trust in where it was kept. See https://go.dev/design/25530-sumdb.
type proof struct {
	// Database is the name of the database.
	Database string `json:"database"`
	// Files are the database's answers by their path below the database's
	// name, such as "tile/8/0/x241/187.p/184".
	Files map[string][]byte `json:"files"`
}

// Limits of a proof: a tile has 8 KiB, a record a few hundred bytes, and a
// tree of height 40 needs a dozen tiles.
const (
	maxProofFile = 64 << 10
	maxProof     = 4 << 20
)

// decodeProof reads a proof as [proof.encode] writes it.
func decodeProof(data []byte) (proof, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var p proof
	if err := dec.Decode(&p); err != nil {
		return proof{}, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return proof{}, errors.New("more than one document")
	}
	return p, nil
}

func (p proof) encode() ([]byte, error) { return json.Marshal(p) }

// verifiedSum verifies p under the database's key and returns the h1: hash that it
// states for mod. key is a verifier key without its name.
func (p proof) verifiedSum(mod module.Version, key string) (string, error) {
	sum, _, err := lookUpProved(p.Database, key, mod, func(name string) ([]byte, error) {
		if data, ok := p.Files[name]; ok {
			return data, nil
		}
		return nil, fs.ErrNotExist
	})
	return sum, err
}

// collectProof verifies the answers that a go command left in the folder
// download ($GOMODCACHE/cache/download) and returns those that it took.
func collectProof(download string, mod module.Version, key string) (proof, string, error) {
	dir := filepath.Join(download, "sumdb")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return proof{}, "", err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}

	switch len(names) {
	case 0:
		return proof{}, "", fault.WithRemedy(fault.Usage(errors.New("the go command did not ask the checksum database")),
			"leave GOSUMDB unset, and set GOPROXY to a module proxy; GOSUMDB=off and file: proxies alone are not checked")

	case 1:
	default:
		return proof{}, "", fmt.Errorf("answers of more than one checksum database: %q", names)
	}

	// A key fits one name only, so a database of another name is another database.
	if _, err := note.NewVerifier(names[0] + "+" + key); err != nil {
		return proof{}, "", fault.WithRemedy(fault.Usage(fmt.Errorf("checksum database %q is not the public one", names[0])),
			"unset GOSUMDB: only the public checksum database tells which toolchains are published")
	}

	sum, files, err := lookUpProved(names[0], key, mod, func(name string) ([]byte, error) {
		return fsx.ReadNamed(filepath.Join(dir, names[0], filepath.FromSlash(name)), maxProofFile)
	})
	if err != nil {
		return proof{}, "", err
	}
	return proof{Database: names[0], Files: files}, sum, nil
}

// lookUpProved looks mod up in the database whose answers read returns, and returns
// its h1: hash with the answers that prove it.
func lookUpProved(database, key string, mod module.Version, read func(string) ([]byte, error)) (string, map[string][]byte, error) {
	ops := &recordedDatabase{database: database, key: key, read: read, files: map[string][]byte{}}

	// Start from an empty tree: the record brings a signed head with it.
	lines, err := sumdb.NewClient(ops).Lookup(mod.Path, mod.Version)
	ops.mu.Lock()
	defer ops.mu.Unlock()

	if ops.alarm != "" {
		return "", nil, fmt.Errorf("checksum database: %s", ops.alarm)
	}
	if err != nil {
		return "", nil, fmt.Errorf("checksum database: %w", err)
	}
	if len(lines) != 1 {
		return "", nil, fmt.Errorf("checksum database: %d hashes for %s, want one", len(lines), mod)
	}

	sum := strings.TrimPrefix(lines[0], mod.Path+" "+mod.Version+" ")
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:")); err != nil || len(raw) != 32 || !strings.HasPrefix(sum, "h1:") {
		return "", nil, fmt.Errorf("checksum database: hash %q of %s: want h1: and 32 bytes in base64", sum, mod)
	}
	return sum, ops.files, nil
}

// recordedDatabase is a sumdb.ClientOps without a network: it gives the client what a
// database has answered before, and keeps what was used.
type recordedDatabase struct {
	database, key string
	read          func(name string) ([]byte, error)

	mu     sync.Mutex
	latest []byte
	files  map[string][]byte
	alarm  string
}

func (a *recordedDatabase) ReadConfig(file string) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if file == "key" {
		return []byte(a.database + "+" + a.key), nil
	}
	return a.latest, nil
}

func (a *recordedDatabase) WriteConfig(file string, old, new []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !bytes.Equal(a.latest, old) {
		return sumdb.ErrWriteConflict
	}
	a.latest = bytes.Clone(new)
	return nil
}

func (a *recordedDatabase) ReadCache(file string) ([]byte, error) {
	name, ok := strings.CutPrefix(file, a.database+"/")
	if !ok || !filepath.IsLocal(filepath.FromSlash(name)) {
		return nil, fs.ErrNotExist
	}
	data, err := a.read(name)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.files[name] = data
	return data, nil
}

func (a *recordedDatabase) ReadRemote(path string) ([]byte, error) {
	return nil, fmt.Errorf("no answer to %s", strings.TrimPrefix(path, "/"))
}

func (a *recordedDatabase) WriteCache(string, []byte) {}

func (a *recordedDatabase) Log(string) {}

func (a *recordedDatabase) SecurityError(msg string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.alarm = msg
}
