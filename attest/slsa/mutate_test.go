package slsa

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twicebuild/twice/attest/intoto"
)

// node is a JSON value whose members keep their order: kind is {, [ or " for
// everything else, which is then text.
type node struct {
	kind byte
	name string // as a member
	list []*node
	text string
}

func parse(t *testing.T, dec *json.Decoder) *node {
	t.Helper()
	token, err := dec.Token()
	if err != nil {
		t.Fatal(err)
	}
	open, ok := token.(json.Delim)
	if !ok {
		text, err := intoto.Marshal(token)
		if err != nil {
			t.Fatal(err)
		}
		return &node{kind: '"', text: string(text)}
	}
	n := &node{kind: byte(open)}
	for dec.More() {
		name := ""
		if open == '{' {
			key, err := dec.Token()
			if err != nil {
				t.Fatal(err)
			}
			name = key.(string)
		}
		value := parse(t, dec)
		value.name = name
		n.list = append(n.list, value)
	}
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) write(b *bytes.Buffer) {
	if n.kind == '"' {
		b.WriteString(n.text)
		return
	}
	b.WriteByte(n.kind)
	for i, v := range n.list {
		if i > 0 {
			b.WriteByte(',')
		}
		if n.kind == '{' {
			name, _ := intoto.Marshal(v.name)
			b.Write(name)
			b.WriteByte(':')
		}
		v.write(b)
	}
	b.WriteByte(n.kind + 2) // ] and } in ASCII
}

// mutate calls f with every document that differs from data in one place: a
// member or an element is missing, has another name, another value of the same
// kind or a value of another kind, or has a new neighbour. f gets the path of the
// place and what was done. It is called once with data itself before.
func mutate(t *testing.T, data []byte, f func(path, what string, doc []byte)) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	root := parse(t, dec)
	emit := func(path, what string) {
		var b bytes.Buffer
		root.write(&b)
		f(path, what, b.Bytes())
	}
	emit("", "")
	var walk func(path string, n *node)
	walk = func(path string, n *node) {
		was := *n
		try := func(what string, as node) {
			as.name = was.name
			*n = as
			emit(path, what)
			*n = was
		}
		scalar := func(what, text string) { try(what, node{kind: '"', text: text}) }
		switch {
		case n.kind != '"':
			try("another kind", node{kind: '"', text: `"x"`})
			x := &node{name: "zzz", kind: '"', text: `"x"`}
			try("neighbour", node{kind: n.kind, list: append(slices.Clone(n.list), x)})
			for i, v := range was.list {
				at := fmt.Sprintf("%s/%d", path, i)
				if n.kind == '{' {
					at = path + "/" + v.name
					name := v.name
					v.name = strings.ToUpper(name)
					emit(at, "other case")
					v.name = name
				}
				n.list = slices.Delete(slices.Clone(was.list), i, i+1)
				emit(at, "removed")
				n.list = slices.Insert(slices.Clone(was.list), i, v)
				emit(at, "doubled")
				n.list = was.list
				walk(at, v)
			}
		case n.text[0] == '"':
			scalar("value", strings.TrimSuffix(n.text, `"`)+`x"`)
			scalar("empty", `""`)
			scalar("another kind", `7`)
		case n.text == "true":
			scalar("value", "false")
			scalar("another kind", `"x"`)
		case n.text == "false":
			scalar("value", "true")
			scalar("another kind", `"x"`)
		default:
			scalar("value", "123456789")
			scalar("another kind", `"x"`)
		}
		scalar("null", "null")
	}
	walk("", root)
}
