package survey

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/safetext"
)

// SchemaName is the value of Document.Schema.
const SchemaName = "twice.survey/v1"

// Document says what a survey found.
type Document struct {
	Schema string `json:"schema"`
	// Tools are the versions of this program that judged, and From and To are when the first and
	// the last file was judged.
	Tools    []string  `json:"tools"`
	From, To time.Time `json:"-"`
	// Subjects is how many references the list has, and NotJudged are those without a result.
	Subjects  int      `json:"subjects"`
	NotJudged []string `json:"notJudged"`

	// Programs counts the Go programs, equal files once.
	Programs Count `json:"programs"`
	// Possible are those of them that are known to no reason why nobody but their makers could
	// build them: the source is public, and no C compiler of the makers took part.
	Possible Count `json:"possible"`
	// Others is how many rows are about no Go program: what could not be read, or has none in it.
	Others int `json:"others"`

	// Reasons are why Go programs were not reproduced, the most frequent first.
	Reasons []Reason `json:"reasons"`
	// Projects, Releases and Platforms count the Go programs by main module, release of Go and
	// target.
	Projects  []Group `json:"projects"`
	Releases  []Group `json:"releases"`
	Platforms []Group `json:"platforms"`

	// Rows are the files, in the order of the list.
	Rows []Row `json:"rows"`

	seen map[artifact.Digest]bool
}

// Count is a number of files by verdict.
type Count struct {
	Files        int `json:"files"`
	Reproduced   int `json:"reproduced"`
	Equivalent   int `json:"equivalent"`
	Differs      int `json:"differs"`
	Undetermined int `json:"undetermined"`
}

func (c *Count) add(v compare.Verdict) {
	c.Files++
	switch v {
	case compare.Reproduced:
		c.Reproduced++
	case compare.Equivalent:
		c.Equivalent++
	case compare.Differs:
		c.Differs++
	default:
		c.Undetermined++
	}
}

// Passed is how many files are what their source compiles to, but for named normalizations.
func (c Count) Passed() int { return c.Reproduced + c.Equivalent }

// Percent is Passed in percent of Files, or 0 if there are none.
func (c Count) Percent() float64 { return percent(c.Passed(), c.Files) }

func percent(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return 100 * float64(n) / float64(of)
}

// Reason is a kind of reasons why files were not reproduced.
type Reason struct {
	Verdict compare.Verdict `json:"verdict"`
	Kind    verdict.Kind    `json:"kind"`
	Files   int             `json:"files"`
	// Example is the text of one of them.
	Example string `json:"example"`
	// Possible reports whether such files count as possible.
	Possible bool `json:"possible"`
	// Share is by how many percent points the share reproduced, of all, would be larger without it.
	Share float64 `json:"share"`
}

// Group is the files that have something in common.
type Group struct {
	Name string `json:"name"`
	Count
	Possible Count `json:"possible"`
}

// Row is what was found about a file of a subject.
type Row struct {
	Subject string          `json:"subject"`
	File    string          `json:"file"`
	Digest  artifact.Digest `json:"digest,omitempty"`
	// Program reports whether it is a Go program. Equal reports whether a row before has the same
	// digest.
	Program bool `json:"program"`
	Equal   bool `json:"equal,omitempty"`
	// Project is the path of the main module, or the subject without its version if that is not
	// known.
	Project   string          `json:"project"`
	Source    string          `json:"source,omitempty"`
	GoVersion string          `json:"goVersion,omitempty"`
	Target    string          `json:"target,omitempty"`
	Verdict   compare.Verdict `json:"verdict"`
	Reason    *verdict.Reason `json:"reason,omitempty"`
	Seconds   float64         `json:"seconds"`
}

// row returns the row of a file.
func (f *fileRecord) row(reference, name string) Row {
	p := f.parsed
	row := Row{Subject: reference, File: name, Digest: p.Digest, Program: p.GoVersion != "", Source: p.Source,
		GoVersion: p.GoVersion, Target: p.Target, Verdict: p.Verdict, Reason: p.Reason, Seconds: p.Seconds}
	if p.Reason != nil {
		row.Program = row.Program || slices.Contains(onlyOfPrograms, p.Reason.Kind)
	}

	row.Project, _, _ = strings.Cut(cmp.Or(p.Source, p.Package), "@")
	if row.Project == "" || row.Project == "command-line-arguments" {
		row.Project = withoutVersion(reference)
	}
	return row
}

// onlyOfPrograms are reasons that only a file has in which something of Go was found.
var onlyOfPrograms = []verdict.Kind{verdict.NoBuildInfo, verdict.NoModule, verdict.Distribution, verdict.Cgo}

// withoutVersion returns a reference to a package or an image without what follows its name.
func withoutVersion(reference string) string {
	if i := strings.LastIndexByte(reference, '@'); i > 0 && !strings.HasSuffix(reference[:i], ":") {
		return reference[:i]
	}
	return reference
}

