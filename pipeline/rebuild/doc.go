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
// Nothing that the file says. What it says chooses a recipe, and only if the
// bytes that the recipe gives are those of the file is the choice known to be
// right. The source is the module's zip and the toolchain is the published one,
// both as the checksum database has them, so a pass means that the file is what
// that source compiles to. [verdict.Result.RestsOn] lists that.
//
// # What is chosen
//
// A source compiles to many files: to one without bounds checks, to one with other
// texts in its variables. So what the publisher chose and the source does not force
// is listed in [verdict.Result.Claimed], by the name of the setting: all that the recipe has
// ([recipe.Recipe.Choices]), the folders of a build that did not trim them, and the
// revision and the time that version control left in the file where its history is
// not at hand.
//
// # What is hidden
//
// With -trimpath the go command does not record the linker's flags. They are
// recovered by trial, with the first part of the build ID as an oracle: see
// oracle and candidates.sets. Every recovery is listed in [verdict.Result.Recovered], and in the
// end the bytes decide, not the oracle.
//
// # A stranger's input
//
// The file, the source and the dependencies may be made to do harm. Every word of
// the build information passes an allow-list (parseClaim); a setting that is not on it
// is a reason for Undetermined. Modules come from the module proxy alone. Cgo is
// off, so nothing is executed but the go command, the compiler, the assembler and
// the linker of a proved toolchain. They run as the passes of a release do,
// confined and without network, in bounded time and space.
//
// # Go itself
//
// [Rebuilder.Toolchain] judges a published Go toolchain. Package gotree does that, with
// the same sandbox. What is found about either is a [verdict.Result].
//
// # Verdicts
//
// Reproduced: every byte is the same. Equivalent: so it is after one or more
// [inspect.Normalization], which are named; bytes that these leave out are counted.
// Differs: the bytes are others, and there is a ground to say that the file is not
// what its source compiles to. Undetermined: there is no answer, and a [verdict.Reason] says
// why.
//
// # An accusation needs ground
//
// Of a file whose bytes are others the first line that fits decides:
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
// The ground rules out that flags which a file need not record, or not as they were
// given, explain the difference: there is none where -gcflags or -asmflags are recorded, of
// which a file has the last alone, or -ldflags with spaces in a value, which may have been
// line ends, unless the build ID names exactly what was built. It is a dependency if the
// file names another module, or another content of one, than the source asks for. It is the
// build if the file's build ID
// names exactly what was built, if its package main was compiled from something else,
// if the flags are known otherwise, or if there is more or less machine code.
//
// The source is named if the first part of the build ID, a hash of all that was
// linked, is that of the rebuild, or else if nothing that the file says of its making
// contradicts the rebuild and one of these holds: the part about package main, a hash
// of all that it was compiled from, is the same; the file has the module's h1: hash;
// the file has a revision of version control, and that is the commit of the user's
// clone, or the one that the module proxy gives to the version. A version that was
// guessed, or that the user named, is not: it can win, and not lose.
//
// The toolchain is another if the file calls it more than a release of Go ("X:" and
// experiments), or if paths that were not trimmed show it where distributions put
// theirs (/usr/lib/go, /nix/store). One that was changed and calls itself published is
// seen by what it leaves in the file alone, which may be anywhere: functions and data of
// the standard library, and what is inlined from there in the packages of others. So
// it takes evidence that packages of modules differ, not merely that something does:
//
//   - functions that these declare start at other lines of their source, or
//   - such functions in which nothing is inlined have other instructions, but for
//     references, while the functions of the standard library that both files have are
//     the same, or
//   - the first part of the build ID is that of the rebuild, so that all packages were
//     compiled to the same, and the functions of the standard library are the same and
//     as many.
//
// Without such evidence nothing is said against the file. That a text differs is none:
// nothing in a file says whose it is. What remains is a constant of the standard library
// that only the modules' functions use: a toolchain with another one is taken for
// another source.
//
// The content is stripped if the file's build ID names exactly what was built, the file
// loads the same code and data at the same addresses, and it has no more in it than what
// was built but headers and symbols ([inspect.Stripped]). Packagers do that to programs,
// and what was taken away is no evidence against a source. It is no pass either: nothing
// places what a tool has written anew.
//
// The content is changed if the last part of the file's build ID, a hash of the file,
// is wrong. That no toolchain does, so then it does not matter where the change is.
// Who tampers with a file can compute that hash anew, but then finds no way to a pass:
// the worst that follows is that there is no verdict.
package rebuild
