package pass

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	mathbits "math/bits"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A world is what the hooks of both passes know of their surroundings.
type world struct {
	// tag is in the names of things, so that nobody else has them.
	tag string
	// shared is a folder that both passes see, with the files of furnishShared.
	shared string
	// port is that of a mailbox at 127.0.0.1, by TCP and UDP.
	port int
}

// wordBits is the size of the word that a hook tries to hand on.
const wordBits = 16

// A channel hands a word from the hook of pass A to that of pass B.
type channel struct {
	leave func(w world, word uint16) error
	fetch func(w world) (uint16, bool)
	// living reports whether leave works only as long as its process lives.
	living bool
}

var channels = map[string]channel{
	"file in /tmp":            fileIn(func(world) string { return "/tmp" }),
	"file in /var/tmp":        fileIn(func(world) string { return "/var/tmp" }),
	"file in /dev/shm":        fileIn(func(world) string { return "/dev/shm" }),
	"file in GOROOT":          fileIn(func(w world) string { return w.shared }),
	"file in GOCACHE":         fileIn(func(world) string { return os.Getenv("GOCACHE") }),
	"file in GOMODCACHE":      fileIn(func(world) string { return os.Getenv("GOMODCACHE") }),
	"file in HOME":            fileIn(func(world) string { return os.Getenv("HOME") }),
	"inherited file":          {leaveInherited, fetchInherited, false},
	"attribute":               {leaveAttribute, fetchAttribute, false},
	"time of a file":          timeOf(func(w world) string { return filepath.Join(w.shared, "marker") }),
	"time of a device":        timeOf(func(world) string { return "/dev/null" }),
	"access time":             {leaveAccess, fetchAccess, false},
	"cached pages":            cached("pages", byReading),
	"cached pages by faults":  cached("faults", byFaults),
	"number of a pipe":        counter(1<<16, pipeNumber),
	"number of a session":     counter(1<<16, sessionNumber),
	"session keyring":         keyring(unix.KEY_SPEC_SESSION_KEYRING),
	"user keyring":            keyring(unix.KEY_SPEC_USER_KEYRING),
	"shared memory":           {leaveMemory, fetchMemory, false},
	"message queue":           {leaveQueue, fetchQueue, false},
	"lock":                    {leaveLock, fetchLock, true},
	"lock by flock":           {leaveFlock, fetchFlock, true},
	"abstract socket":         {leaveAbstract, fetchAbstract, true},
	"vsock port":              {leaveVsock, fetchVsock, true},
	"name of a process":       {leaveName, fetchName, true},
	"write hint":              {leaveHint, fetchHint, false},
	"number of renames":       counter(1<<16, renames),
	"room for files":          counter(1<<18, filesFree),
	"number of a namespace":   counter(1<<16, namespaceNumber),
	"mailbox by unix socket":  mailbox(func(w world) (string, string) { return "unix", filepath.Join(w.shared, "mail") }),
	"mailbox by unix message": {leaveMessage, fetchMessage, false},
	"mailbox by TCP":          mailbox(func(w world) (string, string) { return "tcp", "127.0.0.1:" + strconv.Itoa(w.port) }),
	"mailbox by UDP":          mailbox(func(w world) (string, string) { return "udp", "127.0.0.1:" + strconv.Itoa(w.port) }),
}

