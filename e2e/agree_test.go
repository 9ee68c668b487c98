package e2e

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"debug/macho"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// agrees holds a finished dist against what other tools say of it, and builds
// the binaries of one target again by hand.
func agrees(t *testing.T, dist string) record {
	t.Helper()
	rec := readRecord(t, dist)
	command(t, dist, nil, "sha256sum", "-c", "--strict", "SHA256SUMS")
	for _, a := range rec.Artifacts {
		data, err := os.ReadFile(filepath.Join(dist, filepath.FromSlash(a.Name)))
		if err != nil {
			t.Error(err)
		} else if d := digest(data); d != a.Digest || int64(len(data)) != a.Size {
			t.Errorf("%s is %s of %d bytes; release.json says %s of %d", a.Name, d, len(data), a.Digest, a.Size)
		}
	}
	hand := &byHand{goroots: map[string]string{}}
	for _, b := range rec.Binaries {
		data, err := os.ReadFile(filepath.Join(dist, b.file()))
		if err != nil {
			t.Fatal(err)
		}
		if d := digest(data); b.Verdict != "reproduced" || b.A != b.B || b.A != d {
			t.Errorf("%s %s: %s, A is %s, B is %s, the file %s", b.Target, b.Name, b.Verdict, b.A, b.B, d)
		}
		if d, err := canonicalDigest(b.Recipe); err != nil || d != b.RecipeDigest {
			t.Errorf("%s %s: digest of the recipe is %s, %v; release.json says %s", b.Target, b.Name, d, err, b.RecipeDigest)
		}
		for _, fault := range slices.Concat(hostWords(t, b.Recipe), describes(t, filepath.Join(dist, b.file()), rec, b), uuidFaults(data, b.recipe(t))) {
			t.Errorf("%s %s: %s", b.Target, b.Name, fault)
		}
		// The recipe determines the bytes. One target shows it: all of them would take
		// as long as a third pass.
		if b.Target != rec.Binaries[0].Target {
			continue
		}
		if again := hand.build(t, dist, b.recipe(t)); digest(again) != b.A {
			t.Errorf("%s %s: built by hand it is %s; release.json says %s", b.Target, b.Name, digest(again), b.A)
		}
	}
	return rec
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// canonicalDigest computes the digest of a recipe from the words of its
// format: RFC 8785. encoding/json sorts the members of a map, and a recipe has
// no numbers.
func canonicalDigest(text []byte) (string, error) {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return "", err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return digest(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// hostWords returns the names of this host, its user and its folders that are
// in a recipe.
func hostWords(t *testing.T, recipe []byte) []string {
	t.Helper()
	words := []string{os.TempDir(), cacheDir, repoRoot, t.TempDir()}
	if home, err := os.UserHomeDir(); err == nil {
		words = append(words, home)
	}
	if host, err := os.Hostname(); err == nil {
		words = append(words, host)
	}
	if u, err := user.Current(); err == nil {
		words = append(words, u.Username)
	}
	for _, name := range []string{"GOROOT", "GOMODCACHE", "GOCACHE", "GOPATH"} {
		words = append(words, strings.TrimSpace(command(t, "", nil, "go", "env", name)))
	}
	// A hash may hold any short word.
	text := regexp.MustCompile(`h1:[A-Za-z0-9+/]+=`).ReplaceAll(recipe, nil)
	var found []string
	for _, w := range words {
		if regexp.MustCompile(`(^|[^A-Za-z0-9])` + regexp.QuoteMeta(w) + `($|[^A-Za-z0-9])`).Match(text) {
			found = append(found, fmt.Sprintf("%q of this host is in the recipe", w))
		}
	}
	return found
}

// describes compares what the go command reads out of a binary with what
// release.json says of it.
func describes(t *testing.T, file string, rec record, b binary) (faults []string) {
	t.Helper()
	want := func(what, got, want string) {
		if got != want {
			faults = append(faults, fmt.Sprintf("%s is %q in the binary, and %q in release.json", what, got, want))
		}
	}
	r := b.recipe(t)
	lines := strings.Split(command(t, "", nil, "go", "version", "-m", file), "\n")
	_, goVersion, _ := strings.Cut(lines[0], ": ")
	want("the Go version", goVersion, rec.Toolchain.Version)
	want("the Go version of the recipe", goVersion, r.Toolchain.Version)
	settings, deps, mod := map[string]string{}, []string{}, []string{}
	for _, line := range lines[1:] {
		f := strings.Split(strings.TrimSpace(line), "\t")
		switch {
		case len(f) >= 3 && f[0] == "mod":
			mod = f[1:]
		case len(f) >= 3 && f[0] == "dep":
			deps = append(deps, strings.Join(f[1:], " "))
		case len(f) == 4 && f[0] == "=>":
			deps[len(deps)-1] += " => " + f[1] + "@" + f[2] + " " + f[3]
		case len(f) == 3 && f[0] == "=>" && f[2] == "(devel)":
			deps[len(deps)-1] += " => " + path.Join(r.Source.Dir, f[1])
		case len(f) == 2 && f[0] == "build":
			name, value, _ := strings.Cut(f[1], "=")
			settings[name] = value
		}
	}
	var recorded []string
	for _, m := range r.Modules {
		line := m.Path + " " + m.Version
		if m.Replace != "" {
			line += " => " + m.Replace // a folder is told from the top of the source
		}
		recorded = append(recorded, strings.TrimSpace(line+" "+m.Sum))
	}
	slices.Sort(deps)
	want("the list of modules", strings.Join(deps, "\n"), strings.Join(recorded, "\n"))
	target := strings.SplitN(b.Target, "/", 3)
	want("GOOS", settings["GOOS"], target[0])
	want("GOARCH", settings["GOARCH"], target[1])
	want("-trimpath", settings["-trimpath"], "true")
	for _, kv := range r.Env {
		if name, value, _ := strings.Cut(kv, "="); settings[name] != "" {
			want(name, settings[name], value)
		}
	}
	want("vcs.revision", settings["vcs.revision"], rec.Source.Commit)
	if rec.Source.Commit != "" {
		want("vcs.modified", settings["vcs.modified"], fmt.Sprint(rec.Source.Dirty))
	}
	if rec.Source.Module != "" {
		want("the main module", strings.Join(mod[:1], " "), rec.Source.Module)
	}
	if id := strings.TrimSpace(command(t, "", nil, "go", "tool", "buildid", file)); id != "" && id != gnuBuildID(file) {
		faults = append(faults, fmt.Sprintf("build ID is %q, want none", id))
	}
	return faults
}

// gnuBuildID is what a C linker wrote into a file as its build ID, a hash of
// the content, in the bytes of the note; go tool buildid prints those where
// there is no build ID of Go's.
func gnuBuildID(file string) string {
	f, err := elf.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	note, goNote := f.Section(".note.gnu.build-id"), f.Section(".note.go.buildid")
	if note == nil || goNote != nil {
		return ""
	}
	data, err := note.Data()
	if err != nil || len(data) < 16 {
		return ""
	}
	return strings.TrimSpace(string(data[16:]))
}

// uuidFaults holds the LC_UUID of a Mach-O file against its recipe.
func uuidFaults(data []byte, r recipe) []string {
	f, err := macho.NewFile(bytes.NewReader(data))
	if err != nil {
		if slices.Contains(r.Env, "GOOS=darwin") {
			return []string{err.Error()}
		}
		return nil
	}
	defer f.Close()
	asked := regexp.MustCompile(`-B=0x([0-9a-f]{32})`).FindStringSubmatch(strings.Join(r.Argv, " "))
	if asked == nil {
		return []string{"the recipe asks for no LC_UUID"}
	}
	const lcUUID = 0x1b // mach-o/loader.h
	for _, l := range f.Loads {
		raw := l.Raw()
		if f.ByteOrder.Uint32(raw) == lcUUID {
			if got := hex.EncodeToString(raw[8:24]); got != asked[1] {
				return []string{fmt.Sprintf("LC_UUID is %s, and the recipe says %s", got, asked[1])}
			}
			return nil
		}
	}
	return []string{"there is no LC_UUID"}
}
