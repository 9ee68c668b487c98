package matrix

import (
	"fmt"
	"strings"

	"github.com/twicebuild/twice/matrix/tomlfile"
)

// Hooks returns the commands to run before a build, each with its arguments.
// Templates are expanded with v, of which Binary and Target are not used. The
// error, if there is one, is of type [tomlfile.Errors].
func (f *File) Hooks(v Vars) ([][]string, error) {
	p := f.faults()
	var hooks [][]string
	for i, h := range f.Before {
		var argv []string
		for j := range h.Run {
			key := tomlfile.Element(tomlfile.Key(tomlfile.Element("before", i), "run"), j)
			argv = append(argv, f.expand(p, key, v, checkHookArg(j)))
		}
		hooks = append(hooks, argv)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return hooks, nil
}

// checkHookArg returns the check of argument i of a hook.
func checkHookArg(i int) func(string) error {
	return func(s string) error {
		switch {
		case i == 0 && s == "":
			return fmt.Errorf("the name of the command is empty")
		case strings.ContainsRune(s, 0):
			return fmt.Errorf("holds a NUL")
		}
		return nil
	}
}
