package lint

import "github.com/twicebuild/twice/matrix/lintid"

// table has every lint, sorted by ID. `twice check --explain ID` prints its texts.
// Why is a paragraph of whole sentences. Remedy is a hint, so it has no capital and
// no full stop.
var table = lints[:]

// The compiler holds the number of lints to that of [lintid.All].
var _ [len(lintid.All)]Lint = lints

// lints is table as an array.
var lints = [...]Lint{{
	ID: lintid.AmbientEnvironment, Severity: Note, find: ambientEnvironment,
	Summary: "the environment has settings of the go command that twice does not heed",
	Why: `GOFLAGS, GOEXPERIMENT, GOAMD64, CGO_ENABLED and their like change what a go build by hand makes, and only some
of it is recorded in the binary. Twice starts every build with an environment of its own, in which each variable
that the go command knows is set or absent on purpose, so what the shell has does not matter. It does matter to
whoever compares a release with a build by hand.`,
	Remedy: "put what a release needs of it into release.toml (build.experiments, [matrix], build.cgo ...), and unset it for builds by hand",
}, {
	ID: lintid.AmbientGoEnv, Severity: Note, find: ambientGoEnv,
	Summary: "the go command's settings file (go env -w) has settings that twice does not heed",
	Why: `What go env -w wrote applies to every go build of this user, silently: the file is no part of the source, and a
binary does not tell of it. Twice builds with GOENV=off, so the file does not matter to it. Only what says how
modules are fetched (GOPROXY, GOPRIVATE ...) is heeded, before the builds.`,
	Remedy: "put what a release needs of it into release.toml, and remove the setting with go env -u NAME",
}, {
	ID: lintid.AmbientGoWork, Severity: Note, find: ambientGoWork,
	Summary: "a go.work file applies here, which twice does not heed",
	Why: `A go.work file, which may lie in any folder above, makes go build take modules from folders beside the main
module instead of the versions that go.mod and go.sum name. Nobody else has these folders, so the binary could
not be built again. Twice builds with GOWORK=off: what is only in a workspace is not in the release.`,
	Remedy: "try go build with GOWORK=off; a module that is needed belongs into go.mod, in a version that is published",
}, {
	ID: lintid.CgoCompiler, Severity: Warning, find: cgoCompiler,
	Summary: "cgo compiles with a C compiler that nothing pins",
	Why: `With cgo, the C compiler, its headers, the C library and the linker decide bytes of the binary. Twice pins Go
itself and the modules, and cannot pin these: it writes the compiler's version and digest into the recipe, so
that a rebuild with another compiler is not called the same. Both passes run with the same one, so the
comparison does not notice what another machine would.`,
	Remedy: `name a compiler with its version, such as env = { CC = "gcc-14" } in [[binary]], in a container that you keep; or do without cgo`,
}, {
	ID: lintid.CgoPaths, Severity: Warning, find: cgoPaths,
	Summary: "C code gets to see paths of the machine",
	Why: `Debug information and __FILE__ hold the paths that the C compiler was given. With -trimpath the go command maps
those of the source and of its workspace (-ffile-prefix-map); without it, and for folders that flags name,
nothing is mapped. Such a folder is also no part of the source, so nobody can tell what was in it. A prefix map
of one's own does not help: each pass builds in another folder, and the flag itself is part of what Go hashes
(golang/go#36072, #77086).`,
	Remedy: "leave build.trimpath on, keep C sources and headers in the repository, and refer to them with ${SRCDIR} in #cgo lines",
}, {
	ID: lintid.DirtyTree, Severity: Warning, find: dirtyTree,
	Summary: "the work tree is not what was committed",
	Why: `A release is made of a commit, because a commit is what others can get. Changes that are not committed are built
into snapshots alone, and files that git does not track are in neither: what only works with them does not work
elsewhere.`,
	Remedy: "commit, or put what is not meant to be part of the source into .gitignore",
}, {
	ID: lintid.EmbedIgnored, Severity: Error, find: embedIgnored,
	Summary: "go:embed matches files that git ignores or does not track",
	Why: `Go embeds what it finds in the folder, whether git knows it or not, and go vet does not mind. In a clean
checkout, such as those that twice and everybody else builds in, ignored files are not there: the build fails if
the pattern matches nothing else, and otherwise the binary lacks them without a word. Nothing is said where
hooks run, since these may write the files; twice plan sees.`,
	Remedy: "commit the files, or write them in a [[before]] hook, from the source and nothing else",
}, {
	ID: lintid.GoSumIncomplete, Severity: Error, find: gosumIncomplete,
	Summary: "go.sum lacks the hash of a module",
	Why: `The hashes in go.sum are what makes the modules of a release the ones that somebody has seen and committed.
Twice builds with -mod=readonly and without a network, so a module without a hash is refused, where a plain go
command may have been told to fetch it and add the line. Lines of modules that no package of the binaries comes
from are not needed, which is known for sure only to twice plan.`,
	Remedy: "run go mod tidy, and commit go.mod and go.sum",
}, {
	ID: lintid.HookClock, Severity: Warning, find: hookClock,
	Summary: "a hook asks for the time",
	Why: `What a [[before]] hook writes is part of the source of each pass. The passes run at different moments and in
different time zones, so a time that gets into a file that is compiled, embedded or packed makes the two builds
differ. A coarse one, such as the year, can be the same in both, and then differs when somebody rebuilds the
release later. Looked at are the words of hooks, of the shell scripts that they run and of go:generate lines;
not makefiles and programs.`,
	Remedy: "use the time of the commit: {{.CommitTime}} or {{.CommitUnix}} in the hook's arguments, or $SOURCE_DATE_EPOCH, which hooks have (date -u -d @$SOURCE_DATE_EPOCH)",
}, {
	ID: lintid.HookGit, Severity: Warning, find: hookGit,
	Summary: "a hook asks git about more than the commit",
	Why: `git describe and its like depend on which tags a clone has and on what is modified, an abbreviated name
(--short, %h) on how many objects there are, branches and remotes on whose clone it is. Each pass has a clone
with the whole history and all tags of yours, but no remote and no branch. Somebody who clones the repository
later, when there are more tags and objects, gets another answer from the same commit.`,
	Remedy: "take what twice knows of the commit: {{.Version}}, {{.Commit}}, {{.ShortCommit}} or {{.Tag}} in the hook's arguments",
}, {
	ID: lintid.HookHost, Severity: Warning, find: hookHost,
	Summary: "a hook asks who and where it is",
	Why: `Host name, user, kernel and number of processors differ between machines, and so between the passes: pass B is
given others wherever the system allows it. What a hook writes down of them makes the two builds differ; where
it does not, because the system could not vary it, it makes a rebuild elsewhere differ. Looked at are the words
of hooks, of the shell scripts that they run and of go:generate lines.`,
	Remedy: "leave it out, or write it down in release.toml as a constant",
}, {
	ID: lintid.HookRandom, Severity: Warning, find: hookRandom,
	Summary: "a hook asks for random numbers",
	Why: `A random number is another in every run, so whatever file it gets into makes the two builds differ. Names of
temporary files are the exception, as long as they stay out of what is written.`,
	Remedy: "derive it from {{.Commit}}, or commit it",
}, {
	ID: lintid.LCUUID, Severity: Warning, find: lcUUID,
	Summary: "darwin binaries lose LC_UUID, or share one",
	Why: `macOS 15 ties permissions such as local network access to the LC_UUID of a program, and crash reports find debug
information by it. Go's linker makes it from the build ID, and drops it with an empty one (golang/go#68678).
Twice gives darwin binaries an empty build ID and, with -B, a UUID that is derived from the recipe, so every
release has its own and a rebuild has the same. A literal build.buildid undoes that: one UUID for all programs
and versions that have the literal. So does -no_uuid for the external linker.`,
	Remedy: `leave build.buildid out, or set it to "" or "keep", and leave -no_uuid out`,
}, {
	ID: lintid.LinkedWorktree, Severity: Note, find: linkedWorktree,
	Summary: "the work tree is a linked one, or a submodule",
	Why: `In the work trees of git worktree add, and in submodules, .git is a file. Go looks for a folder of that name to
stamp the commit, and finds none, or that of a repository further up, which it then stamps. Twice lays out a
clone with a .git folder for every pass, so a release is stamped as it should be; a go build by hand in this
folder is not, and differs.`,
	Remedy: "compare with builds in a clone of its own",
}, {
	ID: lintid.PatchedGo, Severity: Warning, find: patchedGo,
	Summary: "the installed Go is not a published one",
	Why: `Distributions and companies patch Go, and what calls itself go1.26.8-something, has an X: suffix or says devel
compiles to other bytes than the release of the Go project (golang/go#62053). Twice builds with the published
toolchain, which it proves against the checksum database and downloads where it must; an installed one that is
not it is passed over. Only toolchain.unpublished accepts it. A patched Go that calls itself go1.26.8 all the
same is found by the proof, in twice plan.`,
	Remedy: "nothing is to be done for releases; install Go from https://go.dev/dl for builds by hand, and leave toolchain.unpublished out",
}, {
	ID: lintid.PIELoader, Severity: Warning, find: pieLoader,
	Summary: "a PIE for linux asks for a loader",
	Why: `With -buildmode=pie a linux binary names the C library's dynamic loader (/lib64/ld-linux-x86-64.so.2), also
without cgo. Where that file is not there, as in images made from scratch, on Alpine and in distroless static,
the program does not start, and the kernel's message is "no such file or directory". It says nothing about the
program, which reproduces well. Twice refuses to put such a binary into an image that lacks the loader.`,
	Remedy: `leave build.pie at "auto", which makes a PIE where a loader always is; or, with cgo, link it with extldflags = ["-static-pie"]`,
}, {
	ID: lintid.ReplaceLocal, Severity: Error, find: replaceLocal,
	Summary: "go.mod replaces a module by a folder",
	Why: `A folder outside of the source tree is on one machine alone, so a release stops at it. A folder in the tree is
part of the commit and can be built again, but not without the repository: go install module@version refuses a
main module with replacements, the build info has (devel) instead of a version and a hash, and SBOMs and
vulnerability scanners know as little.`,
	Remedy: "publish the replacement as a module and require it, or use go.work for what is only for development",
}, {
	ID: lintid.ShallowClone, Severity: Error, find: shallowClone,
	Summary: "the clone has no history",
	Why: `Go stamps a version that it computes from tags and history, and so does twice for snapshots. In a shallow clone,
which is what many CI services make, both come out wrong without a word. So a shallow clone is refused.`,
	Remedy: "git fetch --unshallow; for actions/checkout, fetch-depth: 0",
}, {
	ID: lintid.StampNoEffect, Severity: Error, find: stampNoEffect,
	Summary: "the linker ignores a stamp (-X)",
	Why: `The linker sets string variables of package level that have no initial value or a constant one. It says nothing
about all others: a name that does not exist, another type, a variable that a call initialises, and the stamp is
lost. A release is refused instead. The packages of the main module are read for this; whether a stamp in
another module's package has an effect, and in code that hooks write, shows in twice plan, which asks the
toolchain.`,
	Remedy: `declare it as var name string at package level, and name the main package's variables main.name`,
}, {
	ID: lintid.SubfolderModule, Severity: Note, find: subfolderModule,
	Summary: "Go stamps no version for a module in a folder of a repository without go.mod at its top",
	Why: `Since Go 1.24 the go command stamps the main module's version from git, for which it needs a go.mod at the top
of the repository. Without one the build info says (devel), go version -m and vulnerability scanners do not know
the version, and whoever rebuilds the binary has to be told the commit. It has no say in whether builds agree.`,
	Remedy: `set a variable with stamps = { "main.version" = "{{.Version}}" }; or put a go.mod at the top of the repository`,
}, {
	ID: lintid.TagMissing, Severity: Note, find: tagMissing,
	Summary: "HEAD has no version tag",
	Why: `A release's version comes from the tag at its commit, because that is what others look for: go install
module@v1.2.3, twice rebuild and git checkout all begin with it. Without one there can be snapshots, whose
version says from which commit they are.`,
	Remedy: "tag the commit that you release: git tag v1.2.3",
}, {
	ID: lintid.TagNoSemver, Severity: Warning, find: tagNoSemver,
	Summary: "a tag at HEAD looks like a version and is none to Go",
	Why: `The go command takes tags of the form v1.2.3 for versions, with three numbers, a v, and no build metadata; a
module in a folder has that folder before it (https://go.dev/ref/mod#vcs-version). With any other tag Go stamps
a pseudo-version, go install does not find it, and twice makes a snapshot.`,
	Remedy: "tag the commit again, as v1.2.3",
}, {
	ID: lintid.TrimpathOff, Severity: Warning, find: trimpathOff,
	Summary: "binaries hold the paths of the build",
	Why: `Without -trimpath a binary has the absolute path of every source file, of the module cache and of the Go
installation. The passes build in different folders on purpose, so they will differ, and nobody else can build
the same.`,
	Remedy: "leave build.trimpath out, or set it to true",
}, {
	ID: lintid.UnpinnedBase, Severity: Error, find: unpinnedBase,
	Summary: "the base of an image has no digest",
	Why: `A tag such as stable is another image next week. Twice takes a base by its digest alone: one in the reference,
or the one that the lock file beside the release file has for the tag. Without either a release stops.`,
	Remedy: "run twice lock, and commit the lock file",
}, {
	ID: lintid.UnpublishedGo, Severity: Warning, find: unpublishedGo,
	Summary: "a Go that is not published may build the release",
	Why: `With toolchain.unpublished the installed Go is taken as it is where it is not the published one. Its hash is
written into the recipe, but nobody can get that Go by its version, so nobody else can rebuild the release. It
is meant for trying out a patched Go.`,
	Remedy: "leave toolchain.unpublished out",
}}
