package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zstd"
)

var update = flag.Bool("update", false, "rewrite testdata/golden.txt")

var (
	formats = []Format{TarGzip, TarZstd, Zip}
	mtime   = time.Date(2024, 2, 29, 23, 59, 59, 0, time.UTC)
)

func content(b []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}

func text(name, s string) File {
	return File{Name: name, Size: int64(len(s)), Open: content([]byte(s))}
}

// item is what a reader finds in an archive.
type item struct {
	Name string
	Mode fs.FileMode
	Time time.Time
	Data string
}

// readBack reads an archive with readers that are not this package's, and
// fails where an entry says more than the package comment allows.
func readBack(t testing.TB, f Format, data []byte) []item {
	t.Helper()
	var items []item
	if f == Zip {
		zr, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if zr.Comment != "" {
			t.Errorf("comment %q", zr.Comment)
		}
		for _, e := range zr.File {
			r, err := e.Open()
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if len(e.Extra) != 9 || e.Comment != "" {
				t.Errorf("%s: extra fields %x, comment %q; want the extended timestamp alone", e.Name, e.Extra, e.Comment)
			}
			items = append(items, item{e.Name, e.Mode(), e.Modified, string(b)})
		}
		return items
	}
	var plain io.Reader
	switch f {
	case TarGzip:
		zr, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data[:10], []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, data[8], 255}) {
			t.Errorf("gzip header % x", data[:10])
		}
		if zr.Name != "" || zr.Comment != "" || zr.Extra != nil || !zr.ModTime.IsZero() || zr.OS != 255 {
			t.Errorf("gzip header %+v", zr.Header)
		}
		plain = zr
	case TarZstd:
		zr, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		defer zr.Close()
		plain = zr
	}
	tr := tar.NewReader(plain)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return items
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || h.Linkname != "" || !h.AccessTime.IsZero() || !h.ChangeTime.IsZero() {
			t.Errorf("header %+v", h)
		}
		if h.Format&(tar.FormatUSTAR|tar.FormatPAX) == 0 {
			t.Errorf("%s: format %s", h.Name, h.Format)
		}
		items = append(items, item{h.Name, h.FileInfo().Mode(), h.ModTime.UTC(), string(b)})
	}
}

func write(t testing.TB, f Format, files []File) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, f, mtime, files); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWrite(t *testing.T) {
	long := strings.Repeat("long/", 60) + "name"
	exe := text("p_1.0/bin/tool", "\x7fELF")
	exe.Executable = true
	files := []File{
		text("p_1.0/bin.txt", "before the folder: a full stop is less than a slash"),
		exe,
		text("p_1.0/bin0", ""),
		text("p_1.0/README", "hello\n"),
		text("p_1.0/Größe.md", "größe"),
		text("+top", "x"),
	}
	want := []item{
		{"+top", 0o644, mtime, "x"},
		{"p_1.0/", fs.ModeDir | 0o755, mtime, ""},
		{"p_1.0/Größe.md", 0o644, mtime, "größe"},
		{"p_1.0/README", 0o644, mtime, "hello\n"},
		{"p_1.0/bin.txt", 0o644, mtime, "before the folder: a full stop is less than a slash"},
		{"p_1.0/bin/", fs.ModeDir | 0o755, mtime, ""},
		{"p_1.0/bin/tool", 0o755, mtime, "\x7fELF"},
		{"p_1.0/bin0", 0o644, mtime, ""},
	}
	for _, f := range formats {
		t.Run(string(f), func(t *testing.T) {
			got := readBack(t, f, write(t, f, files))
			if len(got) != len(want) {
				t.Fatalf("got %d entries, want %d: %v", len(got), len(want), got)
			}
			for i := range want {
				if !got[i].Time.Equal(want[i].Time) {
					t.Errorf("%s: time %s", got[i].Name, got[i].Time)
				}
				got[i].Time = want[i].Time
				if got[i] != want[i] {
					t.Errorf("entry %d: got %+v, want %+v", i, got[i], want[i])
				}
			}
			if items := readBack(t, f, write(t, f, []File{text(long, "deep")})); len(items) != 61 || items[60].Name != long || items[60].Data != "deep" {
				t.Errorf("long name: %v", items)
			}
			if items := readBack(t, f, write(t, f, nil)); len(items) != 0 {
				t.Errorf("empty archive has %v", items)
			}
		})
	}
}

