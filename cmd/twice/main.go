// Twice builds every Go release two times and ships it only if both agree.
//
// See the README for what it does, and `twice help` for its commands.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/twicebuild/twice/pipeline"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/host"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/progress"
	"github.com/twicebuild/twice/pipeline/record"
)

func main() {
	pass.Main()
	os.Exit(run())
}

// Exit statuses, as the README documents them.
const (
	exitOK          = 0
	exitDiffers     = 1
	exitUsage       = 2
	exitFailure     = 3
	exitInterrupted = 130
)

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

// run is main without the process: this is where the clock, the environment
// and the terminal come in.
func run() int {
	ctx, cancel := context.WithCancelCause(context.Background())
	handleSignals(func() { cancel(errInterrupted) })
	// Nobody may listen any more. To write is an error then, and not the end: a run
	// that is narrated to nobody is a run. Whatever we start has the default again.
	ignoreBrokenPipes()
	stdout := &output{w: os.Stdout}
	app := &app{stdout: stdout, stderr: os.Stderr, env: os.Environ(), now: time.Now, transport: http.DefaultTransport}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		app.ask = askTerminal
	}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		if width, _, err := term.GetSize(int(os.Stderr.Fd())); err == nil {
			app.width = width
		}
	}
	root := app.root()
	root.SetArgs(os.Args[1:])
	err := root.ExecuteContext(ctx)
	app.progress.Close()
	if err == nil {
		err = app.printText()
	}
	if err == nil {
		err = stdout.err
	}
	return app.status(err)
}

// handleSignals calls interrupt at the first signal that asks the process to end,
// which then cleans up. The next one ends it at once, whatever it waits for. A
// terminal that goes away is such a signal, unless nohup said that it is none.
func handleSignals(interrupt func()) {
	list := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT}
	if !signal.Ignored(syscall.SIGHUP) {
		list = append(list, syscall.SIGHUP)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, list...)
	go func() {
		<-signals
		signal.Reset(list...)
		interrupt()
	}()
}

// output is stdout. Its first error is kept, since a document that nobody could
// read is no success.
type output struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("standard output: %w", err)
	}
	return n, err
}

// app is what all verbs share: the world outside and the common flags.
type app struct {
	stdout, stderr io.Writer
	env            []string
	now            func() time.Time
	transport      http.RoundTripper
	width          int
	// ask reads a line from the terminal without showing it; nil without one.
	ask      func(ctx context.Context, prompt string) ([]byte, error)
	progress *progress.Printer

	dir, config, out, cache, module string
	timeout                         time.Duration
	targets                         []string
	json, plain, verbose            bool
	printed                         bool // stdout has its document
	text                            bytes.Buffer
}

// textDoc is the document of what is no document otherwise: help, or a script for a
// shell.
type textDoc struct {
	Schema string `json:"schema"` // "twice.text/v1"
	Text   string `json:"text"`
}

// textWriter is where such text goes.
type textWriter struct{ app *app }

// Write implements io.Writer.
func (w textWriter) Write(p []byte) (int, error) {
	if w.app.json {
		return w.app.text.Write(p)
	}
	return w.app.stdout.Write(p)
}

// printText prints the document of text, if one was asked for.
func (a *app) printText() error {
	if !a.json || a.printed {
		return nil
	}
	return printJSON(a.document(), textDoc{"twice.text/v1", a.text.String()})
}

// asksJSON reports whether args ask for JSON, of which a part was not understood.
func asksJSON(args []string) bool {
	for _, arg := range args {
		if arg == "--" {
			return false
		}
		if v, ok := strings.CutPrefix(arg, "--json="); ok {
			on, err := strconv.ParseBool(v)
			return on || err != nil
		}
		if arg == "--json" {
			return true
		}
	}
	return false
}

// document is where the one document of --json goes.
func (a *app) document() io.Writer {
	a.printed = true
	return a.stdout
}

// failure is the document of a verb that came to nothing.
type failure struct {
	Schema string `json:"schema"` // "twice.error/v1"
	Error  string `json:"error"`
	Hint   string `json:"hint,omitempty"`
	Status int    `json:"status"` // the exit status
}

// statusOf returns the exit status for a kind of error. That is all which decides
// about it.
func statusOf(kind fault.Kind) int {
	switch kind {
	case fault.KindRefused:
		return exitDiffers
	case fault.KindUsage:
		return exitUsage
	}
	return exitFailure
}

