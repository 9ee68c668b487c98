package pass

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"

	"github.com/twicebuild/twice/pipeline/fsx"
)

// makeFolders makes the folders of a job. Nothing has seen them before, except a cache that is
// kept for jobs of the same name. drop removes the others.
func (s *localSession) makeFolders(job string) (drop func() error, err error) {
	at := s.outside.forJob(job)
	own := []string{at.home, at.temp, at.out}
	if s.keepCache || s.Foreign != nil {
		if err := os.MkdirAll(at.cache, 0o755); err != nil {
			return nil, err
		}
	} else {
		// What was compiled for one target serves no other. A cache of its own, dropped when
		// the job ends, bounds the space on disk.
		own = append(own, at.cache)
	}

	drop = func() error {
		var errs []error
		for _, dir := range own {
			errs = append(errs, fsx.RemoveAll(dir))
		}
		return errors.Join(errs...)
	}

	for _, dir := range own {
		err := os.MkdirAll(filepath.Dir(dir), 0o755)
		if err == nil {
			err = os.Mkdir(dir, 0o755)
		}
		if err != nil {
			return nil, errors.Join(err, drop())
		}
	}

	if err := s.writeSettings(at.home); err != nil {
		return nil, errors.Join(err, drop())
	}

	return drop, nil
}

// writeSettings writes what a go command finds in its user's home folder.
func (s *localSession) writeSettings(home string) error {
	if err := NoTelemetry(home); err != nil || !s.varied(environment) {
		return err
	}
	// A go command that reads its user's settings fails on these.
	return os.WriteFile(filepath.Join(configDir(home), "env"), []byte("GOFLAGS=-tags=poison -race\nGOEXPERIMENT=none_such\n"), 0o644)
}

// NoTelemetry keeps go commands from collecting telemetry, for which they would start a process
// that outlives them. home is their HOME, or AppData on Windows.
func NoTelemetry(home string) error {
	dir := filepath.Join(configDir(home), "telemetry")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "mode"), []byte("off"), 0o644)
}

// configDir is the folder of a user's settings of the go command: go below [os.UserConfigDir].
func configDir(home string) string {
	switch runtime.GOOS {
	case "windows":
		return filepath.Join(home, "go")
	case "darwin", "ios":
		return filepath.Join(home, "Library", "Application Support", "go")
	}
	return filepath.Join(home, ".config", "go")
}
