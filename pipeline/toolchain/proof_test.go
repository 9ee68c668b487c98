package toolchain

import (
	"bytes"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/tlog"
)

// ask returns the proof that w's database gives.
func ask(t testing.TB, w *world) proof {
	t.Helper()
	o := w.options(t, install(t))
	if _, err := Obtain(t.Context(), w.client, fakeVersion, o); err != nil {
		t.Fatal(err)
	}
	data, err := readBounded(filepath.Join(o.CacheDir, fakeName+".proof.json"), maxProof)
	if err != nil {
		t.Fatal(err)
	}
	p, err := decodeProof(data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const lookup = "lookup/" + modulePath + "@v0.0.1-" + fakeName

func TestProof(t *testing.T) {
	signer, verifier := newKey(t)
	w := newWorldWith(t, signer, verifier)
	p := ask(t, w)
	if sum, err := p.sum(fakeModule, w.key); err != nil || sum != w.sum {
		t.Fatalf("got %s, %v", sum, err)
	}
	if len(p.Files) < 4 {
		t.Errorf("the tree is too small for this test: %d files", len(p.Files))
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
			if sum, err := q.sum(fakeModule, w.key); err == nil {
				t.Errorf("%s: byte %d was changed, and still %s", name, i, sum)
			}
		}
		for what, bad := range map[string][]byte{"truncated": data[:len(data)-1], "prolonged": append(bytes.Clone(data), 'x'), "empty": nil} {
			q := proof{p.Database, maps.Clone(p.Files)}
			q.Files[name] = bad
			if _, err := q.sum(fakeModule, w.key); err == nil {
				t.Errorf("%s: %s, and no error", name, what)
			}
		}
		q := proof{p.Database, maps.Clone(p.Files)}
		delete(q.Files, name)
		if _, err := q.sum(fakeModule, w.key); err == nil {
			t.Errorf("%s: removed, and no error", name)
		}
	}

	// The same records, signed by another key of the same name.
	otherSigner, otherVerifier := newKey(t)
	forged := ask(t, newWorldWith(t, otherSigner, otherVerifier))
	if _, err := forged.sum(fakeModule, w.key); err == nil {
		t.Error("another key was accepted")
	}
	if _, err := forged.sum(fakeModule, strings.TrimPrefix(otherVerifier, fakeDatabase+"+")); err != nil {
		t.Errorf("under its own key: %v", err)
	}
	// The right tree, with the head that another key has signed.
	q := proof{p.Database, maps.Clone(p.Files)}
	record, _, _ := bytes.Cut(p.Files[lookup], []byte("\n\n"))
	_, head, _ := bytes.Cut(forged.Files[lookup], []byte("\n\n"))
	q.Files[lookup] = append(append(bytes.Clone(record), "\n\n"...), head...)
	if _, err := q.sum(fakeModule, w.key); err == nil {
		t.Error("a head that is signed by another key was accepted")
	}
	// A good record, of another version.
	other := module.Version{Path: modulePath, Version: "v0.0.1-go1.99.4.plan8-mos6502"}
	q = proof{p.Database, maps.Clone(p.Files)}
	q.Files["lookup/"+other.String()] = p.Files[lookup]
	if sum, err := q.sum(other, w.key); err == nil {
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
		if _, err := q.sum(fakeModule, w.key); err == nil {
			t.Errorf("record %d was accepted", id)
		}
	}
	// A record with another hash.
	q = proof{p.Database, maps.Clone(p.Files)}
	q.Files[lookup] = bytes.Replace(p.Files[lookup], []byte(w.sum), []byte("h1:"+strings.Repeat("A", 43)+"="), 1)
	if _, err := q.sum(fakeModule, w.key); err == nil {
		t.Error("another hash was accepted")
	}
	// Another name for the database.
	if _, err := (proof{"sums.example.com", p.Files}).sum(fakeModule, w.key); err == nil {
		t.Error("another name of the database was accepted")
	}
}

// Whatever the bytes, a proof states nothing but what the database signed.
func FuzzProof(f *testing.F) {
	w := newWorld(f)
	p := ask(f, w)
	good, err := p.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, lookup, p.Files[lookup])
	for name, data := range p.Files {
		f.Add(good, name, data[:len(data)/2])
	}
	f.Add([]byte(`{"database":"sums.example","files":{}}`), lookup, []byte("1\nx\n\n"))
	f.Fuzz(func(t *testing.T, doc []byte, name string, data []byte) {
		q, err := decodeProof(doc)
		if err != nil {
			return
		}
		if q.Files == nil {
			q.Files = map[string][]byte{}
		}
		q.Files[name] = data
		if sum, err := q.sum(fakeModule, w.key); err == nil && sum != w.sum {
			t.Errorf("%s was accepted", sum)
		}
	})
}
