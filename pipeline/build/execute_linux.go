package build

import (
	"context"
	"io"
	"time"
)

// execute runs c and returns what its process observed.
func (s *local) execute(ctx context.Context, c cell, out io.Writer) (Witness, time.Duration, error) {
	p, err := confine(ctx, c, s.seen.user, s.seen.group)
	if err != nil {
		return nil, 0, err
	}
	o, err := p.run(out)
	var cpu time.Duration
	if st := p.cmd.ProcessState; st != nil {
		cpu = st.UserTime() + st.SystemTime()
	}
	return o.Witness, cpu, err
}
