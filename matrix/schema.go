package matrix

import (
	"encoding/json"
	"reflect"
)

// Schema returns a JSON Schema (draft 2020-12) of the release file, made from
// the same struct tags that [Parse] goes by, for editors that check TOML with
// one. It knows the keys, their types and closed sets of values. [Parse] checks
// more.
func Schema() []byte {
	s := schemaOf(reflect.TypeFor[File](), nil)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "release.toml"
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil // no map of strings, lists and maps fails
	}
	return append(data, '\n')
}

// schemaOf returns the schema of values of type t, or of the strings in enum.
func schemaOf(t reflect.Type, enum []string) map[string]any {
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem(), enum)
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem(), enum), "maxItems": maxList}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem(), enum)}
	case reflect.Struct:
		properties, required := map[string]any{}, []string{}
		for _, f := range fieldsOf(t) {
			properties[f.key] = schemaOf(f.typ, f.enum)
			if f.required {
				required = append(required, f.key)
			}
		}
		s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
		if len(required) > 0 {
			s["required"] = required
		}
		return s
	}

	s := map[string]any{"type": "string"}
	if enum != nil {
		s["enum"] = enum
	}
	return s
}
