# Needs Go, git and make. Everything else comes through the Go module proxy.

GO = go
TWICE = .make/twice

.PHONY: release snapshot test lint bench fuzz twice clean

# The release of HEAD's version tag; without one, a snapshot.
release: twice
	@if [ -n "$$(git tag --points-at HEAD --list 'v*')" ]; \
	then exec $(TWICE) release; \
	else exec $(TWICE) release --snapshot; fi

# A snapshot for this machine only.
snapshot: twice
	@exec $(TWICE) release --snapshot --target "$$($(GO) env GOOS)/$$($(GO) env GOARCH)"

twice:
	@$(GO) build -o $(TWICE) ./cmd/twice

test:
	$(GO) test -timeout 40m ./...

lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	GOOS=windows $(GO) vet ./...
	cd cmd/kms && $(GO) mod tidy -diff && $(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.1 ./...

# Processor time of twice against a shell loop of the same go builds.
bench:
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 30m ./e2e/bench

# Every fuzz target, each for FUZZTIME (2m); ARGS are packages.
fuzz:
	.ci/fuzz $(ARGS)

clean:
	rm -rf .make dist dist.rejected dist.staging dist.old