// runHook is the program of a hook: "channels TAG SHARED PORT" writes for each
// channel a word into a file of its name: what the other pass has left, or else a
// random one. "live NAME ..." is a process that it leaves behind.
func runHook(args []string) int {
	w := world{tag: args[1], shared: args[2]}
	if w.shared == "GOROOT" {
		w.shared = os.Getenv("GOROOT")
	}
	w.port, _ = strconv.Atoi(args[3])
	if name, ok := strings.CutPrefix(args[0], "live "); ok {
		word, _ := strconv.ParseUint(args[4], 10, wordBits)
		err := channels[name].leave(w, uint16(word))
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("left")
		time.Sleep(4 * time.Second)
		return 0
	}
	for name, c := range channels {
		word, ok := c.fetch(w)
		if !ok {
			word = uint16(rand.Uint32())
			err := error(nil)
			if c.living {
				err = leaveBehind(name, args[1:], word)
			} else {
				err = c.leave(w, word)
			}
			if err != nil {
				fmt.Printf("%s: %v\n", name, err)
			}
		}
		if err := os.WriteFile(wordFile(name), []byte(strconv.Itoa(int(word))), 0o644); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	return 0
}

func wordFile(channel string) string { return strings.ReplaceAll(channel, "/", "_") }

func readWords(t *testing.T, dir string) map[string]string {
	t.Helper()
	words := map[string]string{}
	for channel := range channels {
		data, err := os.ReadFile(filepath.Join(dir, wordFile(channel)))
		if err != nil {
			t.Fatal(err)
		}
		words[channel] = string(data)
	}
	return words
}

// copyProgram puts this binary at a place in a pass.
func copyProgram(to string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	if os.Link(exe, to) == nil {
		return nil
	}
	data, err := os.ReadFile(exe)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// leaveBehind starts a process that leaves the word and outlives this one, if it
// can.
func leaveBehind(name string, args []string, word uint16) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(exe, slices.Concat([]string{hookProgram, "live " + name}, args, []string{strconv.Itoa(int(word))})...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "left\n" {
		return errors.New(strings.TrimSpace(line))
	}
	return nil
}

func fileIn(dir func(world) string) channel {
	file := func(w world) string { return filepath.Join(dir(w), w.tag) }
	return channel{
		leave: func(w world, word uint16) error { return os.WriteFile(file(w), []byte(strconv.Itoa(int(word))), 0o666) },
		fetch: func(w world) (uint16, bool) {
			data, err := os.ReadFile(file(w))
			n, perr := strconv.ParseUint(string(data), 10, wordBits)
			return uint16(n), err == nil && perr == nil
		},
	}
}

// inheritedFD is a descriptor that every child of the test inherits.
const inheritedFD = 77

func leaveInherited(w world, word uint16) error {
	_, err := unix.Pwrite(inheritedFD, binary.BigEndian.AppendUint16([]byte(w.tag), word), 0)
	return err
}

func fetchInherited(w world) (uint16, bool) {
	data := make([]byte, len(w.tag)+2)
	n, err := unix.Pread(inheritedFD, data, 0)
	if err != nil || n != len(data) || string(data[:len(w.tag)]) != w.tag {
		return 0, false
	}
	return binary.BigEndian.Uint16(data[len(w.tag):]), true
}

func leaveAttribute(w world, word uint16) error {
	return unix.Setxattr(filepath.Join(w.shared, "marker"), "user."+w.tag, binary.BigEndian.AppendUint16(nil, word), 0)
}

func fetchAttribute(w world) (uint16, bool) {
	data := make([]byte, 2)
	n, err := unix.Getxattr(filepath.Join(w.shared, "marker"), "user."+w.tag, data)
	return binary.BigEndian.Uint16(data), err == nil && n == 2
}

func timeOf(file func(world) string) channel {
	base := func(w world) int64 { // after the year 2100, and another for each test
		n, _ := strconv.ParseInt(w.tag[1:], 10, 64)
		return 4102444800 + n%70000<<wordBits
	}
	return channel{
		leave: func(w world, word uint16) error {
			t := time.Unix(base(w)+int64(word), 0)
			return os.Chtimes(file(w), t, t)
		},
		fetch: func(w world) (uint16, bool) {
			info, err := os.Stat(file(w))
			if err != nil {
				return 0, false
			}
			n := info.ModTime().Unix() - base(w)
			return uint16(n), n >= 0 && n < 1<<wordBits
		},
	}
}

// bits calls f for each bit of a word, with the file that stands for it.
func bits(w world, f func(i int, file string)) {
	for i := range wordBits {
		f(i, filepath.Join(w.shared, "bit"+strconv.Itoa(i)))
	}
}

func leaveAccess(w world, word uint16) error {
	bits(w, func(i int, file string) {
		if word&(1<<i) != 0 {
			os.ReadFile(file)
		}
	})
	return nil
}

func fetchAccess(w world) (uint16, bool) {
	word := uint16(0)
	bits(w, func(i int, file string) {
		var st unix.Stat_t
		if unix.Stat(file, &st) == nil && st.Atim.Sec > 1e9 { // it was older
			word |= 1 << i
		}
	})
	return word, word != 0
}

// pageBlock is the distance of the pages that stand for bits.
const pageBlock = 256 << 10

// cached is a channel by which pages of a file are in memory. there reports whether the
// page at an offset is.
func cached(file string, there func(fd int, data []byte, at int) (bool, error)) channel {
	open := func(w world) (*os.File, error) { return os.Open(filepath.Join(w.shared, file)) }
	return channel{
		leave: func(w world, word uint16) error {
			f, err := open(w)
			if err != nil {
				return err
			}
			defer f.Close()
			fd := int(f.Fd())
			unix.Fadvise(fd, 0, 0, unix.FADV_RANDOM)
			unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED)
			for i := range wordBits {
				if word&(1<<i) != 0 {
					if _, err := unix.Pread(fd, make([]byte, 1), int64(i)*pageBlock); err != nil {
						return err
					}
				}
			}
			return nil
		},
		fetch: func(w world) (word uint16, ok bool) {
			f, err := open(w)
			if err != nil {
				return 0, false
			}
			defer f.Close()
			data, err := unix.Mmap(int(f.Fd()), 0, wordBits*pageBlock, unix.PROT_READ, unix.MAP_SHARED)
			if err != nil {
				return 0, false
			}
			defer unix.Munmap(data)
			unix.Madvise(data, unix.MADV_RANDOM)
			for i := range wordBits {
				is, err := there(int(f.Fd()), data, i*pageBlock)
				if err != nil {
					return 0, false
				}
				if is {
					word |= 1 << i
				}
			}
			return word, word != 0xffff && word != 0 // as it is before somebody leaves a word
		},
	}
}

func byReading(fd int, _ []byte, at int) (bool, error) {
	_, err := unix.Preadv2(fd, [][]byte{make([]byte, 1)}, int64(at), unix.RWF_NOWAIT)
	if err == unix.EAGAIN {
		return false, nil
	}
	return err == nil, err
}

// byFaults looks at a page. One that is not in memory makes the thread wait for the disk,
// and the kernel counts how often it did.
func byFaults(_ int, data []byte, at int) (bool, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &before); err != nil {
		return false, err
	}
	looked.Store(int32(data[at]))
	err := unix.Getrusage(unix.RUSAGE_THREAD, &after)
	return after.Majflt == before.Majflt, err
}

