package matrix

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twicebuild/twice/matrix/internal/spelling"
	"github.com/twicebuild/twice/matrix/lintid"
	"github.com/twicebuild/twice/matrix/tomlfile"
)

// maxList bounds the elements of a list or table, and so the work of an expansion.
const maxList = 1000

// parser fills a File from a tree of TOML values and checks it.
type parser struct {
	faults
	f *File
}

// field has the facts that a struct's tags give about one of its keys.
type field struct {
	key      string
	required bool
	enum     []string
	index    []int
	typ      reflect.Type
}

// fieldsOf returns the keys of a struct type, in its order, embedded structs
// included. The tag is toml:"key", with ",required" and ",enum=a|b" after it;
// ",enum=@lint" stands for [lintid.All].
func fieldsOf(t reflect.Type) []field {
	var list []field
	for _, sf := range reflect.VisibleFields(t) {
		tag, ok := sf.Tag.Lookup("toml")
		if !ok {
			continue
		}
		parts := strings.Split(tag, ",")
		f := field{key: parts[0], index: sf.Index, typ: sf.Type}
		for _, p := range parts[1:] {
			if p == "required" {
				f.required = true
			}
			if e, ok := strings.CutPrefix(p, "enum="); ok {
				f.enum = strings.Split(e, "|")
				if e == "@lint" {
					f.enum = lintid.Names()
				}
			}
		}
		list = append(list, f)
	}
	return list
}

// decodeTable copies a TOML table into the struct dst.
func (p *parser) decodeTable(path string, src map[string]any, dst reflect.Value) {
	known := fieldsOf(dst.Type())
	var keys []string
	for _, f := range known {
		keys = append(keys, f.key)
		value, ok := src[f.key]
		switch {
		case ok:
			p.decodeValue(tomlfile.Key(path, f.key), f.enum, value, dst.FieldByIndex(f.index))
		case f.required:
			hint := ""
			if f.typ.Kind() == reflect.Slice && f.typ.Elem().Kind() == reflect.Struct {
				hint = fmt.Sprintf("begin one with [[%s]]", f.key)
			}
			// The line of a key that is missing is that of its table.
			p.rejected[tomlfile.Key(path, f.key)] = true
			p.list = append(p.list, &tomlfile.Error{
				File: p.file, Line: p.lines.Line(path), Key: tomlfile.Key(path, f.key), Msg: "missing", Remedy: hint,
			})
		}
	}

	for _, key := range slices.Sorted(maps.Keys(src)) {
		if slices.Contains(keys, key) {
			continue
		}
		hint := ""
		if c := spelling.Closest(key, keys); c != "" {
			hint = fmt.Sprintf("did you mean %q?", c)
		} else if home := tableOf(key); home != path && home != "" {
			hint = fmt.Sprintf("it belongs to [%s]", home)
		}
		p.reject(tomlfile.Key(path, key), hint, "unknown key")
	}
}

// tableOf returns the name of the table that has key, such as "build" for
// "trimpath". It is "" where no table has it, or only one of a list of tables.
func tableOf(key string) string {
	for _, t := range fieldsOf(reflect.TypeFor[File]()) {
		if t.typ.Kind() != reflect.Struct {
			continue
		}
		for _, f := range fieldsOf(t.typ) {
			if f.key == key {
				return t.key
			}
		}
	}
	return ""
}

// decodeValue copies one TOML value into dst, or says what is wrong with its type.
func (p *parser) decodeValue(path string, enum []string, src any, dst reflect.Value) {
	wrong := func(want, hint string) { p.reject(path, hint, "want %s, not %s", want, kindOf(src)) }

	switch dst.Kind() {
	case reflect.Pointer:
		dst.Set(reflect.New(dst.Type().Elem()))
		p.decodeValue(path, enum, src, dst.Elem())
	case reflect.Bool:
		b, ok := src.(bool)
		if !ok {
			wrong("true or false", hintNoQuotes(src))
			return
		}
		dst.SetBool(b)
	case reflect.String:
		s, ok := src.(string)
		if !ok {
			wrong("a string", hintQuotes(src))
			return
		}

		switch {
		case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
			p.reject(path, "", "not text: it holds a NUL or no UTF-8")
		case enum != nil && !slices.Contains(enum, s):
			what, hint := fmt.Sprintf("unknown value %q (%s)", s, spelling.Or(enum)), ""
			if slices.Equal(enum, lintid.Names()) {
				what, hint = fmt.Sprintf("unknown lint %q", s), "twice check --explain all lists them"
			}
			if c := spelling.Closest(s, enum); c != "" {
				hint = fmt.Sprintf("did you mean %q?", c)
			}
			p.reject(path, hint, "%s", what)
		}

		dst.SetString(s)
	case reflect.Slice:
		elem := dst.Type().Elem()
		list, ok := asList(src)
		if !ok {
			if elem.Kind() == reflect.Struct {
				wrong("a list of tables", fmt.Sprintf("write [[%s]]", path))
			} else {
				wrong("a list of strings", "put it in [ ]")
			}
			return
		}
		if len(list) > maxList {
			p.reject(path, "", "more than %d elements", maxList)
			return
		}

		dst.Set(reflect.MakeSlice(dst.Type(), len(list), len(list)))
		for i, e := range list {
			p.decodeValue(tomlfile.Element(path, i), enum, e, dst.Index(i))
		}
	case reflect.Map:
		table, ok := src.(map[string]any)
		if !ok {
			wrong("a table", "")
			return
		}
		if len(table) > maxList {
			p.reject(path, "", "more than %d keys", maxList)
			return
		}

		dst.Set(reflect.MakeMap(dst.Type()))
		for _, key := range slices.Sorted(maps.Keys(table)) {
			v := reflect.New(dst.Type().Elem()).Elem()
			p.decodeValue(tomlfile.Key(path, key), enum, table[key], v)
			dst.SetMapIndex(reflect.ValueOf(key), v)
		}
	case reflect.Struct:
		table, ok := src.(map[string]any)
		if !ok {
			wrong("a table", "")
			return
		}
		p.decodeTable(path, table, dst)
	default:
		p.reject(path, "", "no value of type %s can be read", dst.Type())
	}
}

// asList returns the elements of a TOML array. The library has two types for it.
func asList(src any) ([]any, bool) {
	switch src := src.(type) {
	case []any:
		return src, true
	case []map[string]any:
		list := make([]any, len(src))
		for i, t := range src {
			list[i] = t
		}
		return list, true
	}
	return nil, false
}

// kindOf names the type of a TOML value.
func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case time.Time:
		return "a date or time"
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "a list of tables"
	}
	return "a list"
}

// hintQuotes is the remedy for a value that stands where a string has to be.
func hintQuotes(v any) string {
	switch v.(type) {
	case int64, float64, bool:
		return fmt.Sprintf("write it in quotes: \"%v\"", v)
	}
	return ""
}

// hintNoQuotes is the remedy for a string that stands where a boolean has to be.
func hintNoQuotes(v any) string {
	if v == "true" || v == "false" {
		return fmt.Sprintf("write it without quotes: %v", v)
	}
	return ""
}
