package gocmd

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/fault"
)

// The user's settings are asked once, wherever they come from, and those about
// builds neither count nor keep the go command from answering.
func TestClient(t *testing.T) {
	g := hostGo(t)
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, []byte("GOPRIVATE=example.com/own\nGOPROXY=https://a,direct\nGOEXPERIMENT=nosuch\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	env := append(slices.Clone(g.Env), "GOENV="+file, "GOFLAGS=-nosuch", "GOMODCACHE="+t.TempDir())
	c, err := NewClient(t.Context(), g.Path, env)
	if err != nil {
		t.Fatal(err)
	}
	if c.Proxy != "https://a,direct" || c.NoSumDB != "example.com/own" || c.SumDB != "sum.golang.org" || c.File != file || !strings.HasPrefix(c.Version, "go1.") {
		t.Errorf("%+v", c.Settings)
	}
	stated := func(c Client, want ...string) {
		t.Helper()
		names := []string{"env", "GOPROXY", "GONOSUMDB", "GONOPROXY", "GOFLAGS", "GOMODCACHE"}
		out, err := c.Run(t.Context(), t.TempDir(), names...)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Split(strings.TrimSpace(string(out)), "\n"); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	stated(c, "https://a,direct", "example.com/own", "example.com/own", "", c.ModCache)

	only, err := c.ProxyOnly()
	if err != nil {
		t.Fatal(err)
	}
	stated(only, "https://a", "example.com/own", "none", "-modcacherw", c.ModCache)
	cache, first, second := t.TempDir(), t.TempDir(), t.TempDir()
	a, _ := FileProxy(first)
	b, _ := FileProxy(second)
	stated(only.WithCache(cache, first, "", second), a+","+b+",https://a", "example.com/own", "none", "-modcacherw", cache)

	c.Proxy = "direct"
	if _, err := c.ProxyOnly(); fault.KindOf(err) != fault.KindUsage {
		t.Errorf("without a proxy: %v", err)
	}
	if _, err := NewClient(t.Context(), "", nil); fault.KindOf(err) != fault.KindUsage {
		t.Errorf("without a go command: %v", err)
	}
}

func TestFileProxy(t *testing.T) {
	if _, err := FileProxy("relative"); err == nil {
		t.Error("a relative path was accepted")
	}
	if runtime.GOOS == "windows" {
		for in, want := range map[string]string{
			`C:\Users\a b\mod`:   "file:///C:/Users/a%20b/mod/cache/download",
			`\\server\share\mod`: "file://server/share/mod/cache/download",
		} {
			if got, err := FileProxy(in); err != nil || got != want {
				t.Errorf("%s: %s, %v", in, got, err)
			}
		}
		return
	}
	if got, err := FileProxy("/home/a, b|c%/mod"); err != nil || got != "file:///home/a%2C%20b%7Cc%25/mod/cache/download" {
		t.Errorf("%s, %v", got, err)
	}
}

func TestProxiesOnly(t *testing.T) {
	for list, want := range map[string]string{
		"": "", "direct": "", "off": "", "https://a": "https://a", "https://a,direct": "https://a", "direct,https://a": "https://a", "https://a|direct": "https://a",
		"https://a|https://b,direct": "https://a|https://b", "https://a,direct|https://b": "https://a,https://b", "https://a,off,https://b": "https://a", " https://a , direct ": "https://a",
		"noproxy": "",
	} {
		if got := proxiesOnly(list); got != want {
			t.Errorf("%q: %q, want %q", list, got, want)
		}
	}
}