var looked atomic.Int32

// pipeNumber reads the number that the next pipe has: those of pipes and sockets are
// counted for all.
func pipeNumber() (uint64, error) {
	var pipe [2]int
	if err := unix.Pipe(pipe[:]); err != nil {
		return 0, err
	}
	var st unix.Stat_t
	err := unix.Fstat(pipe[0], &st)
	return st.Ino, errors.Join(err, unix.Close(pipe[0]), unix.Close(pipe[1]))
}

// sessionNumber reads the number that the scheduler has for this session, which is
// counted for all.
func sessionNumber() (n uint64, err error) {
	data, err := os.ReadFile("/proc/self/autogroup")
	if err == nil {
		_, err = fmt.Sscanf(string(data), "/autogroup-%d", &n)
	}
	return n, err
}

func keyring(ring int) channel {
	return channel{
		leave: func(w world, word uint16) error {
			id, err := unix.AddKey("user", w.tag, binary.BigEndian.AppendUint16(nil, word), ring)
			if err == nil {
				_, err = unix.KeyctlInt(unix.KEYCTL_SET_TIMEOUT, id, 60, 0, 0)
			}
			return err
		},
		fetch: func(w world) (uint16, bool) {
			id, err := unix.KeyctlSearch(ring, "user", w.tag, 0)
			if err != nil {
				return 0, false
			}
			data := make([]byte, 2)
			n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, data, 2)
			return binary.BigEndian.Uint16(data), err == nil && n == 2
		},
	}
}

// hints are values that a file can have as the lifetime of what is written to it. They
// stay with it as long as the kernel remembers the file.
const firstHint, lastHint = 2, 5 // short to extreme: two bits

// eachHint calls f for each pair of bits of a word, with a file that stands for it.
func eachHint(w world, f func(shift int, fd uintptr) error) (err error) {
	bits(w, func(i int, file string) {
		if i%2 == 0 && err == nil {
			var fd int
			if fd, err = unix.Open(file, unix.O_RDONLY, 0); err == nil {
				err = errors.Join(f(i, uintptr(fd)), unix.Close(fd))
			}
		}
	})
	return err
}

func leaveHint(w world, word uint16) error {
	return eachHint(w, func(shift int, fd uintptr) error {
		hint := uint64(firstHint + word>>shift&3)
		return fileHint(fd, unix.F_SET_RW_HINT, &hint)
	})
}

