package matrix

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
)

// Vars has the values that templates of the release file can refer to. A template is Go's
// text/template with these fields:
//
//	{{.Project}}         project
//	{{.Version}}         the version without a leading v: 1.2.3
//	{{.Tag}}             the tag as it is in git: v1.2.3
//	{{.Commit}}          the commit, in full
//	{{.ShortCommit}}     the commit, abbreviated
//	{{.CommitTime}}      when it was committed: 2026-08-03T17:02:11Z
//	{{.CommitUnix}}      the same in seconds since 1970
//	{{.Snapshot}}        whether this is a snapshot: true or false
//	{{.Binary}}          the name of the binary, without .exe
//	{{.Target}}          linux/arm/6,softfloat
//	{{.Target.OS}}       linux
//	{{.Target.Arch}}     arm
//	{{.Target.Variant}}  6,softfloat
//	{{.Target.Slug}}     linux_arm_6_softfloat
//
// and these functions, made for pipelines such as {{.Tag | trimPrefix "v"}}:
//
//	lower TEXT, upper TEXT, replace OLD NEW TEXT, trimPrefix PREFIX TEXT,
//	trimSuffix SUFFIX TEXT, eq, ne, and, or, not
//
// with if, else and with. There are no loops, variables or nested templates,
// and nothing that tells the time, the host or the environment: equal inputs
// give equal text. A field that exists but makes no sense in a place (the target
// in a hook, which runs once for all) is an error.
type Vars struct {
	Project, Version, Tag, Commit, ShortCommit string
	// CommitTime is written in UTC, in whole seconds.
	CommitTime time.Time
	Snapshot   bool
	// Binary and Target are set by this package where they are known.
	Binary string
	Target Target
}

// SampleVars returns variables of a release that does not exist. They are for trying templates where
// no commit is at hand.
func SampleVars(project string) Vars {
	return Vars{
		Project:     project,
		Version:     "1.2.3",
		Tag:         "v1.2.3",
		Commit:      "0123456789abcdef0123456789abcdef01234567",
		ShortCommit: "0123456789ab",
		CommitTime:  time.Unix(1_000_000_000, 0),
		Binary:      "binary",
		Target:      Target{OS: "linux", Arch: "amd64"},
	}
}

// maxText bounds a template and what comes out of it, in bytes.
const maxText = 4096

// view is what a template sees. It holds the time as text, because the methods of
// time.Time would read the time zone of the host.
type view struct {
	Project, Version, Tag, Commit, ShortCommit string
	CommitTime                                 string
	CommitUnix                                 int64
	Snapshot                                   bool
	Binary                                     string
	Target                                     targetView
}

type targetView struct{ text, OS, Arch, Variant, Slug string }

func (t targetView) String() string { return t.text }

func (v Vars) view() view {
	t := v.Target
	return view{
		Project: v.Project, Version: v.Version, Tag: v.Tag,
		Commit: v.Commit, ShortCommit: v.ShortCommit,
		CommitTime: v.CommitTime.UTC().Format(time.RFC3339),
		CommitUnix: v.CommitTime.Unix(),
		Snapshot:   v.Snapshot,
		Binary:     v.Binary,
		Target:     targetView{t.String(), t.OS, t.Arch, t.Variant, t.Slug()},
	}
}

var errTooLong = fmt.Errorf("comes to more than %d bytes", maxText)

// bounded returns s, or an error if it is too long.
func bounded(s string) (string, error) {
	if len(s) > maxText {
		return "", errTooLong
	}
	return s, nil
}

// funcs are the functions of templates. Each bounds its result, so that a chain
// of them cannot grow without end.
var funcs = template.FuncMap{
	"lower": func(s string) (string, error) { return bounded(strings.ToLower(s)) },
	"upper": func(s string) (string, error) { return bounded(strings.ToUpper(s)) },
	"replace": func(old, new, s string) (string, error) {
		return bounded(strings.ReplaceAll(s, old, new))
	},
	"trimPrefix": func(prefix, s string) string { return strings.TrimPrefix(s, prefix) },
	"trimSuffix": func(suffix, s string) string { return strings.TrimSuffix(s, suffix) },
}

// builtins are the functions of text/template itself that are let through.
var builtins = []string{"eq", "ne", "and", "or", "not"}

// checkedTemplate is a template that passed [parseTemplate].
type checkedTemplate struct {
	t      *template.Template
	binary bool // refers to .Binary
}

// fieldScope says which fields make sense in a template.
type fieldScope struct{ target, binary bool }

