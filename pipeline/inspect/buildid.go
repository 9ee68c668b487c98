package inspect

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// BuildID is the build ID that the go command gave a program: four hashes of 120
// bits in base64url, see cmd/go/internal/work/buildid.go in the Go tree.
type BuildID struct {
	// ID is the whole build ID, with slashes between its parts. It may be any text, since
	// -ldflags=-buildid=TEXT sets it. If it has four parts, they are in the other fields. Otherwise
	// these are empty.
	ID string `json:"id"`
	// LinkAction is the hash of all inputs of the linker, flags included.
	LinkAction string `json:"linkAction,omitempty"`
	// MainAction is the hash of all inputs of the compilation of package main.
	MainAction string `json:"mainAction,omitempty"`
	// MainContent is the hash of package main as compiled.
	MainContent string `json:"mainContent,omitempty"`
	// FileContent is the hash of the file, see [Binary.CheckContent].
	FileContent string `json:"fileContent,omitempty"`
}

// ErrNoBuildID is the error of [Binary.BuildID] about a program that has no Go build ID. The flag
// -ldflags=-buildid= leaves it out.
var ErrNoBuildID = errors.New("no Go build ID")

const (
	maxBuildID     = 4096
	maxBuildIDScan = 32 << 10 // bytes of a file that are searched, as "go tool buildid" does
)

// BuildID reads the build ID: in ELF a note, in the other formats a text at the
// start of the code.
func (b *Binary) BuildID() (BuildID, error) {
	id, _, err := b.buildID()
	return id, err
}

// buildID also returns where the ID is. A file may have more bytes like it elsewhere, which mean
// nothing.
func (b *Binary) buildID() (BuildID, Range, error) {
	id, at, err := "", int64(-1), ErrNoBuildID
	if b.Format == ELF {
		const goBuildID = 4
		if desc, offset := b.note("Go\x00\x00", goBuildID); 0 < len(desc) && len(desc) <= maxBuildID {
			id, at, err = string(desc), offset, nil
		}
	} else {
		id, at, err = b.rawBuildID(0)
		if s, ok := b.section("__TEXT,__text"); ok && errors.Is(err, ErrNoBuildID) {
			id, at, err = b.rawBuildID(s.Offset)
		}
	}
	if err != nil {
		return BuildID{}, Range{}, err
	}

	where := Range{"Go build ID", at, int64(len(id))}
	if !buildIDForm.MatchString(id) {
		return BuildID{ID: id}, where, nil
	}

	parts := strings.Split(id, "/")
	return BuildID{id, parts[0], parts[1], parts[2], parts[3]}, where, nil
}

// buildIDForm is the form of an ID that the go command makes: four hashes.
var buildIDForm = regexp.MustCompile(`^[A-Za-z0-9_-]{20}(/[A-Za-z0-9_-]{20}){3}$`)

const buildIDStart, buildIDEnd = "\xff Go build ID: \"", "\"\n \xff"

// rawBuildID looks for the text near offset. It returns the ID and where it is.
func (b *Binary) rawBuildID(offset int64) (id string, at int64, err error) {
	p := make([]byte, min(maxBuildIDScan, b.size-offset))
	if err := b.read(p, offset); err != nil {
		return "", -1, fmt.Errorf("read build ID: %w", err)
	}
	before, p, ok := bytes.Cut(p, []byte(buildIDStart))
	if !ok {
		return "", -1, ErrNoBuildID
	}

	at = offset + int64(len(before)+len(buildIDStart))
	p, _, ok = bytes.Cut(p, []byte(buildIDEnd))
	if !ok || len(p) > maxBuildID {
		return "", -1, errors.New("read build ID: it has no end")
	}

	// The linker writes the ID as a Go string, with quotes and escapes.
	id, err = strconv.Unquote(`"` + string(p) + `"`)
	if err != nil {
		return "", -1, fmt.Errorf("read build ID: %w", err)
	}
	if id == "" {
		return "", -1, ErrNoBuildID
	}
	return id, at, nil
}

// HostID is the identifier that other tools than Go's look for.
type HostID struct {
	// Kind is "GNU build ID" or "LC_UUID".
	Kind string `json:"kind"`
	// Value is the identifier in hexadecimal.
	Value string `json:"value"`
	// FromBuildID reports whether Go's linker made the identifier from the Go build ID by itself
	// (Go 1.24 and later; "-B gobuildid"). Then it says nothing new.
	FromBuildID Answer `json:"fromBuildID"`
	// Origin says where it comes from, as far as the file tells. Only [Facts] have it.
	Origin string `json:"origin,omitempty"`

	offset, size int64
}