func fetchHint(w world) (word uint16, ok bool) {
	err := eachHint(w, func(shift int, fd uintptr) error {
		var hint uint64
		if err := fileHint(fd, unix.F_GET_RW_HINT, &hint); err != nil {
			return err
		}
		if hint < firstHint || hint > lastHint {
			return errors.New("there is none")
		}
		word |= uint16(hint-firstHint) << shift
		return nil
	})
	return word, err == nil
}

func fileHint(fd uintptr, request int, hint *uint64) error {
	if _, _, errno := unix.Syscall(unix.SYS_FCNTL, fd, uintptr(request), uintptr(unsafe.Pointer(hint))); errno != 0 {
		return errno
	}
	return nil
}

// counter is a number that the kernel has for all processes together. Nobody has to leave a
// word there: in steps that are large enough it is the same for both passes, and another
// some time later.
func counter(step uint64, read func() (uint64, error)) channel {
	return channel{
		leave: func(world, uint16) error {
			_, err := read()
			return err
		},
		fetch: func(world) (uint16, bool) {
			n, err := read()
			return uint16(n / step), err == nil
		},
	}
}

// renames reads how many files were renamed on this machine.
func renames() (uint64, error) {
	fd, err := unix.InotifyInit1(0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	dir, err := os.MkdirTemp(".", "renames")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MOVED_FROM); err != nil {
		return 0, err
	}
	if err := errors.Join(os.WriteFile(dir+"/a", nil, 0o600), os.Rename(dir+"/a", dir+"/b")); err != nil {
		return 0, err
	}
	var data [unix.SizeofInotifyEvent + unix.NAME_MAX + 1]byte
	if _, err := unix.Read(fd, data[:]); err != nil {
		return 0, err
	}
	return uint64((*unix.InotifyEvent)(unsafe.Pointer(&data)).Cookie), nil
}

func filesFree() (uint64, error) {
	var st unix.Statfs_t
	err := unix.Statfs(".", &st)
	return st.Ffree, err
}

// namespaceNumber reads the number of a namespace, which no other ever gets.
func namespaceNumber() (number uint64, err error) {
	f, err := os.Open("/proc/self/ns/uts")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	const get = 0x8008b70d // NS_GET_ID of include/uapi/linux/nsfs.h
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), get, uintptr(unsafe.Pointer(&number))); errno != 0 {
		return 0, errno
	}
	return number, nil
}

func (w world) key() int {
	n, _ := strconv.Atoi(w.tag[1:])
	return 0x7417ce00 ^ n
}

func leaveMemory(w world, word uint16) error {
	id, err := unix.SysvShmGet(w.key(), 4096, unix.IPC_CREAT|0o666)
	if err != nil {
		return err
	}
	data, err := unix.SysvShmAttach(id, 0, 0)
	if err == nil {
		binary.BigEndian.PutUint32(data, 1<<wordBits|uint32(word))
	}
	return err
}

func fetchMemory(w world) (uint16, bool) {
	id, err := unix.SysvShmGet(w.key(), 4096, 0)
	if err != nil {
		return 0, false
	}
	data, err := unix.SysvShmAttach(id, 0, 0)
	if err != nil {
		return 0, false
	}
	n := binary.BigEndian.Uint32(data)
	return uint16(n), n>>wordBits == 1
}

// A message queue's word is its flags' number of messages: an open one has some
// attributes that its maker chooses.
func leaveQueue(w world, word uint16) error {
	name, _ := unix.BytePtrFromString(w.tag)
	attr := [8]int{0, 1, 8} // flags, most messages, size of one
	fd, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)), unix.O_CREAT|unix.O_RDWR|unix.O_NONBLOCK, 0o666, uintptr(unsafe.Pointer(&attr)), 0, 0)
	if errno != 0 {
		return errno
	}
	text := binary.BigEndian.AppendUint16(nil, word)
	if _, _, errno := unix.Syscall6(unix.SYS_MQ_TIMEDSEND, fd, uintptr(unsafe.Pointer(&text[0])), 2, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func fetchQueue(w world) (uint16, bool) {
	name, _ := unix.BytePtrFromString(w.tag)
	fd, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)), unix.O_RDWR|unix.O_NONBLOCK, 0, 0, 0, 0)
	if errno != 0 {
		return 0, false
	}
	text := make([]byte, 8)
	n, _, errno := unix.Syscall6(unix.SYS_MQ_TIMEDRECEIVE, fd, uintptr(unsafe.Pointer(&text[0])), 8, 0, 0, 0)
	return binary.BigEndian.Uint16(text), errno == 0 && n == 2
}

