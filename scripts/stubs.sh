#!/usr/bin/env bash
# stubs.sh: generates what the clients in examples/ call the API with, from proto/drover/v1, and builds the one in Go.
# Python's modules go to DROVER_CACHE/examples/python; the venv beside them has what they need. Go's go to examples/go/gen,
# where its module looks for them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cache=${DROVER_CACHE:-$HOME/.cache/drover}/examples
venv=$cache/venv
scripts/venv.sh examples/python/requirements.txt "$venv"

protos=(proto/drover/v1/*.proto)
protos=("${protos[@]#proto/}")
rm -rf -- "$cache/python" examples/go/gen
mkdir -p "$cache/python" "$cache/bin" examples/go/gen
protoc=("$venv/bin/python" -m grpc_tools.protoc --proto_path=proto)
"${protoc[@]}" --python_out="$cache/python" --grpc_python_out="$cache/python" "${protos[@]}"

# The versions are those of examples/go/go.mod.
(cd examples/go && GOBIN=$cache/bin go install google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc)
package=drover.dev/examples/go/gen/drover/v1
options=(paths=source_relative)
for file in "${protos[@]}"; do
  options+=("M$file=$package;drover")
done
flags=()
for plugin in go go-grpc; do
  flags+=("--plugin=protoc-gen-$plugin=$cache/bin/protoc-gen-$plugin" "--${plugin}_out=examples/go/gen")
  for option in "${options[@]}"; do
    flags+=("--${plugin}_opt=$option")
  done
done
"${protoc[@]}" "${flags[@]}" "${protos[@]}"
(cd examples/go && go vet . && go build -o "$cache/bin/fleet" .)
