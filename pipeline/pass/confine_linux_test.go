package pass

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twicebuild/twice/pipeline/fsx"
)

// tiers are the kinds of confinement that this host offers, the strict one
// first. The lesser ones are what other hosts have.
func tiers(t *testing.T) map[string]Confinement {
	t.Helper()
	c, err := Probe(t.Context(), t.TempDir(), filepath.SplitList(os.Getenv("PATH")))
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]Confinement{"none": {}}
	add := func(name string, tier Confinement) {
		tier.Missing = nil
		list[name] = tier.withConsequences()
	}
	bare := c
	bare.Landlock, bare.Seccomp = 0, false
	if c.Namespaces {
		add("namespaces", c)
		if !testing.Short() {
			add("namespaces alone", bare)
		}
	}
	if bare.Namespaces = false; c.Landlock > 0 {
		bare.Landlock = c.Landlock
		if !testing.Short() {
			add("landlock alone", bare)
		}
		bare.Seccomp = c.Seccomp
		add("landlock", bare)
	}
	return list
}

// unseen are the factors that no command of a hook shows, and why.
var unseen = map[Factor]string{
	domainName:   "the kernel tells it in /proc/sys, which no hook sees",
	parallel:     "it is an argument of the go command",
	grouping:     "it is a choice of this process",
	addressSpace: "/proc shows it, and a host may offer none to a pass",
	environment:  "its witness joins several variables: see TestEnvironment",
	fileOrder:    "no name of a file tells when it was made",
	clock:        "it goes on while a hook runs",
}

// What a hook sees is what the witness says, and it differs between the passes.
func TestWitness(t *testing.T) {
	facts := map[Factor]string{
		hostName: "uname -n", kernel: "uname -r", umask: "umask", userName: "id -u", groupName: "id -g", processors: "nproc",
		sourcePath: "pwd -P", homePath: "dirname $HOME", tempPath: "dirname $TMPDIR", gorootPath: "printenv GOROOT",
		timeZone: "printenv TZ", locale: "printenv LC_ALL", gomaxprocs: "printenv GOMAXPROCS", cachePath: "dirname $(printenv GOCACHE)",
		modulePath: "printenv GOMODCACHE", pathOrder: "printenv PATH",
	}
	for _, f := range factors {
		if (facts[f.name] == "") == (unseen[f.name] == "") {
			t.Errorf("%s: want it in facts or in unseen, and not in both", f.name)
		}
	}
	if len(facts)+len(unseen) != len(factors) {
		t.Errorf("%d facts and %d unseen factors of %d", len(facts), len(unseen), len(factors))
	}
	script := ""
	for name, command := range facts {
		script += command + " > '" + strings.ReplaceAll(string(name), " ", "_") + "'\n"
	}
	for tier, c := range tiers(t) {
		t.Run(tier, func(t *testing.T) {
			l := newLocal(t, c, map[string]string{"look.sh": script}, []string{"sh", "look.sh"})
			seen := map[Pass]Witness{}
			for _, pass := range []Pass{A, B} {
				s, err := l.Open(t.Context(), pass)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				seen[pass] = s.Witness()
				for name := range facts {
					data, err := os.ReadFile(filepath.Join(s.Tree(), strings.ReplaceAll(string(name), " ", "_")))
					if got := strings.TrimSpace(string(data)); err != nil || got != seen[pass][name] {
						t.Errorf("pass %s: %s: the hook saw %q, the witness says %q (%v)", pass, name, got, seen[pass][name], err)
					}
				}
			}
			reasons := c.Reasons()
			for _, v := range Variations(seen[A], seen[B], reasons) {
				switch {
				case v.Varied && reasons[v.Name] != "" && v.Name != clock && c.Namespaces:
					t.Errorf("%s was varied, although: %s", v.Name, reasons[v.Name])
				case !v.Varied && reasons[v.Name] == "" && v.Name != modulePath && v.Name != processors:
					t.Errorf("%s was not varied: %q and %q", v.Name, v.A, v.B)
				}
			}
		})
	}
}