func leaveLock(w world, word uint16) error {
	f, err := os.Open(filepath.Join(w.shared, "marker"))
	if err != nil {
		return err
	}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Start: int64(word), Len: 1})
}

func fetchLock(w world) (uint16, bool) {
	f, err := os.Open(filepath.Join(w.shared, "marker"))
	if err != nil {
		return 0, false
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock)
	return uint16(lock.Start), err == nil && lock.Type == unix.F_RDLCK
}

func leaveFlock(w world, word uint16) (err error) {
	bits(w, func(i int, file string) {
		fd, oerr := unix.Open(file, unix.O_RDONLY, 0)
		if oerr == nil && word&(1<<i) != 0 {
			oerr = unix.Flock(fd, unix.LOCK_SH)
		}
		if oerr != nil {
			err = oerr
		}
	})
	return err
}

func fetchFlock(w world) (uint16, bool) {
	word := uint16(0)
	bits(w, func(i int, file string) {
		if fd, err := unix.Open(file, unix.O_RDONLY, 0); err == nil {
			if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == unix.EWOULDBLOCK {
				word |= 1 << i
			}
			unix.Close(fd)
		}
	})
	return word, word != 0
}

func leaveAbstract(w world, word uint16) error {
	l, err := net.Listen("unix", "@"+w.tag)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, word)
			c.Close()
		}
	}()
	return nil
}

func fetchAbstract(w world) (uint16, bool) {
	c, err := net.Dial("unix", "@"+w.tag)
	if err != nil {
		return 0, false
	}
	defer c.Close()
	return readWord(c)
}

func readWord(r io.Reader) (uint16, bool) {
	line, _ := bufio.NewReader(r).ReadString('\n')
	n, err := strconv.ParseUint(strings.TrimSpace(line), 10, wordBits)
	return uint16(n), err == nil
}

func vsockBind(w world, i int) (fd int, err error) {
	if fd, err = unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0); err == nil {
		err = unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: uint32(w.key()&0xffffff)<<4 + uint32(i)})
	}
	return fd, err
}

func leaveVsock(w world, word uint16) error {
	for i := range wordBits {
		if word&(1<<i) != 0 {
			if _, err := vsockBind(w, i); err != nil {
				return err
			}
		}
	}
	return nil
}

func fetchVsock(w world) (uint16, bool) {
	word := uint16(0)
	for i := range wordBits {
		fd, err := vsockBind(w, i)
		if err == unix.EADDRINUSE {
			word |= 1 << i
		}
		unix.Close(fd)
	}
	return word, word != 0
}

// A process can be called anything of 15 bytes.
func leaveName(w world, word uint16) error {
	return os.WriteFile("/proc/self/comm", fmt.Appendf(nil, "%s %d", w.tag, word), 0)
}

func fetchName(w world) (uint16, bool) {
	files, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if rest, ok := strings.CutPrefix(string(data), w.tag+" "); err == nil && ok {
			return readWord(strings.NewReader(rest))
		}
	}
	return 0, false
}

// A mailbox is a process outside of the passes that keeps a word: see serve.
func mailbox(at func(world) (network, address string)) channel {
	say := func(w world, text string) (net.Conn, error) {
		network, address := at(w)
		c, err := net.Dial(network, address)
		if err == nil {
			c.SetDeadline(time.Now().Add(300 * time.Millisecond))
			_, err = io.WriteString(c, text)
		}
		return c, err
	}
	return channel{
		leave: func(w world, word uint16) error {
			c, err := say(w, fmt.Sprintf("put %d\n", word))
			if err == nil {
				readWord(c)
			}
			return err
		},
		fetch: func(w world) (uint16, bool) {
			c, err := say(w, "get\n")
			if err != nil {
				return 0, false
			}
			defer c.Close()
			return readWord(c)
		},
	}
}

// A pair of sockets for datagrams can send to any address.
func leaveMessage(w world, word uint16) error { return sendMessage(w, fmt.Sprintf("put %d\n", word)) }

func sendMessage(w world, text string) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	return unix.Sendto(pair[0], []byte(text), 0, &unix.SockaddrUnix{Name: filepath.Join(w.shared, "messages")})
}