// HostID returns the GNU build ID or the LC_UUID, and whether there is one.
func (b *Binary) HostID() (HostID, bool) {
	id, _ := b.BuildID() // an error leaves no parts to derive from
	switch b.Format {
	case ELF:
		const gnuBuildID = 3
		desc, at := b.note("GNU\x00", gnuBuildID)
		if at < 0 || len(desc) > maxBuildID {
			return HostID{}, false
		}
		value := hex.EncodeToString(desc)
		return HostID{Kind: "GNU build ID", Value: value, FromBuildID: derived(id, desc, false), offset: at, size: int64(len(desc))}, true

	case MachO:
		c, ok := b.macho.command(lcUUID, 24)
		if !ok {
			return HostID{}, false
		}
		value := hex.EncodeToString(c.data[8:24])
		return HostID{Kind: "LC_UUID", Value: value, FromBuildID: derived(id, c.data[8:24], true), offset: c.offset + 8, size: int64(len(c.data) - 8)}, true
	}
	return HostID{}, false
}

// derived reports whether value is made of the build ID. While the linker runs, an ID of the go
// command has the link's action in the place of the content. An ID of another form stays as it is.
func derived(id BuildID, value []byte, uuid bool) Answer {
	early := id.ID
	if id.LinkAction != "" {
		early = strings.Join([]string{id.LinkAction, id.MainAction, id.MainContent, id.LinkAction}, "/")
	}
	if early == "" {
		return Unknown
	}
	for _, sum := range hashes(sha256.Sum256([]byte(early))) {
		if uuid && slices.Contains(uuids(sum), [16]byte(value)) || !uuid && bytes.Equal(value, sum[:20]) {
			return Yes
		}
	}
	return No
}

// uuids returns the identifiers that Go's linker makes of a hash: of version 3, and of another variant
// up to Go 1.26 (ld.uuidFromGoBuildId) than later (ld.uuidFromHash).
func uuids(sum [32]byte) [][16]byte {
	old := [16]byte(sum[:16])
	old[6] = old[6]&0x0f | 0x30
	current := old
	old[8] |= 0xc0
	current[8] = current[8]&0x3f | 0x80
	return [][16]byte{old, current}
}

// hashes returns the variants of SHA-256 that Go's tool chain used where no standard hash is
// needed: the first byte inverted (Go 1.25 and later), its last bit alone (1.24), or all bytes (up to
// 1.23). See cmd/internal/hash and cmd/internal/notsha256.
func hashes(sum [32]byte) [][32]byte {
	first, bit, all := sum, sum, sum
	first[0] ^= 0xff
	bit[0] ^= 1
	for i := range all {
		all[i] ^= 0xff
	}
	return [][32]byte{first, bit, all, sum}
}

// origin says where the identifier comes from.
func (b *Binary) origin(h HostID, f *Facts) string {
	id, err := b.BuildID()
	none := errors.Is(err, ErrNoBuildID)
	switch {
	case h.FromBuildID == Yes:
		return "made from the Go build ID"
	case h.Kind == "LC_UUID" && none && b.hashedUUID(h):
		return "made of the file's content, as there is no Go build ID"
	case none:
		return "there is no Go build ID that it could be made from"
	case err != nil || id.ID == "":
		return "origin unknown"
	case f.Finding(Cgo).Is == Yes:
		return "not made from the Go build ID: by the linker of a C compiler, or given by -B"
	}
	return "not made from the Go build ID: given by -B, or by another linker"
}

// hashedUUID reports whether the LC_UUID is the hash of the file, as Go 1.27 and later write it without
// a Go build ID. Then neither the headers nor a signature were written yet.
func (b *Binary) hashedUUID(h HostID) bool {
	header, ok := b.section("(Mach-O header)")
	if !ok {
		return false
	}
	size := b.size
	if s, ok := b.section("(code signature)"); ok {
		size = s.Offset
	}

	sum := sha256.New()
	if _, err := io.Copy(sum, b.edited([]edit{{0, header.Size, nil}}, size)); err != nil {
		return false
	}
	for _, hash := range hashes([32]byte(sum.Sum(nil))) {
		for _, uuid := range uuids(hash) {
			if hex.EncodeToString(uuid[:]) == h.Value {
				return true
			}
		}
	}
	return false
}

