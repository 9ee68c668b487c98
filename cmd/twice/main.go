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
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/pass"
	"github.com/twicebuild/twice/pipeline/progress"
	"github.com/twicebuild/twice/pipeline/record"
	"github.com/twicebuild/twice/pipeline/safetext"
)

func main() {
	pass.Main() // in a confined child this runs the command, and does not return
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

// run is main without the process. The clock, the environment and the terminal come in here.
func run() int {
	ctx, cancel := context.WithCancelCause(context.Background())
	handleSignals(func() { cancel(errInterrupted) })

	// Whoever read the narration may have gone away. Then writing is an error, and the run goes on.
	// The processes that are started have the default again.
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
	return app.report(err)
}

// handleSignals calls interrupt at the first signal that asks the process to end. The process then
// cleans up. The next signal ends it at once, whatever it waits for. A terminal that goes away is
// such a signal, unless nohup has said that it is to be ignored.
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

// output is stdout. Its first error is kept, since a document that could not be written is no
// success.
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
	// ask reads a line from the terminal without showing it. It is nil if there is no terminal.
	ask      func(ctx context.Context, prompt string) ([]byte, error)
	progress *progress.Printer

	dir, config, out, cache, module string
	timeout                         time.Duration
	targets                         []string
	json, plain, verbose            bool
	printed                         bool         // stdout has its document
	text                            bytes.Buffer // help or a script that --json keeps for printText
}

// statusOf returns the exit status for a kind of error. Only an interrupt has a status of its own:
// see report.
func statusOf(kind fault.Kind) int {
	switch kind {
	case fault.KindRefused:
		return exitDiffers
	case fault.KindUsage:
		return exitUsage
	}
	return exitFailure
}

// report prints what went wrong and returns the exit status.
func (a *app) report(err error) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled) {
		fmt.Fprintln(a.stderr, "twice: interrupted")
		a.printFailure(errInterrupted, exitInterrupted)
		return exitInterrupted
	}

	status := statusOf(fault.KindOf(err))
	fmt.Fprintln(a.stderr, "twice: "+safetext.CleanLines(err.Error()))
	if remedy := fault.RemedyOf(err); remedy != "" {
		fmt.Fprintln(a.stderr, "  hint: "+safetext.CleanLines(remedy))
	}

	a.printFailure(err, status)
	return status
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

	root.AddCommand(a.initCmd(), a.checkCmd(), a.planCmd(), a.buildCmd(), a.releaseCmd(), a.publishCmd(), a.verifyCmd(), a.rebuildCmd(), a.surveyCmd(), a.inspectCmd(), a.explainCmd(), a.keygenCmd(), a.lockCmd(), a.cacheCmd(), a.schemaCmd(), a.versionCmd())
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

// unknownCommand refuses a word that is no verb.
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

// toolVersion returns the version of this twice, and of the Go that compiled it.
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
