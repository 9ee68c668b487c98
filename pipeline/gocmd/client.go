package gocmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// Client is a go command as a client of the module proxy and the checksum
// database. The environment states its user's settings about modules, so that
// no other setting has an effect.
type Client struct {
	Go
	Settings
}

// Settings are the answers of the user's go command about itself and about modules.
type Settings struct {
	// Version is the release that it belongs to (GOVERSION), and Root its GOROOT.
	Version, Root string
	// File is the file of go env -w (GOENV). It is empty or "off" if none is read.
	File string
	// ModCache is the user's GOMODCACHE.
	ModCache string
	// Proxy, SumDB and NoSumDB are GOPROXY, GOSUMDB and GONOSUMDB.
	Proxy, SumDB, NoSumDB string
}

// moduleSettings are the variables that the user may set about modules.
var moduleSettings = []string{
	"GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOINSECURE", "GOAUTH", "GOVCS", "GOMODCACHE", "GOPATH",
}

// NewClient asks the user's go command, which is at path and has the environment
// env, for its settings. An empty path means that there is none.
func NewClient(ctx context.Context, path string, env []string) (Client, error) {
	if path == "" {
		return Client{}, fault.WithRemedy(fault.Usage(fmt.Errorf("go: %w in PATH", exec.ErrNotFound)), "install Go from https://go.dev/dl")
	}
	c := Client{Go: Go{Path: path, Env: withoutBuildSettings(env)}.With("GOTOOLCHAIN=local", "GOWORK=off")}

	asked := slices.Concat([]string{"env", "-json", "GOVERSION", "GOENV", "GOROOT"}, moduleSettings)
	// An empty GOEXPERIMENT would leave the one of the user's go/env file.
	out, err := c.With("GOEXPERIMENT=none").Run(ctx, filepath.Dir(path), asked...)
	if err != nil {
		return Client{}, err
	}

	var answer map[string]string
	if err := json.Unmarshal(out, &answer); err != nil {
		return Client{}, fmt.Errorf("go env: %w", err)
	}

	c.Settings = Settings{
		Version: answer["GOVERSION"], Root: answer["GOROOT"], File: answer["GOENV"], ModCache: answer["GOMODCACHE"],
		Proxy: answer["GOPROXY"], SumDB: answer["GOSUMDB"], NoSumDB: answer["GONOSUMDB"],
	}
	c.Go = c.With("GOENV=off")
	for _, name := range moduleSettings {
		if v := answer[name]; v != "" {
			c.Go = c.With(name + "=" + v)
		}
	}

	return c, nil
}

// withoutBuildSettings leaves out of env what concerns builds: a bad value would
// make the go command refuse to answer. GOENV stays for the settings that are
// asked for.
func withoutBuildSettings(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		if name == "GOENV" || slices.Contains(moduleSettings, name) {
			return false
		}
		return slices.ContainsFunc(recipe.KnownVariables, func(v recipe.Variable) bool { return v.Name == name && v.Role != recipe.Placement })
	})
}

// ProxyOnly returns the client for modules that a stranger names. They come from
// a module proxy alone: for a direct download a version control system would talk
// to a server of the stranger's choice. None of them is private.
func (c Client) ProxyOnly() (Client, error) {
	proxies := proxiesOnly(c.Proxy)
	if proxies == "" {
		return Client{}, fault.WithRemedy(fault.Usage(fmt.Errorf("GOPROXY=%s names no module proxy", c.Proxy)),
			"a stranger's modules are taken from a module proxy alone: name one in GOPROXY")
	}
	c.Proxy = proxies
	c.Go = c.With("GOFLAGS=-modcacherw", "GOPROXY="+proxies, "GONOSUMDB="+c.NoSumDB,
		"GOPRIVATE=", "GONOPROXY=none", "GOINSECURE=none", "GOVCS=*:off")
	return c, nil
}

// proxiesOnly takes "direct" and "off" out of the value of GOPROXY.
func proxiesOnly(list string) string {
	var b strings.Builder
	separator := ""
	for list != "" {
		end := strings.IndexAny(list, ",|")
		word, next := list, ""
		if end >= 0 {
			word, next, list = list[:end], list[end:end+1], list[end+1:]
		} else {
			list = ""
		}

		word = strings.TrimSpace(word)
		if word == "off" {
			break // what follows is not reached
		}
		if word != "direct" && word != "" && word != "noproxy" {
			b.WriteString(separator + word)
			separator = next
		}
	}

	return b.String()
}