// A build step cannot write outside of its workspace where writes are confined. Where they are not
// it can, which shows that the test would notice.
func TestWrites(t *testing.T) {
	for tier, c := range tiers(t) {
		t.Run(tier, func(t *testing.T) {
			outside := t.TempDir()
			l := newLocal(t, c, nil, []string{"sh", "-c", "echo x > inside && echo x > \"$TMPDIR/x\" && echo x > " + filepath.Join(outside, "x")})
			l.Checkout = func(_ context.Context, dest string, _ bool) error { return os.Mkdir(dest, 0o755) }
			s, err := l.Open(t.Context(), B)
			if s != nil {
				defer s.Close()
			}
			_, written := os.Stat(filepath.Join(outside, "x"))
			if !c.writesConfined() {
				if err != nil || written != nil {
					t.Errorf("%v, %v", err, written)
				}
				return
			}
			var failed *CommandError
			if !errors.As(err, &failed) || !failed.Confined || !strings.HasPrefix(failed.What, "hook 1: sh -c ") || failed.Pass != B || failed.Output == "" {
				t.Errorf("%v", err)
			}
			if written == nil {
				t.Error("the hook has written outside of its workspace")
			}
			if left, _ := os.ReadDir(l.Dir); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// In every tier a command has no capability and can get none. Not even the user 0 gets them with a
// program. It has no files except the three standard ones, and a /proc that shows processes alone.
func TestPowerless(t *testing.T) {
	const script = `fail=
for set in CapInh CapPrm CapEff CapAmb $BOUND; do
	grep -q "^$set:.*[1-9a-f]" /proc/self/status && fail="$fail $set"
done
grep -q '^NoNewPrivs:.*1$' /proc/self/status || fail="$fail new-privileges"
grep -q "^Seccomp:.*$SECCOMP$" /proc/self/status || fail="$fail seccomp"
for fd in 3 4 5 6 77; do
	test -e /proc/self/fd/$fd && readlink /proc/self/fd/$fd | grep -v '/p.sh$' && fail="$fail file-$fd"
done
mount -t tmpfs x /tmp 2>/dev/null && fail="$fail mount"
test $SECCOMP = 2 && unshare -U true 2>/dev/null && fail="$fail unshare"
test "$PROC" && for f in /proc/sys /proc/keys /proc/sysrq-trigger /proc/uptime /proc/loadavg; do
	test -e $f && fail="$fail $f"
done
test "$PROC" && echo 7 2>/dev/null >/proc/self/oom_score_adj && fail="$fail write-to-proc"
test -z "$fail" || { echo "has:$fail"; exit 1; }
`
	inheritFile(t)
	for tier, c := range tiers(t) {
		t.Run(tier, func(t *testing.T) {
			l := newLocal(t, c, map[string]string{"p.sh": script}, []string{"sh", "p.sh"})
			l.SystemEnv = []string{"SECCOMP=0", "BOUND=", "PROC="}
			if c.Seccomp {
				l.SystemEnv[0] = "SECCOMP=2"
			}
			if c.Namespaces || os.Getuid() == 0 {
				l.SystemEnv[1] = "BOUND=CapBnd"
			}
			if c.Namespaces {
				l.SystemEnv[2] = "PROC=1"
			}
			s, err := l.Open(t.Context(), A)
			if failed := (*CommandError)(nil); errors.As(err, &failed) {
				t.Fatalf("%v\n%s", err, failed.Output)
			}
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
		})
	}
}

// The end of the context ends a hook and what it has started.
func TestCancel(t *testing.T) {
	for tier, c := range tiers(t) {
		t.Run(tier, func(t *testing.T) {
			l := newLocal(t, c, nil, []string{"sh", "-c", "setsid sleep 61.4321 & sleep 61.4321"})
			l.Checkout = func(_ context.Context, dest string, _ bool) error { return os.Mkdir(dest, 0o755) }
			cause := errors.New("enough")
			after := 300 * time.Millisecond
			if os.Getenv(slowly) != "" {
				after = time.Minute
			}
			ctx, cancel := context.WithTimeoutCause(t.Context(), after, cause)
			defer cancel()
			start := time.Now()
			_, err := l.Open(ctx, A)
			if d := time.Since(start); !errors.Is(err, cause) || d > 30*time.Second {
				t.Errorf("after %v: %v", d, err)
			}
			for end := time.Now().Add(20 * time.Second); sleeping(); time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("a process is left")
				}
			}
		})
	}
}

// What a hook leaves behind ends with it, in a session of its own and without a
// parent. So does everything when this process ends: see TestKilled.
func TestLeftBehind(t *testing.T) {
	for tier, c := range tiers(t) {
		t.Run(tier, func(t *testing.T) {
			const script = `for i in 1 2 3; do (setsid sh -c "sleep 61.4321 & sleep 61.4321" >/dev/null 2>&1 &) ; done; sleep 0.1`
			l := newLocal(t, c, map[string]string{"x": ""}, []string{"sh", "-c", script})
			s, err := l.Open(t.Context(), A)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if sleeping() {
				t.Error("a process is left")
			}
		})
	}
}

// When twice is killed, the command and everything that it has started end with it.
func TestKilled(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for tier := range tiers(t) {
		t.Run(tier, func(t *testing.T) {
			cmd := exec.Command(exe, "-test.run=^TestCancel$/^"+strings.ReplaceAll(tier, " ", "_")+"$")
			cmd.Env = append(os.Environ(), slowly+"=1")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(20 * time.Second); !sleeping(); time.Sleep(5 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the hook was not started")
				}
			}
			cmd.Process.Kill()
			cmd.Wait()
			for end := time.Now().Add(20 * time.Second); sleeping(); time.Sleep(5 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("a process is left")
				}
			}
		})
	}
}

