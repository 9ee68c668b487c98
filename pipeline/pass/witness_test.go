package pass

import "testing"

func TestVariations(t *testing.T) {
	a := Witness{umask: "0022", hostName: "a", locale: "C", kernel: "6.1"}
	b := Witness{umask: "0002", hostName: "a", locale: "", clock: "2026"}
	list := Variations(a, b, map[Factor]string{hostName: "no namespaces"})
	if len(list) != len(factors) {
		t.Fatalf("%d variations, want all %d", len(list), len(factors))
	}
	for _, v := range list {
		switch v.Name {
		case umask:
			if !v.Varied || v.Reason != "" || v.A != "0022" || v.B != "0002" {
				t.Errorf("%+v", v)
			}
		case hostName:
			if v.Varied || v.Reason != "no namespaces" {
				t.Errorf("%+v", v)
			}
		default: // what one pass alone has seen was not varied
			if v.Varied || v.Reason == "" {
				t.Errorf("%+v", v)
			}
		}
	}
}
