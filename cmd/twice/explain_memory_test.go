//go:build linux && !race

package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"github.com/twicebuild/twice/pipeline/inspect"
)

// fixed is what explain may use beyond the two files, in bytes.
const fixed = 150 << 20

// TestExplainMemory explains a pair of programs of 100 MB, and a pair of archives
// with them, and holds the memory that that took at its height against the sizes
// of the files and a fixed bound. Half of what the programs carry is text, the
// worst there is: texts are what explain keeps in memory. (With the race detector
// memory is another.)
func TestExplainMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes half a gigabyte")
	}
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	program(t, dir, a)
	alter(t, a, b)
	packed := [2]string{pack(t, a), pack(t, b)}
	for name, pair := range map[string][2]string{"programs": {a, b}, "archives": packed} {
		t.Run(name, func(t *testing.T) {
			size := int64(0)
			for _, f := range pair {
				info, err := os.Stat(f)
				if err != nil {
					t.Fatal(err)
				}
				size += info.Size()
			}
			if size < 2*95<<20 {
				t.Fatalf("the files have %d bytes", size)
			}
			out, used := peak(t, "twice", "explain", "-v", pair[0], pair[1], "--html", filepath.Join(dir, name+".html"))
			t.Logf("%d MiB for files of %d MiB", used>>20, size>>20)
			if used > size+fixed {
				t.Errorf("%d bytes of memory for files of %d", used, size)
			}
			for _, want := range []string{"embedded", "main.work"} {
				if !strings.Contains(out, want) {
					t.Errorf("%q is not in what it says:\n%s", want, out)
				}
			}
		})
	}
	// The measure measures: what reads a file as a whole has it in memory.
	if _, used := peak(t, "sh", "-c", "x=$(head -c 67108864 /dev/zero | tr '\\0' x); exit 1"); used < 64<<20 {
		t.Errorf("a process with 64 MiB in memory has %d bytes", used)
	}
}

// peak runs a command that must exit with status 1, and returns what it printed
// and how much memory it took at most, in bytes.
func peak(t *testing.T, name string, args ...string) (string, int64) {
	t.Helper()
	cmd := exec.Command(name, args...)
	tmp := filepath.Join(t.TempDir(), "tmp")
	if err := os.Mkdir(tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "GOGC=100") // as for a user, whatever compiles faster
	// A child starts with its parent's highest figure (getrusage(2)), which other tests
	// may have driven up: proc_pid_clear_refs(5) sets it to what is used now.
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return string(out), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
}

// program builds a program that carries 100 MB.
func program(t *testing.T, dir, out string) {
	t.Helper()
	src := filepath.Join(dir, "src")
	for name, text := range map[string]string{
		"go.mod": "module example.test/large\n\ngo 1.26\n",
		"main.go": `package main

import "embed"

//go:embed large.bin
var files embed.FS

func main() {
	f, err := files.Open("large.bin")
	println(work(3), f, err)
}

//go:noinline
func work(n int) int { return n*n + n%7 }
`,
	} {
		file := filepath.Join(src, name)
		if err := os.MkdirAll(src, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(src, "large.bin"))
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	rng := rand.New(rand.NewPCG(1, 2)) // the same bytes each time, for the build cache
	const printable = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	for n := range 100 << 20 / 8 {
		var p [8]byte
		binary.LittleEndian.PutUint64(p[:], rng.Uint64())
		if n%2 == 0 {
			for i := range p {
				p[i] = printable[p[i]%64]
			}
		}
		if n/(1<<20)%2 == 0 { // whole stretches of text, too
			for i := range p {
				p[i] = printable[p[i]%64]
			}
		}
		if _, err := w.Write(p[:]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", out, ".")
	cmd.Dir = src
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, msg)
	}
}

// alter writes a copy of a program in which a function and much of what it
// carries is another.
func alter(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for at := 4 << 20; at < len(data)-4<<20; at += 64 + rng.IntN(1024) {
		data[at] ^= 1
	}
	b, err := inspect.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for f, err := range b.Functions() {
		if err != nil {
			t.Fatal(err)
		}
		if f.Name == "main.work" {
			data[f.Offset+8] ^= 1
		}
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// pack writes a tar.gz of a file beside it.
func pack(t *testing.T, file string) string {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(file + ".tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewWriterLevel(out, gzip.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	err = w.WriteHeader(&tar.Header{Name: "large", Mode: 0o755, Size: info.Size()})
	if err == nil {
		_, err = io.Copy(w, in)
	}
	if err := errors.Join(err, w.Close(), z.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}