// TestDeterminism varies what must not matter.
func TestDeterminism(t *testing.T) {
	if testing.Short() {
		t.Skip("compresses much")
	}
	files := corpus()
	for i, f := range files {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(io.LimitReader(r, 300_000)) // some blocks of every kind
		if err != nil {
			t.Fatal(err)
		}
		files[i].Size, files[i].Open = int64(len(b)), content(b)
	}
	for _, f := range formats {
		want := write(t, f, files)
		t.Run(string(f), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			shuffled := slices.Clone(files)
			rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			before := shuffled[0].Name
			if !bytes.Equal(write(t, f, shuffled), want) {
				t.Error("depends on the order of the list")
			}
			if shuffled[0].Name != before {
				t.Error("sorts the caller's slice")
			}

			dribble := slices.Clone(files)
			for i := range dribble {
				open := dribble[i].Open
				dribble[i].Open = func() (io.ReadCloser, error) {
					r, err := open()
					return io.NopCloser(&ragged{r, rng}), err
				}
			}
			if !bytes.Equal(write(t, f, dribble), want) {
				t.Error("depends on what single reads return")
			}

			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + 3))
			if !bytes.Equal(write(t, f, files), want) {
				t.Error("depends on GOMAXPROCS")
			}

			var elsewhere bytes.Buffer
			at := mtime.In(time.FixedZone("X", -5*3600)).Add(999 * time.Millisecond)
			if err := Write(&elsewhere, f, at, files); err != nil || !bytes.Equal(elsewhere.Bytes(), want) {
				t.Errorf("depends on the time zone or on fractions of a second (%v)", err)
			}

			// And what must matter.
			var later bytes.Buffer
			if err := Write(&later, f, mtime.Add(time.Second), files); err != nil || bytes.Equal(later.Bytes(), want) {
				t.Errorf("does not depend on the time (%v)", err)
			}
			changed := slices.Clone(files)
			changed[0].Executable = !changed[0].Executable
			if bytes.Equal(write(t, f, changed), want) {
				t.Error("does not depend on the mode")
			}
		})
	}
}

// ragged returns short reads of any length.
type ragged struct {
	r   io.Reader
	rng *rand.Rand
}

func (r *ragged) Read(p []byte) (int, error) {
	return r.r.Read(p[:1+r.rng.IntN(len(p))])
}

// corpus is some megabytes of what releases hold, made from a fixed seed:
// text, noise, and tables and code as a linker lays them out.
func corpus() []File {
	src := rand.NewChaCha8([32]byte([]byte("twice: archive's golden corpus 1")))
	rng := rand.New(src)

	words := make([]string, 400)
	for i := range words {
		w := make([]byte, 2+rng.IntN(9))
		for j := range w {
			w[j] = byte('a' + rng.IntN(26))
		}
		words[i] = string(w)
	}
	var prose bytes.Buffer
	for prose.Len() < 1<<20 {
		prose.WriteString(words[rng.IntN(1+rng.IntN(len(words)))])
		prose.WriteByte(" \n"[rng.IntN(20)/19])
	}

	noise := make([]byte, 1<<20)
	src.Read(noise)

	ops := make([][]byte, 300) // instructions: few opcodes, many operands
	for i := range ops {
		ops[i] = make([]byte, 2+rng.IntN(6))
		src.Read(ops[i])
	}
	var code bytes.Buffer
	for code.Len() < 3<<20 {
		code.Write(ops[rng.IntN(1+rng.IntN(len(ops)))])
		if rng.IntN(3) == 0 {
			code.Write(binary.LittleEndian.AppendUint32(nil, uint32(rng.IntN(1<<(4+rng.IntN(20))))))
		}
		if rng.IntN(40) == 0 {
			code.Write(bytes.Repeat([]byte{0xcc}, 1+rng.IntN(15)))
		}
	}
	for pc := uint32(0x401000); code.Len() < 5<<20; pc += uint32(16 + 16*rng.IntN(40)) { // as a pclntab
		code.Write(binary.LittleEndian.AppendUint32(nil, pc))
		code.Write(binary.LittleEndian.AppendUint32(nil, uint32(code.Len()/7)))
	}
	code.Write(make([]byte, 300<<10)) // zeros, as between segments

	return []File{
		{Name: "p/bin/tool", Executable: true, Size: int64(code.Len()), Open: content(code.Bytes())},
		{Name: "p/LICENSE", Size: int64(prose.Len()), Open: content(prose.Bytes())},
		{Name: "p/noise", Size: int64(len(noise)), Open: content(noise)},
		text("p/"+strings.Repeat("deep/", 30)+"Größe.txt", "x"),
		text("p/empty", ""),
	}
}

