package rebuild

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
)

// TestGitIsNoShell: nothing in a question is executed by what stands in for git, and a question that is
// none of the go command's has no answer.
func TestGitIsNoShell(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("takes a shell")
	}
	dir := t.TempDir()
	c := &claim{main: module.Version{Path: "example.com/m", Version: "v1.2.3-a.b--x"}, vcs: &vcsStamp{revision: rev, time: time.Unix(1700000000, 0), modified: true}}
	if err := writeGit(dir, c); err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	if err := os.WriteFile(filepath.Join(tree, "go.mod"), []byte("$(touch ran) `touch ran`\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"status", "--porcelain; touch ran"}, {"status", "--porcelain", "$(touch ran)"}, {"tag", "-l", "`touch ran`"}, {"cat-file", "'; touch ran; ':go.mod"},
		{"-c", "core.fsmonitor=touch ran", "status", "--porcelain"}, {"*"}, {"for-each-ref ", "$(touch ran)"},
	} {
		cmd := exec.Command(filepath.Join(dir, "git"), args...)
		cmd.Dir = tree
		cmd.Run()
		if _, err := os.Stat(filepath.Join(tree, "ran")); err == nil {
			t.Fatalf("%q: it ran", args)
		}
	}
}

// TestSmuggledLinkerFlags: flags of the linker behind a pattern of packages, a file with more of them, and
// another entry point are refused, so none is a choice without a name.
func TestSmuggledLinkerFlags(t *testing.T) {
	for _, value := range []string{
		"all=-X main.v=1", "main=-s", "example.com/m=-X main.v=1", "@flags", "-s @flags", "-s=@flags", "-E=main.evil", "-s -E main.evil", "-I=/lib/evil.so",
		"-checklinkname=0", "-X=main.v", "---X=main.v=1", "-X main.v=1 @flags", "-s -- -w",
	} {
		if args, err := linkerFlags(value); err == nil {
			t.Errorf("%q: accepted as %q", value, args)
		}
	}
}

// TestProfileAside: a profile by another name than the source's is refused, also where only the end is the
// same.
func TestProfileAside(t *testing.T) {
	for _, value := range []string{"other.pgo", "default.pgo.x", "xdefault.pgo", "/tmp/default.pgo/x"} {
		info := strings.Replace(local, "build\t-compiler=gc\n", "build\t-compiler=gc\nbuild\t-pgo="+value+"\n", 1)
		if c, reason := parseClaim(facts("go1.26.8", info)); reason == nil || reason.Kind != verdict.Setting {
			t.Errorf("%s: %+v, %+v", value, c, reason)
		}
	}
}

// TestNamesForNoModule: a main module that only --source can have may not be called what reaches a command
// line as a flag, leads out of a folder, or is a part of one.
func TestNamesForNoModule(t *testing.T) {
	for _, path := range []string{"-mytool", "../mytool", "/mytool", "my tool", "mytool/../x", "my\ttool", "mytool/", "my;tool", "my$tool", "mytool@v1"} {
		info := strings.NewReplacer("path\texample.com/tool", "path\t"+path, "mod\texample.com/tool", "mod\t"+path).Replace(local)
		if c, reason := parseClaim(facts("go1.26.8", info)); reason == nil {
			t.Errorf("%q: %+v", path, c)
		}
	}
}