// status prints what went wrong and returns the exit status.
func (a *app) status(err error) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled) {
		fmt.Fprintln(a.stderr, "twice: interrupted")
		a.fail(errInterrupted, exitInterrupted)
		return exitInterrupted
	}
	status := statusOf(fault.KindOf(err))
	fmt.Fprintln(a.stderr, "twice: "+cleanLines(err.Error()))
	if remedy := fault.RemedyOf(err); remedy != "" {
		fmt.Fprintln(a.stderr, "  hint: "+cleanLines(remedy))
	}
	a.fail(err, status)
	return status
}

// fail prints the document of a failure, if one was asked for and none is there.
func (a *app) fail(err error, status int) {
	if a.json && !a.printed {
		printJSON(a.document(), failure{"twice.error/v1", err.Error(), fault.RemedyOf(err), status})
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:                        "twice",
		Short:                      "Build Go releases twice, ship them once",
		Long:                       "Twice builds every Go release two times, in two clean environments that differ on\npurpose, and ships it only if every byte agrees.",
		Args:                       unknownCommand,
		SuggestionsMinimumDistance: 2,
		RunE:                       func(c *cobra.Command, _ []string) error { return c.Help() },
		SilenceErrors:              true,
		SilenceUsage:               true,
	}
	root.Version = toolVersion().Version
	root.SetOut(textWriter{a})
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		a.json = a.json || asksJSON(os.Args[1:])
		return fault.Usage(fmt.Errorf("%w (see %s --help)", err, c.CommandPath()))
	})
	flags := root.PersistentFlags()
	flags.StringVarP(&a.dir, "directory", "C", ".", "run as if started in `DIR`")
	flags.BoolVar(&a.json, "json", false, "print one JSON document")
	flags.BoolVar(&a.plain, "plain", false, "no moving progress line")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "say more")
	root.AddCommand(a.initCmd(), a.checkCmd(), a.planCmd(), a.buildCmd(), a.releaseCmd(), a.publishCmd(), a.verifyCmd(), a.rebuildCmd(), a.inspectCmd(), a.explainCmd(), a.keygenCmd(), a.lockCmd(), a.cacheCmd(), a.schemaCmd(), a.versionCmd())
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		a.progress = &progress.Printer{W: a.stderr, Now: a.now}
		if !a.plain {
			a.progress.Width = a.width
		}
		if _, err := os.Stat(a.dir); err != nil {
			return fault.Usage(fmt.Errorf("-C: %w", err))
		}
		return nil
	}
	return root
}

// unknownCommand refuses what is no verb.
func unknownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command %q", args[0])
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w: did you mean %s?", err, strings.Join(near, " or "))
	}
	return fault.Usage(err)
}

// noArgs refuses arguments, and misspelled verbs with them.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fault.Usage(fmt.Errorf("%s takes no argument %q", c.CommandPath(), args[0]))
	}
	return nil
}

// sourceFlags adds the flags of the verbs that read a release file.
func (a *app) sourceFlags(c *cobra.Command) *cobra.Command {
	c.Args = noArgs
	c.Flags().StringVar(&a.config, "config", "release.toml", "the release `FILE`")
	c.Flags().StringVar(&a.out, "out", "dist", "the `DIR` to write")
	c.Flags().StringVar(&a.module, "module", "", "build `PATH@VERSION` of the module proxy instead of a commit")
	c.Flags().StringArrayVar(&a.targets, "target", nil, "only targets that match `GLOB`, such as 'linux/*' (may be repeated)")
	c.Flags().DurationVar(&a.timeout, "timeout", pass.Time, "the time for each hook, and for each build of a target (0: no bound)")
	c.Flags().StringVar(&a.cache, "cache", "", "the `DIR` for toolchains and workspaces (default: twice in the user's cache folder)")
	return c
}

// host is the machine and the environment, as they are.
func (a *app) host() (host.Host, error) {
	env := environment(a.env)
	if err := checkHome(env); err != nil {
		return host.Host{}, err
	}
	h := host.Host{
		OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Memory: memory(), Now: a.now,
		Env: a.env, HostEnv: hostEnv(env), Path: absolute(filepath.SplitList(env["PATH"])),
	}
	h.Go, _ = find("go", h.Path) // their absence is explained by who needs them
	h.Git, _ = find("git", h.Path)
	var err error
	h.Cache, h.CacheMax, err = a.cacheSettings()
	return h, err
}

