#!/usr/bin/env bash
# Stops what up.sh has started and removes its state; harmless when nothing runs. A cluster of KUBECONFIG is not touched.
set -euo pipefail
run=${DROVER_KUBE_RUN:-${TMPDIR:-/tmp}/drover-kube-$UID}

stop() { # NAME
  local file=$run/$1.pid pid
  [[ -e $file ]] || return 0
  pid=$(cat "$file")
  # A recycled process id belongs to another program.
  if [[ $(basename "$(readlink "/proc/$pid/exe" 2>/dev/null || true)") == "$1" ]]; then
    kill -KILL "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null && [[ $(awk '{print $3}' "/proc/$pid/stat" 2>/dev/null) != Z ]]; do sleep 0.05; done
  fi
  rm -f "$file"
}

stop kube-apiserver
stop etcd
# Only what up.sh makes: the folder may have been given by the caller.
rm -rf "$run/etcd" "$run/pki" "$run/kubeconfig" "$run"/{etcd,kube-apiserver}.log
