module github.com/twicebuild/twice

go 1.26.0

toolchain go1.26.8

require (
	github.com/gofrs/flock v0.13.1
	golang.org/x/mod v0.42.0
	golang.org/x/tools v0.52.0
)

require golang.org/x/sys v0.49.0 // indirect
