package pass

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
)

// Command is a command that builds something for which there is no recipe, such
// as Go itself.
type Command struct {
	// What names it for people.
	What string
	// Dir is the folder of the source tree that it runs in, with slashes.
	Dir string
	// Argv is the command. A name without a slash is looked for in PATH.
	Argv []string
	// Env are variables, as NAME=value. They win over those that every command of a pass has:
	// folders of its own, a locale, a time zone, PATH.
	Env   []string
	Share Share
}

// Places are folders of a pass, as its commands see them.
type Places struct {
	// Source is the source tree, which this process sees as [Session.Tree]. GOROOT is the
	// toolchain.
	Source, GOROOT string
	// Programs is Foreign.Programs, empty without it.
	Programs string
}

// Places implements [Session].
func (s *localSession) Places() Places {
	p := Places{Source: s.inside.source, GOROOT: s.inside.goroot}
	if list := s.programFolders(); len(list) > 0 {
		p.Programs = list[0]
	}
	return p
}

// commandsJob is the name of the commands of Run as a job.
const commandsJob = "commands"

// Run implements [Session].
func (s *localSession) Run(ctx context.Context, c Command) (out string, err error) {
	drop, err := s.makeFolders(commandsJob)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, drop()) }()
	out, _, err = s.run(ctx, invocation{
		what: c.What, job: commandsJob, writesSource: true,
		dir: filepath.Join(s.inside.source, filepath.FromSlash(c.Dir)), argv: c.Argv,
		env:   slices.Concat(c.Env, []string{"GOMAXPROCS=" + strconv.Itoa(s.parallelism(c.Share))}),
		share: c.Share,
	})
	return out, err
}