// parseTemplate checks s as a template for a place, and tries it with sample values.
func parseTemplate(s string, in fieldScope) (checkedTemplate, error) {
	if len(s) > maxText {
		return checkedTemplate{}, fmt.Errorf("template is longer than %d bytes", maxText)
	}

	t, err := template.New("template").Option("missingkey=error").Funcs(funcs).Parse(s)
	if err != nil {
		return checkedTemplate{}, plainError(err)
	}
	if len(t.Templates()) > 1 {
		return checkedTemplate{}, errors.New("template: define is not available")
	}

	tx := checkedTemplate{t: t}
	if t.Tree == nil { // white space or comments alone
		return tx, nil
	}

	if err := tx.checkNode(t.Root, in); err != nil {
		return checkedTemplate{}, fmt.Errorf("template: %w", err)
	}

	// Two samples take both sides of a condition on Snapshot, and a target with a
	// variant and one without.
	sample := SampleVars("project")
	if _, err := tx.expand(sample); err != nil {
		return checkedTemplate{}, err
	}
	sample.Snapshot, sample.Target = true, Target{"linux", "arm", "7"}
	if _, err := tx.expand(sample); err != nil {
		return checkedTemplate{}, err
	}
	return tx, nil
}

// checkNode refuses the parts of the template language that could run for long or
// look behind the documented fields.
func (tx *checkedTemplate) checkNode(n parse.Node, in fieldScope) error {
	var nodes []parse.Node
	switch n := n.(type) {
	case *parse.ListNode:
		if n != nil {
			nodes = n.Nodes
		}
	case *parse.TextNode, *parse.CommentNode, *parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.DotNode:
	case *parse.ActionNode:
		nodes = []parse.Node{n.Pipe}
	case *parse.IfNode:
		nodes = []parse.Node{n.Pipe, n.List, n.ElseList}
	case *parse.WithNode:
		nodes = []parse.Node{n.Pipe, n.List, n.ElseList}
	case *parse.PipeNode:
		if len(n.Decl) > 0 {
			return errors.New("variables are not available")
		}
		for _, c := range n.Cmds {
			nodes = append(nodes, c)
		}
	case *parse.CommandNode:
		nodes = n.Args
	case *parse.IdentifierNode:
		if _, ok := funcs[n.Ident]; !ok && !slices.Contains(builtins, n.Ident) {
			return fmt.Errorf("function %q is not available", n.Ident)
		}
	case *parse.FieldNode:
		return tx.checkField(n.Ident, in)
	case *parse.VariableNode:
		if len(n.Ident) < 2 || n.Ident[0] != "$" {
			return errors.New("variables are not available")
		}
		return tx.checkField(n.Ident[1:], in)
	default:
		return fmt.Errorf("%s is not available", n)
	}

	for _, c := range nodes {
		if err := tx.checkNode(c, in); err != nil {
			return err
		}
	}
	return nil
}

// checkField refuses a field that makes no sense in a place, and notes the use of
// .Binary.
func (tx *checkedTemplate) checkField(ident []string, in fieldScope) error {
	switch {
	case slices.Contains(ident, "String"):
		return errors.New("no field String")
	case ident[0] == "Target" && !in.target:
		return errors.New("there is no single .Target here")
	case ident[0] == "Binary" && !in.binary:
		return errors.New("there is no single .Binary here")
	case ident[0] == "Binary":
		tx.binary = true
	}
	return nil
}

// expand executes the template.
func (tx checkedTemplate) expand(v Vars) (string, error) {
	switch {
	case tx.t == nil:
		return "", errors.New("the release file was not made by Parse")
	case tx.t.Tree == nil:
		return "", nil
	}

	var w limitedBuffer
	if err := tx.t.Execute(&w, v.view()); err != nil {
		if errors.Is(err, errTooLong) {
			return "", fmt.Errorf("template: %w", errTooLong)
		}
		return "", plainError(err)
	}
	return string(w), nil
}

// plainError takes the names of our types out of the errors of text/template.
func plainError(err error) error {
	s := strings.TrimPrefix(err.Error(), "template: template:")
	s = strings.ReplaceAll(s, " in type matrix.view", "")
	s = strings.ReplaceAll(s, " in type matrix.targetView", " in .Target")
	return fmt.Errorf("template: %s", s)
}

// limitedBuffer is a buffer that holds at most maxText bytes.
type limitedBuffer []byte

func (l *limitedBuffer) Write(p []byte) (int, error) {
	if len(*l)+len(p) > maxText {
		return 0, errTooLong
	}
	*l = append(*l, p...)
	return len(p), nil
}
