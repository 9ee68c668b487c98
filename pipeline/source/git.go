package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twicebuild/twice/pipeline/process"
)

// Git is a git command and the little of the user's environment that it sees.
type Git struct {
	// Path is the absolute path of the git executable, version 2.32 or newer
	// (the first one whose configuration can be closed by GIT_CONFIG_GLOBAL).
	Path string
	// Env is a minimal environment as NAME=value pairs: PATH at most, on
	// Windows also SystemRoot.
	Env []string
	// User is the user's environment. Only what says where the user's own git
	// configuration lies is taken from it (HOME, XDG_CONFIG_HOME, ...), and
	// only to learn what counts as a modified or as an ignored file.
	User []string
}

// maxOutput bounds what is read from one git command, in bytes. The longest
// thing read is a list of files: at 200 bytes each this is a million of them.
const maxOutput = 256 << 20

// userConfigVariables are the variables that say where the user's git configuration is.
var userConfigVariables = []string{
	"HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM",
	"USERPROFILE", "HOMEDRIVE", "HOMEPATH", "PROGRAMDATA", // git for windows derives HOME from these
}

// userConfigEnv returns those variables of g.User that are named in userConfigVariables.
func (g Git) userConfigEnv() []string {
	var env []string
	for _, kv := range g.User {
		name, _, _ := strings.Cut(kv, "=")
		for _, variable := range userConfigVariables {
			if name == variable {
				env = append(env, kv)
			}
		}
	}
	return env
}

// closedEnv returns the environment in which git takes nothing from the machine: no
// configuration, no attributes, no replaced objects, no prompt, no transport.
func closedEnv() []string {
	return []string{
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_ATTR_NOSYSTEM=1",
		"HOME=" + os.DevNull, "XDG_CONFIG_HOME=" + os.DevNull,
	}
}

// alwaysEnv has the variables that every git command gets.
var alwaysEnv = []string{
	"LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_PAGER=cat", "GIT_EDITOR=false",
	// No protocol at all: objects are borrowed or copied, never transported.
	"GIT_ALLOW_PROTOCOL=none", "GIT_PROTOCOL_FROM_USER=0", "GIT_NO_LAZY_FETCH=1",
	"GIT_NO_REPLACE_OBJECTS=1", "GIT_DEFAULT_REF_FORMAT=files",
}

// alwaysConfig wins over every configuration file.
var alwaysConfig = []string{
	"core.hooksPath=" + os.DevNull, "core.fsmonitor=false", "core.untrackedCache=false",
	"core.safecrlf=false", "core.splitIndex=false", "gc.auto=0", "maintenance.auto=false",
	// Ownership does not matter where nothing of the owner's is run.
	"safe.directory=*",
}

// strictConfig is for everything that ends up in a tree.
var strictConfig = []string{"core.autocrlf=false", "core.eol=lf"}

// gitContext is where a git command runs and what it sees there.
type gitContext struct {
	git    Git
	dir    string   // its working directory
	env    []string // NAME=value
	config []string // key=value
}

func (p gitContext) with(env ...string) gitContext {
	p.env = append(p.env[:len(p.env):len(p.env)], env...)
	return p
}

func (p gitContext) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.git.Path, args...)
	cmd.Dir = p.dir
	cmd.Env = append(cmd.Env, p.git.Env...)
	cmd.Env = append(cmd.Env, alwaysEnv...)
	cmd.Env = append(cmd.Env, p.env...)

	// Configuration in the environment wins over all files.
	config := append(alwaysConfig[:len(alwaysConfig):len(alwaysConfig)], p.config...)
	cmd.Env = append(cmd.Env, "GIT_CONFIG_COUNT="+strconv.Itoa(len(config)))
	for i, kv := range config {
		k, v, _ := strings.Cut(kv, "=")
		cmd.Env = append(cmd.Env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, k), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, v))
	}

	process.Group(cmd)
	cmd.WaitDelay = time.Second
	return cmd
}

// run runs git with args and stdin and returns its standard output.
func (p gitContext) run(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := p.command(ctx, args...)
	out, msg := boundedBuffer{max: maxOutput}, boundedBuffer{max: 64 << 10}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &msg
	if err := cmd.Run(); err != nil {
		return nil, gitError(ctx, args[0], msg.buf.Bytes(), err)
	}

	if out.over {
		return nil, fmt.Errorf("git %s: more than %d bytes of output", args[0], out.max)
	}
	return out.buf.Bytes(), nil
}

// runLine runs a command that answers with one line, and returns that line.
func (p gitContext) runLine(ctx context.Context, args ...string) (string, error) {
	out, err := p.run(ctx, nil, args...)
	return strings.TrimSuffix(string(out), "\n"), err
}

// runOID runs a command that answers with the name of an object, and returns that name.
func (p gitContext) runOID(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	out, err := p.run(ctx, stdin, args...)
	if err != nil {
		return "", err
	}
	oid := strings.TrimSuffix(string(out), "\n")
	if !oidPattern.MatchString(oid) {
		return "", fmt.Errorf("git %s: unexpected answer %.200q", args[0], oid)
	}
	return oid, nil
}

// gitError returns an error with the first part of what git said, which names the cause.
func gitError(ctx context.Context, verb string, msg []byte, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("git %s: %w", verb, context.Cause(ctx))
	}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return usageError("install git", "git: not found: %w", err)
	}

	text := strings.TrimSpace(string(msg))
	if len(text) > 1000 {
		text = text[:1000] + " ..."
	}
	if text = strings.ReplaceAll(text, "\n", "; "); text == "" {
		return fmt.Errorf("git %s: %w", verb, err)
	}
	return fmt.Errorf("git %s: %s: %w", verb, text, err)
}

// boundedBuffer keeps the first max bytes and takes the rest without keeping it.
type boundedBuffer struct {
	buf  bytes.Buffer
	max  int
	over bool
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	n := len(p)
	if room := b.max - b.buf.Len(); len(p) > room {
		p, b.over = p[:room], true
	}
	b.buf.Write(p)
	return n, nil
}

// checkVersion returns an error if git is missing, or too old to be closed off.
func (g Git) checkVersion(ctx context.Context) error {
	if !filepath.IsAbs(g.Path) {
		return usageError("install git", "git: not found (path %q)", g.Path)
	}

	out, err := gitContext{git: g, env: closedEnv()}.runLine(ctx, "version")
	if err != nil {
		return err
	}

	var major, minor int
	if _, err := fmt.Sscanf(out, "git version %d.%d", &major, &minor); err != nil {
		return fmt.Errorf("git version: unexpected answer %q", out)
	}
	if major < 2 || major == 2 && minor < 32 {
		return usageError("install git 2.32 or newer", "%s is too old", out)
	}
	return nil
}

// splitNUL splits NUL-terminated output.
func splitNUL(out []byte) []string {
	if len(out) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

// joinNUL is the reverse of splitNUL.
func joinNUL(names []string) io.Reader {
	if len(names) == 0 {
		return strings.NewReader("")
	}
	return strings.NewReader(strings.Join(names, "\x00") + "\x00")
}
