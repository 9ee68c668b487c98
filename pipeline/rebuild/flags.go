package rebuild

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/twicebuild/twice/matrix"
	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
)

var (
	variableRE = regexp.MustCompile(`^[\pL\d_~.+/-]{1,500}\.[\pL_][\pL\d_]{0,200}$`)
	hostIDRE   = regexp.MustCompile(`^(0x[0-9a-fA-F]{1,128}|none|gobuildid)$`)
	boolRE     = regexp.MustCompile(`^(true|false|0|1|t|f|T|F|TRUE|FALSE|True|False)$`)
)

// linkerFlags splits the value of -ldflags and refuses all but what is known to
// change nothing but the output: -s, -w, -X, -buildid, -B, and -extldflags=-static,
// which means nothing to Go's own linker and is written all the same. Others
// write files (-o, -cpuprofile, -dumpdep), and start programs (-extld).
func linkerFlags(value string) ([]string, error) {
	args, err := matrix.Split(value)
	if err != nil {
		return nil, err
	}
	return args, checkLinkerFlags(args)
}

func checkLinkerFlags(args []string) error {
	if len(args) > 1000 {
		return errors.New("there are too many")
	}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		flag := strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-")
		name, value, has := strings.Cut(flag, "=")
		if flag == arg || name == "" || strings.HasPrefix(flag, "-") {
			return fmt.Errorf("%s is no flag", verdict.Quote(arg))
		}

		takes := !slices.Contains([]string{"s", "w"}, name)
		if takes && !has {
			if i++; i == len(args) {
				return fmt.Errorf("-%s has no value", verdict.Quote(name))
			}
			value = args[i]
		}
		if strings.ContainsAny(value, "\x00\n\r") || len(value) > 64<<10 {
			return fmt.Errorf("-%s has a value that is not one line of text", verdict.Quote(name))
		}

		ok := false
		switch name {
		case "s", "w":
			ok = !has || boolRE.MatchString(value)
		case "X":
			variable, _, set := strings.Cut(value, "=")
			ok = set && variableRE.MatchString(variable)
		case "buildid":
			ok = len(value) < 1000
		case "B":
			ok = hostIDRE.MatchString(value)
		case "extldflags":
			ok = value == "-static"
		default:
			return fmt.Errorf("-%s is not honoured for a stranger", verdict.Quote(name))
		}

		if !ok {
			return fmt.Errorf("-%s %s is not honoured for a stranger", name, verdict.Quote(value))
		}
	}
	return nil
}

// Flags of the compiler and the assembler that change what is compiled and do
// nothing else.
var (
	knownGCFlags  = regexp.MustCompile(`^-(N|l|l=[0-4]|B|C|e|m|m=[12]|c=\d{1,3}|(dwarf|dwarflocationlists|smallframes)(=(true|false|0|1))?|spectre=(all|index|ret))$`)
	knownASMFlags = regexp.MustCompile(`^-(spectre=(all|index|ret)|e|S=0)$`)
	patternRE     = regexp.MustCompile(`^[\pL\d][\pL\d_~.+/-]{0,500}$`)
)

// compilerFlags reports whether the value of -gcflags or -asmflags, which may begin
// with a pattern of packages, has known flags alone.
func compilerFlags(value string, known *regexp.Regexp) bool {
	value = strings.Trim(value, " \t")
	if value != "" && value[0] != '-' {
		pattern, rest, ok := strings.Cut(value, "=")
		if !ok || !patternRE.MatchString(pattern) || strings.Contains(pattern, "../") {
			return false
		}
		value = rest
	}
	args, err := matrix.Split(value)
	return err == nil && !slices.ContainsFunc(args, func(a string) bool { return !known.MatchString(a) })
}
