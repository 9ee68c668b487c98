package matrix

import (
	"reflect"
	"slices"

	"github.com/twicebuild/twice/matrix/tomlfile"
)

// Name returns what errors call the file: the name that was given to [Parse].
func (f *File) Name() string { return f.name }

// Line returns the line, from 1, of the key with the given path, such as
// `matrix.include[2]`. For a key that the file does not have, it is the line of the
// nearest key around it.
func (f *File) Line(key string) int { return f.lines.Line(key) }

// Origin returns the path of the key that decided something about b, a build of f.
// key is a key of [build], such as "trimpath", or with an entry a table, such as
// "stamps" and "main.version". The path is in the last [[override]] for b that has
// the key, or else in its [[binary]], or in [build]. Where the default applies, it
// is that of the table [[binary]].
func (f *File) Origin(b Build, key string, entry ...string) string {
	has := func(path string, table any) (string, bool) {
		v := reflect.ValueOf(table).Elem()
		for _, fd := range fieldsOf(v.Type()) {
			if fd.key != key {
				continue
			}
			v = v.FieldByIndex(fd.index)
			path = tomlfile.Key(path, key)
			if len(entry) == 0 {
				return path, !v.IsZero()
			}
			return tomlfile.Key(path, entry[0]), v.Kind() == reflect.Map && v.MapIndex(reflect.ValueOf(entry[0])).IsValid()
		}
		return "", false
	}

	// The most particular table comes first.
	for _, over := range slices.Backward(f.overridesFor(b.Target)) {
		if path, ok := has(over.key, over.Override); ok && matchSegment(over.Binary, b.Binary) {
			return path
		}
	}

	own := ""
	for i := range f.Binaries {
		if f.Binaries[i].Name == b.Binary {
			own = tomlfile.Element("binary", i)
			if path, ok := has(own, &f.Binaries[i]); ok {
				return path
			}
		}
	}
	if path, ok := has("build", &f.Build); ok {
		return path
	}
	return own
}
