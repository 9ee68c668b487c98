package inspect

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// EmbeddedFile is a file in a variable of type embed.FS. Files that were
// embedded as a string or []byte have no names in a program.
type EmbeddedFile struct {
	// Name is the path within the file system, relative to the package's folder.
	Name string `json:"name"`
	// Size is the size in bytes.
	Size int64 `json:"size"`
	// SHA256 is the sum of the content in hexadecimal.
	SHA256 string `json:"sha256"`
	// Intact reports whether the content fits the hash that the compiler stored beside it. It is No
	// for content that was changed later.
	Intact Answer `json:"intact"`
}

// ErrNoEmbedded is the error of [Binary.Embedded] about a program in which such files cannot be
// looked for. In a position-independent program, the addresses may be in its relocations alone.
var ErrNoEmbedded = errors.New("embedded files cannot be found: addresses are in the relocations")

const (
	maxEmbedded      = 16384   // files
	maxEmbeddedNames = 4 << 20 // bytes
	maxEmbeddedName  = 4096    // bytes of one
)

var errEmbedded = errors.New("find embedded files: more than can be listed")

// Embedded returns the files of all variables of type embed.FS, in the order of
// the program. A file in two variables is there twice.
//
// The compiler writes such a variable (cmd/compile/internal/staticdata.WriteEmbed) as a slice
// header that points just behind itself. There it writes, for each file, the name, the content and
// 16 bytes of the content's hash. The name of a folder ends in a slash. All loaded data is searched
// for headers that fit.
func (b *Binary) Embedded() ([]EmbeddedFile, error) {
	if _, ok := b.macho.command(lcFixups, 0); ok || b.pointer == 0 {
		return nil, ErrNoEmbedded
	}
	e := embedded{b: b, budget: 2*b.size + 1<<20, buf: make([]byte, min(256<<10, b.size))}
	budget := 2 * b.size // mappings may overlap
	for _, m := range b.maps {
		if budget -= m.size; budget < 0 {
			break
		}
		if err := e.search(m); err != nil {
			return e.files, err
		}
	}

	if len(e.files) == 0 && b.relocated() {
		return nil, ErrNoEmbedded
	}
	return e.files, nil
}

// relocated reports whether pointers may not be in their places. If even the runtime's own are not,
// then nothing can be said.
func (b *Binary) relocated() bool {
	if b.Format != ELF || b.elf.kind != etDyn {
		return false
	}
	t, err := b.pclntab()
	if err != nil {
		return true
	}
	_, ok := t.moduleData(b)
	return !ok
}

type embedded struct {
	b      *Binary
	files  []EmbeddedFile
	names  int   // bytes of them
	budget int64 // of bytes to hash
	buf    []byte
}

// search looks for slice headers in a mapping. WebAssembly leaves out runs of zeros, so a header
// may go on in the next mapping.
func (e *embedded) search(m mapping) error {
	p := int64(e.b.pointer)
	buf := e.buf
	skip := int64(-m.address & uint64(p-1)) // to an aligned address
	for at := skip; at < m.size; {
		n := min(int64(len(buf)), m.size-at)
		if err := e.b.read(buf[:n], m.offset+at); err != nil {
			return fmt.Errorf("find embedded files: %w", err)
		}

		for i := int64(0); i+p <= n; i += p {
			address := m.address + uint64(at+i)
			if e.b.word(buf[i:]) != address+uint64(3*p) {
				continue
			}
			if err := e.table(address); err != nil {
				return err
			}
		}

		at += n &^ (p - 1)
		if n < p {
			break
		}
	}
	return nil
}

// table reads the table at address, if it is one.
func (e *embedded) table(address uint64) error {
	p := uint64(e.b.pointer)
	head := make([]byte, 3*p)
	if e.b.load(head, address) != nil {
		return nil
	}

	count := e.b.word(head[p:])
	if count == 0 || count != e.b.word(head[2*p:]) || count > uint64(e.b.size) {
		return nil
	}

	// Files that were found are dropped again if the table turns out to be none.
	start, mark := len(e.files), e.names
	entry := make([]byte, 4*p+16)
	for at := address + 3*p; count > 0; count, at = count-1, at+uint64(len(entry)) {
		if len(e.files) >= maxEmbedded || e.names > maxEmbeddedNames {
			return errEmbedded
		}
		f, folder, err := e.file(entry, at)
		if errors.Is(err, errNotEmbedded) {
			// A chance likeness.
			e.files, e.names = e.files[:start], mark
			return nil
		}
		if err != nil {
			return err
		}

		e.names += len(f.Name)
		if !folder {
			e.files = append(e.files, f)
		}
	}
	return nil
}

var errNotEmbedded = errors.New("not an entry")

func (e *embedded) file(entry []byte, at uint64) (f EmbeddedFile, folder bool, err error) {
	p := e.b.pointer
	if e.b.load(entry, at) != nil {
		return f, false, errNotEmbedded
	}
	var words [4]uint64
	for i := range words {
		words[i] = e.b.word(entry[i*p:])
	}
	if words[1] == 0 || words[1] > maxEmbeddedName || words[3] > uint64(e.b.size) {
		return f, false, errNotEmbedded
	}

	// The words are checked first, as a chance likeness may state any length.
	name := make([]byte, words[1])
	if e.b.load(name, words[0]) != nil {
		return f, false, errNotEmbedded
	}

	f.Name, folder = strings.CutSuffix(string(name), "/")
	if !fs.ValidPath(f.Name) || folder && words[3] != 0 {
		return f, false, errNotEmbedded
	}
	if folder {
		return f, true, nil
	}

	f.Size = int64(words[3])
	if e.budget -= f.Size; e.budget < 0 {
		return f, false, errEmbedded
	}

	// Content of up to 1 KiB and longer content are hashed differently.
	plain, marked := sha256.New(), sha256.New()
	marked.Write([]byte{1})
	buf := make([]byte, min(f.Size, 64<<10))
	for left, from := f.Size, words[2]; left > 0; {
		n := min(left, int64(len(buf)))
		if e.b.load(buf[:n], from) != nil {
			return f, false, errNotEmbedded
		}
		_, _ = io.MultiWriter(plain, marked).Write(buf[:n]) // hashes do not fail
		left, from = left-n, from+uint64(n)
	}

	sum := [32]byte(plain.Sum(nil))
	f.SHA256, f.Intact = hex.EncodeToString(sum[:]), No
	for _, h := range append(hashes(sum), [32]byte(marked.Sum(nil))) {
		if bytes.Equal(h[:16], entry[4*p:]) {
			f.Intact = Yes
		}
	}
	return f, false, nil
}