// Content is the state of a file with respect to the last part of its build ID, which is a hash of
// the file. Anyone who changes a file can compute a new one. So Intact rules out accident and
// ordinary tools (strip, UPX, patchelf, an installer that writes into the file), but not intent.
type Content string

// States of a file.
const (
	// ContentIntact is a file that is as the go command left it.
	ContentIntact Content = "intact"
	// ContentSigned is a file that is as the go command left it, once a later signature is taken
	// off.
	ContentSigned Content = "signed"
	// ContentChanged is a file that was changed after it was linked.
	ContentChanged Content = "changed"
	// ContentUnknown is a file without such a hash.
	ContentUnknown Content = "unknown"
)

// ContentCheck is the outcome of [Binary.CheckContent].
type ContentCheck struct {
	State Content `json:"state"`
	// Hash is the hash of the file, encoded as in the build ID. It is empty if State is unknown.
	Hash string `json:"hash,omitempty"`
	// Uncovered is the number of bytes that the hash does not cover: the host
	// build ID, the signature and its traces in the headers, and the build ID where
	// it occurs more than once.
	Uncovered int64 `json:"uncovered,omitempty"`
	// Why is the reason of State in words.
	Why string `json:"why"`
}

// CheckContent computes the hash of the file, as cmd/internal/buildid does. It zeroes the build ID
// wherever it occurs, as the go command puts its own tools' IDs into their data, too. It also
// zeroes the GNU build ID or LC_UUID, and a Mach-O code signature. The hash may differ from the one
// in the build ID although there is a signature. Then CheckContent tries again, with everything
// that signing changes put back as Go's linker writes it. An error is one of reading, or
// [ErrNoBuildID].
func (b *Binary) CheckContent() (ContentCheck, error) {
	id, err := b.BuildID()
	if err != nil {
		return ContentCheck{State: ContentUnknown}, err
	}
	if id.FileContent == "" {
		return ContentCheck{State: ContentUnknown, Why: "the build ID does not come from the go command"}, nil
	}

	standard, host := b.exclusions()
	type attempt struct {
		state Content
		edits []edit
		size  int64
		why   string
	}

	attempts := []attempt{{ContentIntact, append(standard[:len(standard):len(standard)], host...), b.size, "the build ID's hash of the file is right"}}
	if len(host) > 0 { // Go 1.23 and earlier with -B
		attempts = append(attempts, attempt{ContentIntact, standard, b.size, "the build ID's hash of the file, host build ID included, is right"})
	}
	if edits, size, ok := b.unsigned(); ok {
		attempts = append(attempts, attempt{ContentSigned, append(edits, host...), size, "the build ID's hash of the file is right once the signature is taken off"})
	}

	first := ""
	for _, a := range attempts {
		sum, ids, err := contentHash(b.edited(a.edits, a.size), []byte(id.ID))
		if err != nil {
			return ContentCheck{State: ContentUnknown}, fmt.Errorf("hash the file: %w", err)
		}
		if sum == id.FileContent {
			c := ContentCheck{a.state, sum, max(0, b.size-a.size) + int64((ids-1)*len(id.ID)), a.why}
			for _, e := range a.edits {
				c.Uncovered += max(0, min(e.size, min(b.size, a.size)-e.offset))
			}
			return c, nil
		}

		// The first attempt is about the file as it is, so its hash is the one to report.
		first = cmp.Or(first, sum)
	}
	return ContentCheck{ContentChanged, first, 0, "the build ID's hash of the file is wrong: it was changed after it was linked"}, nil
}

// edit replaces a range of a file by bytes, or by zeros.
type edit struct {
	offset, size int64
	with         []byte
}

// exclusions returns the parts that the go command leaves out of its hash: the code signature, and
// the host build ID. A signature is left out only if it lies where a signer puts it.
func (b *Binary) exclusions() (standard, host []edit) {
	if s, ok, err := b.machoSigned(); ok && err == nil {
		standard = append(standard, edit{s.at, b.size - s.at, nil})
	}
	if h, ok := b.HostID(); ok {
		host = append(host, edit{h.offset, h.size, nil})
	}
	return standard, host
}

