// Package rebuild is the reverse flow: from a Go binary that somebody published
// to a verdict on whether its public source compiles to it.
//
//	file -> inspect (evidence) -> claim -> toolchain, source, modules
//	    -> recipe.Recipe -> build -> compare -> verdict
//
// [Open] prepares what all files share, [Rebuilder.File] judges one.
//
// # What is believed
//
// Nothing that the file says is believed. It chooses a recipe. The choice is known to
// be right only if the recipe gives the bytes of the file. The source is the module's
// zip, and the toolchain is the published one. The checksum database vouches for both.
// So a pass means that the file is what that source compiles to.
// [verdict.Result.RestsOn] lists what that rests on.
//
// # What is chosen
//
// A source compiles to many files. One of them may have no bounds checks, another one may
// have other texts in its variables. So [verdict.Result.Claimed] lists what the publisher
// chose and the source does not force, by the name of the setting. It has the choices of
// the recipe ([recipe.Recipe.Choices]) and the folders of a build that did not trim them.
// If the history of the source is not at hand, it also has the revision and the time that
// version control left in the file.
//
// # What is hidden
//
// With -trimpath the go command does not record the linker's flags. They are guessed, and
// the first part of the build ID tells whether a guess is right: see oracle and
// candidates.sets. [verdict.Result.Recovered] lists every recovery. In the end the bytes
// decide, not the oracle.
//
// # What is not recorded
//
// Older releases of Go record less: up to 1.17 no settings, up to 1.18 no -trimpath, and up to 1.19
// no -buildmode. What headers and paths tell is taken from them, and else it is the default
// (claim.addInferred). Which files were named in go build FILES is never recorded. The likely sets
// are tried (fileSets), and a policy has to name those that were found. In both cases there is no
// ground to say that a file differs, unless its build ID names exactly what was built. For named
// files the part about package main does, too.
//
// # A stranger's input
//
// The file, the source and the dependencies may be made to do harm. Every word of
// the build information passes an allow-list (parseClaim). A setting that is not on the
// list is a reason for Undetermined. Modules come from the module proxy alone. Cgo is off,
// so only the go command, the compiler, the assembler and the linker of a proved
// toolchain are executed. They run as the passes of a release do: confined, without
// network, in bounded time and space.
//
// # Go itself
//
// [Rebuilder.Toolchain] judges a published Go toolchain. Package gotree does that, with
// the same sandbox. The findings about files and about toolchains are both a
// [verdict.Result].
//
// # Verdicts
//
//   - Reproduced: every byte is the same.
//   - Equivalent: every byte is the same after one or more [inspect.Normalization]. These
//     are named, and the bytes that they leave out are counted.
//   - Differs: the bytes are different, and there is a ground to say that the file is not
//     what its source compiles to.
//   - Undetermined: there is no answer, and a [verdict.Reason] says why.
//
// # An accusation needs ground
//
// For a file whose bytes are different, the first line of this table that fits decides:
//
//	ground      source     toolchain  content    differs    verdict
//	any         any        any        stripped   any        undetermined: stripped
//	none        any        any        changed    any        undetermined: changed
//	none        any        any        any        any        undetermined: linker flags
//	any         not named  any        any        any        undetermined: source not named
//	any         named      other      any        any        undetermined: toolchain not published
//	dependency  named      published  any        any        differs
//	build       named      published  changed    any        differs
//	build       named      published  any        modules    differs
//	build       named      published  any        std        undetermined: toolchain not published
//	build       named      published  any        unknown    undetermined: toolchain not published
//
// The ground rules out that flags explain the difference. A file need not record its flags,
// or it records them in another form than they were given. There is no ground where
// -gcflags or -asmflags are recorded, since a file has only the last of them. There is none
// where -ldflags has spaces in a value either, since they may have been line ends. Both hold
// unless the build ID names exactly what was built.
//
//   - The ground is a dependency if the file names another content of a module's version than
//     the source does or, where go install PKG@VERSION built it, another module than the source
//     asks for. In a clone a go.work around the source or a -modfile, which are not recorded,
//     may have chosen other modules, and a vendor folder that is not in a module's zip may hold
//     anything: then there is no ground, and the reason is "other dependencies". There is none
//     either if the file has what -cover adds, which older releases do not record.
//   - The ground is the build if the file's build ID names exactly what was built, if its
//     package main was compiled from something else, if the flags are known otherwise, or if
//     there is more or less machine code.
//
// The source is named if the first part of the build ID is that of the rebuild. That part
// is a hash of all that was linked. The source is also named if nothing that the file says
// of its making contradicts the rebuild, and one of these holds:
//
//   - the part about package main, a hash of all that it was compiled from, is the same;
//   - the file has the module's h1: hash;
//   - the file has a revision of version control, and that is the commit of the user's clone,
//     or the one that the module proxy gives to the version.
//
// A file that says that its work tree had uncommitted changes names no source at all, even if its
// build ID is that of the rebuild. It is tried all the same: changes need not be in what was
// compiled. The go command is told that there are some, so that it records them, too.
//
// A source is not named by a version that was guessed, or that the user gave. Such a version
// can lead to a pass, and never to Differs.
//
// The toolchain is another one if its name in the file has more than a release of Go ("X:" and
// experiments), or if paths that were not trimmed show it where distributions put theirs
// (/usr/lib/go, /nix/store). A toolchain may also be changed and call itself published. Then
// only its traces in the file show that. They may be anywhere: in functions and data of the
// standard library, and where these are inlined in other packages. So it takes evidence that
// packages of modules differ, not merely that something does:
//
//   - functions that these packages declare start at other lines of their source, or
//   - such functions in which nothing is inlined have other instructions (references do not
//     count), while the functions of the standard library that both files have are the same,
//     or
//   - the first part of the build ID is that of the rebuild, so that all packages were
//     compiled to the same, and the functions of the standard library are the same and
//     as many.
//
// Without such evidence nothing is said against the file. A text that differs is no evidence,
// since nothing in a file says whose it is. One mistake remains possible. A toolchain may
// differ in a constant of the standard library that only the modules' functions use. It is
// taken for another source.
//
// The content is stripped if three things hold: the file's build ID names exactly what was
// built, the file loads the same code and data at the same addresses, and besides headers and
// symbols it has nothing that the rebuild does not have ([inspect.Stripped]). Packagers strip
// programs, and the part that is gone is no evidence against a source. It is no pass either,
// since nothing vouches for the parts that the tool wrote anew.
//
// The content is changed if the last part of the file's build ID, a hash of the file, is
// wrong. No toolchain makes such a file, so then it does not matter where the change is.
// Whoever tampers with a file can compute that hash anew. That does not lead to a pass: the
// worst that follows is that there is no verdict.
package rebuild
