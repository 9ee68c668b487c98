module github.com/twicebuild/twice

go 1.26.0

toolchain go1.26.8

require (
	github.com/gofrs/flock v0.13.1 // indirect
	golang.org/x/mod v0.42.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
)