// When twice is killed before it has heard that the command runs, the command ends as well. (In a
// PID namespace the kernel sees to that.)
func TestKilledAtStart(t *testing.T) {
	for range 50 {
		c := childSpec{Dir: "/", Argv: []string{"sh", "-c", "setsid sleep 61.4321 & sleep 61.4321"}, LeaveOut: -1, Env: []string{"PATH=/usr/bin:/bin"}, Umask: 0o022}
		p, err := confine(t.Context(), c, 1000, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		p.lifelineR.Close()
		p.reportW.Close()
		if _, err := p.lifelineW.Write(p.spec); err != nil {
			t.Fatal(err)
		}

		// The first report says that the confinement is there. Nobody hears the second.
		var o childReport
		if err := json.NewDecoder(p.reportR).Decode(&o); err != nil || o.Failed != "" {
			t.Fatalf("%v %s", err, o.Failed)
		}
		p.reportR.Close()
		late := time.AfterFunc(time.Second, func() { p.lifelineW.Close() })
		err = p.cmd.Wait()
		late.Stop()
		p.lifelineW.Close()

		if sleeping() {
			t.Fatal("a process is left")
		}
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == failedStatus {
			return
		}
		// The second report was written before its reader was gone.
	}
	t.Error("no child was without its parent at the right time")
}

// slowly is a variable that makes TestCancel wait until it is killed.
const slowly = "TWICE_TEST_SLOWLY"

func sleeping() bool {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range lines {
		if line, err := os.ReadFile(file); err == nil && string(line) == "sleep\x0061.4321\x00" {
			return true
		}
	}
	return false
}

// A step of the confinement that fails is an error that says so, and the command is not run without
// it.
func TestConfinementFails(t *testing.T) {
	for name, c := range map[string]childSpec{
		"mount":    {Root: t.TempDir(), Mount: []mount{{From: "/nowhere", To: "/x"}}},
		"landlock": {Landlock: 99, Writable: []string{"/nowhere"}},
		"exec":     {Argv: []string{"no-such-command"}},
		"enter":    {Dir: "/nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.Root != "" && !tiers(t)["namespaces"].Namespaces {
				t.Skip("no namespaces")
			}
			ran := filepath.Join(t.TempDir(), "ran")
			if c.Argv == nil {
				c.Argv = []string{"touch", ran}
			}
			if c.Dir == "" {
				c.Dir = "/"
			}
			c.LeaveOut, c.Env, c.Umask = -1, []string{"PATH=/usr/bin:/bin"}, 0o022
			p, err := confine(t.Context(), c, 1000, 1000)
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.run(os.Stderr, func(int) {})
			var failed *confinementError
			if !errors.As(err, &failed) {
				t.Errorf("%v", err)
			}
			if _, err := os.Stat(ran); err == nil {
				t.Error("the command was run")
			}
		})
	}
}

