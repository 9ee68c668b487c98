package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// block returns the fenced text of the README that follows a mark.
func block(t *testing.T, readme, mark string) string {
	t.Helper()
	_, rest, ok := strings.Cut(readme, "<!-- test: "+mark+" -->\n```")
	text, _, end := strings.Cut(rest, "\n```")
	_, text, nl := strings.Cut(text, "\n")
	if !ok || !end || !nl {
		t.Fatalf("README.md has no block for %q", mark)
	}
	return text + "\n"
}

// Whoever pastes the README's session into a shell gets what the page says.
func TestReadme(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(repoRoot, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	readme := string(data)
	home, work := t.TempDir(), t.TempDir()
	env := []string{
		"HOME=" + home, "XDG_CACHE_HOME=", "XDG_CONFIG_HOME=", "GOCACHE=", "GOFLAGS=",
		"PATH=" + filepath.Dir(twiceFile) + string(filepath.ListSeparator) + os.Getenv("PATH"),
	}
	if out := command(t, work, env, "sh", "-euc", block(t, readme, "session")); strings.Count(out, "partial: 2 of 5 targets, without darwin/amd64, darwin/arm64, windows/amd64") != 2 {
		t.Errorf("neither release nor verify call a part of a release partial:\n%s", out)
	}
	hello := filepath.Join(work, "hello")
	for _, name := range []string{"hello_1.0.0_linux_amd64.tar.gz", "hello_1.0.0_linux_arm64.tar.gz", "SHA256SUMS", "bin/linux_amd64/hello", "release.json"} {
		if _, err := os.Stat(filepath.Join(hello, "dist", name)); err != nil {
			t.Error(err)
		}
	}
	if rec := readRecord(t, filepath.Join(hello, "dist")); rec.Verdict != "reproduced" || rec.Snapshot {
		t.Errorf("verdict %s, snapshot %v", rec.Verdict, rec.Snapshot)
	}

	if out, err := exec.Command(filepath.Join(hello, "dist", "bin", "linux_amd64", "hello")).CombinedOutput(); runtime.GOOS+"/"+runtime.GOARCH == "linux/amd64" && string(out) != "hello 1.0.0\n" {
		t.Errorf("hello: %q, %v", out, err)
	}
	_, toml, _ := strings.Cut(readme, "cat > release.toml <<'EOF'\n")
	toml, _, _ = strings.Cut(toml, "EOF\n")
	if n := strings.Count(toml, "\n"); n > 10 {
		t.Errorf("the release file of ten lines has %d", n)
	}

	help := command(t, "", nil, twiceFile, "--help")
	verbs := regexp.MustCompile(`(?m)^    twice (\w+)`).FindAllStringSubmatch(readme, -1)
	if len(verbs) < 5 {
		t.Fatalf("the README names %d verbs", len(verbs))
	}
	for _, verb := range verbs {
		if !strings.Contains(help, "\n  "+verb[1]+" ") {
			t.Errorf("the README names twice %s, which twice --help does not", verb[1])
		}
	}
	for _, target := range regexp.MustCompile("(?m)(?:^|`)make (\\w+)").FindAllStringSubmatch(readme, -1) {
		command(t, repoRoot, nil, "make", "-n", target[1])
	}
}
