package rebuild

import (
	"io/fs"
	"iter"
	"regexp"
	"slices"
	"strings"

	"github.com/twicebuild/twice/pipeline/inspect"
	"github.com/twicebuild/twice/pipeline/rebuild/internal/sandbox"
)

// A project's own build files (.goreleaser.yaml, Makefile, scripts) tell how it writes the
// linker's flags: which, in which order and form, and which variables are set. They do not tell
// the values, because a template or a shell puts those in. So their text is read for the shape of
// the flags, loosely, without understanding any of the languages. The oracle says whether a guess
// was right, and a shape that was misread finds nothing.

// piece is a flag as a build file has it.
type piece struct {
	// words are a flag without a hole: "-s", or "-extldflags" and "-static".
	words []string
	// name is the variable of a flag -X, and joined reports that it is written -X=.
	// A name may begin with a hole.
	name   string
	joined bool
	// value is what the variable is set to, with holes.
	value string
}

// Limits of shapes.
const (
	maxShapes      = 24
	maxPieces      = 16
	maxShapeTried  = 100_000 // guesses of all shapes together
	maxShapeValues = 12      // for one variable
)

// hole stands for what a template or a shell puts in.
const hole = "\x01"

var (
	holesRE = regexp.MustCompile(`\{\{[^{}\n]{0,200}\}\}|\$?\$\((?:[^()\n]|\([^()\n]*\))*\)|\$?\$\{[^{}\n]{0,100}\}|\$?\$[A-Za-z_]\w{0,60}|` + "`[^`\n]{0,200}`")
	// beforeRE matches the text before the first flag of a value, but not -extldflags.
	beforeRE   = regexp.MustCompile(`^(?:.{0,100}?[^tT])?(?i:ldflags)[A-Za-z_]*["']?[:+?]?=?`)
	equalsRE   = regexp.MustCompile(`((?i:ldflags)[A-Za-z_]*)[ \t]+([:+?]?=)`)
	assignedRE = regexp.MustCompile(`^(` + hole + `?[\pL\d_~.+/-]{0,300}\.[\pL_][\pL\d_]{0,100})=([^"']{0,200})$`)
)

// shapesIn returns the shapes of the linker's flags in a build file. Each has at
// least one flag that is not known by looking at a binary: -X, or both of -s and -w.
func shapesIn(data []byte) (shapes [][]piece) {
	text := strings.ReplaceAll(string(data), hole, " ")
	text = holesRE.ReplaceAllString(text, hole)
	// Lines end so in scripts, and quotes within quotes look so.
	text = strings.NewReplacer("\\\r\n", " ", "\\\n", " ", `\"`, `"`, `\'`, `'`).Replace(text)

	words := strings.Fields(equalsRE.ReplaceAllString(text, "$1$2"))

	var shape []piece
	end := func() {
		telling := slices.ContainsFunc(shape, func(p piece) bool { return p.name != "" }) || len(shape) > 1
		if telling && len(shape) <= maxPieces && len(shapes) < maxShapes {
			shapes = append(shapes, shape)
		}
		shape = nil
	}

	for i := 0; i < len(words); i++ {
		w := words[i]
		if before := beforeRE.FindString(w); before != "" {
			// Another value begins, unless a file adds to the first, as with +=.
			if !strings.HasSuffix(before, "+=") {
				end()
			}
			w = w[len(before):]
		}

		// The punctuation around a flag belongs to the language of the file, not to the flag.
		w = strings.Trim(w, `"',[]()`)
		next := ""
		if i+1 < len(words) {
			next = strings.Trim(words[i+1], `"',[]()`)
		}

		switch {
		case w == "-s" || w == "-w" || w == "-buildid=" || w == "-extldflags=-static":
			shape = append(shape, piece{words: []string{w}})
		case w == "-extldflags" && next == "-static":
			shape = append(shape, piece{words: []string{w, next}})
			i++
		case w == "-X" && assignedRE.MatchString(next):
			m := assignedRE.FindStringSubmatch(next)
			shape = append(shape, piece{name: m[1], value: m[2]})
			i++
		case strings.HasPrefix(w, "-X=") && assignedRE.MatchString(strings.Trim(w[3:], `"'`)):
			m := assignedRE.FindStringSubmatch(strings.Trim(w[3:], `"'`))
			shape = append(shape, piece{name: m[1], value: m[2], joined: true})
		case w == "" || w == "-" || w == "|" || w == ">-" || w == ">" || w == hole || w == "=" || w == ":=" || w == "+=":
			// Between the flags of one value.
		default:
			end()
		}
	}

	end()
	return shapes
}

