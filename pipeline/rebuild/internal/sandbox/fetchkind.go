package sandbox

import (
	"regexp"

	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
)

// The go command has no form for why it could not fetch something, but its messages end in the status
// of the server or in the error of the network (cmd/go/internal/web/api.go).
var (
	statusRE  = regexp.MustCompile(`: ([45]\d\d) [A-Z][A-Za-z -]*`)
	networkRE = regexp.MustCompile(`dial tcp|no such host|i/o timeout|connection (refused|reset)|TLS handshake|unexpected EOF|network is unreachable|Client\.Timeout|context deadline exceeded`)
)

// FetchKind returns the kind of err, with which a go command failed to fetch a module. What the
// network or the server caused may be otherwise tomorrow, and what a server refuses is elsewhere,
// perhaps. Anything else is for good: nobody has it.
func FetchKind(err error) verdict.Kind {
	message := err.Error()
	if s := statusRE.FindStringSubmatch(message); s != nil {
		switch code := s[1]; {
		case code == "404" || code == "410":
			return verdict.NotPublic
		case code == "408" || code == "429" || code[0] == '5':
			return verdict.Unavailable
		default:
			return verdict.Refused
		}
	}
	if networkRE.MatchString(message) {
		return verdict.Unavailable
	}
	return verdict.NotPublic
}
