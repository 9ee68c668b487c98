package policy

import (
	"testing"

	"github.com/twicebuild/twice/attest/rebuilt"
	"github.com/twicebuild/twice/pipeline/recipe"
)

// TestFilesLeftOut: who names files also chooses which are not compiled. A policy that names the
// two files of a program is not met by one of them alone, without the other's checks.
func TestFilesLeftOut(t *testing.T) {
	p, err := Parse("p", []byte("[rebuilds]\natLeast = 1\nby = [{name='a', key='a'}]\n[rebuilds.allow]\nfiles = ['./main.go', './harden.go']"))
	if err != nil {
		t.Fatal(err)
	}
	s := rebuild(t, []string{"-trimpath", "./main.go"}, nil)
	if f := p.Check(s.Subjects[0].Digest, nil, Rebuilt{Signer: "a", Statement: s}); f.Err() == nil {
		t.Errorf("%v", f)
	}
}

// TestForkIsNoModule: the recipe is of a commit in a folder of the rebuilder's, and its tags say the version.
// The policy asks for a version of the module, which the checksum database vouches for.
func TestForkIsNoModule(t *testing.T) {
	base, err := rebuilt.Decode(statement(t, rebuildDocs+"v1.reproduced.json").Statement)
	if err != nil {
		t.Fatal(err)
	}
	r := base.Recipe.Recipe
	r.Source = recipe.Source{Commit: "0123456789abcdef0123456789abcdef01234567", Tree: "0123456789abcdef0123456789abcdef01234567", Dir: "."}
	r.Argv = []string{"go", "build", "-mod=readonly", "-buildvcs=true", "-trimpath", "."}
	if base.Recipe, err = rebuilt.NewRecipe(r); err != nil {
		t.Fatal(err)
	}
	base.Claimed = nil
	for _, c := range r.Choices() {
		base.Claimed = append(base.Claimed, rebuilt.Claim{What: c.String(), Setting: c.Setting, Value: c.Value})
	}
	s, err := rebuilt.New(*base)
	if err != nil {
		t.Skip("such a statement cannot be made: ", err)
	}
	p, err := Parse("p", []byte("[rebuilds]\natLeast = 1\nmodule = '"+base.Source+"'\nby = [{name='a', key='a'}]"))
	if err != nil {
		t.Fatal(err)
	}
	if f := p.Check(base.Digest, nil, Rebuilt{Signer: "a", Statement: s}); f.Err() == nil {
		t.Errorf("%v", f)
	}
}
