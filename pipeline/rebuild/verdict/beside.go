package verdict

import (
	"fmt"
	"strings"

	"github.com/twicebuild/twice/pipeline/artifact"
	"github.com/twicebuild/twice/pipeline/compare"
	"github.com/twicebuild/twice/pipeline/inspect"
)

// Contents says what is in a subject, in numbers of files.
type Contents struct {
	Name string `json:"name"`
	// Go are the native executables in which something of Go was found, Others those
	// without, and Unreadable the files that begin as one or may be one, and cannot be
	// examined.
	Go         int `json:"go"`
	Others     int `json:"others"`
	Unreadable int `json:"unreadable"`
	// NotAsked are those of the above that the user did not ask about.
	NotAsked int `json:"notAsked"`
	// Scripts begin with "#!", or have npm run something when a package is installed.
	// Archives are those that were not opened, as they are in an archive or a folder.
	// Unknown are of no other kind, and may be executed by their mode or by how they
	// begin. Links lead to what is not in the subject. None of these was looked at.
	Scripts  int `json:"scripts"`
	Archives int `json:"archives"`
	Unknown  int `json:"unknown"`
	Links    int `json:"links"`
}

// notLookedAt says of what in the subject there is no result, or nothing.
func (c Contents) notLookedAt() string {
	var list []string
	add := func(what string, n int) {
		if n > 0 {
			list = append(list, fmt.Sprintf("%s (%d)", what, n))
		}
	}
	add("executables that were not asked for", c.NotAsked)
	add("scripts", c.Scripts)
	add("archives in it", c.Archives)
	add("executables of no kind that is known", c.Unknown)
	add("links out of it", c.Links)
	if len(list) == 0 {
		return ""
	}
	return "not looked at: " + strings.Join(list, ", ")
}

// NotJudged is the result on a file that the user's interrupt came before.
func NotJudged(name string, d artifact.Digest) *Result {
	r := Because(Interrupted, "the run was interrupted before there was a verdict").WithRemedy("run the same command again")
	return notBuilt(Result{Name: name, Digest: d}, r)
}

// NoGo is the result on an executable in which nothing of Go was found: whoever gets
// it may run it, and nothing is said about it.
func NoGo(name string, d artifact.Digest, size int64) *Result {
	return notBuilt(Result{Name: name, Digest: d, Size: size}, Because(NotGo, "nothing of Go was found in it, so there is nothing to build it from"))
}

// Unexamined is the result on a file that may be an executable and cannot be
// examined.
func Unexamined(name, why string) *Result {
	return notBuilt(Result{Name: name}, Because(Unreadable, "%s", Quote(why)))
}

// Unfetched is the result on a subject that could not be had, for a cause that may pass.
func Unfetched(name, why string) *Result {
	return notBuilt(Result{Name: name}, Because(Unavailable, "%s", Quote(why)))
}

// Beside is the result on many files that would have one of the others each: those
// without Go, and those that cannot be examined.
func Beside(subject string, files []string, noGo, unreadable int) *Result {
	why := fmt.Sprintf("native executables without Go: %d", noGo)
	if unreadable > 0 {
		why += fmt.Sprintf("; files that cannot be examined: %d", unreadable)
	}
	return notBuilt(Result{Name: subject, Files: files}, Because(NotGo, "%s (-v names them)", why))
}

// TooMany is the result on files of a subject that has more than are judged.
func TooMany(subject string, files []string, limit int) *Result {
	return notBuilt(Result{Name: subject, Files: files}, Because(Limits, "%d files are left out: more than %d of a subject are not judged", len(files), limit))
}

// NothingAsked is the result on a subject in which nothing is what the user asked
// about.
func NothingAsked(subject string) *Result {
	return notBuilt(Result{Name: subject}, Because(NotAsked, "nothing in it is what --only or --go ask for"))
}

func notBuilt(r Result, why *Reason) *Result {
	r.Verdict, r.Reason, r.Content = compare.Undetermined, why, inspect.ContentUnknown
	return &r
}
