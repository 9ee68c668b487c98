// Package verdict holds what a rebuild found out about files, in values that
// print themselves and have a form in JSON.
package verdict

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/explain"
	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/recipe"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// SchemaName is the value of Document.Schema.
const SchemaName = "twice.rebuild/v1"

// Document is what was found about some files. Its JSON has only ASCII characters, with the others
// escaped, so that a terminal can show it. A schema version may gain members. They are never
// removed or given another meaning.
type Document struct {
	Schema string `json:"schema"`
	// Verdict is that on all files: the worst of theirs.
	Verdict compare.Verdict `json:"verdict"`
	Files   []Result        `json:"files"`
	// Subjects say what is in the subjects that files were found in.
	Subjects []Contents `json:"subjects,omitempty"`
	// Verbose has Fprint name all files of a result that is about several.
	Verbose bool `json:"-"`
	// Notes are what a reader should know of subjects as wholes.
	Notes []string `json:"notes,omitempty"`
}

// NewDocument returns the document of some results.
func NewDocument(results ...*Result) Document {
	d := Document{Schema: SchemaName, Verdict: compare.Undetermined, Files: []Result{}}
	worst := -1
	for _, r := range results {
		d.Files = append(d.Files, *r)
		if n := slices.Index(fromBest, r.Verdict); n > worst {
			worst, d.Verdict = n, r.Verdict
		}
	}
	return d
}

// fromBest lists the verdicts, the best first. A document has the worst verdict of its files.
var fromBest = []compare.Verdict{compare.Reproduced, compare.Equivalent, compare.Undetermined, compare.Differs}

// MarshalJSON implements [json.Marshaler].
func (d Document) MarshalJSON() ([]byte, error) {
	type plain Document
	return safetext.JSON(plain(d))
}

// Line returns the result as a line of JSON Lines (https://jsonlines.org), without the end of the
// line. It has only ASCII characters.
func (r Result) Line() ([]byte, error) { return safetext.JSON(r) }

// End returns the last line of JSON Lines: the document with the number of its files in the place of
// the files, which have a line each.
func (d Document) End() ([]byte, error) {
	return safetext.JSON(struct {
		Schema   string          `json:"schema"`
		Verdict  compare.Verdict `json:"verdict"`
		Judged   int             `json:"judged"`
		Subjects []Contents      `json:"subjects,omitempty"`
		Notes    []string        `json:"notes,omitempty"`
	}{d.Schema, d.Verdict, len(d.Files), d.Subjects, d.Notes})
}

