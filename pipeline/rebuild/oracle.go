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

// linking has the settings of a link that cannot be seen in a binary.
type linking struct {
	// args are the linker's arguments. raw is the text that they were given in, if it is
	// recorded.
	args []string
	raw  string
	// mode is the value of -buildmode if it was given although it is the default.
	mode string
}

// oracle tells what the link action in the build ID would be for any arguments of the linker,
// without linking.
//
// The link action is the first part of the build ID. It is a hash of all that is linked, and of
// the arguments (linkActionID in cmd/go/internal/work/exec.go). With GODEBUG=gocachehash=1 the go
// command prints the text that it hashes. For another guess the text is the same, except for the
// arguments. So one build answers any number of guesses, and each costs a hash of some kilobytes.
type oracle struct {
	// The text that is hashed, without the build mode and the arguments: what stands before the
	// mode, between the mode and the arguments, and after these.
	beforeMode, beforeFlags, afterFlags []byte
}

var errNoTrace = errors.New("the go command did not print what the link action is made of")

// newOracle reads the trace of a build of package pkg, whose link action turned
// out to be linkAction. It fails if the trace does not account for that.
func newOracle(trace, pkg, linkAction string) (*oracle, error) {
	hashed, err := hashedText(trace, "link "+pkg)
	if err != nil {
		return nil, err
	}
	if hashToString(hashed) != linkAction {
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

	o.beforeMode = append(slices.Clip(before), mode...)
	o.beforeFlags = slices.Concat([]byte(platform), between, []byte(flags))
	o.afterFlags = after
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

// hashToString returns a hash as a build ID has it, like HashToString in cmd/internal/buildid.
func hashToString(hashed []byte) string {
	sum := sha256.Sum256(hashed)
	return base64.URLEncoding.EncodeToString(sum[:15])
}

// linkAction returns the link action of l in a build mode. The mode is written as by the go command:
// "default" where it is not given.
func (o *oracle) linkAction(l linking, mode string) string {
	return hashToString(slices.Concat(o.beforeMode, []byte(mode), o.beforeFlags, quoteList(l.args), []byte("]\n"), o.afterFlags))
}

// quoteList returns a list in the form of %q, without its last bracket.
func quoteList(list []string) []byte {
	b := fmt.Appendf(nil, "%q", list)
	return b[:len(b)-1]
}

// maxHashed bounds the bytes that a search hashes. That takes some seconds.
const maxHashed = 6 << 30

// search returns the first guess that gives the link action want, its build mode, and the number of
// guesses that were tried. modes are the possible build modes, as the go command hashes them.
func (o *oracle) search(ctx context.Context, want string, modes []string, guesses iter.Seq[linking]) (found linking, mode string, tried int, ok bool) {
	budget := int64(maxHashed)
	size := int64(len(o.beforeMode) + len(o.beforeFlags) + len(o.afterFlags))
	for g := range guesses {
		for _, m := range modes {
			if budget -= size; budget < 0 || tried%256 == 0 && ctx.Err() != nil {
				return linking{}, "", tried, false
			}
			tried++
			if o.linkAction(g, m) == want {
				return g, m, tried, true
			}
		}
	}
	return linking{}, "", tried, false
}