// TestGolden pins the bytes of every format over the corpus. They must not
// depend on the host: the same digests hold with
//
//	go test -tags noasm ./pipeline/archive
//	GOARCH=386 go test ./pipeline/archive
//	GOAMD64=v3 go test ./pipeline/archive
//
// When this test fails after an upgrade of github.com/klauspost/compress or of
// Go, the archives of a release that was made with the earlier version cannot
// be made again byte for byte with this one. That is allowed, but it must be
// seen: refresh testdata/golden.txt with -update in the commit that upgrades,
// say so in its message, and list it in the release notes. When it fails without
// an upgrade, the output depends on the machine: that is a bug, do not refresh.
func TestGolden(t *testing.T) {
	var got strings.Builder
	files := corpus()
	for _, f := range files {
		r, _ := f.Open()
		h := sha256.New()
		io.Copy(h, r)
		fmt.Fprintf(&got, "input %x %d %s\n", h.Sum(nil), f.Size, filepath.Base(f.Name))
	}
	for _, f := range formats {
		b := write(t, f, files)
		sum := sha256.Sum256(b)
		fmt.Fprintf(&got, "%s %s %d\n", f, hex.EncodeToString(sum[:]), len(b))
	}
	if *update {
		if err := os.WriteFile("testdata/golden.txt", []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got:\n%swant:\n%s", got.String(), want)
	}
}

func TestRefused(t *testing.T) {
	tests := []struct {
		name  string
		files []File
		want  string // part of the error
	}{
		{"empty", []File{text("", "")}, "empty"},
		{"absolute", []File{text("/etc/passwd", "")}, "empty path element"},
		{"parent", []File{text("a/../../b", "")}, `".."`},
		{"dot", []File{text("./a", "")}, `"."`},
		{"double slash", []File{text("a//b", "")}, "double slash"},
		{"folder", []File{text("a/", "")}, "trailing slash"},
		{"backslash", []File{text(`a\b`, "")}, "invalid char"},
		{"drive", []File{text("c:a", "")}, "invalid char"},
		{"newline", []File{text("a\nb", "")}, "invalid char"},
		{"escape", []File{text("a\x1b[2J", "")}, "invalid char"},
		{"NUL byte", []File{text("a\x00", "")}, "invalid char"},
		{"not UTF-8", []File{text("a\xff", "")}, "invalid UTF-8"},
		{"bidi override", []File{text("a\u202etxt.exe", "")}, "invalid char"},
		{"device", []File{text("x/con", "")}, "Windows"},
		{"device with suffix", []File{text("Nul.tar.gz", "")}, "Windows"},
		{"device with space", []File{text("nul .txt", "")}, "Windows"},
		{"console", []File{text("CONIN$", "")}, "Windows"},
		{"last dot", []File{text("a./b", "")}, "trailing dot"},
		{"last space", []File{text("a /b", "")}, "ends in a space"},
		{"long element", []File{text(strings.Repeat("a", 256), "")}, "at most 255"},
		{"long name", []File{text(strings.Repeat("abc/", 256)+"x", "")}, "at most 1024"},
		{"twice", []File{text("a", ""), text("a", "")}, "listed twice"},
		{"letter case", []File{text("README", ""), text("Readme", "")}, "macOS"},
		{"letter case beyond ASCII", []File{text("GRÖSSE", ""), text("grösse", "")}, "macOS"},
		{"kelvin sign", []File{text("k", ""), text("\u212a", "")}, "macOS"},
		{"folders' letter case", []File{text("Doc/a", ""), text("doc/b", "")}, "macOS"},
		{"file and folder", []File{text("a", ""), text("a/b", "")}, "collides"},
		{"folder and file", []File{text("a/b", ""), text("A", "")}, "collides"},
		{"negative size", []File{{Name: "a", Size: -1, Open: content(nil)}}, "negative"},
		{"no content", []File{{Name: "a"}}, "no content"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, f := range formats {
				var b bytes.Buffer
				err := Write(&b, f, mtime, append([]File{text("fine", "fine")}, tt.files...))
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: error %v, want one with %q", f, err, tt.want)
				}
				if b.Len() > 0 {
					t.Errorf("%s: wrote %d bytes before the list was checked", f, b.Len())
				}
			}
		})
	}
}

