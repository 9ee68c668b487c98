package pass

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRunaways: processes that are hard to end are ended with their hook, when it is over
// and when it takes too long: deaf ones, and ones that are always just another.
func TestRunaways(t *testing.T) {
	const chain = "trap '' HUP INT QUIT TERM\n: >>alive\nsh chain.sh runaway-61.4321 &\n"
	for name, script := range map[string]string{
		"deaf":     "trap '' HUP INT QUIT TERM; (trap '' HUP INT QUIT TERM; setsid sleep 61.4321) & (setsid sleep 61.4321 &); sleep 0.1",
		"chains":   "for i in 1 2 3 4 5 6 7 8; do (setsid sh chain.sh runaway-61.4321 &); done >/dev/null 2>&1; sleep 0.2; test -e alive",
		"too long": "trap '' HUP INT QUIT TERM; for i in 1 2 3 4; do (setsid sh chain.sh runaway-61.4321 &); done >/dev/null 2>&1; while :; do sleep 61.4321; done",
	} {
		for tier, c := range tiers(t) {
			if strings.HasSuffix(tier, " alone") {
				continue // processes are ended in the same way
			}
			t.Run(name+"/"+tier, func(t *testing.T) {
				l := newLocal(t, c, map[string]string{"chain.sh": chain}, []string{"sh", "-c", script})
				l.Limits.Time = 20 * time.Second
				if name == "too long" {
					l.Limits.Time = time.Second
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				s, err := l.Open(ctx, A)
				if s != nil {
					defer s.Close()
				}
				if limit := (*LimitError)(nil); (name == "too long") != errors.As(err, &limit) || name != "too long" && err != nil {
					t.Errorf("%v", err)
				}
				for range 20 { // one of a chain may be between two programs
					if sleeping() || runaway() {
						t.Fatal("a process is left")
					}
				}
			})
		}
	}
}

func runaway() bool {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range lines {
		if line, err := os.ReadFile(file); err == nil && strings.Contains(string(line), "\x00runaway-61.4321\x00") {
			return true
		}
	}
	return false
}
