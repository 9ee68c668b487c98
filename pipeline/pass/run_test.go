package pass

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestTail(t *testing.T) {
	const limit = 100
	for _, size := range []int{0, 1, 49, 50, 51, 99, 100, 101, 149, 150, 151, 1000, 12345} {
		for _, chunk := range []int{1, 7, 50, 64, 1000, 20000} {
			var in strings.Builder
			for in.Len() < size {
				fmt.Fprintf(&in, "%d ", in.Len())
			}
			text := in.String()[:size]
			out := &tail{limit: limit}
			for part := range slices.Chunk([]byte(text), chunk) {
				if n, err := out.Write(part); n != len(part) || err != nil {
					t.Fatalf("Write of %d bytes = %d, %v", len(part), n, err)
				}
			}
			got := out.String()
			if out.dropped == 0 {
				if got != text {
					t.Errorf("%d bytes by %d: %q, want %q", size, chunk, got, text)
				}
				continue
			}
			note := fmt.Sprintf("\n... %d bytes left out ...\n", out.dropped)
			head, rest, ok := strings.Cut(got, note)
			if !ok || len(head) != limit/2 || len(rest) < limit/2 || len(rest) > limit {
				t.Errorf("%d bytes by %d: %q", size, chunk, got)
			}
			if len(head)+out.dropped+len(rest) != size || !strings.HasPrefix(text, head) || !strings.HasSuffix(text, rest) {
				t.Errorf("%d bytes by %d: lost or made up some: %q", size, chunk, got)
			}
		}
	}
}
