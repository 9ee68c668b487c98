package survey

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
)

// world answers for subjects: "subject/file=answer,file=answer" by the text of its references.
type world struct {
	mu sync.Mutex
	// answers are the kinds of the results by file, the next one first. "" is reproduced.
	answers map[string][]string
	judged  []string
	opened  []string
	closed  int
	// stop is called when a file of that name is judged.
	stopAt string
	stop   func()
}

// fake is a subject whose reference lists its files: "npm:a@1.0.0+x+y".
type fake struct {
	world *world
	files []File
}

func (w *world) open(ctx context.Context, reference string) (Subject, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opened = append(w.opened, reference)
	f := &fake{world: w}
	for _, name := range strings.Split(reference, "+")[1:] {
		file := File{Name: name, Digest: artifact.Of([]byte(name))}
		if name == "native" {
			file.Known = verdict.NoGo(name, file.Digest, 3)
		}
		if name == "missing" {
			file.Digest = ""
		}
		f.files = append(f.files, file)
	}
	return f, nil
}

func (f *fake) Files() []File { return f.files }

func (f *fake) Close() error {
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	f.world.closed++
	return nil
}

func (f *fake) Judge(ctx context.Context, i int) (*verdict.Result, error) {
	w := f.world
	w.mu.Lock()
	defer w.mu.Unlock()
	file := f.files[i]
	if w.stopAt == file.Name {
		w.stop()
		return nil, context.Cause(ctx)
	}
	w.judged = append(w.judged, file.Name)

	kind := ""
	if list := w.answers[file.Name]; len(list) > 0 {
		kind, w.answers[file.Name] = list[0], list[1:]
	}
	r := &verdict.Result{Name: file.Name, Digest: file.Digest, Verdict: compare.Reproduced, Source: "example.com/" + file.Name + "@v1.0.0", GoVersion: "go1.26.8", Target: "linux/amd64"}
	if file.Digest == "" {
		r.Source, r.GoVersion, r.Target = "", "", ""
	}
	switch kind {
	case "":
	case "bytes differ":
		r.Verdict, r.Reason = compare.Differs, verdict.Because(verdict.BytesDiffer, "they differ")
	default:
		r.Verdict, r.Reason = compare.Undetermined, verdict.Because(verdict.Kind(kind), "because of %s", kind)
	}
	return r, nil
}

