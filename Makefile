# `make` alone tells what there is. Everything that is built lies under DROVER_CACHE, outside the checkout.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build bin demo test lint-api fuzz chaos conformance examples interop kube bench fmt codegen deny clean-cache

export DROVER_CACHE ?= $(HOME)/.cache/drover
export CARGO_TARGET_DIR ?= $(DROVER_CACHE)/target

# How long each fuzz target runs.
export FUZZ_SECONDS ?= 10

# How long `make chaos` breaks things, and the seed of what it breaks; without one it draws and prints one.
export CHAOS_SECONDS ?= 120
ifdef CHAOS_SEED
export CHAOS_SEED
endif

# What cargo-deny looks at; advisories need the network.
DENY_CHECKS ?= advisories bans licenses sources

# RocksDB is C++ and takes a quarter of an hour: it is built once per version, outside cargo's target folder. Whoever
# brings a library of their own sets ROCKSDB_LIB_DIR and ROCKSDB_INCLUDE_DIR.
define rocksdb
if [[ -z $${ROCKSDB_LIB_DIR:-} ]]; then \
  dir=$$(scripts/rocksdb.sh); \
  export ROCKSDB_LIB_DIR=$$dir ROCKSDB_INCLUDE_DIR=$$dir/include ROCKSDB_STATIC=1; \
fi
endef

help: ## Tells the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Installs what a build needs (Debian, Ubuntu; elsewhere names it) and builds RocksDB once
	@command -v cargo >/dev/null || { echo "setup: Rust is missing: install rustup" >&2; exit 1; }
	@scripts/packages.sh g++=g++ make=make '/usr/lib/llvm-*/lib/libclang.so*=libclang-dev'
	@$(rocksdb); echo "setup: RocksDB is in $$ROCKSDB_LIB_DIR"

build: setup ## Builds all programs
	@$(rocksdb); cargo build --workspace --bins

bin: ## Prints the folder of the programs
	@echo "$(CARGO_TARGET_DIR)/debug"

demo: setup ## Starts a cluster and a fleet on this machine
	@$(rocksdb); scripts/demo.sh

# The fuzz targets are a workspace of their own: what a crate begins to depend on belongs into their lock file as well.
test: setup ## Format, lints, layers, generated code and every test that needs no other program
	@scripts/packages.sh unshare=util-linux ip=iproute2
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	@cargo update --quiet --workspace --locked --manifest-path fuzz/Cargo.toml
	@$(rocksdb); cargo xtask ci

lint-api: ## Checks the .proto files with buf: lints, and what would break users of the last release
	@scripts/packages.sh go=golang-go
	@scripts/lint-api.sh

fuzz: ## Runs each fuzz target for FUZZ_SECONDS (10); FUZZ_TARGETS picks some
	@scripts/packages.sh g++=g++ make=make
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	@scripts/fuzz.sh $(FUZZ_TARGETS)

# The lanes start binaries. They select the whole workspace, as `make test` does, so that nothing is built twice with
# other features.
chaos: setup ## Breaks nodes, networks, disks and clocks for CHAOS_SECONDS (120) and looks for what was lost; CHAOS_SEED repeats
	@scripts/packages.sh unshare=util-linux ip=iproute2 '/usr/lib/*/faketime/libfaketimeMT.so.1=faketime'
	@$(rocksdb); cargo build --workspace --bins; cargo test --workspace --test chaos

conformance: setup ## Plays the interoperability cases of the OMA and writes docs/conformance.md
	@scripts/packages.sh javac=default-jdk-headless mvn=maven
	@$(rocksdb); cargo build --workspace --bins; cargo test --workspace --test conformance

interop: setup ## Tests against other implementations of LwM2M
	@scripts/packages.sh javac=default-jdk-headless mvn=maven coap-client-openssl=libcoap3-bin openssl=openssl gnutls-cli=gnutls-bin \
	  cc=gcc /usr/include/mbedtls/ssl.h=libmbedtls-dev go=golang-go curl=curl \
	  '/usr/lib/python3*/ensurepip/__init__.py=python3-venv'
	@scripts/venv.sh tests/interop/requirements.txt "$(DROVER_CACHE)/interop-venv"
	@tests/interop/registry/build.sh "$(DROVER_CACHE)/registry"
	@$(rocksdb); cargo build --workspace --bins; cargo test --workspace --test interop

examples: setup ## Runs the client examples in Python and Go against a cluster
	@scripts/packages.sh go=golang-go '/usr/lib/python3*/ensurepip/__init__.py=python3-venv'
	@scripts/stubs.sh
	@$(rocksdb); cargo build --workspace --bins; cargo test --workspace --test examples

kube: setup ## Tests against a real Kubernetes API
	@scripts/packages.sh go=golang-go openssl=openssl lua5.4=lua5.4
	@$(rocksdb); cargo build --workspace --bins; cargo test --workspace --test kube

bench: setup ## Measures, against etcd as well, and writes docs/performance.md
	@scripts/packages.sh go=golang-go
	@tests/kube/build.sh >/dev/null
	@$(rocksdb); cargo xtask bench

fmt: ## Formats the source
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml

codegen: ## Rewrites generated code and custom resource definitions
	@$(rocksdb); cargo xtask codegen

deny: ## Licences, bans, sources and advisories of the dependencies (needs cargo-deny)
	@cargo deny --version >/dev/null 2>&1 || { echo "deny: install it by: cargo install cargo-deny --locked" >&2; exit 1; }
	cargo deny check $(DENY_CHECKS)

clean-cache: ## Removes everything that was built, RocksDB too
	rm -rf -- "$(DROVER_CACHE)"
