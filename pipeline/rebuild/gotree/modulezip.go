package gotree

import (
	"archive/zip"
	"bufio"
	"cmp"
	"compress/flate"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/rebuild/internal/sandbox"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
)

func readHead(name string) ([]byte, error) {
	f, _, err := fsx.OpenNamed(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1000))
}

// member is a file in a zip.
type member struct {
	sum  [sha256.Size]byte
	file *zip.File
	// at and packed are where in the zip the content was read from, in bytes.
	at, packed int64
}

// Bounds of a zip of Go: that of 1.26 has 11,500 files of 215 MB.
const (
	maxMembers  = 100_000
	maxUnpacked = 4 << 30
	maxZip      = 1 << 30
)

// members reads a zip, whose names all begin with prefix, and hashes what is in
// it.
func members(ctx context.Context, z *zip.Reader, prefix string) (map[string]member, error) {
	if len(z.File) > maxMembers {
		return nil, fmt.Errorf("zip: %d members, more than %d", len(z.File), maxMembers)
	}

	list := map[string]member{}
	room := int64(maxUnpacked)
	for _, f := range z.File {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		name, ok := strings.CutPrefix(f.Name, prefix)
		if _, twice := list[name]; !ok || twice || !fs.ValidPath(name) || !f.Mode().IsRegular() {
			return nil, fmt.Errorf("zip: bad member %q", f.Name)
		}

		m := member{file: f}
		if err := m.hash(room); err != nil {
			return nil, fmt.Errorf("zip: %s: %w", f.Name, err)
		}

		room -= int64(f.UncompressedSize64)
		list[name] = m
	}
	return list, disjoint(list)
}

// disjoint fails if members share bytes. No tool makes such a zip, and shared bytes could not be
// counted.
func disjoint(list map[string]member) error {
	byOffset := slices.SortedFunc(maps.Values(list), func(a, b member) int { return cmp.Compare(a.at, b.at) })
	for i, m := range byOffset[min(1, len(byOffset)):] {
		if before := byOffset[i]; before.at+before.packed > m.at {
			return fmt.Errorf("zip: %s and %s share bytes", before.file.Name, m.file.Name)
		}
	}
	return nil
}

// hash computes the digest of a member of at most room bytes. It does not use the reader of
// archive/zip, because that does not tell whether something is hidden behind the content.
func (m *member) hash(room int64) error {
	f := m.file
	raw, err := f.OpenRaw()
	if err != nil {
		return err
	}
	if m.at, err = f.DataOffset(); err != nil {
		return err
	}

	packed := &packedReader{r: bufio.NewReader(raw)}
	content := io.Reader(packed)
	switch f.Method {
	case zip.Store:
	case zip.Deflate:
		content = flate.NewReader(packed) // which takes no byte too many of an io.ByteReader
	default:
		return zip.ErrAlgorithm
	}

	h, sum := sha256.New(), crc32.NewIEEE()
	n, err := io.Copy(io.MultiWriter(h, sum), io.LimitReader(content, room+1))
	switch {
	case err != nil:
		return err
	case n > room:
		return fmt.Errorf("more than %d bytes in all", int64(maxUnpacked))
	case uint64(n) != f.UncompressedSize64 || sum.Sum32() != f.CRC32:
		return zip.ErrChecksum
	}

	m.packed = packed.n
	h.Sum(m.sum[:0])
	return nil
}

// packedReader counts the bytes that are taken.
type packedReader struct {
	r *bufio.Reader
	n int64
}

func (c *packedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *packedReader) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// judgeZip compares a published zip with the one that was built in a tree: as wholes
// and, for the target of the chain, tool by tool.
func (w *distribution) judgeZip(ctx context.Context, s *step, tree, built string, final bool) error {
	whole := &verdict.Result{
		Name: s.String() + "  (zip)", Verdict: compare.Undetermined, Content: inspect.ContentUnknown,
		Source: s.name(), GoVersion: s.Version, Target: s.OS + "/" + s.Arch, RestsOn: s.rests,
		Claimed: []verdict.Claim{w.bootstrapClaim()}, Command: w.byHand(s),
	}
	if final {
		whole.Target = w.target.String()
	}
	var results []*verdict.Result
	err := w.compareZips(ctx, s, tree, built, whole, final, &results)
	w.setSeconds(whole)
	w.results = append(w.results, append(results, whole)...)
	return err
}

