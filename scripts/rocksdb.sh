#!/usr/bin/env bash
# Builds librocksdb.a once per version and keeps it outside the checkout, so that no change of profile, feature or
# checkout builds the C++ again (15 minutes on two cores). Prints the folder; `make` exports it as ROCKSDB_LIB_DIR.
# Env: DROVER_CACHE (default ~/.cache/drover).
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
version=$(awk '/^name = "librocksdb-sys"/{getline; gsub(/version = |"/, ""); print; exit}' "$here/Cargo.lock")
[[ -n $version ]] || { echo "rocksdb.sh: Cargo.lock names no librocksdb-sys" >&2; exit 1; }
cache=${DROVER_CACHE:-$HOME/.cache/drover}
out=$cache/rocksdb/$version
if [[ ! -e $out/.complete ]]; then
  work=$cache/rocksdb/build
  rm -rf "$out"; mkdir -p "$out" "$work/src"
  echo "rocksdb.sh: building RocksDB ($version), once; about 15 minutes on two cores" >&2
  cat >"$work/Cargo.toml" <<T
[package]
name = "rocksdb-build"
version = "0.0.0"
edition = "2024"
[workspace]
[dependencies]
librocksdb-sys = { version = "=${version%%+*}", default-features = false, features = ["lz4", "zstd", "bindgen-runtime"] }
[profile.release]
opt-level = 3
debug = false
T
  : >"$work/src/lib.rs"
  env -u ROCKSDB_LIB_DIR CARGO_TARGET_DIR="$work/target" cargo build --release --manifest-path "$work/Cargo.toml" >&2
  lib=$(find "$work/target/release/build" -path '*librocksdb-sys*' -name librocksdb.a | head -n 1)
  src=$(cargo metadata --format-version 1 --manifest-path "$work/Cargo.toml" |
    tr ',' '\n' | sed -n 's/.*"manifest_path":"\(.*librocksdb-sys[^"]*\)\/Cargo.toml".*/\1/p' | head -n 1)
  cp "$lib" "$out/"
  cp -r "$src/rocksdb/include" "$out/include"
  rm -rf "$work"
  touch "$out/.complete"
fi
echo "$out"
