# Sightline: `make demo` shows five live cameras in the browser, `make test` proves that it works.
# Both install what is missing first, say so, and do nothing twice. The scripts that do the work are in scripts/.

SHELL  := /bin/bash
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Where the demo listens on 127.0.0.1, and its configuration (empty: built-in demo streams).
PORT   ?= 8080
CONFIG ?=
# How long each target is fuzzed.
FUZZ_SECONDS ?= 60
export PORT CONFIG
# What `make benchmarks` compares with, where it is installed.
GO2RTC   ?= go2rtc
MEDIAMTX ?= mediamtx
# The crate that embeds the client reports each file as a warning.
export MEMORY_SERVE_QUIET := 1

# What the client is made of: folders too, so that a removed file counts as a change. What npm installs is said by its lock.
CLIENT_INPUTS := $(shell find client/* protocol/* -path client/node_modules -prune -o -not -name '*.swp' -print) $(wildcard index.html Trunk.toml) \
                 Cargo.toml Cargo.lock scripts/client.sh scripts/embed.sh

# Runs a command with the Rust that the scripts have found or installed.
WITH_RUST := . scripts/common.sh && use_rust &&

.DEFAULT_GOAL := help
.PHONY: help demo dev client relay deb test fuzz bench benchmarks screenshots lint fmt clean install-demo install-lint install-deb install-fuzz install-test
# One thing after the other: every step uses all cores by itself.
.NOTPARALLEL:

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

demo: relay ## install what is missing, build, run the relay (PORT=9000, CONFIG=sightline.toml)
	@exec scripts/demo.sh

dev: install-demo ## serve the client with live reload; beside it, run a relay (make demo)
	@exec scripts/client.sh serve

client: dist/index.html ## build the client into dist/

relay: dist/index.html ## build the relay, with the client in it
	@$(WITH_RUST) cargo build --release --package sightline-relay

deb: install-deb relay ## build a Debian package into target/debian
	@exec scripts/deb.sh

test: install-test relay ## install what is missing, run every check and test
	@exec scripts/test.sh

fuzz: install-fuzz dist/index.html ## fuzz all that reads what others wrote (FUZZ_SECONDS=3600 each)
	@exec scripts/fuzz.sh "$(FUZZ_SECONDS)"

bench: install-test relay ## measure latency, bad roads, faults, start-up, the page, cost per viewer, size
	@$(WITH_RUST) SIGHTLINE_BIN="$$TARGET_DIR/release/sightline" exec cargo run --release --package sightline-tests --bin bench

benchmarks: install-test relay ## measure Sightline beside go2rtc, MediaMTX and the baseline, and write BENCHMARKS.md
	@$(WITH_RUST) SIGHTLINE_BIN="$$TARGET_DIR/release/sightline" exec cargo run --release --package sightline-tests --bin bench -- \
		size harness compare compare-road crowd --go2rtc "$(GO2RTC)" --mediamtx "$(MEDIAMTX)" \
		--out docs/benchmarks --page BENCHMARKS.md --page README.md

screenshots: install-test relay ## take pictures of both pages: phone, laptop, wall; dark and light
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
