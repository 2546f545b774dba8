#!/usr/bin/env bash
# Builds etcd, kube-apiserver and, where PATH has none, kubectl from the Go modules that control-plane/go.mod pins.
# Prints the folder with the binaries. The first run takes several minutes; later ones find everything in the cache.
# Builds only what is named, if anything is: build.sh etcd
#
# Environment:
#   DROVER_KUBE_CACHE  where the binaries are kept (default: ~/.cache/drover/kube)
#   DROVER_KUBE_JOBS   packages that are compiled at once (default: 2)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
module=$here/control-plane

# The version is set by the linker: without it the API server calls itself v0.0.0 and clients refuse it.
version=$(sed -n 's|^\tk8s.io/kubernetes \(v[0-9.]*\).*|\1|p' "$module/go.mod")
[[ -n $version ]] || { echo "build.sh: control-plane/go.mod names no k8s.io/kubernetes version" >&2; exit 1; }
IFS=. read -r major minor _ <<<"${version#v}"

bin=${DROVER_KUBE_CACHE:-$HOME/.cache/drover/kube}/$version
mkdir -p "$bin"
exec 9>"$bin/.lock"
flock 9 # two lanes at once build once

build() { # NAME PACKAGE
  local stamp want out=$bin/$1
  want=$(sha256sum "$module/go.mod" "$module/go.sum" | sha256sum | cut -c1-16)
  stamp=$(cat "$out.stamp" 2>/dev/null || true)
  [[ $stamp == "$want" && -x $out ]] && return
  command -v go >/dev/null || { echo "build.sh: Go is needed to build $1 (https://go.dev/dl)" >&2; exit 1; }
  echo "building $1 $version" >&2
  local flags="-s -w" package
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
    flags+=" -X $package.gitTreeState=clean"
  done
  (cd "$module" && CGO_ENABLED=0 GOFLAGS="-mod=readonly -buildvcs=false" \
    go build -p "${DROVER_KUBE_JOBS:-2}" -trimpath -ldflags "$flags" -o "$out.new" "$2" >&2)
  mv "$out.new" "$out"
  echo "$want" >"$out.stamp"
}

wanted() { # NAME CHOSEN...
  [[ $# -eq 1 ]] || [[ " ${*:2} " == *" $1 "* ]]
}

if wanted etcd "$@"; then build etcd go.etcd.io/etcd/server/v3; fi
if wanted kube-apiserver "$@"; then build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver; fi
if wanted kubectl "$@" && ! command -v kubectl >/dev/null; then build kubectl k8s.io/kubernetes/cmd/kubectl; fi
echo "$bin"
