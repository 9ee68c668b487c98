package survey

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/fsx"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
)

// Store is a folder that keeps what a survey found:
//
//	subjects/HEX.json    what a reference named when it was opened; HEX is its SHA-256
//	files/HEX.json       the result on the file with the SHA-256 HEX
//	lock                 is held as long as the store is open
//
// Both kinds of files are written in one step. A file that is of another form is an error that names
// it: removing it has its subject judged again.
type Store struct {
	dir  string
	lock *flock.Flock
}

// The schemas of the store's files.
const (
	subjectSchema = "twice.survey-subject/v1"
	fileSchema    = "twice.survey-file/v1"
)

// maxRecord bounds a file of the store, in bytes.
const maxRecord = 64 << 20

// OpenStore opens the store in dir, which it makes if it is not there. If another process has it, the
// error says so. The caller must Close the Store.
func OpenStore(dir string) (*Store, error) {
	for _, sub := range []string{"subjects", "files"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o777); err != nil {
			return nil, err
		}
	}

	lock := fsx.NewLock(filepath.Join(dir, "lock"))
	free, err := lock.TryLock()
	if err == nil && !free {
		err = fault.WithRemedy(fault.Usage(errors.New("another run has it")), "wait for that run, or name another folder with --store")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return &Store{dir, lock}, nil
}

// Close lets others have the store.
func (s *Store) Close() error { return s.lock.Unlock() }

// subjectRecord is what a reference named when it was opened.
type subjectRecord struct {
	Schema    string          `json:"schema"`
	Reference string          `json:"reference"`
	Files     []subjectMember `json:"files"`
}

// subjectMember is a file of a subject. The result on one with a digest is in a file of its own.
type subjectMember struct {
	Name   string          `json:"name"`
	Digest artifact.Digest `json:"digest,omitempty"`
	Result *fileRecord     `json:"result,omitempty"`
}

func newSubjectRecord(reference string) *subjectRecord {
	return &subjectRecord{Schema: subjectSchema, Reference: reference, Files: []subjectMember{}}
}

// add adds a file with its result.
func (s *subjectRecord) add(f File, result *fileRecord) {
	m := subjectMember{Name: f.Name, Digest: f.Digest}
	if f.Digest == "" || f.Known != nil {
		m.Digest, m.Result = "", result
	}
	s.Files = append(s.Files, m)
}

// fileRecord is the result on a file, with when and by what it was found.
type fileRecord struct {
	Schema string    `json:"schema"`
	Tool   string    `json:"tool"`
	Judged time.Time `json:"judged"`
	// Result is the line of JSON that twice rebuild prints of the file.
	Result json.RawMessage `json:"result"`

	parsed found
}

// found is what a survey uses of a result.
type found struct {
	Digest    artifact.Digest `json:"digest"`
	Verdict   compare.Verdict `json:"verdict"`
	Reason    *verdict.Reason `json:"reason"`
	Source    string          `json:"source"`
	Package   string          `json:"package"`
	GoVersion string          `json:"goVersion"`
	Target    string          `json:"target"`
	Seconds   float64         `json:"seconds"`
}

func newFileRecord(r *verdict.Result, tool string, now time.Time) (*fileRecord, error) {
	line, err := r.Line()
	if err != nil {
		return nil, err
	}
	f := &fileRecord{Schema: fileSchema, Tool: tool, Judged: now.UTC().Truncate(time.Second), Result: line}
	return f, f.parse()
}

// parse reads what a survey uses of the result.
func (f *fileRecord) parse() error {
	if f.Schema != fileSchema {
		return fmt.Errorf("schema %q, want %q", f.Schema, fileSchema)
	}
	if err := json.Unmarshal(f.Result, &f.parsed); err != nil {
		return fmt.Errorf("result: %w", err)
	}
	if !slices.Contains([]compare.Verdict{compare.Reproduced, compare.Equivalent, compare.Differs, compare.Undetermined}, f.parsed.Verdict) {
		return fmt.Errorf("result: verdict %q", f.parsed.Verdict)
	}
	if !passed(f.parsed.Verdict) && f.parsed.Reason == nil {
		return fmt.Errorf("result: verdict %s without a reason", f.parsed.Verdict)
	}
	return nil
}

