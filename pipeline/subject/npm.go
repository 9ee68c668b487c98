package subject

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/process"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// npmName matches the name of a package, including older ones with capital letters
// (https://github.com/npm/validate-npm-package-name). It matches nothing that is a path, a URL, an
// option or another kind of npm's specs.
var npmName = regexp.MustCompile(`^(@[A-Za-z0-9~_][A-Za-z0-9._~-]*/)?[A-Za-z0-9~_][A-Za-z0-9._~-]*$`)

// parseNPM reads NAME@VERSION.
func parseNPM(spec string) (name, version string, err error) {
	i := strings.LastIndexByte(spec, '@')
	if i <= 0 {
		return "", "", fault.WithRemedy(fault.Usage(errors.New("a package of npm without a version")), "name it as npm:NAME@VERSION, with a version like 1.2.3")
	}
	name, version = spec[:i], spec[i+1:]
	switch {
	case len(name) > 214 || !npmName.MatchString(name):
		return "", "", fmt.Errorf("%.80q: not the name of a package", name)
	// Go's canonical form is the full one, without what follows a plus sign.
	case len(version) > 256 || !semver.IsValid("v"+version) || semver.Canonical("v"+version)+semver.Build("v"+version) != "v"+version:
		return "", "", fault.WithRemedy(fault.Usage(fmt.Errorf("%.80q: not a version", version)), "tags and ranges can mean something else tomorrow: name a version like 1.2.3")
	}
	return name, version, nil
}

// check returns an error if there is no client.
func (n NPM) check() error {
	if n.Path == "" {
		return fault.WithRemedy(fault.Usage(errors.New("there is no npm client")), "install npm, or fetch the package by other means and name its .tgz")
	}
	return nil
}

// npm opens a package that the npm client fetches, from the registry that the
// user's settings name.
func (o *opening) npm(spec string) error {
	name, version, err := parseNPM(spec)
	if err != nil {
		return err
	}
	if err := o.cfg.NPM.check(); err != nil {
		return err
	}

	dir, err := os.MkdirTemp(o.subject.dir, "npm-")
	if err != nil {
		return err
	}
	out, integrity, err := o.cfg.NPM.pack(o.ctx, dir, name, version)
	if err != nil {
		return err
	}
	b, err := o.storePackage(out, integrity)
	if err != nil {
		return fmt.Errorf("npm pack: %w", err)
	}

	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	o.subject.Kind, o.subject.Digest = Package, b.digest
	return o.openStored(b, Container{Kind: Package, Name: o.subject.Ref, Integrity: integrity}, name+".tgz")
}

// pack has the client fetch a package. It returns the folder below dir that has the file of the
// package and nothing else, and the integrity that the registry states. The file may be another one.
func (n NPM) pack(ctx context.Context, dir, name, version string) (out, integrity string, err error) {
	// npm looks upwards for the next folder with one of these. It takes that for its project, and
	// takes settings from there.
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte("{}\n"), 0o600); err != nil {
		return "", "", err
	}
	out = filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o700); err != nil {
		return "", "", err
	}

	// The package's scripts are a stranger's, so they must not run.
	answer, err := n.run(ctx, dir, "pack", "--json", "--ignore-scripts", "--workspaces=false", "--pack-destination="+out, "--", name+"@"+version)
	if err != nil {
		return "", "", err
	}

	// The answer is a claim of npm. It counts only if the file agrees with it.
	if integrity, err = parsePack(answer, name, version); err != nil {
		return "", "", fmt.Errorf("npm pack: %w", err)
	}
	return out, integrity, nil
}