func TestTimes(t *testing.T) {
	tests := []struct {
		format Format
		time   time.Time
		ok     bool
	}{
		{TarGzip, time.Unix(0, 0), true},
		{TarGzip, time.Unix(-1, 0), false},
		{TarZstd, time.Unix(1<<33-1, 0), true},
		{TarZstd, time.Unix(1<<33, 0), false},
		{Zip, time.Unix(0, 0), false},
		{Zip, time.Date(1979, 12, 31, 23, 59, 59, 0, time.UTC), false},
		{Zip, time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC), true},
		{Zip, time.Unix(1<<31-1, 0), true},
		{Zip, time.Unix(1<<31, 0), false},
		{TarGzip, time.Time{}, false},
		{"", mtime, false},
		{"tar.xz", mtime, false},
	}
	for _, tt := range tests {
		var b bytes.Buffer
		err := Write(&b, tt.format, tt.time, []File{text("a/b", "")})
		if (err == nil) != tt.ok {
			t.Errorf("%s at %s: error %v", tt.format, tt.time.UTC(), err)
		}
		if err != nil && b.Len() > 0 {
			t.Errorf("%s at %s: wrote %d bytes before the error", tt.format, tt.time, b.Len())
		}
		if err == nil {
			for _, it := range readBack(t, tt.format, b.Bytes()) {
				if !it.Time.Equal(tt.time) {
					t.Errorf("%s at %s: %s has %s", tt.format, tt.time.UTC(), it.Name, it.Time)
				}
			}
		}
	}
}

type closer struct {
	io.Reader
	err    error
	closed *int
}

func (c closer) Close() error { *c.closed++; return c.err }

