package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// tool finds a program that .ci/run installs from Debian.
func tool(t *testing.T, program, pkg string) string {
	t.Helper()
	file, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%v: install the package %s", err, pkg)
	}
	return file
}

// TestClients publishes an image to the registry of the CNCF, and has the usual
// clients fetch, unpack and run it.
func TestClients(t *testing.T) {
	large(t)
	skopeo, umoci, qemu := tool(t, "skopeo", "skopeo"), tool(t, "umoci", "umoci"), tool(t, "qemu-aarch64-static", "qemu-user-static")
	d, _ := startDistribution(t, false)
	image := d.host + "/acme/tiny"
	repo := repository(t, map[string]string{
		"go.mod": tinyMod, "main.go": tinyMain,
		"release.toml": strings.Replace(oneTarget, `arch = ["amd64"]`, `arch = ["amd64", "arm64"]`, 1) + "[[image]]\nrepository = \"" + image + "\"\ntags = [\"{{.Version}}\", \"latest\"]\n",
	}, "v1.0.0")
	twice(t, repo, "release", "--key", keyFile)
	dist := filepath.Join(repo, "dist")
	rec := readRecord(t, dist)

	ref, err := name.ParseReference(image + ":latest")
	must(t, err)
	index, err := remote.Index(ref)
	must(t, err)
	must(t, validate.Index(index))

	// The layout in dist is what others read, and what the registry has.
	for _, from := range []string{"docker://" + image + ":1.0.0", "oci:" + filepath.Join(dist, "oci")} {
		work := t.TempDir()
		layout := filepath.Join(work, "layout")
		args := []string{skopeo, "copy", "--insecure-policy", "--all", "--preserve-digests"}
		if strings.HasPrefix(from, "docker:") {
			args = append(args, "--src-tls-verify=false")
		}
		command(t, work, nil, append(args, from, "oci:"+layout+":tiny")...)
		for _, b := range rec.Binaries {
			arch := strings.TrimPrefix(b.Target, "linux/")
			one := filepath.Join(work, "one-"+arch)
			command(t, work, nil, skopeo, "copy", "--insecure-policy", "--override-os", "linux", "--override-arch", arch, "oci:"+layout+":tiny", "oci:"+one+":tiny")
			bundle := filepath.Join(work, "bundle-"+arch)
			unpack := []string{umoci, "unpack", "--image", one + ":tiny", bundle}
			if os.Getuid() != 0 {
				unpack = append(unpack[:2:2], append([]string{"--rootless"}, unpack[2:]...)...)
			}
			command(t, work, nil, unpack...)
			root := filepath.Join(bundle, "rootfs")
			data, err := os.ReadFile(filepath.Join(root, "usr", "local", "bin", "tiny"))
			must(t, err)
			if got := digest(data); got != b.A {
				t.Errorf("%s: %s: the file in the image is %s; release.json says %s", from, arch, got, b.A)
			}
			config, err := os.ReadFile(filepath.Join(bundle, "config.json"))
			must(t, err)
			if !bytes.Contains(config, []byte(`"/usr/local/bin/tiny"`)) || !bytes.Contains(config, []byte("65532")) {
				t.Errorf("%s: %s: entrypoint or user: %s", from, arch, config)
			}
			if out := runIn(t, root, arch, qemu); out != "1.0.0\n" {
				t.Errorf("%s: %s: it says %q", from, arch, out)
			}
		}
	}
}

// runIn runs the entrypoint with root as its root folder, as the user of the
// image, under an emulator where it is for another processor.
func runIn(t *testing.T, root, arch, qemu string) string {
	t.Helper()
	argv := []string{"/usr/local/bin/tiny"}
	if arch != runtime.GOARCH {
		data, err := os.ReadFile(qemu)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(root, "qemu"), data, 0o755))
		argv = append([]string{"/qemu"}, argv...)
	}
	// chroot(8) needs a root of its own where the test has none.
	enter := []string{"chroot", "--userspec=65532:65532", root}
	if os.Getuid() != 0 {
		enter = []string{"unshare", "-r", "chroot", root}
	}
	cmd := exec.Command(enter[0], append(enter[1:], argv...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v: %s", arch, err, out)
	}
	return string(out)
}
