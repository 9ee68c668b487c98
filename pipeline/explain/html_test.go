package explain

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// tags are the elements of a page, and attributes theirs: with the values that
// they may have where that is a closed list.
var (
	tags = strings.Fields("html head meta title style body header h1 h2 h3 h4 h5 p div table caption thead tbody tr th td nav ul ol li a main section span code mark dl dt dd figure figcaption svg rect text i strong footer")
	void = []string{"meta"}

	attributePatterns = map[string]string{
		"id": `[a-z0-9-]+`, "aria-labelledby": `[a-z0-9-]+`, "href": `#[a-z0-9-]+`, "class": `[a-z -]+`, "role": `[a-z]+`, "scope": `col|row`, "tabindex": `0`, "data-side": `A|B`,
		"x": `[0-9.]+%?`, "width": `[0-9.]+%`, "y": `[0-9]+`, "height": `[0-9]+`, "aria-label": `[A-Za-z0-9%:, -]+`,
		"lang": `en`, "charset": `utf-8`, "http-equiv": `Content-Security-Policy`, "name": `viewport|color-scheme|referrer`, "content": `[^"<>]+`,
	}
	tagPattern       = regexp.MustCompile(`^<(/?)([a-z0-9]+)((?: [a-z-]+="[^"<>]*")*)(/?)>`)
	attributePattern = regexp.MustCompile(` ([a-z-]+)="([^"]*)"`)
)

// checkPage returns what is wrong with a page: anything that the template does
// not write, so that nothing can come from a file.
func checkPage(page string) error {
	page, ok := strings.CutPrefix(page, "<!DOCTYPE html>\n")
	if !ok {
		return errors.New("no DOCTYPE")
	}
	if i := strings.IndexFunc(page, func(r rune) bool {
		return r < ' ' && r != '\n' || r == 0x7f || r > '~' && !strings.ContainsRune("\u00a0·…", r)
	}); i >= 0 {
		return fmt.Errorf("an unprintable character: %q", page[max(0, i-40):min(len(page), i+40)])
	}
	cut := strings.Contains(page, "This page is cut off")
	var stack []string
	ids, links := map[string]bool{}, []string{}
	policy, style, heading := "", "", 0
	for page != "" {
		text, _, _ := strings.Cut(page, "<")
		page = page[len(text):]
		if n := len(stack); n > 0 && stack[n-1] == "style" {
			style += text
		} else if strings.ContainsAny(text, `<>"'`) {
			return fmt.Errorf("a text that is not escaped: %q", text)
		}
		if page == "" {
			break
		}
		m := tagPattern.FindStringSubmatch(page)
		if m == nil {
			return fmt.Errorf("not an element: %.80q", page)
		}
		page = page[len(m[0]):]
		name := m[2]
		if !slices.Contains(tags, name) {
			return fmt.Errorf("element %q", m[0])
		}
		if m[1] != "" {
			if n := len(stack); n == 0 || stack[n-1] != name {
				return fmt.Errorf("%s closes %q", m[0], stack)
			}
			stack = stack[:len(stack)-1]
			continue
		}
		for _, a := range attributePattern.FindAllStringSubmatch(m[3], -1) {
			value := html.UnescapeString(a[2])
			if ok, err := regexp.MatchString("^(?:"+attributePatterns[a[1]]+")$", value); err != nil || !ok {
				return fmt.Errorf("attribute %q of %s", a[0], name)
			}
			switch a[1] {
			case "id":
				if ids[value] {
					return fmt.Errorf("two elements %q", value)
				}
				ids[value] = true
			case "aria-labelledby":
				links = append(links, value)
			case "href":
				links = append(links, value[1:])
			case "content":
				if strings.Contains(value, "default-src") {
					policy = value
				}
			}
		}
		if len(name) == 2 && name[0] == 'h' && name[1] >= '1' && name[1] <= '6' {
			if n := int(name[1] - '0'); n > heading+1 {
				return fmt.Errorf("a heading %d below one of %d", n, heading)
			} else {
				heading = n
			}
		}
		if !slices.Contains(void, name) && m[4] == "" {
			if stack = append(stack, name); len(stack) > 40 {
				return errors.New("too deep")
			}
		}
	}
	if len(stack) > 0 {
		return fmt.Errorf("not closed: %q", stack)
	}
	for _, l := range links {
		if !ids[l] && !cut {
			return fmt.Errorf("there is no element %q", l)
		}
	}
	sum := sha256.Sum256([]byte(style))
	if want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"; policy != want {
		return fmt.Errorf("policy %q, want %q", policy, want)
	}
	return nil
}