func TestContentFaults(t *testing.T) {
	boom := errors.New("boom")
	tests := []struct {
		name string
		size int64
		r    io.Reader
		err  error // of Close
		want string
	}{
		{"short", 4, strings.NewReader("abc"), nil, "has 3 bytes"},
		{"long", 2, strings.NewReader("abc"), nil, "more than the 2"},
		{"not empty", 0, strings.NewReader("a"), nil, "more than the 0"},
		{"read error", 9, io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(boom)), nil, "boom"},
		{"read error at the end", 3, io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(boom)), nil, "boom"},
		{"close error", 3, strings.NewReader("abc"), boom, "boom"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data, _ := io.ReadAll(io.LimitReader(tt.r, 3))
			for _, f := range formats {
				r := tt.r
				if s, ok := r.(*strings.Reader); ok {
					s.Seek(0, io.SeekStart)
				} else {
					r = io.MultiReader(bytes.NewReader(data), iotest.ErrReader(boom))
				}
				closed := 0
				bad := File{Name: "d/bad", Size: tt.size, Open: func() (io.ReadCloser, error) { return closer{r, tt.err, &closed}, nil }}
				err := Write(io.Discard, f, mtime, []File{bad})
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), `"d/bad"`) {
					t.Errorf("%s: error %v, want one with %q and the name", f, err, tt.want)
				}
				if closed != 1 {
					t.Errorf("%s: closed %d times", f, closed)
				}
			}
		})
	}
	t.Run("open error", func(t *testing.T) {
		for _, f := range formats {
			err := Write(io.Discard, f, mtime, []File{{Name: "a", Open: func() (io.ReadCloser, error) { return nil, boom }}})
			if !errors.Is(err, boom) {
				t.Errorf("%s: error %v", f, err)
			}
		}
	})
	t.Run("disk full", func(t *testing.T) {
		for _, f := range formats {
			whole := int64(len(write(t, f, []File{text("a/b", "abc")})))
			for _, room := range []int64{0, 1, whole / 3, whole / 2, whole - 1} {
				if err := Write(&full{room}, f, mtime, []File{text("a/b", "abc")}); !errors.Is(err, errFull) {
					t.Fatalf("%s: error %v with room for %d of %d bytes", f, err, room, whole)
				}
			}
		}
	})
}

var errFull = errors.New("no space left")

type full struct{ room int64 }

func (f *full) Write(p []byte) (int, error) {
	if int64(len(p)) > f.room {
		n := f.room
		f.room = 0
		return int(n), errFull
	}
	f.room -= int64(len(p))
	return len(p), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestMemory writes files of 4 and of 24 MiB; what is allocated in between
// must not grow with them.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("compresses much")
	}
	allocated := func(f Format, size int64) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := Write(io.Discard, f, mtime, []File{{Name: "a", Size: size, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.LimitReader(zeros{}, size)), nil
		}}})
		if err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	for _, f := range formats {
		small, large := allocated(f, 4<<20), allocated(f, 24<<20)
		if large > small+4<<20 {
			t.Errorf("%s: allocates %d bytes for 4 MiB and %d for 24 MiB", f, small, large)
		}
	}
}

// FuzzWrite: any list of names is refused, or comes back from every format.
func FuzzWrite(f *testing.F) {
	for _, s := range []string{"", "a", "a|a/b", "b|a", "A|a", "x/y/z|x/y|x", "nul.txt", "a\\b", "é|É", "e\u0301", "한|\u1112\u1161\u11ab", strings.Repeat("d/", 80) + "f", "a.|b ", "-x|..|..a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		var files []File
		want := map[string]string{}
		for i, name := range strings.Split(list, "|") {
			data := fmt.Sprint(i, name)
			files = append(files, text(name, data))
			want[name] = data
		}
		for _, format := range formats {
			var b bytes.Buffer
			if err := Write(&b, format, mtime, files); err != nil {
				if b.Len() > 0 {
					t.Errorf("%s: %v after %d bytes", format, err, b.Len())
				}
				continue
			}
			if len(want) != len(files) {
				t.Fatalf("%s: duplicates accepted in %q", format, list)
			}
			n, last := 0, ""
			for _, it := range readBack(t, format, b.Bytes()) {
				if it.Name <= last {
					t.Errorf("%s: %q after %q", format, it.Name, last)
				}
				last = it.Name
				if !filepath.IsLocal(it.Name) || strings.ContainsAny(it.Name, "\\:\x00\n\r") {
					t.Errorf("%s: accepts %q", format, it.Name)
				}
				if it.Mode.IsDir() {
					continue
				}
				n++
				if data, ok := want[it.Name]; !ok || data != it.Data {
					t.Errorf("%s: %q: got %q, want %q", format, it.Name, it.Data, data)
				}
			}
			if n != len(files) {
				t.Errorf("%s: %d of %d files came back", format, n, len(files))
			}
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	files := corpus()
	var size int64
	for _, f := range files {
		size += f.Size
	}
	for _, f := range formats {
		b.Run(string(f), func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if err := Write(io.Discard, f, mtime, files); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