// dependent are, by a factor that a trial varies, those whose witness is then as in neither
// pass: PATH begins with the toolchain's folder.
var dependent = map[Factor][]Factor{
	gorootPath: {pathOrder},
	pathOrder:  {pathOrder},
}

// A trial has the circumstances of pass A, except for the factors that it varies. These are
// as in pass B.
func TestTrial(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles a program many times")
	}
	for tier, c := range tiers(t) {
		if strings.HasSuffix(tier, " alone") {
			continue // they differ in what is forbidden
		}
		t.Run(tier, func(t *testing.T) {
			l := newLocal(t, c, map[string]string{"x": "x"}, []string{"sh", "-c", "umask > mask; uname -n > host"})
			look := func(s Session, err error) Witness {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
				w := s.Witness()
				if mask, err := os.ReadFile(filepath.Join(s.Tree(), "mask")); err != nil || strings.TrimSpace(string(mask)) != w[umask] {
					t.Errorf("the hook saw the umask %q, the witness says %q (%v)", mask, w[umask], err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				delete(w, clock)
				if left, _ := os.ReadDir(l.Dir); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
				return w
			}
			a, b := look(l.Open(t.Context(), A)), look(l.Open(t.Context(), B))
			if got := look(l.OpenTrial(t.Context(), nil, "")); !maps.Equal(got, a) {
				t.Errorf("with no variation %v, pass A %v", got, a)
			}
			var all []Factor
			for _, f := range factors {
				all = append(all, f.name)
			}
			if got := look(l.OpenTrial(t.Context(), all, t.TempDir())); !maps.Equal(got, b) {
				t.Errorf("with all variations %v, pass B %v", got, b)
			}
			for _, v := range Variations(a, b, nil) {
				if !v.Varied {
					continue
				}
				for name, got := range look(l.OpenTrial(t.Context(), []Factor{v.Name}, "")) {
					want := a[name]
					if name == v.Name {
						want = b[name]
					}
					depends := slices.Contains(dependent[v.Name], name)
					if depends && (got == a[name] || got == b[name]) {
						t.Errorf("with %s varied, %s is %q as in a pass, so it is not dependent", v.Name, name, got)
					}
					if !depends && got != want {
						t.Errorf("with %s varied, %s is %q, want %q", v.Name, name, got, want)
					}
				}
			}
		})
	}
}

// What holds in a tier holds for a user as well as for root. So root runs these tests again, as a
// user who has nothing.
func TestAsUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("not root")
	}
	if testing.Short() {
		t.Skip("it runs all tiers once more")
	}
	const user = 54321
	dir, err := os.MkdirTemp("", "twice-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsx.RemoveAll(dir) })
	program := filepath.Join(dir, "build.test")
	if err := copyProgram(program); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(filepath.Join(dir, "tmp"), 0o700), os.Chown(filepath.Join(dir, "tmp"), user, user)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-test.v", "-test.short", "-test.run=^("+strings.Join([]string{
		"TestWitness", "TestWrites", "TestPowerless", "TestCancel", "TestLeftBehind", "TestKilled", "TestConfinementFails",
		"TestForeignPlace", "TestChannels", "TestLimits", "TestMostTasks", "TestRunaways",
	}, "|")+")$")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + filepath.Join(dir, "tmp"), "HOME=" + filepath.Join(dir, "tmp")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestPowerless/none") {
		t.Errorf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "TestPowerless/namespaces") {
		t.Log("this host offers no namespaces to a user")
	}
}
