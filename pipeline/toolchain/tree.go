package toolchain

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/twicebuild/twice/pipeline/fsx"
)

// tree is the files of a GOROOT that the published zip has too, by the names
// that they have there, below the "golang.org/toolchain@version/" prefix.
type tree map[string][sha256.Size]byte

// notInZip are the folders at the top of an installed Go that the toolchain's
// zip leaves out. Nothing is built from them.
var notInZip = []string{"api", "doc", "misc", "test"}

// Limits of a GOROOT: 1.26 has 11,518 files, the deepest eleven levels down.
const (
	maxFiles = 100_000
	maxDepth = 40
)

// hashTree reads every file of the GOROOT at dir. Files that are neither
// regular nor folders are refused; so are symbolic links, but with follow they
// are followed (some distributions link parts of a GOROOT to other places).
//
// It streams, in as many goroutines as there are processors.
func hashTree(ctx context.Context, dir string, follow bool) (tree, error) {
	names, err := listTree(ctx, dir, follow)
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	sums := make([][sha256.Size]byte, len(names))
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			buf := make([]byte, 64<<10)
			for i := range next {
				sum, err := hashFile(dir+"/"+names[i], buf)
				if err != nil {
					cancel(err)
					return
				}
				sums[i] = sum
			}
		})
	}

feed:
	for i := range names {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}

	close(next)
	workers.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}

	t := make(tree, len(names))
	for i, name := range names {
		if path.Base(name) == "go.mod" {
			// A module's zip cannot hold another module, so that the published
			// one calls every go.mod so. listTree refuses this name itself.
			name = path.Join(path.Dir(name), "_go.mod")
		}
		t[name] = sums[i]
	}
	return t, nil
}

// listTree returns the slash-separated names of the files below dir.
func listTree(ctx context.Context, dir string, follow bool) ([]string, error) {
	var names []string
	var list func(rel string, depth int) error
	list = func(rel string, depth int) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if depth > maxDepth {
			return fmt.Errorf("%s: more than %d levels of folders", dir, maxDepth)
		}

		entries, err := os.ReadDir(dir + "/" + rel)
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := path.Join(rel, e.Name())
			mode := e.Type()
			if follow && mode&fs.ModeSymlink != 0 {
				info, err := os.Stat(dir + "/" + name)
				if err != nil {
					return err
				}
				mode = info.Mode().Type()
			}

			switch {
			case strings.Contains(name, "\n") || e.Name() == "_go.mod":
				return fmt.Errorf("%q: no file of a Go installation has this name", name)
			case mode.IsDir() && slices.Contains(notInZip, name):
			case mode.IsDir():
				if err := list(name, depth+1); err != nil {
					return err
				}
			case !mode.IsRegular():
				return fmt.Errorf("%s is no regular file (%s)", name, mode)
			case len(names) == maxFiles:
				return fmt.Errorf("%s: more than %d files", dir, maxFiles)
			default:
				names = append(names, name)
			}
		}
		return nil
	}

	if err := list("", 0); err != nil {
		return nil, err
	}
	return names, nil
}

func hashFile(name string, buf []byte) (sum [sha256.Size]byte, err error) {
	f, _, err := fsx.OpenNamed(name)
	if err != nil {
		return sum, err
	}
	defer f.Close()

	h := sha256.New()
	// Neither side may bring its own buffer, which io.Copy would prefer.
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, buf); err != nil {
		return sum, err
	}
	h.Sum(sum[:0])
	return sum, nil
}

// h1Sum returns the hash of t in the format of [dirhash.Hash1], with prefix before
// each name. (Hash1 itself would read the files again, one after the other.)
func (t tree) h1Sum(prefix string) string {
	names := make([]string, 0, len(t))
	for name := range t {
		names = append(names, name)
	}
	slices.Sort(names)

	h := sha256.New()
	for _, name := range names {
		fmt.Fprintf(h, "%x  %s%s\n", t[name], prefix, name)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

var gotoolchainPattern = regexp.MustCompile(`(?m)^GOTOOLCHAIN=[^\r\n]*$`)

// errGoEnv says that a go.env differs in more than GOTOOLCHAIN.
var errGoEnv = errors.New("not a go.env with another GOTOOLCHAIN")

// withPublishedGoEnv returns t as it would be if the one GOTOOLCHAIN line in
// the go.env of the GOROOT at dir were the published one, "GOTOOLCHAIN=auto",
// and the line that is there. Administrators and distributions change it, so
// that no toolchain is downloaded behind their backs; it has no influence on a
// build, which sets GOTOOLCHAIN.
func (t tree) withPublishedGoEnv(dir string) (tree, string, error) {
	data, err := fsx.ReadNamed(dir+"/go.env", 64<<10)
	if err != nil {
		return nil, "", err
	}

	// The file must be the one that was hashed.
	lines := gotoolchainPattern.FindAllIndex(data, -1)
	if sha256.Sum256(data) != t["go.env"] || len(lines) != 1 {
		return nil, "", errGoEnv
	}

	from, to := lines[0][0], lines[0][1]
	published := slices.Concat(data[:from], []byte("GOTOOLCHAIN=auto"), data[to:])

	u := make(tree, len(t))
	for name, sum := range t {
		u[name] = sum
	}
	u["go.env"] = sha256.Sum256(published)
	return u, string(data[from:to]), nil
}