// WithToolchain returns the client whose command is that of the toolchain in the
// folder goroot. The settings stay the user's.
func (c Client) WithToolchain(goroot string) Client {
	c.Path = CommandPath(goroot)
	c.Go = c.With("GOROOT=" + goroot)
	return c
}

// CommandPath returns the path of the go command in a GOROOT.
func CommandPath(goroot string) string {
	name := "go"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(goroot, "bin", name)
}

// WithCache returns the client with another module cache, which takes from others
// what they have before it asks the proxy. Of others, empty names are passed over.
func (c Client) WithCache(dir string, others ...string) Client {
	for _, other := range slices.Backward(others) {
		if proxy, err := FileProxy(other); err == nil {
			c.Proxy = proxy + "," + c.Proxy
		}
	}
	c.Go = c.With("GOMODCACHE="+dir, "GOPROXY="+c.Proxy)
	return c
}

// FileProxy returns the URL under which a GOMODCACHE is a module proxy:
// https://go.dev/ref/mod#module-cache. A relative path is an error.
func FileProxy(cache string) (string, error) {
	if !filepath.IsAbs(cache) {
		return "", fmt.Errorf("module cache %q: want an absolute path", cache)
	}
	path := filepath.ToSlash(filepath.Join(cache, "cache", "download"))
	u := url.URL{Scheme: "file", Path: path}

	if unc, ok := strings.CutPrefix(path, "//"); ok { // \\server\share on Windows
		u.Host, u.Path, _ = strings.Cut(unc, "/")
		u.Path = "/" + u.Path
	} else if !strings.HasPrefix(path, "/") { // C:/Users
		u.Path = "/" + path
	}
	// These two would end it in GOPROXY.
	return strings.NewReplacer(",", "%2C", "|", "%7C").Replace(u.String()), nil
}

// Voucher returns who vouches for the content of a module, for people.
func (s Settings) Voucher(path string) string {
	switch {
	case s.SumDB == "off":
		return "the module proxy alone, since GOSUMDB is off"
	case module.MatchPrefixPatterns(s.NoSumDB, path):
		return "the module proxy alone, since GONOSUMDB exempts it from the checksum database"
	}
	return "checksum database"
}

// ResolvedVersion is the answer of the module proxy about a version or revision.
type ResolvedVersion struct {
	Version string
	Error   *struct{ Err string }
	Origin  *struct{ VCS, URL, Hash, Ref string }
}

// Resolve asks for the version of a module at a revision, or for what is known of
// a version. It runs in the folder scratch, which becomes an empty module.
func (g Go) Resolve(ctx context.Context, path, query, scratch string) (ResolvedVersion, error) {
	if err := scratchModule(scratch); err != nil {
		return ResolvedVersion{}, err
	}
	out, err := g.With("GOWORK=off", "GO111MODULE=on", "GOFLAGS=-mod=mod -modcacherw").Run(ctx, scratch, "list", "-m", "-e", "-json", "--", path+"@"+query)

	var r ResolvedVersion
	jsonErr := json.Unmarshal(out, &r)

	switch {
	case err != nil:
		return r, err
	case jsonErr != nil:
		return r, fmt.Errorf("go list -m: %w", jsonErr)
	case r.Error != nil:
		return r, errors.New(r.Error.Err)
	case module.Check(path, r.Version) != nil || module.CanonicalVersion(r.Version) != r.Version:
		return r, fmt.Errorf("go list -m: %q is no version of %s", r.Version, path)
	}
	return r, nil
}

// DownloadedModule is the answer of go mod download -json about a module (go help mod
// download). Error is set if the module cannot be had.
type DownloadedModule struct {
	Path, Version, Error, Info, Zip, Dir, Sum string
}

// Download fetches a module, "path@version", into the module cache. It runs in the
// folder scratch, which becomes an empty module.
func (g Go) Download(ctx context.Context, mod, scratch string) (DownloadedModule, error) {
	if err := scratchModule(scratch); err != nil {
		return DownloadedModule{}, err
	}

	var d DownloadedModule
	out, err := g.With("GOWORK=off", "GO111MODULE=on").Run(ctx, scratch, "mod", "download", "-json", mod)
	// A module that cannot be had is told in the document.
	if jsonErr := json.Unmarshal(out, &d); d.Error != "" || err == nil && jsonErr == nil {
		return d, nil
	} else if err == nil {
		err = fmt.Errorf("go mod download: unexpected answer: %w", jsonErr)
	}
	return d, err
}

// scratchModule makes dir an empty module, so that no module or workspace around
// it has a say.
func scratchModule(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module scratch\n"), 0o644)
}
