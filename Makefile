# `make` alone tells what there is. Everything that is built lies under DROVER_CACHE, outside the checkout.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test interop kube bench fmt codegen deny clean-cache

export DROVER_CACHE ?= $(HOME)/.cache/drover
export CARGO_TARGET_DIR ?= $(DROVER_CACHE)/target

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
	@missing=(); \
	command -v g++ >/dev/null || missing+=(g++); \
	command -v make >/dev/null || missing+=(make); \
	compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || \
	  compgen -G '/usr/lib*/libclang*.so*' >/dev/null || [[ -n $${LIBCLANG_PATH:-} ]] || missing+=(libclang-dev); \
	if (( $${#missing[@]} == 0 )); then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then \
	  echo "setup: missing: $${missing[*]} (names as in Debian); install them and run this again" >&2; exit 1; \
	fi; \
	as_root=(); (( EUID == 0 )) || as_root=(sudo); \
	echo "setup: installing $${missing[*]}"; \
	"$${as_root[@]}" apt-get update -qq; \
	"$${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}"
	@$(rocksdb); echo "setup: RocksDB is in $$ROCKSDB_LIB_DIR"

demo: ## Starts a cluster and a fleet on this machine
	@$(rocksdb); scripts/demo.sh

test: ## Format, lints, layers, generated code and every test that needs no other program
	@$(rocksdb); cargo xtask ci

# The lanes start binaries. They select the whole workspace, as `make test` does, so that nothing is built twice with
# other features.
interop: ## Tests against other implementations of LwM2M
	@$(rocksdb); cargo build --workspace --bins; cargo test --workspace --test interop

kube: ## Tests against a real Kubernetes API
	@$(rocksdb); cargo build --workspace --bins; cargo test --workspace --test kube

bench: ## Measures and writes docs/performance.md
	@$(rocksdb); scripts/bench.sh

fmt: ## Formats the source
	cargo fmt --all

codegen: ## Rewrites generated code and custom resource definitions
	@$(rocksdb); cargo xtask codegen

deny: ## Licences, bans, sources and advisories of the dependencies (needs cargo-deny)
	@cargo deny --version >/dev/null 2>&1 || { echo "deny: install it by: cargo install cargo-deny --locked" >&2; exit 1; }
	cargo deny check $(DENY_CHECKS)

clean-cache: ## Removes everything that was built, RocksDB too
	rm -rf -- "$(DROVER_CACHE)"
