// Package bench measures what twice costs beyond the go commands that it runs.
//
//	make bench
//	go test -run '^$' -bench . -benchtime 1x -timeout 30m ./e2e/bench
//
// It builds filippo.io/age@v1.3.2 with `twice build`, and then the same recipes
// with a plain loop of `go build`, twice, each time with an empty cache. The
// targets are those of configs/age.toml that TWICE_BENCH_TARGETS matches (globs
// with spaces between them; linux/amd64 unless it is set; "*" is all).
//
// What is reported, in seconds of processor time (user and system, of all
// descendants) unless it says otherwise:
//
//	BenchmarkTwice     cpu-s   all that twice and its children took
//	                   own-s   of that, what no go build took: cpu-s less the jobs in release.json
//	                   own-%   own-s in percent of cpu-s: the goal is less than 3
//	                   self-s  of own-s, the process of twice itself
//	                   peak-MB memory of all processes together, sampled; and process-MB of the largest
//	BenchmarkLoop/same      the loop with the -p, GOGC and GOMAXPROCS of twice's passes
//	BenchmarkLoop/defaults  the loop with the go command's defaults
//	BenchmarkLoop/gogc      GOGC=400 alone, and /procs GOMAXPROCS=1 alone
//	                   twice/loop  cpu-s of BenchmarkTwice over that of this loop
//
// The settings of "same" are those for two processors and enough memory.
//
// The toolchain's proof is in the cache already, as in every run but a user's
// first. On a machine that does other things as well only own-% can be trusted:
// processors that share a core slow each other down.
package bench

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const module = "filippo.io/age@v1.3.2"

func targets() []string {
	globs := strings.Fields(os.Getenv("TWICE_BENCH_TARGETS"))
	if len(globs) == 0 {
		globs = []string{"linux/amd64"}
	}
	var flags []string
	for _, g := range globs {
		flags = append(flags, "--target", g)
	}
	if slices.Equal(globs, []string{"*"}) {
		return nil
	}
	return flags
}

// arguments are those of a verb, with a cache and an output folder below dir.
func arguments(b *testing.B, dir, verb string) []string {
	b.Helper()
	config, err := filepath.Abs("../../configs/age.toml")
	if err != nil {
		b.Fatal(err)
	}
	return slices.Concat([]string{verb, "--json", "--module", module, "--config", config,
		"--cache", filepath.Join(dir, "cache"), "--out", filepath.Join(dir, "dist")}, targets())
}

// prepare builds twice and fills its cache. It returns the recipes.
func prepare(b *testing.B) (dir, twice string, recipes []recipe) {
	b.Helper()
	dir = b.TempDir()
	twice = filepath.Join(dir, "twice")
	if out, err := exec.Command("go", "build", "-o", twice, "../../cmd/twice").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.Command(twice, arguments(b, dir, "plan")...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("twice plan: %v", err)
	}
	var plan struct{ Recipes []struct{ Recipe recipe } }
	if err := json.Unmarshal(out, &plan); err != nil {
		b.Fatal(err)
	}
	for _, r := range plan.Recipes {
		recipes = append(recipes, r.Recipe)
	}
	return dir, twice, recipes
}

// recipe is what the loop needs of one.
type recipe struct {
	Argv, Env      []string
	Binary, Target string
}

// twiceCPU is what BenchmarkTwice measured, for the loops to compare with.
var twiceCPU time.Duration

func BenchmarkTwice(b *testing.B) {
	dir, twice, _ := prepare(b)
	for b.Loop() {
		m := measure(b, exec.Command(twice, arguments(b, dir, "build")...))
		data, err := os.ReadFile(filepath.Join(dir, "dist", "release.json"))
		if err != nil {
			b.Fatal(err)
		}
		var rec struct {
			Verdict string
			Varying struct {
				Jobs []struct{ CPUSeconds float64 }
			}
		}
		if err := json.Unmarshal(data, &rec); err != nil || rec.Verdict != "reproduced" || len(rec.Varying.Jobs) == 0 {
			b.Fatalf("release.json: %v, verdict %q, %d jobs", err, rec.Verdict, len(rec.Varying.Jobs))
		}
		var jobs float64
		for _, j := range rec.Varying.Jobs {
			jobs += j.CPUSeconds
		}
		twiceCPU = m.cpu
		own := m.cpu.Seconds() - jobs
		m.report(b)
		b.ReportMetric(own, "own-s")
		b.ReportMetric(100*own/m.cpu.Seconds(), "own-%")
		b.ReportMetric(m.self.Seconds(), "self-s")
	}
}

