// Package lintid has the identifiers of what `twice check` looks for. A release
// file names them, to silence a lint; package lint says what each of them means.
package lintid

// ID is the identifier of a lint. It never changes its meaning.
type ID string

// The identifiers of all lints.
const (
	AmbientEnvironment ID = "ambient-environment"
	AmbientGoEnv       ID = "ambient-goenv"
	AmbientGoWork      ID = "ambient-gowork"
	CgoCompiler        ID = "cgo-compiler"
	CgoPaths           ID = "cgo-paths"
	DirtyTree          ID = "dirty-tree"
	EmbedIgnored       ID = "embed-ignored"
	GoSumIncomplete    ID = "gosum-incomplete"
	HookClock          ID = "hook-clock"
	HookGit            ID = "hook-git"
	HookHost           ID = "hook-host"
	HookRandom         ID = "hook-random"
	LCUUID             ID = "lc-uuid"
	LinkedWorktree     ID = "linked-worktree"
	PatchedGo          ID = "patched-go"
	PIELoader          ID = "pie-loader"
	ReplaceLocal       ID = "replace-local"
	ShallowClone       ID = "shallow-clone"
	StampNoEffect      ID = "stamp-no-effect"
	SubfolderModule    ID = "subfolder-module"
	TagMissing         ID = "tag-missing"
	TagNoSemver        ID = "tag-no-semver"
	TrimpathOff        ID = "trimpath-off"
	UnpinnedBase       ID = "unpinned-base"
	UnpublishedGo      ID = "unpublished-go"
)

// All lists every identifier, sorted. The table in package lint has one entry for
// each of them: the compiler holds their number together, and a test their order.
var All = [...]ID{
	AmbientEnvironment,
	AmbientGoEnv,
	AmbientGoWork,
	CgoCompiler,
	CgoPaths,
	DirtyTree,
	EmbedIgnored,
	GoSumIncomplete,
	HookClock,
	HookGit,
	HookHost,
	HookRandom,
	LCUUID,
	LinkedWorktree,
	PatchedGo,
	PIELoader,
	ReplaceLocal,
	ShallowClone,
	StampNoEffect,
	SubfolderModule,
	TagMissing,
	TagNoSemver,
	TrimpathOff,
	UnpinnedBase,
	UnpublishedGo,
}

// Names returns All as strings.
func Names() []string {
	names := make([]string, len(All))
	for i, id := range All {
		names[i] = string(id)
	}
	return names
}