// Key is the reason's kind, or empty.
func (r Row) Key() string {
	if r.Reason == nil {
		return ""
	}
	return string(r.Reason.Kind)
}

// possible reports whether somebody else than its makers can be expected to build the file.
func (r Row) possible() bool { return r.Reason == nil || !slices.Contains(impossible, r.Reason.Kind) }

// impossible are the reasons for which nobody but its makers can build a file.
var impossible = []verdict.Kind{verdict.NotPublic, verdict.Cgo}

func newDocument(subjects int) *Document {
	return &Document{Schema: SchemaName, Subjects: subjects, Tools: []string{}, NotJudged: []string{}, Reasons: []Reason{},
		Projects: []Group{}, Releases: []Group{}, Platforms: []Group{}, Rows: []Row{}, seen: map[artifact.Digest]bool{}}
}

// add adds a row, and when and by what it was found.
func (d *Document) add(r Row, from *fileRecord) {
	r.Equal = r.Digest != "" && d.seen[r.Digest]
	d.seen[r.Digest] = true
	d.Rows = append(d.Rows, r)

	if !slices.Contains(d.Tools, from.Tool) {
		d.Tools = append(d.Tools, from.Tool)
	}
	if d.From.IsZero() || from.Judged.Before(d.From) {
		d.From = from.Judged
	}
	if from.Judged.After(d.To) {
		d.To = from.Judged
	}
}

// Unsettled is how many subjects have no result, or one that another try may change.
func (d *Document) Unsettled() int {
	subjects := map[string]bool{}
	for _, r := range d.NotJudged {
		subjects[r] = true
	}
	for _, r := range d.Rows {
		if r.transient() {
			subjects[r.Subject] = true
		}
	}
	return len(subjects)
}

// transient reports whether the network or the machine kept the file from a verdict, so that another
// try may give one.
func (r Row) transient() bool {
	return r.Key() == string(verdict.Unavailable) || r.Key() == string(verdict.Interrupted)
}

// sum counts the rows.
func (d *Document) sum() {
	slices.Sort(d.Tools)
	projects, releases, platforms := map[string]*Group{}, map[string]*Group{}, map[string]*Group{}
	reasons := map[string]*Reason{}

	for _, r := range d.Rows {
		if r.Equal {
			continue
		}
		if !r.Program {
			d.Others++
			continue
		}

		d.Programs.add(r.Verdict)
		if r.possible() {
			d.Possible.add(r.Verdict)
		}
		addTo(projects, r.Project, r)
		addTo(releases, cmp.Or(release(r.GoVersion), "unknown"), r)
		addTo(platforms, cmp.Or(r.Target, "unknown"), r)

		if r.Reason != nil {
			key := string(r.Verdict) + " " + r.Key()
			if reasons[key] == nil {
				reasons[key] = &Reason{Verdict: r.Verdict, Kind: r.Reason.Kind, Example: r.Reason.Text, Possible: r.possible()}
			}
			reasons[key].Files++
		}
	}

	d.Projects, d.Releases, d.Platforms = sorted(projects), sorted(releases), sorted(platforms)
	for _, key := range slices.Sorted(maps.Keys(reasons)) {
		r := *reasons[key]
		r.Share = percent(r.Files, d.Programs.Files)
		d.Reasons = append(d.Reasons, r)
	}
	slices.SortStableFunc(d.Reasons, func(a, b Reason) int { return cmp.Compare(b.Files, a.Files) })
}

// releaseRE matches the language version of a release of Go, such as go1.26.
var releaseRE = regexp.MustCompile(`^go1\.\d+`)

// release returns the language version of a release of Go, or the version if it has none.
func release(version string) string { return cmp.Or(releaseRE.FindString(version), version) }

func addTo(groups map[string]*Group, name string, r Row) {
	if groups[name] == nil {
		groups[name] = &Group{Name: name}
	}
	groups[name].add(r.Verdict)
	if r.possible() {
		groups[name].Possible.add(r.Verdict)
	}
}

// sorted returns groups by name.
func sorted(groups map[string]*Group) []Group {
	list := []Group{}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		list = append(list, *groups[name])
	}
	return list
}

// MarshalJSON implements [json.Marshaler].
//
// [json.Marshaler]: https://pkg.go.dev/encoding/json#Marshaler
func (d *Document) MarshalJSON() ([]byte, error) {
	type plain Document
	doc := struct {
		*plain
		From string `json:"from,omitempty"`
		To   string `json:"to,omitempty"`
	}{plain: (*plain)(d)}
	if !d.From.IsZero() {
		doc.From, doc.To = d.From.Format(time.RFC3339), d.To.Format(time.RFC3339)
	}
	return safetext.JSON(doc)
}

// day is a time to the day, in UTC.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
