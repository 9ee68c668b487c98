package rebuild

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/gocmd"
	"github.com/twicebuild/twice/pipeline/modules"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// client is the user's go command as a client of the module proxy, with their
// settings about modules as far as a stranger's modules may make use of them.
type client struct {
	gocmd.Go
	goroot, modCache string
	// sumDB and noSumDB are GOSUMDB and GONOSUMDB.
	sumDB, noSumDB string
}

// newClient asks the go command for its user's settings, which are then stated in
// the environment so that no other setting has an effect. Modules come from a
// proxy alone: a direct download would have a version control system talk to a
// server that a stranger's file names.
func newClient(ctx context.Context, cfg Config) (*client, error) {
	if cfg.Go == "" {
		return nil, fault.Usage(fmt.Errorf("go: %w in PATH", exec.ErrNotFound), "install Go from https://go.dev/dl")
	}
	asked := []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GOAUTH", "GOMODCACHE", "GOPATH", "GOROOT"}
	var own []string
	for _, kv := range cfg.Env {
		name, _, _ := strings.Cut(kv, "=")
		builds := slices.ContainsFunc(recipe.Known, func(v recipe.Variable) bool { return v.Name == name && v.Role != recipe.Placement })
		if name == "GOENV" || slices.Contains(asked, name) || name == "GOPRIVATE" || !builds {
			own = append(own, kv)
		}
	}
	g := gocmd.Go{Path: cfg.Go, Env: own}.With("GOTOOLCHAIN=local", "GOWORK=off")
	out, err := g.With("GOEXPERIMENT=none").Run(ctx, filepath.Dir(cfg.Go), append([]string{"env", "-json"}, asked...)...)
	if err != nil {
		return nil, err
	}
	var env map[string]string
	if err := json.Unmarshal(out, &env); err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	proxies := proxiesOnly(env["GOPROXY"])
	if proxies == "" {
		return nil, fault.Usage(fmt.Errorf("GOPROXY=%s names no module proxy", env["GOPROXY"]), "a stranger's modules are taken from a module proxy alone: name one in GOPROXY")
	}
	c := &client{goroot: env["GOROOT"], modCache: env["GOMODCACHE"], sumDB: env["GOSUMDB"], noSumDB: env["GONOSUMDB"]}
	c.Go = g.With("GOENV=off", "GOFLAGS=-modcacherw", "GOPATH="+env["GOPATH"], "GOMODCACHE="+env["GOMODCACHE"],
		"GOPROXY="+proxies, "GOSUMDB="+env["GOSUMDB"], "GONOSUMDB="+env["GONOSUMDB"],
		// Not empty, for an empty variable leaves the user's go/env file in force.
		"GOPRIVATE=", "GONOPROXY=none", "GOINSECURE=none", "GOVCS=*:off")
	if env["GOAUTH"] != "" {
		c.Go = c.With("GOAUTH=" + env["GOAUTH"])
	}
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

// in returns the client with a module cache of its own, which takes from others
// what they have before it asks the proxy.
func (c *client) in(cache string, others ...string) gocmd.Go {
	proxies := ""
	for _, o := range others {
		if proxy, err := modules.FileProxy(o); err == nil { // not for one without a place
			proxies += proxy + ","
		}
	}
	own, _ := recipe.Lookup(reversed(c.Env), "GOPROXY")
	return c.With("GOMODCACHE="+cache, "GOPROXY="+proxies+own)
}

// reversed puts the values that count first.
func reversed(env []string) []string {
	env = slices.Clone(env)
	slices.Reverse(env)
	return env
}

// vouched says who vouches for the content of a module.
func (c *client) vouched(path string) string {
	switch {
	case c.sumDB == "off":
		return "the module proxy alone, since GOSUMDB is off"
	case module.MatchPrefixPatterns(c.noSumDB, path):
		return "the module proxy alone, since GONOSUMDB exempts it from the checksum database"
	}
	return "checksum database"
}

// resolved is what the module proxy says of a version or revision.
type resolved struct {
	Version string
	Error   *struct{ Err string }
	Origin  *struct{ VCS, URL, Hash, Ref string }
}

// resolve asks for the version of a module at a revision, or what is known of a
// version.
func (c *client) resolve(ctx context.Context, g gocmd.Go, path, query, scratch string) (resolved, error) {
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return resolved{}, err
	}
	if err := os.WriteFile(filepath.Join(scratch, "go.mod"), []byte("module scratch\n"), 0o644); err != nil {
		return resolved{}, err
	}
	out, err := g.With("GOWORK=off", "GO111MODULE=on", "GOFLAGS=-mod=mod -modcacherw").Run(ctx, scratch, "list", "-m", "-e", "-json", "--", path+"@"+query)
	var r resolved
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
