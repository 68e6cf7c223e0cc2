# Sightline: `make demo` shows five live cameras in the browser, `make test` runs all checks.
# Both first install and print missing requirements, and do nothing twice. The work is done by scripts/.

SHELL  := /bin/bash
TARGET := $(or $(CARGO_TARGET_DIR),target)
# The demo's port on 127.0.0.1, and its configuration (empty: built-in demo streams).
PORT   ?= 8080
CONFIG ?=
# A part of a test's path: runs only the tests that match.
T ?=
# The browser of `make test-client`.
BROWSER := chromium
# Seconds of fuzzing per target.
FUZZ_SECONDS ?= 60
export PORT CONFIG
# The other servers of `make benchmarks`, if installed.
GO2RTC   ?= go2rtc
MEDIAMTX ?= mediamtx
# Silences the crate that embeds the client: it reports each file as a warning.
export MEMORY_SERVE_QUIET := 1

# The client's sources, including folders, so that a removed file counts as a change. npm's lock file represents its packages.
CLIENT_INPUTS := $(shell find client/* protocol/* -path client/node_modules -prune -o -not -name '*.swp' -print) $(wildcard index.html Trunk.toml) \
                 Cargo.toml Cargo.lock scripts/client.sh scripts/embed.sh

# Prefix that runs a command with the Rust that the scripts have found or installed.
WITH_RUST := . scripts/common.sh && use_rust &&

.DEFAULT_GOAL := help
.PHONY: help demo dev client relay deb test quick test-client fuzz bench benchmarks screenshots lint fmt clean install-demo install-lint install-deb install-fuzz install-test
# Steps run one after the other: each uses all cores.
.NOTPARALLEL:

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: relay ## install what is missing, build, run the relay (PORT=9000, CONFIG=sightline.toml)
	@exec scripts/demo.sh

dev: install-demo ## install what is missing and run `trunk serve`: the client with live reload, beside a relay (make demo)
	@exec scripts/client.sh serve

client: dist/index.html ## build the client into dist/

relay: dist/index.html ## build the relay, with the client in it
	@$(WITH_RUST) cargo build --release --package sightline-relay

deb: install-deb relay ## build a Debian package into target/debian
	@exec scripts/deb.sh

test: install-test relay ## install what is missing, run every check and test; T=hls: only tests with hls in their path
	@exec scripts/test.sh $(if $(T),only "$(T)")

quick: install-test relay ## formatting, lints, unit tests and one browser test: before each commit
	@exec scripts/test.sh quick

test-client: install-test ## run the client's own tests in one browser (BROWSER=chromium, firefox or webkit)
	@exec scripts/client.sh test "$(BROWSER)"

fuzz: install-fuzz dist/index.html ## fuzz every parser of untrusted input (FUZZ_SECONDS=3600 each)
	@exec scripts/fuzz.sh "$(FUZZ_SECONDS)"

bench: install-test relay ## measure latency, impaired links, faults, first frame, the page, cost per viewer, size
	@$(WITH_RUST) SIGHTLINE_BIN="$$TARGET_DIR/release/sightline" exec cargo run --release --package sightline-tests --bin bench

benchmarks: install-test relay ## measure Sightline beside go2rtc, MediaMTX and the baseline, and write BENCHMARKS.md
	@$(WITH_RUST) SIGHTLINE_BIN="$$TARGET_DIR/release/sightline" exec cargo run --release --package sightline-tests --bin bench -- \
		size calibration compare compare-impaired load --go2rtc "$(GO2RTC)" --mediamtx "$(MEDIAMTX)" \
		--out docs/benchmarks --page BENCHMARKS.md --page README.md

screenshots: install-test relay ## take screenshots of both pages: phone, laptop, wall; dark and light
	@$(WITH_RUST) SIGHTLINE_BIN="$$TARGET_DIR/release/sightline" exec cargo run --release --package sightline-tests --bin screenshots

lint: install-lint ## check formatting and lints
	@exec scripts/test.sh lint

fmt: install-lint ## format all code
	@$(WITH_RUST) cargo fmt --all

clean: ## remove everything built; what was installed stays
	rm -rf "$(TARGET)" dist

dist/index.html: $(CLIENT_INPUTS) | install-demo
	@scripts/client.sh build

install-demo:
	@scripts/install.sh demo

install-lint:
	@scripts/install.sh lint

install-deb:
	@scripts/install.sh deb

install-fuzz:
	@scripts/install.sh fuzz

install-test:
	@scripts/install.sh test
