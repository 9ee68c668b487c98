package pass

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestInStore: what PATH asks for is its package in /opt, and a store as a whole.
func TestInStore(t *testing.T) {
	for dir, want := range map[string]string{
		"/opt": "", "/opt/": "", "/opt/go/1.26/bin": "/opt/go", "/opt/go": "/opt/go", "/optional/bin": "", "/usr/bin": "", "/home/ada/bin": "", "": "",
		"/nix/store/abc-git/bin": "/nix/store", "/nix/store": "/nix/store", "/nix/storehouse": "", "/gnu/store/x/bin": "/gnu/store",
		"/run/current-system/sw/bin": "/run/current-system", "/run/user/0": "",
		"/home/linuxbrew/.linuxbrew/opt/git/bin": "/home/linuxbrew/.linuxbrew", "/home/linuxbrew": "",
	} {
		if got := inStore(dir); got != want {
			t.Errorf("%q: %q, want %q", dir, got, want)
		}
	}
}

// TestSystemMounts: what does not belong to the system is shown to those who have
// programs there in PATH.
func TestSystemMounts(t *testing.T) {
	shown := func(path ...string) (list []string) {
		for _, m := range systemMounts(path) {
			if m.Write || m.From != m.To {
				t.Errorf("%+v", m)
			}
			list = append(list, m.To)
		}
		return list
	}
	plain := shown("/usr/bin", "/home/ada/bin")
	for _, dir := range []string{"/opt", "/home", "/run", "/nix/store", "/var", "/root", "/etc", "/tmp", "/dev", "/sys"} {
		if slices.Contains(plain, dir) {
			t.Errorf("%s is shown", dir)
		}
	}
	packages, err := os.ReadDir("/opt")
	if err != nil || len(packages) == 0 {
		t.Skip("nothing is in /opt")
	}
	dir := filepath.Join("/opt", packages[0].Name())
	if got := shown("/usr/bin", dir+"/bin", dir+"/sbin"); !slices.Equal(got, append(slices.Clone(plain), dir)) {
		t.Errorf("%q, want also %s", got, dir)
	}
	if got := visibleFolders([]string{"/usr/bin", dir + "/bin", "/home/ada/bin"}); !slices.Equal(got, []string{"/usr/bin", dir + "/bin"}) {
		t.Errorf("%q", got)
	}
}