// shapes returns the shapes in all build files of a source tree, each once.
func shapes(tree fs.FS) (all [][]piece) {
	n := 0
	fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // what cannot be read gives no hint
		case d.IsDir() && name != "." && (d.Name() == "testdata" || d.Name() == "vendor" || d.Name() == ".git"):
			return fs.SkipDir
		case !d.Type().IsRegular() || !isBuildScript(name):
			return nil
		}

		if n++; n > 200 {
			return fs.SkipAll
		}
		if data, err := sandbox.ReadSmall(tree, name); err == nil {
			all = append(all, shapesIn(data)...)
		}
		return nil
	})

	return all[:min(len(all), maxShapes)]
}

// shapedGuesses yields the arguments of the linker that the shapes give with values of
// the candidates.
func shapedGuesses(f inspect.Facts, c candidates, shapes [][]piece) iter.Seq[linking] {
	return func(yield func(linking) bool) {
		tried := 0
		for _, shape := range shapes {
			for _, s := range withStripFlags(f, shape) {
				ok := c.fill(s, func(args []string) bool {
					if tried++; tried > maxShapeTried {
						return false
					}
					// What a file says is a stranger's word, and the list of allowed flags
					// decides.
					return checkLinkerFlags(args) != nil || yield(linking{args: slices.Clone(args)})
				})
				if !ok {
					return
				}
			}
		}
	}
}

// withStripFlags returns a shape, and also the same with the file's own stripping flags before and
// behind it. It adds them only if the shape has none: they are often added elsewhere.
func withStripFlags(f inspect.Facts, shape []piece) [][]piece {
	list := [][]piece{shape}
	own := slices.ContainsFunc(shape, func(p piece) bool { return len(p.words) == 1 && (p.words[0] == "-s" || p.words[0] == "-w") })
	if own || f.Finding(inspect.NoSymbols).Is != inspect.Yes && f.Finding(inspect.NoDWARF).Is != inspect.Yes {
		return list
	}
	for _, words := range stripForms(f)[:2] {
		strip := []piece{{words: words}}
		list = append(list, slices.Concat(strip, shape), slices.Concat(shape, strip))
	}
	return list
}

// fill calls found with each way to fill the holes of a shape, until found returns false. It then
// returns false too.
func (c candidates) fill(shape []piece, found func([]string) bool) bool {
	var ways [][][]string // of each piece

	for _, p := range shape {
		list := [][]string{p.words}
		if p.name != "" {
			list = nil
			for _, name := range c.variablesFor(p.name) {
				for _, value := range c.valuesOf(name, p.value) {
					if p.joined {
						list = append(list, []string{"-X=" + name + "=" + value})
					} else {
						list = append(list, []string{"-X", name + "=" + value})
					}
				}
			}
		}

		ways = append(ways, list)
	}

	return product(ways, func(args [][]string) bool { return found(slices.Concat(args...)) })
}

// variablesFor returns the variables that a name in a shape may mean.
func (c candidates) variablesFor(name string) []string {
	end, open := strings.CutPrefix(name, hole)
	if !open {
		return []string{name}
	}
	var list []string
	for _, n := range c.names {
		if strings.HasSuffix(n, end) && len(list) < 4 {
			list = append(list, n)
		}
	}
	return list
}

// valuesOf returns what may stand where a shape has a value.
func (c candidates) valuesOf(name, shape string) []string {
	before, rest, open := strings.Cut(shape, hole)
	if !open {
		return []string{shape}
	}
	after := rest[strings.LastIndex(rest, hole)+1:]
	var list []string
	for _, v := range c.values {
		if len(v) >= len(before)+len(after) && strings.HasPrefix(v, before) && strings.HasSuffix(v, after) && fits(name, v) && len(list) < maxShapeValues {
			list = append(list, v)
		}
	}
	return list
}
