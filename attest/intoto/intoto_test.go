package intoto

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/twicebuild/twice/pipeline/artifact"
)

var (
	digestA = artifact.Of([]byte("a"))
	digestB = artifact.Of([]byte("b"))
)

func example() Statement {
	return Statement{
		Subjects:      []Subject{{Name: "bin/linux_amd64/b", Digest: digestB}, {Name: "a <&>.zip", Digest: digestA}},
		PredicateType: "https://example.com/p/v1",
		Predicate:     json.RawMessage(`{ "z": [1, 1.50], "a": {"b": "<é>"} }`),
	}
}

func TestEncode(t *testing.T) {
	want := `{"_type":"https://in-toto.io/Statement/v1","subject":[` +
		`{"name":"bin/linux_amd64/b","digest":{"sha256":"` + digestB.Hex() + `"}},` +
		`{"name":"a <&>.zip","digest":{"sha256":"` + digestA.Hex() + `"}}],` +
		`"predicateType":"https://example.com/p/v1","predicate":{"z":[1,1.50],"a":{"b":"<é>"}}}`
	got, err := example().Encode()
	if err != nil || string(got) != want {
		t.Fatalf("%v\n got %s\nwant %s", err, got, want)
	}
	back, err := Decode(got)
	if err != nil {
		t.Fatal(err)
	}
	s := example()
	s.Predicate = json.RawMessage(`{"z":[1,1.50],"a":{"b":"<é>"}}`)
	if !reflect.DeepEqual(back, s) {
		t.Errorf("%+v", back)
	}
	if !back.Has(digestA) || back.Has(artifact.Of(nil)) || (Statement{Subjects: []Subject{{}}}).Has("") {
		t.Error("Has")
	}
}

func TestEncodeRefuses(t *testing.T) {
	for want, change := range map[string]func(*Statement){
		"there is none":            func(s *Statement) { s.Subjects = nil },
		"a second one is named":    func(s *Statement) { s.Subjects[1].Name = s.Subjects[0].Name },
		"not the only subject":     func(s *Statement) { s.Subjects[1].Name = "" },
		"cannot be printed":        func(s *Statement) { s.Subjects[1].Name = "a\x1b[2Jb" },
		"not UTF-8":                func(s *Statement) { s.Subjects[1].Name = "\xff" },
		"longer than 4096":         func(s *Statement) { s.Subjects[1].Name = strings.Repeat("n", 5000) },
		"subject[0]: digest":       func(s *Statement) { s.Subjects[0].Digest = "" },
		"64 lower-case":            func(s *Statement) { s.Subjects[0].Digest = artifact.Digest(strings.ToUpper(string(digestA))) },
		"not a URI":                func(s *Statement) { s.PredicateType = "" },
		`"provenance": not a URI`:  func(s *Statement) { s.PredicateType = "provenance" },
		`"https://": not a URI`:    func(s *Statement) { s.PredicateType = "https://" },
		`/a b": not a URI`:         func(s *Statement) { s.PredicateType = "https://example.com/a b" },
		"not an object":            func(s *Statement) { s.Predicate = nil },
		"predicate: not an object": func(s *Statement) { s.Predicate = json.RawMessage(`[]`) },
		"invalid character '}'":    func(s *Statement) { s.Predicate = json.RawMessage(`{"a":1,}`) },
		"after top-level value":    func(s *Statement) { s.Predicate = json.RawMessage(`{}{}`) },
		`"a" is there twice`:       func(s *Statement) { s.Predicate = json.RawMessage(`{"x":[{"a":1,"\u0061":2}]}`) },
		"statement: not UTF-8":     func(s *Statement) { s.Predicate = json.RawMessage("{\"a\":\"\xff\"}") },
		"nested deeper":            func(s *Statement) { s.Predicate = nested(maxDepth) },
	} {
		s := example()
		change(&s)
		if got, err := s.Encode(); err == nil || got != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	s := example()
	s.Predicate = nested(maxDepth - 2)
	if _, err := s.Encode(); err != nil {
		t.Errorf("at the limit: %v", err)
	}
}

// nested is an object of n levels.
func nested(n int) json.RawMessage {
	return json.RawMessage(strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n))
}

