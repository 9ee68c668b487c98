package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// signs are what diffoscope has to say for a cause to count as named by it: a
// pattern that occurs in one of the lines of its output that begin with + or - (the
// lines that differ) or name a step into the files, wherever that stands and
// whatever else there is. A value that only the cause can have changed is enough;
// nobody has to be told what it means. Of twice the cause has to come first.
var signs = map[string]string{
	"platform":                     `Mach-O|ELF|Machine|architecture`,
	"goamd64":                      `GOAMD64|avx|bmi|x86-64-v3`,
	"goexperiment":                 `arenas`,
	"gofips140":                    `(?i)fips140`,
	"godebug":                      `panicnil`,
	"race":                         `-race|tsan`,
	"pie":                          `buildmode=pie|\bDYN\b|shared object|pie`,
	"tags":                         `-tags|special`,
	"gcflags":                      `-gcflags`,
	"asmflags":                     `-asmflags`,
	"cgo":                          `CGO_ENABLED|runtime/cgo|_cgo|libc\.so`,
	"cgo-flags":                    `CGO_CFLAGS|-O1|-O2`,
	"setting":                      `-compilex`,
	"other-go-version":             `go1\.\d+`,
	"other-toolchain-same-version": `printbool|indeed`,
	"no-build-info":                `build(?:inf|info)`,
	"compiler-output":              `main\.work`,
	"linker-output":                `debug_info`,
	"module-version":               `v1\.0\.0|v1\.1\.0`,
	"module-replaced":              `example\.test/fork`,
	"module-sum":                   `h1:`,
	"dependency-sums-missing":      `h1:`,
	"module-source":                `v1\.0\.0`,
	"main-package":                 `command-line-arguments`,
	"vcs-stamp":                    `vcs\.`,
	"vcs-modified":                 `vcs\.modified`,
	"vcs-missing":                  `vcs`,
	"main-version":                 `v1\.2\.3`,
	"path-of-build-folder":         `/[\w.]+/[^ ]*main\.go|/tmp/|/Test`,
	"trimpath":                     `-trimpath|/src/runtime`,
	"path-of-goroot":               `GOROOT|/src/runtime`,
	"path-of-module-cache":         `/mod/|example\.test/dep@`,
	"time-stamp":                   `20\d\d-\d\d-\d\d|\d\d:\d\d:\d\d|17\d{8}`,
	"ldflags-x":                    `release-(?:one|three)|one|three|-X `,
	"embedded-file":                `one text|another text|assets/|20\d\d`,
	"host-path":                    `/(?:home|build|tmp|Users)/`,
	"user-or-host":                 `\w+@\w+`,
	"varied":                       `quarkhost|leptonhst`,
	"source":                       `main\.work|main\.main|text`,
	"stripped":                     `symtab|debug_|not stripped|stripped`,
	"debug-compression":            `debug_|zdebug`,
	"build-id-only":                `(?i)build.?id|LC_UUID|uuid`,
	"changed-after-linking":        `main\.work`,
	"signature-only":               `(?i)signature|certificate|LC_CODE_SIGNATURE`,
	"pe-header":                    `(?i)time`,
	"packed":                       `UPX`,
	"appended":                     `payload`,
	"universal-slices":             `(?i)universal`,
	"file-type":                    `(?i)text|data|ASCII`,
	"line-endings":                 `\\r|CRLF|line (?:terminators|endings)|\r`,
	"line-order":                   `(?i)order|two`,
	"content":                      `\w`,
	"archive-members":              `README`,
	"archive-order":                `README|bin/x|doc/y`,
	"archive-mtime":                `20\d\d-\d\d-\d\d|\d\d:\d\d:\d\d|\d\d\w\w\w\d\d|\d{6}\.\d{6}`,
	"archive-mode":                 `rw`,
	"archive-owner":                `user|1000`,
	"archive-type":                 `README`,
	"archive-header":               `(?i)pax|EXAMPLE`,
	"compressor":                   `(?i)compress|deflate|stor|defN|defX|level|from Unix|original size|Zstandard|method`,
	"compressor-header":            `x\.tar|was "`,
	"archive-format":               `(?i)gzip|zstandard`,
	"archive-padding":              `[0-9a-f]{8}:|padding|zeros`,
}

// most is how long a program may take for a pair.
const most = 5 * time.Minute

