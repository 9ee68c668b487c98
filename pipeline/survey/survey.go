// Package survey judges a list of subjects and says how many of their Go programs can be built anew
// from public source, and why the others cannot.
//
// A list has a reference a line. What a reference names and what was found about each file is kept in
// a [Store], so that a run that was interrupted goes on where it stopped, and equal files are judged
// once. A subject that fails never stops the others. What the network caused is tried again.
package survey

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
)

// File is a file of a subject.
type File struct {
	// Name is what people call it.
	Name string
	// Digest is empty if the file could not be read.
	Digest artifact.Digest
	// Known is the result, if it is known without a build.
	Known *verdict.Result
}

// Subject is what a reference names, as long as it is open.
type Subject interface {
	// Files are the files to judge.
	Files() []File
	// Judge judges the file i of Files. An error is the context's.
	Judge(ctx context.Context, i int) (*verdict.Result, error)
	Close() error
}

// Config is what [Run] needs.
type Config struct {
	// Store keeps what was found.
	Store *Store
	// References are the list's.
	References []string
	// Open opens what a reference names. Several may be open at once. A subject that cannot be
	// opened has one file, whose result says why. An error is the context's or the machine's, and
	// ends the run.
	Open func(ctx context.Context, reference string) (Subject, error)
	// Workers is how many subjects are judged at once.
	Workers int
	// Tries is how often a file is judged for which the network or the machine was not there.
	Tries int
	// Again has everything judged anew that has no pass.
	Again bool
	// Now is the clock. Wait waits before a new try, or returns the context's error.
	Now  func() time.Time
	Wait func(ctx context.Context, d time.Duration) error
	// Tool is the version of this program.
	Tool string
	// Judged is called with each new row, not concurrently. It may be nil.
	Judged func(Row)
}

// firstWait is the time before what failed is tried again. It doubles with each try.
const firstWait = 20 * time.Second

// Run judges what the store does not have yet. The error is the context's, the store's or Open's.
func Run(ctx context.Context, cfg Config) error {
	r := &run{Config: cfg, busy: map[artifact.Digest]chan struct{}{}, fresh: map[artifact.Digest]bool{}}

	list := cfg.References
	for try := range max(1, cfg.Tries) {
		if try > 0 {
			if err := cfg.Wait(ctx, firstWait<<(try-1)); err != nil {
				return err
			}
		}
		var err error
		if list, err = r.round(ctx, list, try == 0); err != nil || len(list) == 0 {
			return err
		}
	}
	return nil
}

// run is the state of [Run].
type run struct {
	Config
	mu sync.Mutex
	// busy are the files that are judged just now, and fresh those that were judged in this run.
	busy  map[artifact.Digest]chan struct{}
	fresh map[artifact.Digest]bool
}

// round judges subjects and returns those of which something should be tried again.
func (r *run) round(ctx context.Context, list []string, first bool) (again []string, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	next := make(chan string)
	var workers sync.WaitGroup
	for range max(1, min(r.Workers, len(list))) {
		workers.Go(func() {
			for reference := range next {
				if ctx.Err() != nil {
					continue
				}
				unsettled, err := r.subject(ctx, reference, first)
				if err != nil {
					stop(err)
				}
				if unsettled {
					r.mu.Lock()
					again = append(again, reference)
					r.mu.Unlock()
				}
			}
		})
	}

	for _, reference := range list {
		if ctx.Err() != nil {
			break
		}
		next <- reference
	}
	close(next)
	workers.Wait()
	return again, context.Cause(ctx)
}

// subject judges what a reference names, and reports whether something of it should be tried again.
func (r *run) subject(ctx context.Context, reference string, first bool) (unsettled bool, err error) {
	record, err := r.Store.subject(reference)
	if err != nil {
		return false, err
	}
	if record != nil {
		done, err := r.settled(record, first)
		if done || err != nil {
			return false, err
		}
	}

	s, err := r.Open(ctx, reference)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()

	record = newSubjectRecord(reference)
	for i, f := range s.Files() {
		result, judged, err := r.file(ctx, s, i, first)
		if err != nil {
			return unsettled, fmt.Errorf("%s: %w", reference, err)
		}
		record.add(f, result)
		unsettled = unsettled || result.transient()
		if judged && r.Judged != nil {
			r.mu.Lock()
			r.Judged(result.row(reference, f.Name))
			r.mu.Unlock()
		}
	}
	return unsettled, r.Store.putSubject(record)
}

// settled reports whether the store has a result on every file of a subject that stays.
func (r *run) settled(s *subjectRecord, first bool) (bool, error) {
	for _, f := range s.Files {
		result := f.Result
		if f.Digest != "" {
			var err error
			if result, err = r.Store.file(f.Digest); err != nil {
				return false, err
			}
		}
		if result == nil || !r.stays(f.Digest, result, first) {
			return false, nil
		}
	}
	return true, nil
}

// stays reports whether a result of the store is not to be replaced in this run.
func (r *run) stays(d artifact.Digest, f *fileRecord, first bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case f.transient():
		return false
	case r.Again && first && !f.passed():
		return r.fresh[d]
	}
	return true
}

// file returns the record of a file, and whether it was judged for it: the store may have it. Of equal
// files, the others wait for the first.
func (r *run) file(ctx context.Context, s Subject, i int, first bool) (_ *fileRecord, judged bool, err error) {
	f := s.Files()[i]
	if f.Digest == "" || f.Known != nil {
		record, err := r.judge(ctx, s, i)
		return record, true, err
	}

	for {
		r.mu.Lock()
		other := r.busy[f.Digest]
		if other == nil {
			r.busy[f.Digest] = make(chan struct{})
		}
		r.mu.Unlock()
		if other == nil {
			break
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
	}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		close(r.busy[f.Digest])
		delete(r.busy, f.Digest)
	}()

	known, err := r.Store.file(f.Digest)
	if err != nil || known != nil && r.stays(f.Digest, known, first) {
		return known, false, err
	}

	record, err := r.judge(ctx, s, i)
	if err == nil {
		err = r.Store.putFile(f.Digest, record)
	}
	if err == nil {
		r.mu.Lock()
		r.fresh[f.Digest] = true
		r.mu.Unlock()
	}
	return record, true, err
}

// judge makes the record of a file.
func (r *run) judge(ctx context.Context, s Subject, i int) (*fileRecord, error) {
	result := s.Files()[i].Known
	if result == nil {
		var err error
		if result, err = s.Judge(ctx, i); err != nil {
			return nil, err
		}
	}
	return newFileRecord(result, r.Tool, r.Now())
}

// passed reports whether a verdict says that the file is what its source compiles to.
func passed(v compare.Verdict) bool { return v == compare.Reproduced || v == compare.Equivalent }