func checkHTML(t testing.TB, r *Report) string {
	t.Helper()
	var page bytes.Buffer
	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	if err := checkPage(page.String()); err != nil {
		t.Errorf("page: %v", err)
	}
	if page.Len() > maxPageSize+1<<20 {
		t.Errorf("a page of %d bytes", page.Len())
	}
	return page.String()
}

const evil = "\"><script>alert(1)</script>'`</title></style></svg><img src=x onerror=alert(1)>\x00\x1b[31m\r\n\u202e\u2028\xff&lt;{{.}}<!--"

// fill gives every field of a value something: texts are evil, lists have n
// elements.
func fill(v reflect.Value, n, depth int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(evil)
	case reflect.Int, reflect.Int64:
		v.SetInt(1 << 40)
	case reflect.Pointer:
		if depth > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), n, depth-1)
		}
	case reflect.Slice:
		if depth > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(v.Index(i), n, depth-1)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				fill(f, n, depth)
			}
		}
	}
}

func filled(n, depth int) *Report {
	r := &Report{}
	fill(reflect.ValueOf(r).Elem(), n, depth)
	return r
}

// drawn gives every executable a map.
func drawn(c *Comparison) {
	m := newMap(100, 50)
	m.names = append(m.names, evil)
	for side := range m.sides {
		for i := range m.sides[side] {
			m.sides[side][i] = mapPart{level(i % len(levelNames)), i / 10 % 2}
		}
	}
	c.drawn = m
	for i := range c.Binaries {
		c.Binaries[i].drawn = m
	}
	if c.Archive != nil {
		for i := range c.Archive.Members {
			if x := c.Archive.Members[i].Content; x != nil {
				drawn(x)
			}
		}
	}
}

// TestHostilePage shows that no text of a file becomes anything else on a page,
// wherever in a report it is.
func TestHostilePage(t *testing.T) {
	r := filled(3, 5)
	drawn(&r.Comparison)
	page := checkHTML(t, r)
	for _, part := range []string{"Causes", "Map", "Build ID", "Functions", "Sections", "Members that differ", "Strings", "Notes", "Text", "Embedded files", "&lt;script&gt;alert(1)"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page has no %q", part)
		}
	}
	r = filled(3, 5)
	r.Archive, r.Binaries = nil, nil
	drawn(&r.Comparison)
	checkHTML(t, r)
	for name, r := range map[string]*Report{"empty": {}, "equal": {Comparison: Comparison{Equal: true}}} {
		if page := checkHTML(t, r); strings.Contains(page, "are equal") != r.Equal {
			t.Errorf("%s:\n%s", name, page)
		}
	}
}

