package survey

import (
	"bufio"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
	"sync"

	"github.com/twicebuild/twice/pipeline/rebuild/verdict"
	"github.com/twicebuild/twice/pipeline/safetext"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// pageTemplate is parsed when a page is first written. The policy allows the one style sheet by its
// hash and nothing else: no script, no image, no network (https://www.w3.org/TR/CSP3/).
var pageTemplate = sync.OnceValues(func() (*template.Template, error) {
	sum := sha256.Sum256([]byte(pageCSS))
	policy := "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
	text := strings.NewReplacer("@POLICY@", policy, "@STYLE@", pageCSS).Replace(pageHTML)
	return template.New("page").Funcs(template.FuncMap{
		"text":     func(s any) string { return safetext.Escape(fmt.Sprint(s), 300) },
		"first":    func(s string) string { return safetext.Escape(firstLine(s), 300) },
		"points":   func(f float64) string { return fmt.Sprintf("%+.1f", f) },
		"percent":  func(c Count) string { return fmt.Sprintf("%.1f", c.Percent()) },
		"programs": programs,
		"day":      day,
		"tools":    func(list []string) string { return safetext.Escape(strings.Join(list, ", "), 300) },
		"group":    func(title string, list []Group) any { return map[string]any{"Title": title, "List": list} },
		"kind":     func(r *verdict.Reason) string { return safetext.Escape(string(r.Kind), 300) },
	}).Parse(text)
})

// HTML writes the document as a page that is complete in one file. The page loads nothing and has no
// scripts, and its content security policy forbids both. The same document makes the same page. The
// error is the writer's.
func (d *Document) HTML(w io.Writer) error {
	t, err := pageTemplate()
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	if err := t.Execute(out, d); err != nil {
		return err
	}
	return out.Flush()
}
