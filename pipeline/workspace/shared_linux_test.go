package workspace

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/pass"
)

func TestMain(m *testing.M) {
	pass.Main()
	if len(os.Args) == 2 && os.Args[1] == "look-around" {
		look := lookAround()
		if err := json.NewEncoder(os.Stdout).Encode(look); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// excused are the facts that both passes of a run may have in common though the next
// run has others, by a part of their names, each with the reason.
var excused = map[string]string{
	"sysinfo":              "how busy this machine is",
	"statfs free":          "how full its disks are",
	"/proc/self/syscall":   "what the program itself does just then",
	"/proc/self/net/":      "counters, and hashed addresses, of the kernel's own sockets",
	" dev":                 lowestFree,
	"/proc statfs id":      lowestFree,
	" mnt":                 lowestFree,
	"/proc/self/ns/":       lowestFree,
	"/proc/self/mountinfo": lowestFree,
	"stat GOMODCACHE":      "the module cache is one for both passes: when it was made is seen, but not as a time of modification",
}

const lowestFree = "the kernel gives the lowest number that is free to a device, a mount and a namespace"

// TestShared runs a hook in both passes of two runs that notes all that it can see. Something that
// is the same in the two passes and another in the next run could make a build differ from run to
// run and be called reproduced. There is nothing like that, except the facts of excused.
func TestShared(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	base, goroot := t.TempDir(), t.TempDir()
	path := []string{"/usr/local/bin", "/usr/bin", "/bin"}
	confinement, err := pass.Probe(t.Context(), t.TempDir(), path)
	if err != nil {
		t.Fatal(err)
	}
	if !confinement.Namespaces {
		t.Skip("a pass sees all of this host")
	}
	run := func() (passes [2]map[string]string) {
		w, err := New(t.Context(), filepath.Join(base, "work"))
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		dirs := map[string]string{}
		for _, name := range []string{"passes", "modules", "store"} {
			if dirs[name], err = w.Sub(name); err != nil {
				t.Fatal(err)
			}
		}
		// As those that modules.FillCache has made.
		if err := os.Chtimes(dirs["modules"], time.Unix(1700000000, 0), time.Unix(1700000000, 0)); err != nil {
			t.Fatal(err)
		}
		l := &pass.Local{
			Dir: dirs["passes"], Store: artifact.NewStore(dirs["store"]), GOROOT: goroot, ModCache: dirs["modules"],
			Checkout: func(_ context.Context, dest string, _ bool) error {
				if err := os.Mkdir(dest, 0o755); err != nil {
					return err
				}
				return os.WriteFile(filepath.Join(dest, "program"), program, 0o755)
			},
			ModuleDir: ".", ConfigDir: ".", Path: path, Confinement: confinement, Now: time.Now,
			Hooks: [][]string{{"sh", "-c", "./program look-around >around.json"}}, Log: io.Discard,
		}
		for i, pass := range []pass.Pass{pass.A, pass.B} {
			s, err := l.Open(t.Context(), pass)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			data, err := os.ReadFile(filepath.Join(s.Tree(), "around.json"))
			if err == nil {
				err = json.Unmarshal(data, &passes[i])
			}
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(1100 * time.Millisecond) // as between the passes of a release
		}
		return passes
	}
	one := run()
	// Until the next run this machine has changed a little.
	other := exec.Command("sleep", "60")
	other.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		other.Process.Kill()
		other.Wait()
	}()
	two := run()

	for _, must := range []string{"/proc/self/mountinfo 1.1", "/proc/self/status 1.1", "uname release", "variable HOME", "stat /tmp ino", "boot"} {
		if one[0][must] == "" {
			t.Errorf("the hook has not seen %s", must)
		}
	}
	for line := range strings.Lines(one[0]["control groups"]) {
		if !strings.HasSuffix(line, ":/\n") {
			t.Errorf("a control group has a name: %s", line)
		}
	}
	found := map[string]string{}
	for key, value := range one[0] {
		next, ok := two[0][key]
		if ok && value != next && one[1][key] == value && two[1][key] == next && !small.MatchString(value) {
			found[key] = fmt.Sprintf("%q in both passes, and then %q in both", value, next)
		}
	}
	// What stands in another place in each pass is found by its value.
	values := func(seen map[string]string) map[string]string {
		keys := map[string]string{}
		for key, value := range seen {
			keys[value] = key
		}
		return keys
	}
	a, b, later := values(one[0]), values(one[1]), values(two[0])
	for value, key := range a {
		_, both := b[value]
		_, again := later[value]
		if both && !again && speaking.MatchString(value) {
			found[key] = fmt.Sprintf("%q is in both passes of the first run alone", value)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(found)) {
		reason := ""
		for part, why := range excused {
			if strings.Contains(key, part) && (why != lowestFree || number.MatchString(one[0][key])) {
				reason = why
			}
		}
		if reason == "" {
			t.Errorf("%s: %s", key, found[key])
		} else {
			t.Logf("%s: %s: %s", key, found[key], reason)
		}
	}
	t.Logf("%d facts", len(one[0]))
}

// number is one that the kernel gives.
var number = regexp.MustCompile(`^({\[)?([a-z_]+:\[)?[0-9]+[: ]?[0-9]*(\]}?)?$`)

// small are numbers and letters that are alike by chance, such as how often a process waited.
var small = regexp.MustCompile(`^(-?[0-9]{1,4}|[A-Z])$`)

// speaking are words that are not alike by chance: names with digits in them.
var speaking = regexp.MustCompile(`[a-zA-Z]+[-_.]?[0-9]{4,}|[0-9a-f]{16,}`)

// lookAround notes what a process can see, by the place where it stands.
func lookAround() map[string]string {
	seen := map[string]string{}
	note := func(key, format string, args ...any) { seen[key] = fmt.Sprintf(format, args...) }
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		for i, part := range strings.FieldsFunc(value, apart) {
			note(fmt.Sprintf("variable %s %d", name, i), "%s", part)
		}
		note("variable "+name, "%s", value)
	}

	var u unix.Utsname
	unix.Uname(&u)
	note("uname node", "%s", unix.ByteSliceToString(u.Nodename[:]))
	note("uname release", "%s", unix.ByteSliceToString(u.Release[:]))
	note("uname version", "%s", unix.ByteSliceToString(u.Version[:]))
	var info unix.Sysinfo_t
	unix.Sysinfo(&info)
	note("sysinfo loads", "%v", info.Loads)
	note("sysinfo procs", "%v", info.Procs)
	note("sysinfo freeram", "%v", info.Freeram>>24)
	note("sysinfo bufferram", "%v", info.Bufferram>>24)
	note("sysinfo totalram", "%v", info.Totalram)
	var now, since unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &since)
	unix.ClockGettime(unix.CLOCK_REALTIME, &now)
	note("boot", "%d", (now.Nano()-since.Nano())/1e9/10)
	note("ids", "%d %d %d %d", os.Getpid(), os.Getppid(), os.Getuid(), os.Getgid())
	for i := range 16 {
		var l unix.Rlimit
		unix.Getrlimit(i, &l)
		note("limit "+strconv.Itoa(i), "%v", l)
	}

	// Numbers that the kernel gives to what is made.
	var pipe [2]int
	unix.Pipe(pipe[:])
	pair, _ := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	inet, _ := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	for name, fd := range map[string]int{"pipe": pipe[0], "pair": pair[0], "socket": inet} {
		var st unix.Stat_t
		unix.Fstat(fd, &st)
		note("inode "+name, "%d %d", st.Dev, st.Ino)
		for _, option := range []int{unix.SO_COOKIE, unix.SO_NETNS_COOKIE} {
			n, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, option)
			note(fmt.Sprintf("socket %s option %d", name, option), "%d %v", n, err)
		}
	}
	os.WriteFile(os.Getenv("TMPDIR")+"/made", []byte("x"), 0o600)

	places := map[string]string{
		"/": "/", "/proc": "/proc", "/dev/null": "/dev/null", "/etc/passwd": "/etc/passwd", "/usr/bin": "/usr/bin", "/bin/sh": "/bin/sh", "/tmp": "/tmp",
		"source": ".", "program": "program", "made": os.Getenv("TMPDIR") + "/made", "output": "/proc/self/fd/1",
	}
	for _, name := range []string{"HOME", "TMPDIR", "GOCACHE", "GOROOT", "GOMODCACHE"} {
		places[name] = os.Getenv(name)
	}
	for name, dir := range places {
		key := "stat " + name + " "
		var st unix.Statx_t
		if unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_ALL|unix.STATX_MNT_ID, &st) == nil {
			note(key+"ino", "%d", st.Ino)
			note(key+"dev", "%d:%d", st.Dev_major, st.Dev_minor)
			note(key+"owner", "%d:%d", st.Uid, st.Gid)
			note(key+"mnt", "%d", st.Mnt_id)
			note(key+"mtime", "%d", st.Mtime.Sec)
			note(key+"ctime", "%d", st.Ctime.Sec)
			note(key+"atime", "%d", st.Atime.Sec)
			note(key+"btime", "%d", st.Btime.Sec)
		}
		const unique = 0x4000 // STATX_MNT_ID_UNIQUE
		if unix.Statx(unix.AT_FDCWD, dir, 0, unique, &st) == nil && st.Mask&unique != 0 {
			note(key+"unique mnt", "%d", st.Mnt_id)
		}
		var fs unix.Statfs_t
		if unix.Statfs(dir, &fs) == nil {
			note(key+"statfs id", "%v", fs.Fsid)
			note(key+"statfs size", "%v", fs.Blocks)
			note(key+"statfs free", "%v %v", fs.Bfree, fs.Ffree)
		}
	}

	note("control groups", "%s", readSome("/proc/self/cgroup"))
	all, _ := os.ReadDir("/proc")
	for _, e := range all {
		note("/proc has "+e.Name(), "it")
	}
	root := os.DirFS("/proc/self")
	fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		at := "/proc/self/" + name
		switch {
		case err != nil:
		case name == "task" || name == "map_files":
			return fs.SkipDir // the same for each thread, and what maps has
		case d.Type()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(at)
			note(at, "%s", target)
		case d.Type().IsRegular() && name != "pagemap" && name != "mem":
			for i, line := range strings.Split(readSome(at), "\n") {
				for k, word := range strings.FieldsFunc(line, apart) {
					place := fmt.Sprintf("%d.%d", i+1, k+1)
					if strings.HasSuffix(name, "maps") { // the order in which it uses memory is a program's own affair
						place = word
					}
					note(at+" "+place, "%s", word)
				}
			}
		}
		return nil
	})
	return seen
}

// readSome reads the beginning of a file of /proc, and waits for nothing.
func readSome(name string) string {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, _ := io.ReadAll(io.LimitReader(f, 64<<10))
	return string(data)
}

// apart tells what separates words.
func apart(r rune) bool { return strings.ContainsRune(" \t\n\x00/:;,=()[]", r) }
