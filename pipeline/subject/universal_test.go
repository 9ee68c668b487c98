package subject

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/artifact"
)

const cpuAMD64, cpuARM64 = 0x1000007, 0x100000c

// macho is a Mach-O file without anything in it; each c makes another one.
func macho(cpu uint32, c byte) string {
	b := []byte("\xcf\xfa\xed\xfe")
	for _, n := range []uint32{cpu, 0, 2, 0, 0, 0, 0} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return string(append(b, c))
}

// universalOf puts files into a universal one, for amd64, arm64 and so on.
func universalOf(files ...string) string {
	header := []byte("\xca\xfe\xba\xbe")
	header = binary.BigEndian.AppendUint32(header, uint32(len(files)))
	at := 8 + 20*len(files)
	body := ""
	for i, f := range files {
		for _, n := range []uint32{[]uint32{cpuAMD64, cpuARM64, 99}[i%3], 0, uint32(at + len(body)), uint32(len(f)), 0} {
			header = binary.BigEndian.AppendUint32(header, n)
		}
		body += f
	}
	return string(header) + body
}

func TestUniversal(t *testing.T) {
	amd, arm := macho(cpuAMD64, 'a'), macho(cpuARM64, 'b')
	both := universalOf(amd, arm)
	s, err := openedFile(t, "tool-1.2.3", both, Limits{})
	want(t, s, err, "tool-1.2.3 (amd64) ?", "tool-1.2.3 (arm64) ?")
	if err != nil {
		t.FailNow()
	}
	e := s.Executables[1]
	if e.Digest != artifact.Of([]byte(arm)) || e.Size != int64(len(arm)) || s.Digest != artifact.Of([]byte(both)) {
		t.Errorf("%+v", e)
	}
	if len(e.Containers) != 1 || e.Containers[0].Kind != Universal || e.Containers[0].Digest != s.Digest || e.String() != `"tool-1.2.3 (arm64)"` {
		t.Errorf("%+v, %s", e.Containers, &e)
	}
	if len(e.Versions) != 1 || e.Versions[0].Version != "v1.2.3" {
		t.Errorf("%+v", e.Versions)
	}
	s, err = openedFile(t, "x.tar", tarOf(member{name: "bin/tool", body: both}, member{name: "bin/other", body: amd}), Limits{})
	want(t, s, err, "bin/tool (amd64) ?", "bin/tool (arm64) ?", "bin/other ?")

	// Slices that share bytes, one within another, what is no executable.
	overlap := []byte(both)
	copy(overlap[8+20+8:], overlap[8+8:8+16]) // the second has the place of the first
	for what, c := range map[string]struct{ content, say string }{
		"overlapping": {string(overlap), "its slices overlap"},
		"nested":      {universalOf(both), "a universal file within one"},
		"text":        {universalOf("some text that is no executable"), "it is no executable"},
		"cut off":     {both[:len(both)-1], "neither an executable nor an archive"},
	} {
		_, err := openedFile(t, "x", c.content, Limits{})
		if err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = openedFile(t, "x", both, Limits{Spool: int64(len(both) + len(amd))})
	refused(t, err, "beyond the limit")
	_, err = openedFile(t, "x", both, Limits{File: int64(len(amd)) - 1})
	refused(t, err, "beyond the limit")
}