// setting is how fast a loop may go, which no byte depends on.
type setting struct {
	flags, env []string
}

func BenchmarkLoop(b *testing.B) {
	dir, _, recipes := prepare(b)
	loops := map[string][2]setting{
		"defaults": {},
		// What pipeline.share and build.Local choose on two processors.
		"same": {
			{[]string{"-p", "2"}, []string{"GOGC=400", "GOMAXPROCS=1"}},
			{[]string{"-p", "3"}, []string{"GOGC=400", "GOMAXPROCS=2"}},
		},
		// What each of the two settings is worth.
		"gogc":  {{nil, []string{"GOGC=400"}}, {nil, []string{"GOGC=400"}}},
		"procs": {{nil, []string{"GOMAXPROCS=1"}}, {nil, []string{"GOMAXPROCS=1"}}},
	}
	tree, goCmd, modCache := checkout(b)
	for _, name := range []string{"same", "defaults", "gogc", "procs"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var total usage
				for pass, s := range loops[name] {
					cache := filepath.Join(dir, name+strconv.Itoa(pass))
					for _, r := range recipes {
						out := filepath.Join(dir, "out", strings.ReplaceAll(r.Target, "/", "_"), r.Binary)
						cmd := exec.Command(goCmd, slices.Concat([]string{"build", "-o", out}, s.flags, r.Argv[2:])...)
						cmd.Dir = tree
						cmd.Env = slices.Concat([]string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "GOCACHE=" + cache, "GOMODCACHE=" + modCache}, s.env, r.Env)
						total.add(measure(b, cmd))
					}
					if err := os.RemoveAll(cache); err != nil {
						b.Fatal(err)
					}
				}
				total.report(b)
				if twiceCPU > 0 {
					b.ReportMetric(twiceCPU.Seconds()/total.cpu.Seconds(), "twice/loop")
				}
			}
		})
	}
}

// checkout returns a copy of the module's files, and a go command with the
// module cache that has what the module needs.
func checkout(b *testing.B) (tree, goCmd, modCache string) {
	b.Helper()
	run := func(dir string, args ...string) []byte {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Stderr = dir, os.Stderr
		cmd.Env = append(os.Environ(), "GOFLAGS=", "GOTOOLCHAIN=local")
		out, err := cmd.Output()
		if err != nil {
			b.Fatalf("go %s: %v", strings.Join(args, " "), err)
		}
		return out
	}
	var m struct{ Dir string }
	if err := json.Unmarshal(run(b.TempDir(), "mod", "download", "-json", module), &m); err != nil {
		b.Fatal(err)
	}
	tree = filepath.Join(b.TempDir(), "tree")
	if err := os.CopyFS(tree, os.DirFS(m.Dir)); err != nil {
		b.Fatal(err)
	}
	run(tree, "mod", "download")
	env := strings.Split(string(run(tree, "env", "GOROOT", "GOMODCACHE")), "\n")
	return tree, filepath.Join(env[0], "bin", "go"), env[1]
}

// usage is what a process and its descendants took.
type usage struct {
	wall, cpu time.Duration
	self      time.Duration // of the process alone, as last seen
	largest   int64         // bytes, the largest process
	peak      int64         // bytes, all processes together, as sampled
}

func (u *usage) add(v usage) {
	u.wall, u.cpu, u.self = u.wall+v.wall, u.cpu+v.cpu, u.self+v.self
	u.largest, u.peak = max(u.largest, v.largest), max(u.peak, v.peak)
}

func (u usage) report(b *testing.B) {
	b.ReportMetric(0, "ns/op") // that of one iteration says nothing more than wall-s
	b.ReportMetric(u.wall.Seconds(), "wall-s")
	b.ReportMetric(u.cpu.Seconds(), "cpu-s")
	b.ReportMetric(float64(u.peak)/1e6, "peak-MB")
	b.ReportMetric(float64(u.largest)/1e6, "process-MB")
}

// measure runs cmd to its end.
func measure(b *testing.B, cmd *exec.Cmd) usage {
	b.Helper()
	var said strings.Builder
	cmd.Stderr = &said
	start := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var u usage
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		select {
		case err := <-done:
			tick.Stop()
			if err != nil {
				b.Fatalf("%s: %v\n%s", cmd, err, said.String())
			}
			u.wall = time.Since(start)
			u.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			u.largest = largest(cmd.ProcessState)
			return u
		case <-tick.C:
			if self, rss := sample(cmd.Process.Pid); rss > 0 {
				u.self, u.peak = self, max(u.peak, rss)
			}
		}
	}
}
