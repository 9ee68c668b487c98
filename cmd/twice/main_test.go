package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"github.com/twicebuild/twice/pipeline/distfiles"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/record"
)

// The scripts run this binary as twice, and so do the confined children.
func TestMain(m *testing.M) {
	pass.Main()
	testscript.Main(m, map[string]func(){"twice": func() { os.Exit(run()) }})
}

// TestScript runs what a user types: testdata/script/*.txtar. Beside the
// commands of package testscript there are:
//
//	status N COMMAND...     run COMMAND, which must exit with status N
//	commit DIR [TAG]        git init where needed, git add, git commit, git tag
//	module DIR MODULE PROXY put DIR as MODULE (path@version) into a proxy's folder
//	expand FILE...          replace $NAME in files by the environment of the script
//	json FILE PATH WANT     the member at PATH (a.0.b) is WANT; with "-" as WANT
//	                        and after "!", there is none
//	same-release DIR DIR    all files are the same, release.json but for "varying"
//	listen                  listen on a port of 127.0.0.1, called $PORT
//	[!] unreached           nobody (somebody) has connected to it since the last such line
//	snapshot DIR NAME       remember every file below DIR
//	unchanged DIR NAME      fails if a file below DIR is not as remembered
//	registry                start an empty registry of images, at $REGISTRY
//	unpack IMAGE PLATFORM DIR  write the files of an image to a folder
//	pack IMAGE FILE         push an image for linux/amd64 and linux/arm64 that has FILE;
//	                        as an OCI layout if IMAGE begins with ./
//
// and the conditions [confined] (a stranger's source may be built), [namespaces] and [cgo].
func TestScript(t *testing.T) {
	world := newWorld(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, world.environ(filepath.Join(e.WorkDir, "home"))...)
			e.Values["reached"] = new(atomic.Int32)
			e.Values["trees"] = map[string]map[string]string{}
			return os.MkdirAll(filepath.Join(e.WorkDir, "home"), 0o755)
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "confined":
				return world.confinement.AllowStrangers() == nil, nil
			case "namespaces":
				return world.confinement.Namespaces, nil
			case "cgo":
				_, err := exec.LookPath("gcc")
				return err == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":       cmdStatus,
			"commit":       cmdCommit,
			"module":       cmdModule,
			"expand":       cmdExpand,
			"json":         cmdJSON,
			"same-release": cmdSameRelease,
			"listen":       cmdListen,
			"unreached":    cmdUnreached,
			"snapshot":     cmdSnapshot,
			"unchanged":    cmdUnchanged,
			"old-dist":     cmdOldDist,
			"registry":     cmdRegistry,
			"unpack":       cmdUnpack,
			"pack":         cmdPack,
		},
	})
}

// world is what all tests of this process share.
type world struct {
	// cache is the user's cache folder: the proof of the toolchain is made once.
	cache       string
	settings    []string // of the go command: where modules come from
	confinement pass.Confinement
}