const valid = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"x","digest":{"sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}}],"predicateType":"https://example.com/p","predicate":{}}`

// TestDecodeStrangers reads what others write.
func TestDecodeStrangers(t *testing.T) {
	for what, change := range map[string][2]string{
		"as it is":         {"", ""},
		"white space":      {",", " ,\r\n\t"},
		"no name":          {`"name":"x",`, ``},
		"another digest":   {`"sha256":`, `"blake3":"Anything","gitCommit":"64d3f795e189e3af5afbb288d50217603092bd49","sha256":`},
		"other members":    {`"name":`, `"uri":"https://example.com/x","downloadLocation":"x","mediaType":"x","content":"eA==","annotations":{"a":[1]},"name":`},
		"escaped name":     {`"subject"`, `"subj\u0065ct"`},
		"version 0.1":      {"Statement/v1", "Statement/v0.1"},
		"a SHA-512 beside": {`"sha256":`, `"sha512":"` + strings.Repeat("ab", 64) + `","sha256":`},
		"a type as a URN":  {"https://example.com/p", "urn:example:p"},
		"two for one name": {`],"predicateType"`, `,{"name":"y","digest":{"sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}}],"predicateType"`},
	} {
		doc := strings.Replace(valid, change[0], change[1], 1)
		s, err := Decode([]byte(doc))
		if err != nil || s.Subjects[0].Digest != digestA {
			t.Errorf("%s: %+v, %v", what, s, err)
		}
	}
}

// TestDecodeSHA512 reads a subject that has no SHA-256, as the npm client writes them.
func TestDecodeSHA512(t *testing.T) {
	sum := strings.Repeat("0a", 64)
	doc := strings.Replace(valid, `"sha256":"`+digestA.Hex(), `"sha512":"`+sum, 1)
	s, err := Decode([]byte(doc))
	if err != nil || s.Subjects[0] != (Subject{Name: "x", SHA512: sum}) || s.Has("") {
		t.Fatalf("%+v, %v", s, err)
	}
	if again, err := s.Encode(); err != nil || string(again) != doc {
		t.Errorf("%s, %v", again, err)
	}
	s.Subjects[0].Digest = digestA
	if _, err := s.Encode(); err == nil {
		t.Error("two digests of one subject are written")
	}
}

func TestDecodeRefuses(t *testing.T) {
	const digest = `"sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"`
	for _, fault := range []struct{ old, new, want string }{
		{valid, ``, "unexpected EOF"},
		{valid, `null`, "not an object"},
		{valid, `[]`, "not an object"},
		{valid, valid[:100], "unexpected EOF"},
		{valid, valid + "{}", "something follows"},
		{valid, valid + "x", "something follows"},
		{valid, "\xef\xbb\xbf" + valid, "invalid character"},
		{`{"_type"`, `{"_type":"x","_type"`, `"_type" is there twice`},
		{`"predicate":{}`, `"predicate":{"a":{"b":1,"b":1}}`, `"b" is there twice`},
		{`"predicate":{}`, `"predicate":{"a":{"b":1,"\u0062":1}}`, `"b" is there twice`},
		{`"predicate":{}`, `"predicate":null`, "predicate: null"},
		{`"predicate":{}`, `"predicate":[]`, "predicate: not an object"},
		{`,"predicate":{}`, ``, `no member "predicate"`},
		{`"predicate":{}`, `"predicate":` + strings.Repeat("[", 200) + strings.Repeat("]", 200), "nested deeper"},
		{`"predicate":{}`, `"predicate":{},"more":1`, `unknown member "more"`},
		{`"subject"`, `"Subject"`, `unknown member "Subject"`},
		{`"subject"`, `"SUBJECT":[],"subject"`, `unknown member "SUBJECT"`},
		{`Statement/v1"`, `Statement/v0.2"`, "_type"},
		{`Statement/v1"`, `Statement/v0.1/"`, "_type"},
		{digest, `"sha512":"` + digestA.Hex() + `"`, "not 64 bytes"},
		{digest, `"sha512":"` + strings.Repeat("AB", 64) + `"`, "hexadecimal"},
		{digest, `"sha512":"` + strings.Repeat("ab", 65) + `"`, "not 64 bytes"},
		{`"_type":"https://in-toto.io/Statement/v1"`, `"_type":7`, "_type: a JSON number"},
		{`"https://example.com/p"`, `"p"`, "not a URI"},
		{`"https://example.com/p"`, `null`, "predicateType: null"},
		{`"digest"`, `"Digest"`, `unknown member "Digest"`},
		{`"name":"x",`, `"name":"x","size":1,`, `subject[0]: unknown member "size"`},
		{`"name":"x"`, `"name":["x"]`, "subject[0]: name: a JSON array"},
		{`"name":"x"`, `"name":null`, "subject[0]: name: null"},
		{`"name":"x"`, `"name":"\u0007"`, "cannot be printed"},
		{`"name":"x"`, `"uri":"x"`, "uri"},
		{digest, ``, "none of uri"},
		{digest, `"sha512":"00"`, "not lower-case hexadecimal"},
		{digest, `"sha3_256":"anything"`, "no sha256 and no sha512"},
		{digest, strings.ToUpper(digest[10:]), "invalid character"},
		{digest, `"sha256":null`, "empty"},
		{digest, `"sha256":1`, "digest"},
		{digest, `"sha256":"` + digestA.Hex()[1:] + `"`, "hexadecimal"},
		{digest, `"sha256":"` + strings.ToUpper(digestA.Hex()) + `"`, "hexadecimal"},
		{digest, digest + `,"":"x"`, "empty"},
		{digest, digest + `,"SHA256":""`, "empty"},
		{`[{"name"`, `[null,{"name"`, "subject[0]: not an object"},
		{`[{"name"`, `["x",{"name"`, "subject[0]: not an object"},
		{`[{"name"`, `[{` + digestSet + `},{"name"`, "not the only subject"},
		{`[{"name"`, `[{"name":"x",` + digestSet + `},{"name"`, "a second one"},
		{`[{"name":"x","digest":{` + digest + `}}]`, `[]`, "there is none"},
		{`[{"name":"x","digest":{` + digest + `}}]`, `{}`, "subject: a JSON object"},
	} {
		if !strings.Contains(valid, fault.old) {
			t.Fatalf("%q is not in the example", fault.old)
		}
		s, err := Decode([]byte(strings.Replace(valid, fault.old, fault.new, 1)))
		if err == nil || !strings.Contains(err.Error(), fault.want) || !strings.HasPrefix(err.Error(), "statement: ") {
			t.Errorf("%.60q: %v, want %q", fault.new, err, fault.want)
		}
		if !reflect.DeepEqual(s, Statement{}) {
			t.Errorf("%.60q: an error, and %+v", fault.new, s)
		}
	}
	if _, err := Decode(make([]byte, MaxSize+1)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("too large: %v", err)
	}
}

const digestSet = `"digest":{"sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}`

func TestDescriptor(t *testing.T) {
	for _, doc := range []string{
		`{"name":"n","uri":"pkg:golang/example.com/m@v1.0.0","digest":{"dirHash":"` + digestA.Hex() + `"},"content":"eA==","downloadLocation":"https://example.com/","mediaType":"a/b","annotations":{"a":{"b":[1,"<"]}}}`,
		`{"uri":"git+https://example.com/x@c"}`,
		`{"content":"eA=="}`,
	} {
		var d Descriptor
		if err := json.Unmarshal([]byte(doc), &d); err != nil {
			t.Errorf("%s: %v", doc, err)
			continue
		}
		if again, err := Marshal(d); err != nil || string(again) != doc {
			t.Errorf("%s: %s, %v", doc, again, err)
		}
	}
	for _, doc := range []string{`{}`, `[]`, `{"name":"x"}`, `{"uri":""}`, `{"uri":"nowhere"}`, `{"digest":{}}`, `{"content":"!"}`, `{"URI":"https://example.com"}`, `{"uri":"https://example.com","size":1}`} {
		var d Descriptor
		if err := json.Unmarshal([]byte(doc), &d); err == nil {
			t.Errorf("%s: %+v", doc, d)
		}
	}
}

// FuzzDecode shows that a document that is accepted has one form, which is
// accepted too and says the same.
func FuzzDecode(f *testing.F) {
	data, _ := example().Encode()
	f.Add(data)
	f.Add([]byte(valid))
	f.Add([]byte(strings.Replace(valid, `"name"`, `"uri":"https://example.com/x","annotations":{"a":null},"name"`, 1)))
	f.Add([]byte(strings.Replace(valid, `"predicate":{}`, `"predicate":{"a":{"b":1,"\u0062":1}}`, 1)))
	f.Add([]byte(strings.Replace(valid, `"predicate":{}`, `"predicate":{"\ud800":"\u2028","n":1e400}`, 1)))
	f.Add([]byte(strings.Replace(valid, "Statement/v1", "Statement/v0.1", 1)))
	f.Add([]byte(strings.Replace(valid, `"sha256":"`+digestA.Hex(), `"sha512":"`+strings.Repeat("ab", 64), 1)))
	f.Add([]byte(strings.Repeat(`{"a":`, 100)))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Decode(data)
		if err != nil {
			return
		}
		enc, err := s.Encode()
		if err != nil {
			t.Fatalf("accepted, but not encoded: %v", err)
		}
		back, err := Decode(enc)
		if err != nil || !reflect.DeepEqual(back, s) {
			t.Fatalf("%v\n got %+v\nwant %+v", err, back, s)
		}
		if again, err := back.Encode(); err != nil || !bytes.Equal(again, enc) {
			t.Fatalf("%v: %s and %s", err, again, enc)
		}
	})
}