// unsigned returns the edits that put a file with a signature back to what Go's linker writes, and
// its size then. Signing a Mach-O file replaces the linker's ad hoc signature, or adds a load
// command if there is none. It also adjusts the __LINKEDIT segment that the signature lies in.
// Signing a PE file appends certificates, and sets a directory entry and the checksum, which are 0
// otherwise.
func (b *Binary) unsigned() ([]edit, int64, bool) {
	o := binary.LittleEndian
	switch b.Format {
	case MachO:
		s, ok, err := b.machoSigned()
		if !ok || err != nil {
			return nil, 0, false
		}

		// The file ends where the signature starts, or where Go's own signature would end.
		size := s.at
		var edits []edit
		if b.macho.cpu == cpuARM64 { // for which alone Go's linker signs
			n := machoSignatureSize(s.at)
			size += n
			edits = []edit{{s.command.offset + 12, 4, o.AppendUint32(nil, uint32(n))}, {s.at, n, nil}}
		} else {
			var counts [8]byte
			o.PutUint32(counts[:], uint32(len(b.macho.commands)-1))
			o.PutUint32(counts[4:], uint32(s.command.offset-machoHeader))
			edits = []edit{{machoCounts, 8, counts[:]}, {s.command.offset, signatureCommand, nil}}
		}

		link := o.AppendUint64(nil, uint64(size)-o.Uint64(s.link.data[40:]))
		return append(edits, edit{s.link.offset + 32, 8, link}, edit{s.link.offset + 48, 8, link}), size, true
	case PE:
		at, ok, err := b.peSigned()
		if !ok || err != nil {
			return nil, 0, false
		}

		if at-b.pe.end < 8 { // the certificates start at a multiple of 8
			at = b.pe.end
		}
		return []edit{{b.pe.checksumAt, 4, nil}, {b.pe.securityAt, 8, nil}}, at, true
	}
	return nil, 0, false
}

// machoSignatureSize returns the size of the signature that Go's linker gives
// to code of n bytes (cmd/internal/codesign.Size).
func machoSignatureSize(n int64) int64 {
	const blobs, directory, id, page = 12 + 8, 13*4 + 4 + 4*8, "a.out\x00", 4096
	return blobs + directory + int64(len(id)) + (n+page-1)/page*sha256.Size
}

// edited returns the file, cut off or extended by zeros to size, with the edits
// applied.
func (b *Binary) edited(edits []edit, size int64) io.Reader {
	return &editedReader{b: b, edits: edits, size: size}
}

type editedReader struct {
	b        *Binary
	edits    []edit
	at, size int64
}

func (r *editedReader) Read(p []byte) (int, error) {
	if r.at >= r.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.size-r.at)]
	n := max(0, min(int64(len(p)), r.b.size-r.at))
	if n > 0 {
		if err := r.b.read(p[:n], r.at); err != nil {
			return 0, err
		}
	}

	// Behind the end of the file, an edited file has zeros.
	clear(p[n:])

	// An edit may begin before this part of the file, or end behind it.
	for _, e := range r.edits {
		from, to := max(e.offset, r.at), min(e.offset+e.size, r.at+int64(len(p)))
		if from >= to {
			continue
		}
		clear(p[from-r.at : to-r.at])
		if e.with != nil {
			copy(p[from-r.at:to-r.at], e.with[from-e.offset:])
		}
	}

	r.at += int64(len(p))
	return len(p), nil
}

// contentHash returns the hash of what r has, encoded as in a build ID, with each occurrence of id
// zeroed. It also returns the number of these.
func contentHash(r io.Reader, id []byte) (sum string, ids int, err error) {
	h := sha256.New()
	zeros := make([]byte, len(id))
	buf := make([]byte, 0, 64<<10) // more than the longest id

	for {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return "", 0, err
		}

		buf = buf[:len(buf)+n]
		rest := buf
		for {
			before, after, found := bytes.Cut(rest, id)
			if !found {
				break
			}
			h.Write(before)
			h.Write(zeros)
			rest = after
			ids++
		}

		if last {
			h.Write(rest)
			return base64.URLEncoding.EncodeToString(h.Sum(nil)[:15]), ids, nil
		}

		// What may be the beginning of an occurrence waits for the next bytes.
		keep := min(len(rest), len(id)-1)
		h.Write(rest[:len(rest)-keep])
		copy(buf[:keep], rest[len(rest)-keep:])
		buf = buf[:keep]
	}
}
