package tomlfile

import "testing"

// Keys are found wherever TOML lets them stand.
func TestLines(t *testing.T) {
	const text = "\ufeff# comment [x]\r\n" + `a.b."c.d" = 1
s = """
[not] = "a \""" table"
""" # [nor] this
l = '''
x = 1'''
arr = [ # ]
  "a]", 'b',
  [1,
   2], { x = 1,
  y.z = "}" },
]
[t . 'u']
k = 2026-01-01T00:00:00Z
[[n]]
[n.sub]
q = 1
[[n]]
q = "\u0041\"#"
"\u0041" = 1
[[n.m]]
[[n.m]]
z = 1
`
	x, err := ReadIndex(text)
	if err != nil {
		t.Fatal(err)
	}
	for key, line := range map[string]int{
		"a": 2, "a.b": 2, `a.b."c.d"`: 2, "s": 3, "l": 6, "arr": 8, "arr[0]": 9, "arr[1]": 9, "arr[2]": 10, "arr[2][0]": 10, "arr[2][1]": 11,
		"arr[3]": 11, "arr[3].x": 11, "arr[3].y": 12, "arr[3].y.z": 12, "t": 14, "t.u": 14, "t.u.k": 15,
		"n": 16, "n[0]": 16, "n[0].sub": 17, "n[0].sub.q": 18, "n[1]": 19, "n[1].q": 20, "n[1].A": 21, "n[1].m[0]": 22, "n[1].m[1].z": 24,
	} {
		if got, ok := x.at[key]; !ok || got != line {
			t.Errorf("%s: line %d, want %d", key, got, line)
		}
	}
	for _, key := range []string{"not", "nor", "x"} {
		if _, ok := x.at[key]; ok {
			t.Errorf("%s is no key", key)
		}
	}
	if x.Line("t.u.absent[3]") != 14 || x.Line("absent") != 1 || x.Line(`n[1]."a\"]b[0]"[2]`) != 19 {
		t.Error("what is absent is not found around where it would be")
	}
}
