#!/usr/bin/env bash
# lint-api.sh: checks the .proto files with buf, which it builds once from its Go module into DROVER_CACHE. What was
# released must not break: it is compared with the last tag v*, if there is one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=v1.50.0
bin=${DROVER_CACHE:-$HOME/.cache/drover}/buf-$version
if [[ ! -x $bin/buf ]]; then
  command -v go >/dev/null || { echo "lint-api: Go is missing, which buf is built with" >&2; exit 1; }
  GOBIN=$bin GOFLAGS=-trimpath nice go install "github.com/bufbuild/buf/cmd/buf@$version"
fi

"$bin/buf" lint proto
tag=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
if [[ -n $tag ]]; then
  "$bin/buf" breaking proto --against ".git#tag=$tag,subdir=proto"
  echo "lint-api: nothing breaks what $tag has"
else
  echo "lint-api: not checked for breaking changes, because nothing was released yet (no tag v*)"
fi