func (w *distribution) compareZips(ctx context.Context, s *step, tree, built string, whole *verdict.Result, final bool, results *[]*verdict.Result) error {
	var zips [2]*zip.Reader
	var lists [2]map[string]member

	// Both zips are read from bytes that are hashed as they are, before anything in them counts.
	for i, file := range []struct{ dir, name string }{{filepath.Dir(s.zip), filepath.Base(s.zip)}, {tree, built}} {
		root, err := os.OpenRoot(file.dir)
		if err != nil {
			return err
		}
		defer root.Close()
		f, info, err := fsx.OpenRegular(root, file.name, maxZip)
		if err != nil {
			return err
		}
		defer f.Close()

		h := artifact.NewHasher(io.Discard)
		if _, err := io.Copy(h, f); err != nil {
			return err
		}
		if i == 0 {
			whole.Digest, whole.Size = h.Digest(), h.Size()
		} else {
			whole.Rebuilt, whole.RebuiltSize = h.Digest(), h.Size()
		}

		if zips[i], err = zip.NewReader(f, info.Size()); err != nil {
			return fmt.Errorf("zip: %w", err)
		}
		if lists[i], err = members(ctx, zips[i], s.name()+"/"); err != nil {
			return err
		}
	}

	var differ, signed []string
	framing := whole.Size
	for _, name := range slices.Sorted(maps.Keys(lists[0])) {
		a := lists[0][name]
		framing -= a.packed
		b, ok := lists[1][name]

		// Tools are judged one by one, because a signature may be their only difference.
		tool := strings.HasPrefix(name, "bin/") || strings.HasPrefix(name, "pkg/tool/")
		switch {
		case !ok:
			differ = append(differ, name+" (is not built)")
		case final && tool, a.sum != b.sum && tool:
			res, err := w.member(ctx, s, name, a, b)
			if err != nil {
				return err
			}
			if final {
				*results = append(*results, res)
			}
			switch res.Verdict {
			case compare.Differs:
				differ = append(differ, name)
			case compare.Equivalent:
				signed = append(signed, name)
				whole.Uncovered += res.Uncovered
			}
		case a.sum != b.sum:
			differ = append(differ, name)
		}

		// A tool that is not built gets a result too, so that the list of tools is complete.
		if !ok && tool && final {
			res := w.memberResult(s, name)
			res.Digest, res.Size = artifact.Digest(fmt.Sprintf("sha256:%x", a.sum)), int64(a.file.UncompressedSize64)
			res.Verdict, res.Reason = compare.Differs, verdict.Because(verdict.BytesDiffer, "the source in the zip does not give this file")
			*results = append(*results, res)
		}

		delete(lists[1], name)
	}

	// The members still in the list have no published counterpart.
	for _, name := range slices.Sorted(maps.Keys(lists[1])) {
		differ = append(differ, name+" (is not published)")
	}

	switch {
	case len(differ) > 0:
		whole.Verdict = compare.Differs
		more := ""
		if n := len(differ); n > verdict.MaxRows {
			differ, more = differ[:verdict.MaxRows], fmt.Sprintf(" and %d more", n-verdict.MaxRows)
		}
		whole.Reason = verdict.Because(verdict.BytesDiffer, "of its %d files differ: %s%s", len(lists[0]), verdict.Quote(strings.Join(differ, ", ")), more)
	case whole.Digest == whole.Rebuilt:
		whole.Verdict = compare.Reproduced
	default:
		whole.Verdict, whole.Normalizations = compare.Equivalent, []inspect.Normalization{inspect.MembersAlone}
		whole.Uncovered += framing
		if len(signed) > 0 {
			whole.Normalizations = append(whole.Normalizations, inspect.WithoutSignature)
		}
	}
	return nil
}

func (w *distribution) memberResult(s *step, name string) *verdict.Result {
	return &verdict.Result{
		Name: w.String() + "  " + name, Verdict: compare.Undetermined, Content: inspect.ContentUnknown,
		Source: s.name(), Package: "cmd/" + toolName(name), GoVersion: s.Version, Target: w.target.String(),
		RestsOn: s.rests, Claimed: []verdict.Claim{w.bootstrapClaim()}, Command: w.byHand(s),
	}
}

// member judges a tool in a zip.
func (w *distribution) member(ctx context.Context, s *step, name string, a, b member) (*verdict.Result, error) {
	res := w.memberResult(s, name)

	var list [2]artifact.Artifact
	for i, m := range []member{a, b} {
		r, err := m.file.Open()
		if err != nil {
			return nil, err
		}
		d, size, err := w.Store.Put(io.LimitReader(r, sandbox.MaxSubject))
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, err
		}
		list[i] = artifact.Artifact{Name: name, Kind: artifact.Binary, Digest: d, Size: size, Executable: true}
	}

	res.Digest, res.Size = list[0].Digest, list[0].Size
	w.content(res)
	err := judgeTool(ctx, w.Store, w.dir, res, list[1])
	w.setSeconds(res)
	return res, err
}
