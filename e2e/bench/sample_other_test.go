//go:build !linux

package bench

import (
	"os"
	"time"
)

// Elsewhere memory is not measured.

func largest(*os.ProcessState) int64 { return 0 }

func sample(int) (time.Duration, int64) { return 0, 0 }