// TestPageOfFolders shows that nothing is said about bytes of what has none.
func TestPageOfFolders(t *testing.T) {
	var trees [2]Tree
	for i, text := range []string{"one", "two"} {
		var err error
		if trees[i], err = Folder(t.Context(), "dist", fstest.MapFS{"README": {Data: []byte(text), Mode: 0o644}}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Trees(t.Context(), trees[0], trees[1], Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if page := checkHTML(t, r); strings.Contains(page, "offset -1") || !strings.Contains(page, "The first cause:") || !strings.Contains(page, "Members that differ") {
		t.Error(page)
	}
}

// TestPageChecker shows that the checker of pages finds what it is for.
func TestPageChecker(t *testing.T) {
	r := filled(2, 4)
	good := checkHTML(t, r)
	for _, x := range [][2]string{
		{"<main>", "<main><script>alert(1)</script>"},
		{"<main>", `<main><img src="x">`},
		{"<main>", `<main onclick="x">`},
		{"<main>", "<main>>"},
		{"<main>", "<main>\x1b"},
		{"<main>", "<main>\u202e"},
		{"</main>", ""},
		{"<p>", `<p class="x" style="color:red">`},
		{`href="#causes"`, `href="javascript:alert(1)"`},
		{`href="#causes"`, `href="#nowhere"`},
		{`id="causes"`, `id="notes"`},
		{"<h2 ", "<h5 "},
		{"default-src 'none'; ", ""},
		{"default-src &#39;none&#39;; ", ""},
		{"color-scheme: light dark;", "color-scheme: light;"},
	} {
		bad := strings.Replace(good, x[0], x[1], 1)
		if x[0] == "<h2 " {
			bad = strings.ReplaceAll(strings.ReplaceAll(good, "<h2 ", "<h5 "), "</h2>", "</h5>")
		}
		if bad != good && checkPage(bad) == nil {
			t.Errorf("%q instead of %q is not found", x[1], x[0])
		}
	}
}

// TestPageSize shows that a page is bounded, and says so.
func TestPageSize(t *testing.T) {
	r := filled(40, 3)
	one := filled(128, 3).Comparison
	one.Archive = nil
	r.Archive.Members = nil
	for range maxExplained {
		r.Archive.Members = append(r.Archive.Members, Member{Name: evil, Content: &one})
	}
	drawn(&r.Comparison)
	page := checkHTML(t, r)
	if len(page) < maxPageSize*3/4 || !strings.Contains(page, "This page is cut off") {
		t.Errorf("%d bytes, and it is not said that it is cut off", len(page))
	}
	if strings.Contains(checkHTML(t, filled(2, 3)), "This page is cut off") {
		t.Error("a small page is cut off")
	}
}

func TestPageErrors(t *testing.T) {
	pr, pw := io.Pipe()
	why := errors.New("disk full")
	pr.CloseWithError(why)
	if err := filled(2, 3).HTML(pw); !errors.Is(err, why) {
		t.Errorf("%v, want %v", err, why)
	}
}

// TestPage shows what a page says of a real pair, and that it is the same each
// time.
func TestPage(t *testing.T) {
	a, b := flags([]string{"-ldflags=-X main.version=release-one"}, []string{"-ldflags=-X main.version=release-two"})(t)
	page := checkHTML(t, explainBytes(t, a, b, Options{}))
	for _, want := range []string{
		"<h1>a and b differ</h1>", `<h2 id="causes">`, `<code>ldflags-x</code>`, "release-<mark>one</mark>", "release-<mark>two</mark>",
		`<h2 id="map">`, `class="section code"`, `<title>.text: equal, 0x`, "Map of A: ", `<h2 id="buildid">`, `<h2 id="sections">`, `<h2 id="functions">`, `href="#functions"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if again := checkHTML(t, explainBytes(t, a, b, Options{})); again != page {
		t.Error("the page is another one the second time")
	}
	pack := func(data []byte) []byte {
		m := tarFiles()
		m[1].text, m[1].Mode = string(data), int64(data[len(data)-1])&0o777
		m[0].Name += "\x1b<b>"
		return tarball(t, m)
	}
	page = checkHTML(t, explainBytes(t, pack(a), pack(b), Options{TempDir: t.TempDir()}))
	for _, want := range []string{`<h2 id="archive">`, `<h3 id="m0-">Member bin/x</h3>`, `<h4 id="m0-map">`, `href="#m0-"`, "in</span> <span class=\"v\">bin/x</span>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of an archive has no %s", want)
		}
	}
}

func TestNumber(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1\u00a0000", -1234567: "-1\u00a0234\u00a0567"} {
		if got := number(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

func TestCommon(t *testing.T) {
	for _, x := range []struct {
		a, b       string
		start, end int
	}{
		{"", "", 0, 0}, {"abc", "abd", 2, 0}, {"abc", "xbc", 0, 2}, {"aa", "aaa", 2, 0}, {"xéy", "xèy", 1, 1}, {"é", "è", 0, 0}, {"a©b", "aéb", 1, 1}, {"1é", "2\xa9", 0, 0},
	} {
		if start, end := common(x.a, x.b); start != x.start || end != x.end {
			t.Errorf("%q, %q: %d, %d", x.a, x.b, start, end)
		}
	}
}