// pipelineConfig turns flags and the environment into what the pipeline takes.
func (a *app) pipelineConfig() (pipeline.Config, error) {
	h, err := a.host()
	if err != nil {
		return pipeline.Config{}, err
	}
	cfg := pipeline.Config{
		Request: pipeline.Request{Module: a.module, Targets: a.targets, Timeout: a.timeout},
		Host:    h,
		Remote:  a.remote(),
		Tool:    toolVersion(), Progress: a.progress, HookLog: io.Discard,
	}
	if cfg.BaseSignatures, err = a.baseSignatures(); err != nil {
		return cfg, err
	}
	if a.verbose {
		cfg.HookLog = a.stderr
	}
	if a.timeout < 0 {
		return cfg, fault.Usage(fmt.Errorf("--timeout %s: want a time", a.timeout))
	}
	if cfg.ConfigFile, err = filepath.Abs(filepath.Join(a.dir, a.config)); filepath.IsAbs(a.config) {
		cfg.ConfigFile = filepath.Clean(a.config)
	} else if err != nil {
		return cfg, err
	}
	if cfg.Out, err = filepath.Abs(filepath.Join(a.dir, a.out)); filepath.IsAbs(a.out) {
		cfg.Out = filepath.Clean(a.out)
	} else if err != nil {
		return cfg, err
	}
	if s := environment(a.env)["SOURCE_DATE_EPOCH"]; s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 {
			return cfg, fault.Usage(fmt.Errorf("SOURCE_DATE_EPOCH=%s: want seconds since 1970", s))
		}
		t := time.Unix(n, 0).UTC()
		cfg.Epoch = &t
	}
	return cfg, nil
}

// cacheDir is the folder that outlives runs.
func (a *app) cacheDir() (string, error) {
	if a.cache != "" {
		return filepath.Abs(a.cache)
	}
	dir, err := userDir(os.UserCacheDir())
	if err != nil {
		return "", fault.WithRemedy(fault.Usage(fmt.Errorf("no folder for the cache: %w", err)), "name one with --cache")
	}
	return filepath.Join(dir, "twice"), nil
}

// checkHome refuses a HOME that is another folder for every process, before the go
// command does so in its own words.
func checkHome(env map[string]string) error {
	if home := env["HOME"]; home != "" && !filepath.IsAbs(home) {
		return fault.WithRemedy(fault.Usage(fmt.Errorf("HOME=%s is a relative path", home)), "set it to the absolute path of your home folder")
	}
	return nil
}

// userDir refuses a folder that would be another one wherever twice is started,
// as it is where HOME is a relative path.
func userDir(dir string, err error) (string, error) {
	if err == nil && !filepath.IsAbs(dir) {
		err = fmt.Errorf("%s, which follows from the environment, is a relative path", dir)
	}
	return dir, err
}

func environment(list []string) map[string]string {
	env := map[string]string{}
	for _, kv := range list {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	return env
}

// absolute keeps the absolute folders of a PATH: a relative one would mean
// another place in every process.
func absolute(dirs []string) []string {
	var kept []string
	for _, d := range dirs {
		if filepath.IsAbs(d) {
			kept = append(kept, filepath.Clean(d))
		}
	}
	return kept
}

// hostEnv is what every process of Windows needs and no other system's does.
func hostEnv(env map[string]string) []string {
	if runtime.GOOS != "windows" {
		return nil
	}
	var list []string
	for _, name := range []string{"SystemRoot", "SystemDrive", "ComSpec", "PATHEXT", "WINDIR", "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE"} {
		if v := env[name]; v != "" {
			list = append(list, name+"="+v)
		}
	}
	return list
}

func find(name string, dirs []string) (string, error) {
	for _, dir := range dirs {
		if file, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return file, nil
		}
	}
	return "", exec.ErrNotFound
}

// toolVersion is what this twice calls itself.
func toolVersion() record.Tool {
	t := record.Tool{Version: version, Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok && t.Version == "" {
		t.Version = strings.TrimPrefix(info.Main.Version, "v")
	}
	if t.Version == "" || t.Version == "(devel)" {
		t.Version = "devel"
	}
	return t
}
