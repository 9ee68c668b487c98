package policy

import "testing"

// TestSmuggledChoices: a value that a policy allows does not bring another one along.
func TestSmuggledChoices(t *testing.T) {
	for _, x := range []struct {
		allow string
		flags []string
	}{
		{"-X = ['main.v=good']", []string{"-ldflags=-X main.v=good -X main.v=evil"}},
		{"-X = ['main.v=good']", []string{"-ldflags=-X main.v=evil -X main.v=good"}},
		{"-X = ['main.v=good']", []string{"-ldflags=--X=main.v=good --X main.v=evil"}},
		{"-X = ['main.v=good']", []string{"-ldflags=-X main.v=good", "-ldflags=-X main.v=evil"}},
		{"-X = ['main.v=good']", []string{"-ldflags=-X main.v=good\n-X main.v=evil"}},
		{"-X = ['main.v']", []string{"-ldflags=-X main.v=x -X runtime.godebugDefault=x509sha1=1"}},
		{"-tags = ['netgo']", []string{"-tags=netgo evil"}},
		{"-tags = ['netgo']", []string{"-tags=netgo", "--tags=evil"}},
		{"-gcflags = ['-N']", []string{"-gcflags=-N", "-gcflags=all=-B"}},
		{"files = ['./main.go']", []string{"./cmd/x/main.go"}},
		{"files = ['./main.go']", []string{"./main.go", "./testdata/evil.go"}},
		{"files = ['./cmd/*/main.go']", []string{"./cmd/x/evil.go"}},
		{"files = ['./main.go']", []string{"-overlay=x.go", "./main.go"}},
		{"files = ['./main.go']", []string{"-toolexec=./evil", "./main.go"}},
	} {
		p, err := Parse("p", []byte("[rebuilds]\natLeast = 1\nby = [{name='a', key='a'}]\n[rebuilds.allow]\n"+x.allow))
		if err != nil {
			t.Fatal(err)
		}
		s := rebuild(t, x.flags, nil)
		if f := p.Check(s.Subjects[0].Digest, nil, Rebuilt{Signer: "a", Statement: s}); f.Err() == nil {
			t.Errorf("%s: %q: %v", x.allow, x.flags, f)
		}
	}
}