// Result is what was found about a file.
type Result struct {
	Name string `json:"name"`
	// Files are what the result is about if that is more than one file. The result then has no
	// digest.
	Files  []string        `json:"files,omitempty"`
	Digest artifact.Digest `json:"digest"`
	Size   int64           `json:"size"`
	// Verdict is Reproduced, Equivalent, Differs, or Undetermined.
	Verdict compare.Verdict `json:"verdict"`
	// Reason is why the verdict is not a pass, nil if it is one.
	Reason *Reason `json:"reason,omitempty"`
	// Normalizations are what had to be left out for an Equivalent, LeftOut the parts
	// of the file that are that (none of a zip), and Uncovered the number of its
	// bytes that nothing is said about therefore.
	Normalizations []inspect.Normalization `json:"normalizations,omitempty"`
	LeftOut        []inspect.Range         `json:"leftOut,omitempty"`
	Uncovered      int64                   `json:"uncovered,omitempty"`

	// Source is "path@version" of the module and GoVersion the toolchain, after
	// what the file says; Package is the main package.
	Source    string `json:"source,omitempty"`
	Package   string `json:"package,omitempty"`
	GoVersion string `json:"goVersion,omitempty"`
	Target    string `json:"target,omitempty"`
	// Content reports whether the file is as it was linked, after its own build ID.
	Content inspect.Content `json:"content"`

	// RestsOn lists what was verified without the file, Recovered what was found
	// out by trial, and Claimed what somebody chose or said and nothing vouches for:
	// every setting that the source does not force, those of -X at the end.
	RestsOn   []Ground `json:"restsOn,omitempty"`
	Recovered []Ground `json:"recovered,omitempty"`
	Claimed   []Claim  `json:"claimed,omitempty"`

	// Recipe is how it was rebuilt, with the digest that names it, and Command the
	// same as a line for a shell.
	Recipe       *recipe.Recipe  `json:"recipe,omitempty"`
	RecipeDigest artifact.Digest `json:"recipeDigest,omitempty"`
	Command      string          `json:"command,omitempty"`
	// Rebuilt and RebuiltSize name what that gave.
	Rebuilt     artifact.Digest `json:"rebuilt,omitempty"`
	RebuiltSize int64           `json:"rebuiltSize,omitempty"`
	// Explanation says where the file (A) and what was rebuilt (B) differ.
	Explanation *explain.Summary `json:"explanation,omitempty"`
	// Notes are what else a reader should know.
	Notes []string `json:"notes,omitempty"`
	// Statement is the file with a signed statement of the result, if one was
	// asked for and there is something to state.
	Statement string `json:"statement,omitempty"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
}

// Ground is a thing that a verdict rests on, and why it can or cannot be relied
// upon.
type Ground struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// Claim is what somebody chose or said, and why that is known or can be believed.
type Claim struct {
	What string `json:"what"`
	Why  string `json:"why"`
	// Setting is the name of the setting that What is about, as [recipe.Choice] has
	// it, or of one that no recipe has: "vcs.revision", "vcs.time", "vcs.modified",
	// "GOROOT", "GOMODCACHE" or "source-folder". It is empty for anything else. Value
	// is its value.
	Setting string `json:"setting,omitempty"`
	Value   string `json:"value,omitempty"`
}

// ClaimOf is what c stands for in a result.
func ClaimOf(c recipe.Choice, why string) Claim {
	if m := c.Meaning(); m != "" {
		why = m + "; " + why
	}
	return Claim{c.String(), why, c.Setting, c.Value}
}

// SetEquivalent says that the only differences are those that some normalizations leave out.
func (r *Result) SetEquivalent(c inspect.Comparison, list ...inspect.Normalization) {
	r.Verdict, r.Normalizations, r.LeftOut, r.Uncovered = compare.Equivalent, list, c.A, c.LeftOut()
}

// AddChoices adds to res the settings that its recipe has and its source does not force. The
// function why gives the reasons.
func (r *Result) AddChoices(why func(recipe.Choice) string) {
	if r.Recipe == nil {
		return
	}
	var first, stamps []Claim
	for _, c := range r.Recipe.Choices() {
		if c.Setting == recipe.StampSetting {
			stamps = append(stamps, ClaimOf(c, why(c)))
		} else {
			first = append(first, ClaimOf(c, why(c)))
		}
	}
	r.Claimed = slices.Concat(first, r.Claimed, stamps)
}

// Reason is why a file was not reproduced.
type Reason struct {
	Kind Kind `json:"kind"`
	// Text is for people.
	Text string `json:"text"`
	// Remedy is what would help, if something would.
	Remedy string `json:"hint,omitempty"`
}

// Kind is the kind of a Reason.
type Kind string

// Reasons why a verdict is Undetermined.
const (
	NotExecutable    Kind = "no executable"
	Universal        Kind = "universal file"       // of which each slice is a binary
	Unreadable       Kind = "unreadable"           // what it says contradicts itself, or no Go writes it
	NoBuildInfo      Kind = "no build information" // as by rules_go
	NoModule         Kind = "no module"
	Distribution     Kind = "part of Go"
	UnknownToolchain Kind = "unknown toolchain"
	// ToolchainUnavailable is about a release of Go that could not be had, or not be proved.
	ToolchainUnavailable Kind = "toolchain not available"
	UnknownPlatform      Kind = "unknown platform"
	Cgo                  Kind = "cgo"
	NotPublic            Kind = "not public"         // the source cannot be had
	Refused              Kind = "refused"            // by the module proxy, which may have it
	NoVersion            Kind = "no version"         // (devel)
	Dirty                Kind = "dirty"              // uncommitted changes
	LocalReplace         Kind = "local module"       // folders of the builder
	Setting              Kind = "setting"            // one that is not honoured, or not known
	Place                Kind = "place"              // paths that cannot be given to a build here
	Flags                Kind = "linker flags"       // they could not be recovered
	OtherDependencies    Kind = "other dependencies" // something else than the source may have chosen them
	Changed              Kind = "changed"            // it was changed after it was linked, and no more is known
	// The bytes are others, and that is no ground to say that the file differs.
	Stripped              Kind = "stripped"                // after it was linked, and it loads what was built
	SourceNotNamed        Kind = "source not named"        // what was built is not what the file names
	ToolchainNotPublished Kind = "toolchain not published" // another one than the published made it
	BuildFailed           Kind = "build failed"            // the recipe does not build
	NoEvidence            Kind = "no evidence"             // the build's own graph is of something else
	Limits                Kind = "limits"                  // of time or space
	Unavailable           Kind = "not available"           // the network, or the machine
	NotConfined           Kind = "not confined"            // this host cannot confine a stranger's build
	NotGo                 Kind = "not a Go program"
	NotAsked              Kind = "nothing asked for" // of all that is in the subject
	Interrupted           Kind = "interrupted"       // before there was a verdict
)

// Reasons why a verdict is Differs.
const (
	BytesDiffer Kind = "bytes differ"
)

// Because makes a Reason.
func Because(kind Kind, format string, args ...any) *Reason {
	return &Reason{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// WithRemedy adds what would help, and returns r.
func (r *Reason) WithRemedy(remedy string) *Reason {
	r.Remedy = remedy
	return r
}

// Error returns the text, so that a reason can be passed up as an error.
func (r *Reason) Error() string { return r.Text }

// Quote quotes a stranger's words where they are not plain ASCII, and cuts them.
func Quote(s string) string { return safetext.Quote(s, 300) }

// Fprint writes the results for people: a paragraph for each, and what FprintEnd writes. It returns
// the writer's error.
func (d Document) Fprint(w io.Writer) error {
	for i, r := range d.Files {
		if err := r.Fprint(w, i == 0, d.Verbose); err != nil {
			return err
		}
	}
	return d.FprintEnd(w)
}

// FprintEnd writes what follows the paragraphs of all results: a table if there are several, and the
// notes.
func (d Document) FprintEnd(w io.Writer) error {
	b := bufio.NewWriter(w)
	if len(d.Files) > 1 {
		d.table(b)
	}

	for _, c := range d.Subjects {
		if s := c.notLookedAt(); s != "" {
			fmt.Fprintf(b, "note: %s: %s\n", Quote(c.Name), s)
		}
	}
	for _, n := range d.Notes {
		fmt.Fprintf(b, "note: %s\n", safetext.QuoteLines(n))
	}

	return b.Flush()
}

// Fprint writes the paragraph of one result, after an empty line unless it is the first. Verbose has
// it name all files of a result that is about several.
func (r Result) Fprint(w io.Writer, first, verbose bool) error {
	b := bufio.NewWriter(w)
	if !first {
		fmt.Fprintln(b)
	}
	r.print(b, verbose)
	return b.Flush()
}

// MaxRows bounds the lines of each kind in a paragraph.
const MaxRows = 12

func (r Result) print(w io.Writer, verbose bool) {
	row := func(label, format string, args ...any) {
		fmt.Fprintf(w, "  %-13s%s\n", label, fmt.Sprintf(format, args...))
	}

	fmt.Fprintln(w, Quote(r.Name))

	// The first line carries what can be had of the file's identity.
	verdict := string(r.Verdict)
	what := r.Digest.Short()
	if r.Source != "" {
		what += "  " + Quote(r.Source)
	}
	if r.GoVersion != "" {
		what += " with " + Quote(r.GoVersion)
	}
	if r.Target != "" {
		what += " for " + r.Target
	}
	if r.Digest != "" { // which what could not be read has not
		what = "sha256:" + what
	}
	row(verdict, "%s", what)

	if r.Reason != nil {
		row("because", "%s", r.Reason.Text)
		if r.Reason.Remedy != "" {
			row("hint", "%s", r.Reason.Remedy)
		}
	}

	// A row without a label continues the one above it.
	if verbose {
		for i, name := range r.Files {
			label := ""
			if i == 0 {
				label = "files"
			}
			row(label, "%s", Quote(name))
		}
	}

	if len(r.Normalizations) > 0 {
		var list []string
		for _, n := range r.Normalizations {
			list = append(list, string(n))
		}
		row("but for", "%s: nothing else differs; of %d bytes nothing is said", strings.Join(list, ", "), r.Uncovered)
		for _, p := range r.LeftOut {
			row("", "%s: %d bytes at %d", p.Name, p.Size, p.Offset)
		}
	}

	switch r.Content {
	case inspect.ContentChanged:
		row("content", "changed after it was linked, as its build ID tells")
	case inspect.ContentSigned:
		row("content", "as it was linked, and signed since (the signature was not verified)")
	}

	grounds := func(label string, list []Ground) {
		for i, g := range list {
			if i == MaxRows {
				row("", "and %d more", len(list)-i)
				break
			}
			line := Quote(g.What)
			if g.Why != "" {
				line += " (" + Quote(g.Why) + ")"
			}
			row(label, "%s", line)
			label = ""
		}
	}

	grounds("rests on", r.RestsOn)
	grounds("recovered", r.Recovered)
	// A publisher may write many stamps. They leave room for the other settings.
	label, stamps := "as claimed", 0
	for _, c := range r.Claimed {
		if c.Setting == recipe.StampSetting {
			if stamps++; stamps > MaxRows {
				continue
			}
		}
		row(label, "%s (%s)", Quote(c.What), Quote(c.Why))
		label = ""
	}
	if stamps > MaxRows {
		row("", "and %d more of -X", stamps-MaxRows)
	}

	if r.Command != "" {
		row("by hand", "%s", strings.ReplaceAll(safetext.QuoteLines(r.Command), "\n", "\n"+strings.Repeat(" ", 15)))
	}
	for _, n := range r.Notes {
		row("note", "%s", Quote(n))
	}
	if r.Statement != "" {
		row("statement", "%s", Quote(r.Statement))
	}

	if r.Explanation != nil {
		fmt.Fprintf(w, "  A is the file, B what was built from the source:\n    %s\n", strings.ReplaceAll(r.Explanation.String(), "\n", "\n    "))
	}
}

func (d Document) table(w io.Writer) {
	fmt.Fprintln(w)

	counts := map[compare.Verdict]int{}
	for _, r := range d.Files {
		counts[r.Verdict]++
		why := cmp.Or(r.Source, r.Package)
		if r.Reason != nil {
			why = string(r.Reason.Kind)
		}
		fmt.Fprintf(w, "%-13s %s  %s  %s\n", r.Verdict, r.Digest.Short(), Quote(r.Name), Quote(why))
	}

	var sum []string
	for _, v := range fromBest {
		if counts[v] > 0 {
			sum = append(sum, fmt.Sprintf("%d %s", counts[v], v))
		}
	}

	fmt.Fprintf(w, "%d files: %s\n", len(d.Files), strings.Join(sum, ", "))
}