func newWorld(t *testing.T) world {
	t.Helper()
	w := world{cache: t.TempDir()}
	// What the scripts build by hand finds the standard library compiled.
	names := []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GONOPROXY", "GOMODCACHE", "GOCACHE"}
	out, err := exec.Command("go", append([]string{"env", "-json"}, names...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var env map[string]string
	if err := json.Unmarshal(out, &env); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if env[name] != "" {
			w.settings = append(w.settings, name+"="+env[name])
		}
	}
	// What the user's own twice has proved spares the network: a proof is
	// verified whenever it is used.
	if dir, err := os.UserCacheDir(); err == nil {
		proofs, err := filepath.Glob(filepath.Join(dir, "twice", "toolchains", "*.proof.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range proofs {
			if err := copyFile(p, filepath.Join(w.cache, "twice", "toolchains", filepath.Base(p))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if w.confinement, err = pass.Probe(context.Background(), t.TempDir(), filepath.SplitList(os.Getenv("PATH"))); err != nil {
		t.Fatal(err)
	}
	return w
}

// environ is the environment of a user whose home folder is home.
func (w world) environ(home string) []string {
	return append([]string{
		"HOME=" + home, "XDG_CACHE_HOME=" + w.cache, "XDG_CONFIG_HOME=" + filepath.Join(home, ".config"),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_COUNT=2",
		"GIT_CONFIG_KEY_0=init.defaultBranch", "GIT_CONFIG_VALUE_0=main",
		"GIT_CONFIG_KEY_1=protocol.file.allow", "GIT_CONFIG_VALUE_1=always",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_AUTHOR_DATE=2026-03-01T12:00:00Z",
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com", "GIT_COMMITTER_DATE=2026-03-01T12:00:00Z",
	}, w.settings...)
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

func need(ts *testscript.TestScript, neg bool, args []string, least, most int, usage string) {
	if neg {
		ts.Fatalf("unsupported: ! %s", usage)
	}
	if len(args) < least || len(args) > most {
		ts.Fatalf("usage: %s", usage)
	}
}

func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, 100, "status N COMMAND...")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func cmdCommit(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, 2, "commit DIR [TAG]")
	dir := ts.MkAbs(args[0])
	git := func(args ...string) { ts.Check(ts.Exec("git", append([]string{"-C", dir}, args...)...)) }
	if _, err := os.Lstat(filepath.Join(dir, ".git")); errors.Is(err, fs.ErrNotExist) {
		git("init", "-q")
	}
	git("add", "-A")
	git("commit", "-q", "--allow-empty", "-m", "a commit")
	if len(args) == 2 {
		git("tag", args[1])
	}
}

func cmdModule(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3, 3, "module DIR MODULE PROXY")
	path, version, _ := strings.Cut(args[1], "@")
	m := module.Version{Path: path, Version: version}
	base := filepath.Join(ts.MkAbs(args[2]), filepath.FromSlash(path), "@v")
	ts.Check(os.MkdirAll(base, 0o755))
	f, err := os.Create(filepath.Join(base, version+".zip"))
	ts.Check(err)
	ts.Check(errors.Join(zip.CreateFromDir(f, m, ts.MkAbs(args[0])), f.Close()))
	ts.Check(copyFile(filepath.Join(ts.MkAbs(args[0]), "go.mod"), filepath.Join(base, version+".mod")))
	info := fmt.Sprintf(`{"Version":%q,"Time":"2026-02-01T12:00:00Z"}`, version)
	ts.Check(os.WriteFile(filepath.Join(base, version+".info"), []byte(info), 0o644))
}

func cmdExpand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, 100, "expand FILE...")
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o644))
	}
}

func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: [!] json FILE PATH WANT")
	}
	var doc any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &doc))
	got, ok := member(doc, args[1])
	if neg != (!ok || args[2] != "-" && got != args[2]) {
		ts.Fatalf("%s: %s is %q, want %q (neg %v)", args[0], args[1], got, args[2], neg)
	}
}

// member returns the value at a path of names and indices, as text.
func member(doc any, path string) (string, bool) {
	for name := range strings.SplitSeq(path, ".") {
		switch d := doc.(type) {
		case map[string]any:
			v, ok := d[name]
			if !ok {
				return "", false
			}
			doc = v
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(d) {
				return "", false
			}
			doc = d[i]
		default:
			return "", false
		}
	}
	return fmt.Sprint(doc), true
}

func cmdSameRelease(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, 2, "same-release DIR DIR")
	a, b := tree(ts, args[0]), tree(ts, args[1])
	for _, t := range []map[string]string{a, b} {
		for name := range t {
			if strings.HasSuffix(name, distfiles.BundleSuffix) {
				t[name] = "" // no signature is like another
			}
		}
		rec, err := record.Decode([]byte(t["release.json"]))
		ts.Check(err)
		rec.Varying = record.Varying{}
		data, err := rec.Encode()
		ts.Check(err)
		t["release.json"] = string(data)
	}
	compareTrees(ts, a, b)
}