// The answer to a message is whether there is a socket at another place.
func fetchMessage(w world) (uint16, bool) {
	if sendMessage(w, "get\n") != nil {
		return 0, false
	}
	for range 50 {
		if target, err := os.Readlink(filepath.Join(w.shared, "answer")); err == nil {
			return readWord(strings.NewReader(target))
		}
		time.Sleep(2 * time.Millisecond)
	}
	return 0, false
}

// post is a mailbox's store.
type post struct {
	sync.Mutex
	words map[string]string
}

// handle answers a line that came by one way.
func (p *post) handle(way, line string) string {
	p.Lock()
	defer p.Unlock()
	if word, ok := strings.CutPrefix(line, "put "); ok {
		p.words[way] = word
		return "put\n"
	}
	return p.words[way] + "\n"
}

// serve starts the mailboxes.
func serve(t *testing.T, shared string) (port int) {
	t.Helper()
	p := &post{words: map[string]string{}}
	stream := func(way, address string) net.Listener {
		l, err := net.Listen(way, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				line, _ := bufio.NewReader(c).ReadString('\n')
				io.WriteString(c, p.handle(way, strings.TrimSpace(line)))
				c.Close()
			}
		}()
		return l
	}
	packets := func(way, address string, answer func(to net.Addr, c net.PacketConn, text string)) {
		c, err := net.ListenPacket(way, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		go func() {
			data := make([]byte, 100)
			for {
				n, from, err := c.ReadFrom(data)
				if err != nil {
					return
				}
				answer(from, c, p.handle(way, strings.TrimSpace(string(data[:n]))))
			}
		}()
	}
	stream("unix", filepath.Join(shared, "mail"))
	packets("unixgram", filepath.Join(shared, "messages"), func(_ net.Addr, _ net.PacketConn, text string) {
		if text = strings.TrimSpace(text); text != "" && text != "put" {
			os.Symlink(text, filepath.Join(shared, "answer"))
		}
	})
	port = stream("tcp", "127.0.0.1:0").Addr().(*net.TCPAddr).Port
	packets("udp", "127.0.0.1:"+strconv.Itoa(port), func(to net.Addr, c net.PacketConn, text string) { c.WriteTo([]byte(text), to) })
	for _, name := range []string{"mail", "messages"} { // another user may be the one who connects
		if err := os.Chmod(filepath.Join(shared, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return port
}

// furnishShared makes what the channels take in a folder.
func furnishShared(t *testing.T, dir string) {
	t.Helper()
	files := map[string]string{"marker": "", "pages": strings.Repeat("x", wordBits*pageBlock), "faults": strings.Repeat("x", wordBits*pageBlock)}
	for i := range wordBits {
		files["bit"+strconv.Itoa(i)] = "x"
	}
	write(t, dir, files)
	for i := range wordBits {
		if err := os.Chtimes(filepath.Join(dir, "bit"+strconv.Itoa(i)), time.Unix(1000, 0), time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"pages", "faults"} { // what is not on the disk stays in the cache
		f, err := os.Open(filepath.Join(dir, name))
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// inheritFile gives every child that is started from now on a file.
func inheritFile(t *testing.T) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "inherited"))
	if err == nil {
		err = unix.Dup3(int(f.Fd()), inheritedFD, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(inheritedFD)
		f.Close()
	})
}

// inheritKeyring gives every child that this goroutine starts one session keyring.
func inheritKeyring(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // and never unlocks it: the thread ends with the test
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if err == nil {
		_, err = unix.KeyctlInt(unix.KEYCTL_LINK, unix.KEY_SPEC_USER_KEYRING, unix.KEY_SPEC_SESSION_KEYRING, 0, 0)
	}
	if err != nil {
		t.Log(err)
	}
}

// remaining are channels that nothing here takes away, as README and DESIGN say: what the
// kernel does for all can be measured.
var remaining = []string{"cached pages by faults", "number of a pipe", "number of a session"}

// TestChannels: a hook makes something random in pass A, and tries to do the same in pass B. It
// gets its word there only by the channels that remain. Each channel works where nothing confines
// it, which shows that the test would notice.
func TestChannels(t *testing.T) {
	inheritFile(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// What a tier cannot do is in its record (Confinement.Missing).
	marks := []string{"attribute", "time of a file", "time of a device", "access time"}
	leaky := map[string][]string{
		"namespaces":       nil,
		"namespaces alone": {"cached pages", "write hint", "number of renames", "room for files", "number of a namespace", "vsock port", "mailbox by unix socket", "mailbox by unix message"},
		"landlock":         marks,
	}
	tier := func(t *testing.T, name string, c Confinement) {
		if len(leaky[name]) > 0 && len(c.Missing) == 0 {
			t.Error("the record does not say what is missing")
		}
		inheritKeyring(t)
		l := newLocal(t, c, nil)
		shared := l.GOROOT
		if !c.Namespaces {
			shared = t.TempDir() // a pass may have a copy of GOROOT, and sees everything anyway
		}
		furnishShared(t, shared)
		w := world{tag: fmt.Sprintf("t%07d", rand.IntN(1e7)), shared: shared, port: serve(t, shared)}
		if c.Namespaces {
			w.shared = "GOROOT"
		}
		l.Checkout = func(_ context.Context, dest string, _ bool) error {
			if err := os.Mkdir(dest, 0o755); err != nil {
				return err
			}
			return copyProgram(filepath.Join(dest, "program"))
		}
		l.Hooks = [][]string{{"./program", hookProgram, "channels", w.tag, w.shared, strconv.Itoa(w.port)}}
		words := map[Pass]map[string]string{}
		for _, pass := range []Pass{A, B} {
			s, err := l.Open(t.Context(), pass)
			if err != nil {
				if failed := new(CommandError); errors.As(err, &failed) {
					t.Log(failed.Output)
				}
				t.Fatal(err)
			}
			defer s.Close()
			words[pass] = readWords(t, s.Tree())
		}
		for channel := range channels {
			same := words[A][channel] == words[B][channel]
			if slices.Contains(remaining, channel) {
				t.Logf("%s remains: %s, %s", channel, words[A][channel], words[B][channel])
			} else if same && !slices.Contains(leaky[name], channel) {
				t.Errorf("%s: %s in both passes", channel, words[A][channel])
			}
		}
	}
	for name, c := range tiers(t) {
		if _, ok := leaky[name]; ok {
			t.Run(name, func(t *testing.T) { tier(t, name, c) })
		}
	}

	// Each channel has to work where nothing confines it. What else runs on the machine
	// disturbs some of them (pages leave the cache, counters move), so they have a few tries.
	t.Run("unconfined", func(t *testing.T) {
		inheritKeyring(t)
		silent := slices.Collect(maps.Keys(channels))
		for range 8 {
			words, said := unconfined(t, exe)
			silent = slices.DeleteFunc(silent, func(channel string) bool {
				a, _ := strconv.Atoi(words[0][channel])
				b, _ := strconv.Atoi(words[1][channel])
				wrong := mathbits.OnesCount(uint(a ^ b))
				works := wrong == 0 || wrong <= 3 && slices.Contains(remaining, channel)
				return works || strings.Contains(said, channel+": ") // it cannot be tried here
			})
			t.Log(said)
			if len(silent) == 0 {
				return
			}
		}
		t.Errorf("%q do not work, so that they show nothing", silent)
	})
}

// unconfined runs the hook's program twice where nothing confines it, and returns the
// words of both runs and what they printed.
func unconfined(t *testing.T, exe string) (words [2]map[string]string, said string) {
	t.Helper()
	dir, shared := t.TempDir(), t.TempDir()
	furnishShared(t, shared)
	w := world{tag: fmt.Sprintf("t%07d", rand.IntN(1e7)), shared: shared, port: serve(t, shared)}
	t.Cleanup(func() {
		for _, place := range []string{"/tmp", "/var/tmp", "/dev/shm"} {
			os.Remove(filepath.Join(place, w.tag))
		}
		if id, err := unix.SysvShmGet(w.key(), 4096, 0); err == nil {
			unix.SysvShmCtl(id, unix.IPC_RMID, nil)
		}
		name, _ := unix.BytePtrFromString(w.tag)
		unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(name)), 0, 0)
	})
	for i := range words {
		cmd := exec.Command(exe, hookProgram, "channels", w.tag, w.shared, strconv.Itoa(w.port))
		cmd.Dir = dir
		cmd.Env = []string{"GOCACHE=" + shared, "GOMODCACHE=" + shared, "HOME=" + shared}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		said += string(out)
		words[i] = readWords(t, dir)
	}
	return words, said
}
