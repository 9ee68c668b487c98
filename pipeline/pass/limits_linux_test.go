package pass

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A command that takes more than it may is ended with all its processes, and the
// error says which limit it was.
func TestLimits(t *testing.T) {
	for name, test := range map[string]struct {
		limits Limits
		script string
		want   string
	}{
		"time":   {Limits{Time: 300 * time.Millisecond}, "sleep 61.4321 & sleep 61.4321", "it took more than 300ms, the time for one command"},
		"tasks":  {Limits{Tasks: 60}, "f() { test $1 = 0 && exec sleep 61.4321; f $(($1-1)) & f $(($1-1)); }; f 8", "processes and threads, and the limit is 60"},
		"memory": {Limits{Memory: 128 << 20}, "head -c 400M /dev/zero | tail -n 1 | sleep 61.4321", "in memory, and the limit is 0.1 GiB"},
		"disk":   {Limits{Disk: 64 << 20}, "head -c 400M /dev/zero >large; sleep 61.4321", "less space than when it started, and the limit is 0.1 GiB"},
	} {
		for tier, c := range tiers(t) {
			if strings.HasSuffix(tier, " alone") {
				continue // limits are the same with and without seccomp
			}
			t.Run(name+"/"+tier, func(t *testing.T) {
				l := newLocal(t, c, nil, []string{"sh", "-c", test.script})
				l.Checkout = func(_ context.Context, dest string, _ bool) error { return os.Mkdir(dest, 0o755) }
				l.Limits = test.limits
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				_, err := l.Open(ctx, A)
				var limit *LimitError
				var failed *CommandError
				if !errors.As(err, &failed) || !errors.As(err, &limit) || !strings.Contains(err.Error(), test.want) || limit.Remedy() == "" || failed.Confined {
					t.Errorf("%v; want %s", err, test.want)
				}
				if sleeping() {
					t.Error("a process is left")
				}
				if left, _ := os.ReadDir(l.Dir); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
			})
		}
	}
}

// A build within its limits is not ended, and processes that share memory are
// counted once.
func TestProportional(t *testing.T) {
	l := newLocal(t, Confinement{}, map[string]string{"x": ""}, []string{"sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 0.5 & done; wait"})
	l.Limits = Limits{Memory: 64 << 20, Tasks: 100, Disk: 1 << 40, Time: time.Minute}
	s, err := l.Open(t.Context(), A)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func TestBelow(t *testing.T) {
	list := []process{{pid: 9, parent: 7}, {pid: 1}, {pid: 7, parent: 5}, {pid: 5, parent: 1, threads: 3}, {pid: 6, parent: 1}, {pid: 8, parent: 5}}
	var got []int
	for _, p := range subtree(list, 5) {
		got = append(got, p.pid)
	}
	if fmt.Sprint(got) != "[5 7 8 9]" {
		t.Errorf("%v", got)
	}
	if got := subtree(list, 77); len(got) != 1 || got[0].pid != 77 {
		t.Errorf("%v", got)
	}
	self, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	if me := subtree(self, os.Getpid())[0]; me.parent != os.Getppid() || me.threads < 2 || me.resident < 1<<20 {
		t.Errorf("%+v", me)
	}
}

// Where the kernel can bound the number of processes, a command cannot make more
// between two looks at it.
func TestMostTasks(t *testing.T) {
	for tier, c := range tiers(t) {
		if strings.HasSuffix(tier, " alone") || tier != "namespaces" && os.Getuid() == 0 {
			continue // nothing bounds root without a PID namespace
		}
		t.Run(tier, func(t *testing.T) {
			l := newLocal(t, c, nil)
			l.Checkout = func(_ context.Context, dest string, _ bool) error { return os.Mkdir(dest, 0o755) }
			l.Hooks, l.Limits.Tasks = nil, 256 // which lets the kernel allow 400
			session, err := l.Open(t.Context(), A)
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			s := session.(*localSession)
			drop, err := s.makeFolders("x")
			if err != nil {
				t.Fatal(err)
			}
			defer drop()
			spec, _ := s.newChildSpec(invocation{dir: s.inside.source, argv: []string{"sh", "-c", "i=0; while test $i -lt 700; do sleep 61.4321 & i=$((i+1)); done"}, job: "x"})
			p, err := confine(t.Context(), spec, 1000, 1000)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			_, err = p.run(&out, func(int) {})
			if err == nil || !strings.Contains(strings.ToLower(out.String()), "fork") {
				t.Errorf("700 processes: %v, %s", err, out.String())
			}
			if sleeping() {
				t.Error("a process is left")
			}
		})
	}
}

// A command that a signal has ended is no compile error, and the error says which
// signal it was.
func TestSignal(t *testing.T) {
	for tier, c := range tiers(t) {
		t.Run(tier, func(t *testing.T) {
			l := newLocal(t, c, map[string]string{"x": ""}, []string{"sh", "-c", "echo x.go:1: x; kill -9 $$"})
			_, err := l.Open(t.Context(), A)
			var failed *CommandError
			if !errors.As(err, &failed) || !strings.Contains(err.Error(), ": signal: killed") {
				t.Fatalf("%v", err)
			}
			if failed.What = "go build"; len(failed.compileErrors()) > 0 {
				t.Errorf("%q", failed.compileErrors())
			}
		})
	}
}

// TestMostDisk: a small disk is full before a limit is passed, so that one error alone
// can come of it, and a limit is one that can be said in GiB.
func TestMostDisk(t *testing.T) {
	for free, want := range map[int64]int64{5 << 20: 2 << 30, 2 << 30: 2 << 30, 100 << 30: 75 << 30} {
		if got := defaultDisk(free); got != want {
			t.Errorf("of %s free: %s, want %s", gib(free), gib(got), gib(want))
		}
	}
}