func cmdListen(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 0, 0, "listen")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv("PORT", strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	reached := ts.Value("reached").(*atomic.Int32)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			c.Close()
		}
	}()
}

func cmdUnreached(ts *testscript.TestScript, neg bool, args []string) {
	if n := ts.Value("reached").(*atomic.Int32).Swap(0); (n > 0) != neg {
		ts.Fatalf("there were %d connections", n)
	}
}

// cmdRegistry starts an empty registry, at $REGISTRY.
func cmdRegistry(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 0, 0, "registry")
	s := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	ts.Defer(s.Close)
	ts.Setenv("REGISTRY", strings.TrimPrefix(s.URL, "http://"))
}

// cmdUnpack writes the files of an image to a folder, as any client would.
func cmdUnpack(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3, 3, "unpack IMAGE PLATFORM DIR")
	ref, err := name.ParseReference(args[0])
	ts.Check(err)
	platform, err := v1.ParsePlatform(args[1])
	ts.Check(err)
	img, err := remote.Image(ref, remote.WithPlatform(*platform))
	ts.Check(err)
	ts.Check(validate.Image(img))
	r := mutate.Extract(img)
	defer r.Close()
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			return
		}
		ts.Check(err)
		file := filepath.Join(ts.MkAbs(args[2]), filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			ts.Check(os.MkdirAll(file, 0o755))
			continue
		}
		data, err := io.ReadAll(t)
		ts.Check(err)
		ts.Check(errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, data, 0o644)))
	}
}

func cmdSnapshot(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, 2, "snapshot DIR NAME")
	ts.Value("trees").(map[string]map[string]string)[args[1]] = tree(ts, args[0])
}

func cmdUnchanged(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, 2, "unchanged DIR NAME")
	compareTrees(ts, ts.Value("trees").(map[string]map[string]string)[args[1]], tree(ts, args[0]))
}

// tree reads every file below dir; modes are in the names.
func tree(ts *testscript.TestScript, dir string) map[string]string {
	files, err := readTree(ts.MkAbs(dir))
	ts.Check(err)
	return files
}

func readTree(dir string) (map[string]string, error) {
	files := map[string]string{}
	return files, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(p)
		name, _ := filepath.Rel(dir, p)
		if info.Mode()&0o111 != 0 {
			name += "*"
		}
		files[name] = string(data)
		return err
	})
}

func compareTrees(ts *testscript.TestScript, a, b map[string]string) {
	if len(a) == 0 {
		ts.Fatalf("nothing to compare")
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			ts.Fatalf("%s is new", name)
		}
	}
	for name, data := range a {
		other, ok := b[name]
		if !ok {
			ts.Fatalf("%s is gone", name)
		}
		if !bytes.Equal([]byte(data), []byte(other)) {
			ts.Logf("%.2000s\n---\n%.2000s", data, other)
			ts.Fatalf("%s differs", name)
		}
	}
}

func cmdPack(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, 2, "pack IMAGE FILE")
	data := ts.ReadFile(args[1])
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	ts.Check(w.WriteHeader(&tar.Header{Name: args[1], Mode: 0o755, Size: int64(len(data))}))
	_, err := io.WriteString(w, data)
	ts.Check(errors.Join(err, w.Close()))
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil })
	ts.Check(err)
	index := v1.ImageIndex(empty.Index)
	for _, arch := range []string{"amd64", "arm64"} {
		img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: arch})
		ts.Check(err)
		img, err = mutate.AppendLayers(img, layer)
		ts.Check(err)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	if strings.HasPrefix(args[0], "./") {
		_, err := layout.Write(ts.MkAbs(args[0]), index)
		ts.Check(err)
		return
	}
	ref, err := name.ParseReference(args[0])
	ts.Check(err)
	ts.Check(remote.WriteIndex(ref, index))
}