func (f *fileRecord) passed() bool { return passed(f.parsed.Verdict) }

func (f *fileRecord) transient() bool { return f.row("", "").transient() }

func (s *Store) subjectName(reference string) string {
	sum := sha256.Sum256([]byte(reference))
	return filepath.Join(s.dir, "subjects", hex.EncodeToString(sum[:])+".json")
}

func (s *Store) fileName(d artifact.Digest) string {
	return filepath.Join(s.dir, "files", d.Hex()+".json")
}

// subject returns what is known of a reference, or nil.
func (s *Store) subject(reference string) (*subjectRecord, error) {
	name := s.subjectName(reference)
	r, err := readRecord[subjectRecord](name)
	if r == nil || err != nil {
		return nil, err
	}
	if r.Schema != subjectSchema || r.Reference != reference {
		return nil, damaged(name, fmt.Errorf("schema %q and reference %q, want %q and %q", r.Schema, r.Reference, subjectSchema, reference))
	}

	for _, f := range r.Files {
		var err error
		if f.Result != nil {
			err = f.Result.parse()
		} else {
			_, err = artifact.ParseDigest(string(f.Digest))
		}
		if err != nil {
			return nil, damaged(name, err)
		}
	}
	return r, nil
}

func (s *Store) putSubject(r *subjectRecord) error { return writeRecord(s.subjectName(r.Reference), r) }

// file returns what is known of a file, or nil.
func (s *Store) file(d artifact.Digest) (*fileRecord, error) {
	name := s.fileName(d)
	r, err := readRecord[fileRecord](name)
	if r == nil || err != nil {
		return nil, err
	}
	if err = r.parse(); err == nil && r.parsed.Digest != d {
		err = fmt.Errorf("it is about %s", r.parsed.Digest)
	}
	if err != nil {
		return nil, damaged(name, err)
	}
	return r, nil
}

func (s *Store) putFile(d artifact.Digest, r *fileRecord) error {
	return writeRecord(s.fileName(d), r)
}

// readRecord reads a file of the store. It returns nil if there is none.
func readRecord[T any](name string) (*T, error) {
	data, err := fsx.ReadNamed(name, maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}

	r := new(T)
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err = d.Decode(r)
	if err == nil && d.More() {
		err = errors.New("more than one document")
	}
	if err != nil {
		return nil, damaged(name, err)
	}
	return r, nil
}

// damaged is the error about a file of the store that this program did not write so.
func damaged(name string, err error) error {
	return fault.WithRemedy(fault.Usage(fmt.Errorf("%s: %w", name, err)), "remove the file, and its subject is judged again")
}

func writeRecord(name string, r any) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return fsx.Replace(name, 0o666, func(w io.Writer) error {
		_, err := w.Write(append(data, '\n'))
		return err
	})
}

// Report makes the document on a list from what the store has.
func (s *Store) Report(ctx context.Context, references []string) (*Document, error) {
	d := newDocument(len(references))
	for _, reference := range references {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		record, err := s.subject(reference)
		if err != nil {
			return nil, err
		}
		if record == nil {
			d.NotJudged = append(d.NotJudged, reference)
			continue
		}

		for _, f := range record.Files {
			result := f.Result
			if result == nil {
				if result, err = s.file(f.Digest); err != nil {
					return nil, err
				}
			}
			if result == nil { // its record was removed
				d.NotJudged = append(d.NotJudged, reference)
				break
			}
			d.add(result.row(reference, f.Name), result)
		}
	}
	d.sum()
	return d, nil
}
