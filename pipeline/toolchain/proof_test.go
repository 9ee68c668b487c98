package toolchain

import (
	"bytes"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/tlog"
)

// ask returns the proof that a database of the key's signer gives, and the key.
func ask(t testing.TB, seed byte, sum string) (p proof, key string) {
	t.Helper()
	signer, verifier := newKey(t, seed)
	key = strings.TrimPrefix(verifier, fakeDatabase+"+")
	server := newDatabase(t, signer, sum)
	_, files, err := lookUpProved(fakeDatabase, key, fakeModule, func(name string) ([]byte, error) {
		w := httptest.NewRecorder()
		server.ServeHTTP(w, httptest.NewRequest("GET", "/"+name, nil))
		if w.Code != http.StatusOK {
			return nil, fs.ErrNotExist
		}
		return w.Body.Bytes(), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return proof{Database: fakeDatabase, Files: files}, key
}

// goodSum is the hash that the toolchain has in these tests.
const goodSum = "h1:ICeL3t2L30ljSPHHxDnR4fqVcBt/zR2zJAb9juavmQg="

const lookup = "lookup/" + modulePath + "@v0.0.1-" + fakeName

func TestProof(t *testing.T) {
	p, key := ask(t, 1, goodSum)
	if sum, err := p.verifiedSum(fakeModule, key); err != nil || sum != goodSum {
		t.Fatalf("got %s, %v", sum, err)
	}
	if len(p.Files) < 4 {
		t.Errorf("the tree is too small for this test: %d files", len(p.Files))
	}

	// It survives the way through a file.
	data, err := p.encode()
	if err != nil {
		t.Fatal(err)
	}
	if q, err := decodeProof(data); err != nil || !reflect.DeepEqual(p, q) {
		t.Errorf("decoded: %v, %v", q, err)
	}

	// Every byte counts.
	for name, data := range p.Files {
		step := 1
		if len(data) > 1<<10 {
			step = 31 // a hash has 32 bytes: one or two of each
		}
		for i := 0; i < len(data); i += step {
			bad := bytes.Clone(data)
			bad[i] ^= 1
			q := proof{p.Database, maps.Clone(p.Files)}
			q.Files[name] = bad
			if sum, err := q.verifiedSum(fakeModule, key); err == nil {
				t.Errorf("%s: byte %d was changed, and still %s", name, i, sum)
			}
		}
		for what, bad := range map[string][]byte{"truncated": data[:len(data)-1], "prolonged": append(bytes.Clone(data), 'x'), "empty": nil} {
			q := proof{p.Database, maps.Clone(p.Files)}
			q.Files[name] = bad
			if _, err := q.verifiedSum(fakeModule, key); err == nil {
				t.Errorf("%s: %s, and no error", name, what)
			}
		}
		q := proof{p.Database, maps.Clone(p.Files)}
		delete(q.Files, name)
		if _, err := q.verifiedSum(fakeModule, key); err == nil {
			t.Errorf("%s: removed, and no error", name)
		}
	}

	// The same records, signed by another key of the same name.
	forged, otherKey := ask(t, 2, goodSum)
	if _, err := forged.verifiedSum(fakeModule, key); err == nil {
		t.Error("another key was accepted")
	}
	if _, err := forged.verifiedSum(fakeModule, otherKey); err != nil {
		t.Errorf("under its own key: %v", err)
	}
	// The right tree, with the head that another key has signed.
	q := proof{p.Database, maps.Clone(p.Files)}
	record, _, _ := bytes.Cut(p.Files[lookup], []byte("\n\n"))
	_, head, _ := bytes.Cut(forged.Files[lookup], []byte("\n\n"))
	q.Files[lookup] = append(append(bytes.Clone(record), "\n\n"...), head...)
	if _, err := q.verifiedSum(fakeModule, key); err == nil {
		t.Error("a head that is signed by another key was accepted")
	}
	// A good record, of another version.
	other := module.Version{Path: modulePath, Version: "v0.0.1-go1.99.4.plan8-mos6502"}
	q = proof{p.Database, maps.Clone(p.Files)}
	q.Files["lookup/"+other.String()] = p.Files[lookup]
	if sum, err := q.verifiedSum(other, key); err == nil {
		t.Errorf("a record of another version was taken: %s", sum)
	}
	// A record that claims to be another leaf.
	id, text, head, err := tlog.ParseRecord(p.Files[lookup])
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []int64{0, id - 1, id + 1, 699, 700, 1 << 40} {
		msg, err := tlog.FormatRecord(id, text)
		if err != nil {
			t.Fatal(err)
		}
		q := proof{p.Database, maps.Clone(p.Files)}
		q.Files[lookup] = append(msg, head...)
		if _, err := q.verifiedSum(fakeModule, key); err == nil {
			t.Errorf("record %d was accepted", id)
		}
	}
	// A record with another hash.
	q = proof{p.Database, maps.Clone(p.Files)}
	q.Files[lookup] = bytes.Replace(p.Files[lookup], []byte(goodSum), []byte("h1:"+strings.Repeat("A", 43)+"="), 1)
	if _, err := q.verifiedSum(fakeModule, key); err == nil {
		t.Error("another hash was accepted")
	}
	// Another name for the database.
	if _, err := (proof{"sums.example.com", p.Files}).verifiedSum(fakeModule, key); err == nil {
		t.Error("another name of the database was accepted")
	}
}

// Whatever one answer is, a proof states nothing but what the database signed.
func FuzzProof(f *testing.F) {
	p, key := ask(f, 1, goodSum)
	for name, data := range p.Files {
		f.Add(name, data)
		f.Add(name, data[:len(data)/2])
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		q := proof{p.Database, maps.Clone(p.Files)}
		q.Files[name] = data
		if sum, err := q.verifiedSum(fakeModule, key); err == nil && sum != goodSum {
			t.Errorf("%s was accepted", sum)
		}
	})
}

// What can be read can be written, and is then the same.
func FuzzDecodeProof(f *testing.F) {
	f.Add([]byte(`{"database":"sums.example","files":{"tile/8/0/000":"AAAA"}}`))
	f.Add([]byte(`{"database":"","files":null}{}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decodeProof(data)
		if err != nil {
			return
		}
		enc, err := p.encode()
		if err != nil {
			t.Fatal(err)
		}
		if q, err := decodeProof(enc); err != nil || !reflect.DeepEqual(p, q) {
			t.Errorf("%s: %v", enc, err)
		}
	})
}
