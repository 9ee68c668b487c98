package source

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestPromisor: an object that is missing is not fetched from a promisor of the repository's own
// configuration, whose URL and whose other side are commands, also by a git that does not know
// GIT_NO_LAZY_FETCH.
func TestPromisor(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	u := newUser(t).module()
	blob := u.git("rev-parse", "HEAD:main.go")
	marker := filepath.Join(u.home, "ran")
	for name, url := range map[string]string{"ext": "ext::sh -c touch% " + marker, "upload-pack": u.dir} {
		v := u.in(u.dir)
		for _, kv := range [][2]string{
			{"core.repositoryFormatVersion", "1"}, {"extensions.partialClone", "origin"}, {"remote.origin.promisor", "true"}, {"remote.origin.url", url},
			{"remote.origin.uploadpack", "touch " + marker + "; git-upload-pack"}, {"protocol.allow", "always"}, {"protocol.ext.allow", "always"},
		} {
			v.git("config", kv[0], kv[1])
		}
		path := filepath.Join(u.dir, ".git", "objects", blob[:2], blob[2:])
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		r, err := u.open(Options{})
		if err == nil {
			err = r.Checkout(t.Context(), t.TempDir(), Sorted)
		}
		if err == nil || !strings.Contains(err.Error(), "missing") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(marker); err == nil {
			t.Fatalf("%s: it ran", name)
		}

		// The trap is armed: the user's own git does run it.
		cmd := exec.Command("git", "-c", "safe.directory=*", "cat-file", "-p", blob)
		cmd.Dir, cmd.Env = u.dir, append(u.env(), "GIT_ALLOW_PROTOCOL=ext:file")
		cmd.Run()
		if err := os.Remove(marker); err != nil {
			t.Errorf("%s: nothing would have run in any case", name)
		}
	}
}