// config is that of a run in which no time passes.
func (w *world) config(t *testing.T, store *Store, list ...string) Config {
	return Config{
		Store: store, References: list, Open: w.open, Workers: 3, Tries: 3, Tool: "v0",
		Now:  func() time.Time { return time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC) },
		Wait: func(ctx context.Context, d time.Duration) error { return context.Cause(ctx) },
	}
}

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestRun(t *testing.T) {
	list := []string{"npm:a@1.0.0+x+y", "npm:b@1.0.0+x+native", "npm:c@1.0.0+z+missing", "npm:d@1.0.0+w"}
	store := openStore(t, t.TempDir())
	w := &world{answers: map[string][]string{
		"y": {"cgo"}, "z": {"not available", "not available", ""}, "missing": {"not available", "unreadable", "unreadable"}, "w": {"bytes differ"},
	}}
	if err := Run(t.Context(), w.config(t, store, list...)); err != nil {
		t.Fatal(err)
	}
	slices.Sort(w.judged)
	// Equal files are judged once, and what the network kept from an answer until there is one.
	if got, want := strings.Join(w.judged, " "), "missing missing missing w x y z z z"; got != want {
		t.Errorf("judged %s, want %s", got, want)
	}
	if w.closed != len(w.opened) {
		t.Errorf("%d of %d subjects were closed", w.closed, len(w.opened))
	}

	d, err := store.Report(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(d.Programs, d.Possible, d.Others, d.Unsettled(), len(d.Rows)), "{4 2 0 1 1} {3 2 0 1 0} 2 0 7"; got != want {
		t.Errorf("counts %s, want %s", got, want)
	}

	// What is known is not judged again.
	again := &world{}
	if err := Run(t.Context(), again.config(t, store, list...)); err != nil || len(again.opened) > 0 {
		t.Errorf("%v, opened %q", err, again.opened)
	}

	// With Again all that has no pass is, once.
	cfg := again.config(t, store, list...)
	cfg.Again = true
	if err := Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	slices.Sort(again.judged)
	if got, want := strings.Join(again.judged, " "), "missing w y"; got != want {
		t.Errorf("judged again %s, want %s", got, want)
	}
}

// TestUnavailable has a file that stays unavailable: the run ends, and the next one asks again.
func TestUnavailable(t *testing.T) {
	list := []string{"npm:a@1.0.0+x"}
	store := openStore(t, t.TempDir())
	w := &world{answers: map[string][]string{"x": {"not available", "not available", "not available"}}}
	if err := Run(t.Context(), w.config(t, store, list...)); err != nil || len(w.judged) != 3 {
		t.Fatalf("%v, judged %q", err, w.judged)
	}
	d, err := store.Report(t.Context(), list)
	if err != nil || d.Unsettled() != 1 {
		t.Errorf("%v, unsettled %d", err, d.Unsettled())
	}
	if err := Run(t.Context(), w.config(t, store, list...)); err != nil || len(w.judged) != 4 {
		t.Fatalf("%v, judged %q", err, w.judged)
	}
}

func TestInterrupt(t *testing.T) {
	list := []string{"npm:a@1.0.0+x+y+z", "npm:b@1.0.0+w"}
	dir := t.TempDir()
	store := openStore(t, dir)
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	w := &world{stopAt: "y", stop: func() { cancel(interrupted) }}
	cfg := w.config(t, store, list...)
	cfg.Workers = 1
	if err := Run(ctx, cfg); !errors.Is(err, interrupted) {
		t.Fatalf("error %v", err)
	}
	d, err := store.Report(t.Context(), list)
	if err != nil || len(d.NotJudged) != 2 || d.Unsettled() != 2 {
		t.Errorf("%v, not judged %q", err, d.NotJudged)
	}

	// The next run has x already.
	w = &world{}
	if err := Run(t.Context(), w.config(t, store, list...)); err != nil {
		t.Fatal(err)
	}
	slices.Sort(w.judged)
	if got := strings.Join(w.judged, " "); got != "w y z" {
		t.Errorf("judged %s", got)
	}
}

// TestStore has what else may be in the folder.
func TestStore(t *testing.T) {
	list := []string{"npm:a@1.0.0+x"}
	for name, damage := range map[string]func(subject, file string) error{
		"no JSON":        func(subject, file string) error { return os.WriteFile(file, []byte("{"), 0o600) },
		"unknown member": func(subject, file string) error { return replace(file, `"tool"`, `"tools"`) },
		"other schema":   func(subject, file string) error { return replace(file, "survey-file/v1", "survey-file/v2") },
		"other file": func(subject, file string) error {
			return replace(file, artifact.Of([]byte("x")).Hex(), artifact.Of(nil).Hex())
		},
		"unknown verdict":  func(subject, file string) error { return replace(file, `"reproduced"`, `"perfect"`) },
		"no reason":        func(subject, file string) error { return replace(file, `"reproduced"`, `"differs"`) },
		"two documents":    func(subject, file string) error { return replace(file, "}\n", "}{}\n") },
		"other reference":  func(subject, file string) error { return replace(subject, "npm:a", "npm:b") },
		"path as a digest": func(subject, file string) error { return replace(subject, "sha256:", "sha256:../") },
		"folder": func(subject, file string) error {
			return errors.Join(os.Remove(file), os.Mkdir(file, 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := openStore(t, t.TempDir())
			w := &world{}
			if err := Run(t.Context(), w.config(t, store, list...)); err != nil {
				t.Fatal(err)
			}
			if err := damage(store.subjectName(list[0]), store.fileName(artifact.Of([]byte("x")))); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Report(t.Context(), list); err == nil || !strings.Contains(err.Error(), store.dir) {
				t.Errorf("report: %v", err)
			}
			if err := Run(t.Context(), w.config(t, store, list...)); err == nil {
				t.Error("it ran")
			}
		})
	}

	dir := t.TempDir()
	openStore(t, dir)
	if _, err := OpenStore(dir); err == nil || fault.KindOf(err) != fault.KindUsage {
		t.Errorf("a second run: %v", err)
	}
}

func replace(file, old, by string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !strings.Contains(string(data), old) {
		return fmt.Errorf("no %q in %s", old, data)
	}
	return os.WriteFile(file, []byte(strings.Replace(string(data), old, by, 1)), 0o600)
}

// TestUnwritable has a store that cannot be written: the run ends with that.
func TestUnwritable(t *testing.T) {
	store := openStore(t, t.TempDir())
	if err := os.RemoveAll(filepath.Join(store.dir, "files")); err != nil {
		t.Fatal(err)
	}
	w := &world{}
	if err := Run(t.Context(), w.config(t, store, "npm:a@1.0.0+x", "npm:b@1.0.0+y", "npm:c@1.0.0+z")); err == nil {
		t.Error("it ran")
	}
}

func TestParseList(t *testing.T) {
	list, err := ParseList(strings.NewReader("# remark\n\n npm:a@1.0.0 \r\n\t# another\nhttps://example.com/x#z\nfolder/é\n"))
	if err != nil || strings.Join(list, " ") != "npm:a@1.0.0 https://example.com/x#z folder/é" {
		t.Errorf("%q, %v", list, err)
	}
	for text, want := range map[string]string{
		"":                               "no reference",
		"# only\n":                       "no reference",
		"a\nb c\n":                       "line 2: ",
		"a\nb\na\n":                      "line 3: a is in line 1 already",
		"a\n\x1b[31m\n":                  "line 2: ",
		"https://me:word@example.com/x":  "line 1: the URL has a user or a query",
		"a\nhttps://example.com/?token=": "line 2: the URL has a user or a query",
		"\xff\n":                         "line 1: ",
		"a\n" + strings.Repeat("x", 9e3): "line 2: ",
	} {
		_, err := ParseList(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) || fault.KindOf(err) != fault.KindUsage {
			t.Errorf("%.20q: error %v, want %q", text, err, want)
		}
	}
}

// FuzzParseList holds that a list is what its lines say, each once.
func FuzzParseList(f *testing.F) {
	f.Add("# remark\nnpm:a@1.0.0\nb\n")
	f.Add("a a\n")
	f.Add("a\r\n\u2028b\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseList(strings.NewReader(text))
		if err != nil {
			return
		}
		back, err := ParseList(strings.NewReader(strings.Join(list, "\n")))
		if err != nil || !slices.Equal(back, list) {
			t.Errorf("%q became %q, %v", list, back, err)
		}
	})
}

// FuzzRecord holds that what is read from a store can be reported, whatever it says.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"schema":"twice.survey-file/v1","tool":"v0","judged":"2026-12-01T10:00:00Z","result":{"verdict":"reproduced","source":"a@b","goVersion":"go1.26"}}`))
	f.Add([]byte(`{"schema":"twice.survey-file/v1","tool":"\u001b[31m","judged":"2026-12-01T10:00:00Z","result":{"verdict":"undetermined","reason":{"kind":"<script>","text":"\u202e\n"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		name := filepath.Join(t.TempDir(), "record.json")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := readRecord[fileRecord](name)
		if err != nil || r.parse() != nil {
			return
		}
		d := newDocument(1)
		d.add(r.row("npm:a@1.0.0", "file"), r)
		d.sum()
		var text, page strings.Builder
		if err := errors.Join(d.Fprint(&text, true), d.HTML(&page)); err != nil {
			t.Fatal(err)
		}
		for _, out := range []string{text.String(), page.String()} {
			if strings.ContainsFunc(out, func(c rune) bool { return c != '\n' && (c < ' ' || c > '~') }) {
				t.Errorf("%q", out)
			}
		}
		if strings.Contains(page.String(), "<script") {
			t.Error(page.String())
		}
	})
}
