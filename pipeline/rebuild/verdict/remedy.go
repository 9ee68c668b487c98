package verdict

// remedies say what can be done about a reason that says nothing more exact itself.
var remedies = map[Kind]string{
	NotExecutable:        "name the executable itself, or the archive, the package or the image that it is in",
	Cgo:                  "ask for a build with CGO_ENABLED=0, or rebuild it by hand with the C compiler and the libraries of its makers",
	NoBuildInfo:          "ask its makers with which command and from which source it was built, or for a build by the go command",
	NoModule:             "ask for a build in module mode, from a published module or from a clone",
	UnknownToolchain:     "ask for a build with a published release of Go",
	ToolchainUnavailable: "try again, or set GOPROXY to a module proxy that has the toolchain",
	UnknownPlatform:      "a newer release of twice may know the platform",
	NotPublic:            "if you have a clone of the repository at its revision, name it with --source",
	Refused:              "set GOPROXY to a module proxy that serves it, or name a clone of its repository with --source DIR",
	LocalReplace:         "ask for a build from published modules alone: folders of the builder are in no module",
	Setting:              "rebuild it by hand, or ask for a build without that setting",
	Place:                "ask for a build with -trimpath, which does not depend on where it is built",
	BuildFailed:          "if its makers generate files before they build, do the same in a clone, commit them, and name it with --source",
	NoEvidence:           "report it: the build did something else than it was asked for",
	Limits:               "give it more time with --timeout, or a machine with more memory and disk",
	Unavailable:          "try again, or fetch by hand what could not be had",
	Unreadable:           "ask its makers for the file as the linker left it",
}

// Remedied adds the remedy of its kind to a reason that has none, and returns r.
func (r *Reason) Remedied() *Reason {
	if r.Remedy == "" {
		r.Remedy = remedies[r.Kind]
	}
	return r
}
