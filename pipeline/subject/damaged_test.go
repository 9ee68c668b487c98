package subject

import (
	"archive/zip"
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDamagedArchives has archives that are cut off, have something behind them, or
// contradict themselves: each is an error, or told beside what is in it.
func TestDamagedArchives(t *testing.T) {
	tool, text := member{name: "tool", body: program('a')}, member{name: "text", body: strings.Repeat("some words ", 99)}
	plain := tarOf(tool, text)
	wrongSum := []byte(plain)
	wrongSum[strings.Index(plain, "text\x00")+148] ^= 1
	zipped := zipOf(tool, text)
	second := strings.LastIndex(zipped, "PK\x03\x04")
	known := storedZip(t, tool)
	sized := func(at int) string { return known[:at] + string(known[at]^1) + known[at+1:] }
	// in changes the header of the second member of the zip, and not the list.
	in := func(at int, b byte) string {
		p := []byte(zipped)
		p[second+at] ^= b
		return string(p)
	}
	deb := arOf(member{name: "debian-binary", body: "2.0\n"}, member{name: "control.tar", body: tarOf(member{name: "control", body: "Version: 1\n"})}, member{name: "data.tar.gz", body: gz(plain)})

	type row struct{ content, want string }
	rows := map[string]row{
		"a tar cut off":                  {plain[:len(plain)/2], "unexpected EOF"},
		"a tar with a wrong sum":         {string(wrongSum), "invalid tar header"},
		"a tar with garbage behind":      {plain + "garbage", "something that is no archive follows its end"},
		"gzip, a wrong sum of a header":  {gz(string(wrongSum)), "invalid tar header"},
		"gzip, something behind the tar": {gz(plain) + gz("evil"), "something that is no archive follows its end"},
		"gzip in two members":            {gz(plain[:700]) + gz(plain[700:]), ""},
		"a program in another member":    {gz(plain) + gz(tarOf(member{name: "more", body: program('b')})), ""},
		"apk, its data cut off":          {gz(tarOf(member{name: ".PKGINFO", body: "pkgver = 1\n"})) + cut(gz(plain)), "EOF"},
		"deb cut off":                    {deb[:len(deb)-20], "it says"},
		"deb, its data damaged":          {strings.Replace(deb, gz(plain), flip(gz(plain)), 1), "data.tar.gz"},
		"deb with garbage behind":        {deb + "garbage", "cut off"},
		"a zip cut off":                  {zipped[:len(zipped)-10], "not a valid zip"},
		"a zip, its content damaged":     {in(30+len("text")+2, 0xff), "text"},
		"a zip with another name":        {in(30, 1), "told: has another name there"},
		"a zip with another method":      {in(8, 8), "told: has another compression there"},
		"a zip said to be encrypted":     {in(6, 1), "told: has another form there"},
		"a zip with sizes in front":      {known, ""},
		"a zip with another checksum":    {sized(14), "told: has another checksum there"},
		"a zip with another size":        {sized(18), "told: has another size there"},
		"a zip that unpacks to more":     {sized(22), "told: has another size there"},
		"a zip with garbage behind":      {zipped + "garbage", "told: something behind its list"},
	}
	for kind, whole := range map[string]string{"gz": gz(plain), "zst": packed(t, "zstd", plain), "xz": packed(t, "xz", plain), "bz2": packed(t, "bzip2", plain)} {
		if whole == "" {
			t.Logf("nothing makes .%s here", kind)
			continue
		}
		rows[kind] = row{whole, ""}
		rows[kind+" cut off"] = row{whole[:len(whole)/2], kind + ": "}
		rows[kind+", its end cut off"] = row{cut(whole), kind + ": "}
		rows[kind+" with garbage behind"] = row{whole + "garbage", kind + ": "}
	}

	for what, c := range rows {
		s, err := openedFile(t, "x", c.content, Limits{})
		told, isTold := strings.CutPrefix(c.want, "told: ")
		switch {
		case isTold && err == nil:
			if len(s.Skipped) != 1 || !s.Skipped[0].Whole || !strings.Contains(s.Skipped[0].Reason, told) {
				t.Errorf("%s: %v, want %q", what, s.Skipped, told)
			}
		case c.want == "" && err == nil:
			if len(s.Skipped) > 0 {
				t.Errorf("%s: %v", what, s.Skipped)
			}
		case err == nil || c.want == "" || isTold || !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v, want %q", what, err, c.want)
		case errors.Is(err, ErrUnknown) || errors.Is(err, ErrNoExecutables):
			t.Errorf("%s: %v: as if it were whole", what, err)
		}
	}
}

func cut(s string) string { return s[:len(s)-3] }

// flip is s with a byte in the middle changed.
func flip(s string) string { return s[:len(s)/2] + string(s[len(s)/2]^0xff) + s[len(s)/2+1:] }

// storedZip is a zip whose member has its size and checksum in front of it.
func storedZip(t *testing.T, m member) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	size := uint64(len(m.body))
	f, err := w.CreateRaw(&zip.FileHeader{Name: m.name, CRC32: crc32.ChecksumIEEE([]byte(m.body)), CompressedSize64: size, UncompressedSize64: size})
	if err == nil {
		_, err = io.WriteString(f, m.body)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// packed is s as a program compresses it, or empty if that is not there.
func packed(t *testing.T, program, s string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		return ""
	}
	cmd := exec.Command(filepath.Clean(path), "-c")
	cmd.Stdin = strings.NewReader(s)
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