// parsePack reads what npm pack --json says of one package, and returns its integrity. It uses
// only members that every npm since 7 has. The document is a list, or an object with the package's
// name as its member.
func parsePack(answer []byte, name, version string) (integrity string, err error) {
	type entry struct {
		Name      string `json:"name"`
		Version   string `json:"version"`
		Integrity string `json:"integrity"`
	}

	var list []entry
	if err := json.Unmarshal(answer, &list); err != nil {
		var named map[string]entry
		if json.Unmarshal(answer, &named) != nil {
			return "", fmt.Errorf("its answer: %w", err)
		}
		for _, e := range named {
			list = append(list, e)
		}
	}

	if len(list) != 1 || list[0].Name != name || list[0].Version != version {
		return "", errors.New("its answer is about another package")
	}

	encoded, ok := strings.CutPrefix(list[0].Integrity, "sha512-")
	sum, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(sum) != sha512.Size {
		return "", fmt.Errorf("integrity %.200q: want sha512- and base64", list[0].Integrity)
	}

	return list[0].Integrity, nil
}

// storePackage stores the one file in dir, if it has the integrity.
func (o *opening) storePackage(dir, integrity string) (blob, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return blob{}, err
	}
	defer root.Close()

	list, err := os.ReadDir(dir)
	if err != nil {
		return blob{}, err
	}
	if len(list) != 1 {
		return blob{}, fmt.Errorf("it left %d files", len(list))
	}

	f, err := openIn(root, list[0].Name(), o.limits.Spool)
	if err != nil {
		return blob{}, err
	}
	defer f.Close()

	h := sha512.New()
	b, err := o.spool(io.TeeReader(f, h), o.limits.Spool)
	if err != nil {
		return blob{}, err
	}

	if got := "sha512-" + base64.StdEncoding.EncodeToString(h.Sum(nil)); got != integrity {
		return blob{}, fmt.Errorf("the file it left has integrity %s, and it says %s", got, integrity)
	}

	return b, nil
}

// What npm may print, in bytes: a package of many files has each in the answer.
const (
	maxAnswer = 64 << 20
	maxStderr = 64 << 10
)

// run runs the client in dir and returns what it printed.
func (n NPM) run(ctx context.Context, dir string, args ...string) ([]byte, error) {
	if !filepath.IsAbs(n.Path) {
		return nil, fmt.Errorf("npm client %q: want an absolute path", n.Path)
	}

	stdout, stderr := &head{max: maxAnswer, strict: true}, &head{max: maxStderr}
	cmd := exec.CommandContext(ctx, n.Path, args...)
	cmd.Dir = dir
	cmd.Env = slices.Concat(n.Env, []string{"PWD=" + dir})
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = time.Second

	// A client that is cancelled must not leave processes of its own behind.
	process.Group(cmd)
	err := cmd.Run()

	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, npmError(args[0], err, stdout.buf.Bytes(), stderr.buf.Bytes())
	}

	return stdout.buf.Bytes(), nil
}

// npmError returns what npm said when a command of it failed.
func npmError(command string, err error, stdout, stderr []byte) error {
	var said struct {
		Error struct{ Code, Summary string }
	}
	// What it prints may be cut off, or no JSON at all.
	_ = json.Unmarshal(stdout, &said)
	text := strings.TrimSpace(said.Error.Code + " " + said.Error.Summary)
	if text == "" {
		text = strings.TrimSpace(string(stderr))
	}
	if text == "" {
		return fmt.Errorf("npm %s: %w", command, err)
	}
	first, _, _ := strings.Cut(text, "\n")
	return fmt.Errorf("npm %s: %s: %w", command, safetext.QuoteUnprintable(first[:min(len(first), 400)]), err)
}

// head keeps the first bytes that are written to it. If strict is set, more than max bytes are an
// error.
type head struct {
	buf    bytes.Buffer
	max    int
	strict bool
}

func (h *head) Write(p []byte) (int, error) {
	room := min(len(p), h.max-h.buf.Len())
	h.buf.Write(p[:room])
	if room < len(p) && h.strict {
		return room, fmt.Errorf("it prints more than %d bytes: %w", h.max, ErrLimit)
	}
	return len(p), nil
}
