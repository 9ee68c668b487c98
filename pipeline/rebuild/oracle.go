package rebuild

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// linking is what decides a link and cannot be seen in a binary.
type linking struct {
	// args are the linker's arguments, and raw is how they were written, if that
	// is recorded.
	args []string
	raw  string
	// mode is the value of -buildmode if it was given although it is the default.
	mode string
}

// oracle tells what the link action in the build ID would be for any arguments of the linker,
// without linking.
//
// That part of the build ID is a hash of all that is linked, the arguments among
// it (linkActionID in cmd/go/internal/work/exec.go). With GODEBUG=gocachehash=1
// the go command prints the text that it hashes; another guess is the same text
// with other arguments. So one build answers any number of guesses, each for a
// hash of some kilobytes.
type oracle struct {
	before, between, after []byte
}

var errNoTrace = errors.New("the go command did not print what the link action is made of")

// newOracle reads the trace of a build of package pkg, whose link action turned
// out to be action. It fails if the trace does not account for that.
func newOracle(trace, pkg, action string) (*oracle, error) {
	hashed, err := hashedText(trace, "link "+pkg)
	if err != nil {
		return nil, err
	}
	if linkID(hashed) != action {
		return nil, errors.New("the link action is not the hash of what the go command printed")
	}

	const mode, platform, flags, end = "\nbuildmode ", " goos ", "\nlinkflags ", "]\n"
	o := &oracle{}
	before, rest, ok1 := bytes.Cut(hashed, []byte(mode))
	value, rest, ok2 := bytes.Cut(rest, []byte(platform))
	between, rest, ok3 := bytes.Cut(rest, []byte(flags))
	args, after, ok4 := bytes.Cut(rest, []byte(end))
	if !ok1 || !ok2 || !ok3 || !ok4 || bytes.ContainsAny(value, "\n ") || !bytes.HasPrefix(args, []byte("[")) {
		return nil, errors.New("what the go command printed of the link action has another form than is known")
	}

	o.before = append(slices.Clip(before), mode...)
	o.between = slices.Concat([]byte(platform), between, []byte(flags))
	o.after = after
	return o, nil
}

// hashedText puts the text of one hash together again. The lines are those of
// cmd/go/internal/cache/hash.go: the name alone, each piece quoted, and the sum.
func hashedText(trace, name string) ([]byte, error) {
	var hashed []byte
	found := false
	prefix := "HASH[" + name + "]"
	for line := range strings.Lines(trace) {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), prefix)
		if !ok {
			continue
		}
		rest, ok = strings.CutPrefix(rest, ": ")
		switch {
		case !ok && rest == "": // a hash begins
			hashed, found = nil, true
		case !found:
		case strings.HasPrefix(rest, `"`):
			piece, err := strconv.Unquote(rest)
			if err != nil {
				return nil, fmt.Errorf("what the go command printed of %s: %w", name, err)
			}
			hashed = append(hashed, piece...)
		default:
			sum := sha256.Sum256(hashed)
			if rest != hex.EncodeToString(sum[:]) {
				return nil, fmt.Errorf("what the go command printed of %s is not what it hashed", name)
			}
			return hashed, nil
		}
	}
	return nil, errNoTrace
}

// linkID is the form of a hash in a build ID.
func linkID(hashed []byte) string {
	sum := sha256.Sum256(hashed)
	return base64.URLEncoding.EncodeToString(sum[:15])
}

// action returns the link action of l in a build mode, as the go command writes
// it: "default" where it is not given.
func (o *oracle) action(l linking, mode string) string {
	return linkID(slices.Concat(o.before, []byte(mode), o.between, quoteList(l.args), []byte("]\n"), o.after))
}

// quoteList is what %q makes of a list, without its last bracket.
func quoteList(list []string) []byte {
	b := fmt.Appendf(nil, "%q", list)
	return b[:len(b)-1]
}

// maxHashed bounds what a search hashes, in bytes: some seconds.
const maxHashed = 6 << 30

// search returns the first guess that gives the link action want, and how many
// were tried. modes are the build modes that are possible, as the go command
// hashes them.
func (o *oracle) search(ctx context.Context, want string, modes []string, guesses iter.Seq[linking]) (found linking, mode string, tried int, ok bool) {
	budget := int64(maxHashed)
	size := int64(len(o.before) + len(o.between) + len(o.after))
	for g := range guesses {
		for _, m := range modes {
			if budget -= size; budget < 0 || tried%256 == 0 && ctx.Err() != nil {
				return linking{}, "", tried, false
			}
			tried++
			if o.action(g, m) == want {
				return g, m, tried, true
			}
		}
	}
	return linking{}, "", tried, false
}
