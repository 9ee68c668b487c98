package sandbox

import (
	"errors"
	"testing"

	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
)

func TestFetchKind(t *testing.T) {
	for message, want := range map[string]verdict.Kind{
		"go mod download: a.test/b@v1.0.0: reading https://proxy.test/a.test/b/@v/v1.0.0.zip: 404 Not Found":                           verdict.NotPublic,
		"a.test/b@v1.0.0: reading https://proxy.test/a.test/b/@v/v1.0.0.info: 410 Gone\n\tserver response: not found: a.test/b@v1.0.0": verdict.NotPublic,
		"a.test/b@v1.0.0: invalid version: unknown revision v1.0.0":                                                                    verdict.NotPublic,
		"a.test/b@v1.0.0: reading https://proxy.test/a.test/b/@v/v1.0.0.mod: 403 Forbidden":                                            verdict.Refused,
		"a.test/b@v1.0.0: reading https://proxy.test/a.test/b/@v/v1.0.0.mod: 401 Unauthorized":                                         verdict.Refused,
		"a.test/b@v1.0.0: reading https://proxy.test/a.test/b/@v/v1.0.0.mod: 500 Internal Server Error":                                verdict.Unavailable,
		"a.test/b@v1.0.0: reading https://proxy.test/a.test/b/@v/v1.0.0.mod: 429 Too Many Requests":                                    verdict.Unavailable,
		`a.test/b@v1.0.0: Get "https://proxy.test/a.test/b/@v/v1.0.0.mod": dial tcp: lookup proxy.test: no such host`:                  verdict.Unavailable,
		`a.test/b@v1.0.0: Get "https://proxy.test/x": read tcp 10.0.0.1:1->10.0.0.2:443: read: connection reset by peer`:               verdict.Unavailable,
		"verifying a.test/b@v1.0.0: checksum mismatch":                                                                                 verdict.NotPublic,
	} {
		if got := FetchKind(errors.New(message)); got != want {
			t.Errorf("%s\n%q, want %q", message, got, want)
		}
	}
}
