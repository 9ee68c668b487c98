package matrix

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/mod/semver"
)

// isPrintable reports whether s is ASCII without spaces and control characters.
func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}

// isNameByte reports whether c is an ASCII letter or digit, "_" or "-".
func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

// checkPlainName accepts names that a file can have on every system and that need
// no quotes in a shell.
func checkPlainName(s string) error {
	const punctuation = "._-+"
	for _, c := range s {
		if !(c < 0x80 && isNameByte(byte(c))) && !strings.ContainsRune(punctuation, c) {
			return fmt.Errorf("%q is no plain name: %q is not among letters, digits and %s", s, c, punctuation)
		}
	}

	base, _, _ := strings.Cut(strings.ToLower(s), ".")
	switch {
	case s == "":
		return fmt.Errorf("the name is empty")
	case len(s) > 200:
		return fmt.Errorf("the name is longer than 200 bytes")
	case s[0] == '.' || s[0] == '-' || s[len(s)-1] == '.' || strings.Contains(s, ".."):
		return fmt.Errorf(`%q is no plain name: it begins with "." or "-", ends in "." or holds ".."`, s)
	case slices.Contains([]string{"con", "prn", "aux", "nul"}, base),
		len(base) == 4 && (base[:3] == "com" || base[:3] == "lpt") && '0' <= base[3] && base[3] <= '9':
		return fmt.Errorf("%q is a device on windows", s)
	}
	return nil
}

// reservedNames are the names in dist that are taken, in lower case. No archive and no list of
// digests can have one of them.
var reservedNames = map[string]bool{"bin": true, "oci": true, "sbom": true, "release.json": true, "report.html": true}

// isExactGo reports whether s is 1.N.P, 1.NrcP or 1.NbetaP, and N is 21 or more. Older toolchains are
// not published as modules.
func isExactGo(s string) bool {
	rest, ok := strings.CutPrefix(s, "1.")
	minor, rest := digits(rest)
	if !ok || len(minor) != 2 || minor < "21" {
		return false
	}

	for _, sep := range []string{".", "rc", "beta"} {
		if after, ok := strings.CutPrefix(rest, sep); ok {
			patch, end := digits(after)
			return end == "" && patch != "" && len(patch) <= 3 && (patch == "0" && sep == "." || patch[0] != '0')
		}
	}
	return false
}

// digits splits s after its leading digits.
func digits(s string) (number, rest string) {
	i := 0
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}

// isLocalPath reports whether s is a clean slash-separated path that stays where it
// begins, on every system.
func isLocalPath(s string) bool {
	return s != "" && path.Clean(s) == s && s[0] != '/' && s != ".." && !strings.HasPrefix(s, "../") &&
		!strings.ContainsAny(s, "\\:\n\r")
}

// inGit reports whether a path or a pattern names something in a folder of git.
func inGit(s string) bool {
	return slices.ContainsFunc(strings.Split(s, "/"), func(elem string) bool { return strings.EqualFold(elem, ".git") })
}

const notInCommit = "what is in .git is no part of the commit"

// isVariable reports whether s is importpath.name.
func isVariable(s string) bool {
	i := strings.LastIndexByte(s, '.')
	if i <= 0 || i == len(s)-1 || strings.Contains(s[i:], "/") || s[0] == '-' || s[0] == '.' || s[i-1] == '/' {
		return false
	}

	for j, c := range s[i+1:] {
		if c != '_' && !unicode.IsLetter(c) && (j == 0 || !unicode.IsDigit(c)) {
			return false
		}
	}

	for _, c := range s[:i] {
		if !(c < 0x80 && isNameByte(byte(c))) && !strings.ContainsRune("./~+!", c) {
			return false
		}
	}
	return true
}

// checkStampValue accepts values that the linker can be given.
func checkStampValue(name, value string) error {
	_, err := Quote([]string{"-X=" + name + "=" + value})
	return err
}

// checkEnvValue accepts values that an environment can hold.
func checkEnvValue(v string) error {
	if strings.ContainsAny(v, "\x00\n\r") {
		return fmt.Errorf("the value holds a line end or a NUL")
	}
	return nil
}

// envRemedy says what to do instead of setting the variable in a release file. It is "" for a
// variable that a release file can set. Names are compared without case, as windows does.
func envRemedy(name string) string {
	name = strings.ToUpper(name)
	switch name {
	case "GOFLAGS":
		return "use the keys of [build]"
	case "GOOS", "GOARCH", "GOAMD64", "GOARM", "GOARM64", "GO386", "GOMIPS", "GOMIPS64", "GOPPC64", "GORISCV64", "GOWASM":
		return "use [matrix]"
	case "GOEXPERIMENT":
		return "use build.experiments"
	case "GOFIPS140":
		return "use build.fips140"
	case "GOTOOLCHAIN", "GOROOT":
		return "use toolchain.version"
	case "CGO_ENABLED":
		return "use build.cgo"
	case "PATH", "PATHEXT", "PWD", "HOME", "USER", "LOGNAME", "SHELL", "HOSTNAME", "TMPDIR", "TMP", "TEMP", "TZ", "LANG", "LANGUAGE",
		"USERPROFILE", "HOMEDRIVE", "HOMEPATH", "APPDATA", "LOCALAPPDATA", "SYSTEMROOT", "WINDIR", "COMSPEC", "USERNAME", "COMPUTERNAME",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "NETRC":
		return "leave it out: it must not matter, and differs between the passes"
	}

	for _, prefix := range []string{"LC_", "LD_", "DYLD_", "GIT_", "SSH_", "XDG_"} {
		if strings.HasPrefix(name, prefix) {
			return "leave it out: it must not matter, and may differ between the passes"
		}
	}
	if strings.HasPrefix(name, "GO") || strings.HasPrefix(name, "TWICE_") {
		return "leave it out: twice sets every variable of the go command"
	}
	return ""
}

// isFIPS reports whether s is a value of GOFIPS140, by the grammar in internal/buildcfg.
func isFIPS(s string) bool {
	if slices.Contains([]string{"off", "latest", "inprocess", "certified"}, s) {
		return true
	}

	core, suffix, has := strings.Cut(s, "-")
	if !semver.IsValid(core) || semver.Canonical(core) != core || semver.Major(core) != "v1" {
		return false
	}

	if rc, ok := strings.CutPrefix(suffix, "rc"); ok {
		n, end := digits(rc)
		return n != "" && end == ""
	}
	return !has || len(suffix) == 8 && strings.Trim(suffix, "0123456789abcdef") == ""
}
