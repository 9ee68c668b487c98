package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/twicebuild/twice/pipeline/fault"
	"github.com/twicebuild/twice/pipeline/host"
)

// host returns the machine and the environment, as they are.
func (a *app) host() (host.Host, error) {
	env := environment(a.env)
	if err := checkHome(env); err != nil {
		return host.Host{}, err
	}

	h := host.Host{
		OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Memory: memory(), Now: a.now,
		UserEnv: a.env, SystemEnv: systemEnv(env), Path: absolute(filepath.SplitList(env["PATH"])),
	}

	// Not every verb needs these, and those that do say that they are missing.
	h.Go, _ = find("go", h.Path)
	h.Git, _ = find("git", h.Path)

	var err error
	h.Cache, h.CacheMax, err = a.cacheSettings()
	return h, err
}

// cacheDir returns the folder that outlives runs.
func (a *app) cacheDir() (string, error) {
	if a.cache != "" {
		return filepath.Abs(a.inDir(a.cache))
	}
	dir, err := userDir(os.UserCacheDir())
	if err != nil {
		return "", fault.WithRemedy(fault.Usage(fmt.Errorf("no folder for the cache: %w", err)), "name one with --cache")
	}
	return filepath.Join(dir, "twice"), nil
}

// checkHome refuses a HOME that is a relative path. The go command would refuse it later, in its
// own words.
func checkHome(env map[string]string) error {
	if home := env["HOME"]; home != "" && !filepath.IsAbs(home) {
		return fault.WithRemedy(fault.Usage(fmt.Errorf("HOME=%s is a relative path", home)), "set it to the absolute path of your home folder")
	}
	return nil
}

// userDir refuses a folder that is a relative path, as it is where HOME is one. Wherever twice is
// started, it would be another folder.
func userDir(dir string, err error) (string, error) {
	if err == nil && !filepath.IsAbs(dir) {
		err = fmt.Errorf("%s, which follows from the environment, is a relative path", dir)
	}
	return dir, err
}

func environment(list []string) map[string]string {
	env := map[string]string{}
	for _, kv := range list {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	return env
}

// absolute returns the absolute folders of a PATH. A relative one would be another place in every
// process.
func absolute(dirs []string) []string {
	var kept []string
	for _, d := range dirs {
		if filepath.IsAbs(d) {
			kept = append(kept, filepath.Clean(d))
		}
	}
	return kept
}

// systemEnv returns the variables that every process on Windows needs. On other systems it is empty.
func systemEnv(env map[string]string) []string {
	if runtime.GOOS != "windows" {
		return nil
	}
	var list []string
	for _, name := range []string{"SystemRoot", "SystemDrive", "ComSpec", "PATHEXT", "WINDIR", "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE"} {
		if v := env[name]; v != "" {
			list = append(list, name+"="+v)
		}
	}
	return list
}

func find(name string, dirs []string) (string, error) {
	for _, dir := range dirs {
		if file, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return file, nil
		}
	}
	return "", exec.ErrNotFound
}
