module github.com/twicebuild/twice

go 1.26.0

toolchain go1.26.8

require (
	github.com/klauspost/compress v1.20.3
	golang.org/x/mod v0.42.0
)