// BenchmarkExplain explains the pairs of the corpus of pipeline/explain, of which
// each has one known cause, with `twice explain` and with Debian's diffoscope
// (package diffoscope-minimal; what it runs has to be there too: binutils, xxd,
// unzip, zstd). It reports how many pairs there are, how many causes each names
// (twice first of all, diffoscope anywhere, see signs), and the ratios of time. The
// pairs are those that TWICE_BENCH_PAIRS, a regular expression, matches; with
// -short those that compile the whole runtime anew are left out.
func BenchmarkExplain(b *testing.B) {
	diffoscope, err := exec.LookPath("diffoscope")
	if err != nil {
		b.Skip("no diffoscope")
	}
	only, err := regexp.Compile(os.Getenv("TWICE_BENCH_PAIRS"))
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	twice, corpus := filepath.Join(dir, "twice"), filepath.Join(dir, "corpus")
	run := func(args ...string) {
		cmd := exec.Command("go", args...)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("build", "-o", twice, "../../cmd/twice")
	args := []string{"test", "-count=1", "-timeout=1h", "-run", "^TestCorpus$", "../../pipeline/explain", "-keep", corpus}
	if testing.Short() {
		args = slices.Insert(args, 1, "-short")
	}
	run(args...)
	causes, err := filepath.Glob(filepath.Join(corpus, "*", "cause"))
	if err != nil || len(causes) == 0 {
		b.Fatalf("no corpus: %v", err)
	}
	for b.Loop() {
		var mine, theirs tally
		pairs := 0
		for _, file := range causes {
			pair := filepath.Dir(file)
			if !only.MatchString(filepath.Base(pair)) {
				continue
			}
			data, err := os.ReadFile(file)
			if err != nil {
				b.Fatal(err)
			}
			cause := string(data)
			sign, ok := signs[cause]
			if !ok {
				b.Fatalf("nobody says how diffoscope would name %s", cause)
			}
			pairs++
			out, t1 := timed(b, exec.Command(twice, "explain", "--json", "a", "b"), pair)
			named := firstCause(b, out) == cause
			mine.add(named, t1)
			out, t2 := timed(b, exec.Command(diffoscope, "--no-progress", "--text", "-", "a", "b"), pair)
			there := says(out, regexp.MustCompile(sign))
			theirs.add(there, t2)
			fmt.Printf("%-32s %-28s twice %-5t %6.2fs cpu  diffoscope %-5t %6.2fs cpu\n", filepath.Base(pair), cause, named, t1.cpu.Seconds(), there, t2.cpu.Seconds())
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(pairs), "pairs")
		b.ReportMetric(float64(mine.named), "named")
		b.ReportMetric(float64(theirs.named), "diffoscope-named")
		b.ReportMetric(mine.took.cpu.Seconds(), "cpu-s")
		b.ReportMetric(theirs.took.cpu.Seconds(), "diffoscope-cpu-s")
		b.ReportMetric(theirs.took.cpu.Seconds()/mine.took.cpu.Seconds(), "cpu:diffoscope/twice")
		b.ReportMetric(theirs.took.wall.Seconds()/mine.took.wall.Seconds(), "wall:diffoscope/twice")
	}
}

// tally sums up what a program did.
type tally struct {
	named int
	took  took
}

func (t *tally) add(named bool, x took) {
	if named {
		t.named++
	}
	t.took.cpu, t.took.wall = t.took.cpu+x.cpu, t.took.wall+x.wall
}

// took is the time of a process, and of those that it waited for.
type took struct{ cpu, wall time.Duration }

// timed runs a program that must find a difference. One that takes too long has
// said nothing.
func timed(b *testing.B, cmd *exec.Cmd, dir string) ([]byte, took) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	limited := exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
	limited.Dir = dir
	limited.WaitDelay = time.Second
	var out, said bytes.Buffer
	limited.Stdout, limited.Stderr = &out, &said
	start := time.Now()
	err := limited.Run()
	t := took{limited.ProcessState.UserTime() + limited.ProcessState.SystemTime(), time.Since(start)}
	if ctx.Err() != nil {
		return nil, t
	}
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		b.Fatalf("%s in %s: %v\n%s", cmd, dir, err, said.String())
	}
	return out.Bytes(), t
}

// firstCause is the identifier of the cause that twice names first.
func firstCause(b *testing.B, out []byte) string {
	b.Helper()
	var doc struct{ Causes []struct{ ID string } }
	if err := json.Unmarshal(out, &doc); err != nil || len(doc.Causes) == 0 {
		b.Fatalf("twice explain: %v: %.200s", err, out)
	}
	return doc.Causes[0].ID
}

// says tells whether a line of diffoscope's that is about a difference has the
// sign. Its lines stand behind vertical bars, one for each step into the files.
func says(out []byte, sign *regexp.Regexp) bool {
	for line := range strings.Lines(string(out)) {
		line = strings.TrimLeft(strings.TrimRight(line, "\n"), "│ ")
		if about := strings.HasPrefix(line, "+") || strings.HasPrefix(line, "-") || strings.HasPrefix(line, "├") || strings.HasPrefix(line, "╵"); about && sign.MatchString(line) {
			return true
		}
	}
	return false
}

// TestSays shows what counts.
func TestSays(t *testing.T) {
	sign := regexp.MustCompile(`-tags`)
	for out, want := range map[string]bool{
		"--- a\n+++ b\n│ @@ -1 +1 @@\n│ -build\t-tags=x\n": true,
		"├── readelf -tags\n":                              true,
		"│ │ +  build -tags=x":                             true,
		"│ │    build -tags=x\n":                           false,
		"-other\n":                                         false,
		"":                                                 false,
	} {
		if says([]byte(out), sign) != want {
			t.Errorf("%q: %t", out, !want)
		}
	}
}
