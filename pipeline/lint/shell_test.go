package lint

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/matrix/lintid"
)

func TestReadShell(t *testing.T) {
	for _, tt := range []struct {
		script   string
		commands string // of each its line and its words
		vars     string
	}{
		{"", "", ""},
		{"a b 'c d' \"e f\"\n\n# comment $X\ng#h i # j", "1:a|b|c d|e f 4:g#h|i", ""},
		{"a;b&&c||d|e&f\n(g h)\n{ i; }", "1:a 1:b 1:c 1:d 1:e 1:f 2:g|h 3:i 3:}", ""},
		{"X=1 Y=\"$Z\" a\nX=2\nif b; then c; else ! d; fi", "1:a 3:b 3:c 3:d 3:fi", "1:Z"},
		{"echo $(a $(b \"$(c)\")) `d` \"`e`\"", "1:c 1:b|$(c) 1:a|$(b \"$(c)\") 1:d 1:e 1:echo|$(a $(b \"$(c)\"))|`d`|`e`", ""},
		{"a '$(b) $X' \\$Y \\\n  \"${Z:-$(c)} ${#W}\" $1 $?", "2:c 1:a|$(b) $X|$Y|${Z:-$(c)} ${#W}|$1|$?", "2:Z 2:W"},
		{"a >b 2>&1 <c", "1:a|b|2|1|c", ""},
		{"cat <<E <<-'F'\nx $(a) $X\nE\n\ty $(b)\n\tF\nc", "1:cat 2:a 6:c", "2:X"},
		{"cat <<E\nnever ends $X", "1:cat", "2:X"},
		{"a <(b) <<<$X", "1:a 1:b", "1:X"},
		{"echo $((X + $Y)) z", "1:X|+|$Y 1:echo|$((X + $Y))|z", "1:Y"},
		{"env -i A=b nice -n19 c", "1:c", ""},
		{"case x in a) b;; esac", "1:case|x|in|a 1:b 1:esac", ""},
		{"a 'open\nb", "1:a|open\nb", ""},
		{"a `b", "1:b 1:a|`b", ""},
		{") ` ) (", "1:` ) (", ""},
	} {
		commands, vars := readShell(tt.script, 1)
		var got, gotVars []string
		for _, c := range commands {
			got = append(got, fmt.Sprintf("%d:%s", c.line, strings.Join(c.words, "|")))
		}
		for _, v := range vars {
			gotVars = append(gotVars, fmt.Sprintf("%d:%s", v.line, v.name))
		}
		if strings.Join(got, " ") != tt.commands || strings.Join(gotVars, " ") != tt.vars {
			t.Errorf("%q:\ncommands  %s\nwant      %s\nvariables %s\nwant      %s", tt.script, strings.Join(got, " "), tt.commands, strings.Join(gotVars, " "), tt.vars)
		}
	}
}

// Whatever the text, the reader ends, lines are those of the text, and a command
// put on a line of its own behind a text without quotes and expansions is found.
func FuzzReadShell(f *testing.F) {
	for _, s := range []string{
		"a;b", "echo $(date +%s) `x` \"${Y:-$(z)}\" <<E\n$(q)\nE\n", "$((((((", "<<A <<B\nA\n", "`$(`\"'", "x\\", "${#", "a\x00b", strings.Repeat("$(", 60), strings.Repeat("(", 60), "<<\n", "<<-\t'",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 1<<12 {
			return
		}
		commands, vars := readShell(s, 1)
		lines := strings.Count(s, "\n") + 1
		for _, c := range commands {
			if len(c.words) == 0 || c.line < 1 || c.line > lines {
				t.Errorf("command %+v of %d lines", c, lines)
			}
			judgeCommand(c, func(lintid.ID, string, int) {})
		}
		for _, v := range vars {
			if !isName(v.name) || v.line < 1 || v.line > lines {
				t.Errorf("variable %+v of %d lines", v, lines)
			}
		}
		if strings.ContainsAny(s, "'\"`$\\#<({") {
			return
		}
		commands, _ = readShell(s+"\nuname -a", 1)
		if !slices.ContainsFunc(commands, func(c command) bool {
			return c.line == lines+1 && slices.Equal(c.words, []string{"uname", "-a"})
		}) {
			t.Errorf("%q hides the command after it: %+v", s, commands)
		}
	})
}

func TestDirective(t *testing.T) {
	for in, want := range map[string][]string{
		"":                         nil,
		" go run  ./gen -x ":       {"go", "run", "./gen", "-x"},
		`sh -c "date > \"t u\"" x`: {"sh", "-c", `date > "t u"`, "x"},
		`a "b`:                     {"a", `"b`},
	} {
		if got := splitDirective(in); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestFixedDate(t *testing.T) {
	for s, want := range map[string]bool{
		"": false, "+%s": false, "-u": false, "-d yesterday": false, "-d @1700000000": true, "-u -d @$SOURCE_DATE_EPOCH +%F": true,
		"--date=@0": true, "--date=now": false, "-r 1700000000": true, "-r main.go": false, "-d": false, "--date $(git log -1 --format=%cI)": true,
	} {
		if got := isFixedDate(strings.Fields(s)); got != want {
			t.Errorf("date %s: %v", s, got)
		}
	}
}
