#!/usr/bin/env bash
# A Kubernetes API to test against: etcd and kube-apiserver on loopback, nothing else (no kubelet, no controllers, so
# no pods, and a deleted namespace stays in Terminating). Prints the path of a kubeconfig. Running it again is harmless.
# With KUBECONFIG set, that cluster is used instead: nothing is started and its path is printed.
#
# Environment:
#   DROVER_KUBE_RUN    where state and logs are kept (default: drover-kube-UID under TMPDIR or /tmp)
#   see also build.sh
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [[ -n ${KUBECONFIG:-} ]]; then
  echo "using the cluster of KUBECONFIG" >&2
  echo "$KUBECONFIG"
  exit 0
fi
run=${DROVER_KUBE_RUN:-${TMPDIR:-/tmp}/drover-kube-$UID}
command -v openssl >/dev/null || { echo "up.sh: openssl is needed" >&2; exit 1; }
bin=$("$here/build.sh")
PATH=$PATH:$bin
umask 077
mkdir -p "$run"
kubeconfig=$run/kubeconfig

alive() { [[ -e $run/$1.pid ]] && [[ $(readlink "/proc/$(cat "$run/$1.pid")/exe" 2>/dev/null) == "$bin/$1" ]]; }

ready() { kubectl --kubeconfig "$kubeconfig" --request-timeout 2s get --raw /readyz; }

free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  echo "$port"
}

start() { # NAME ARGUMENT...
  local name=$1
  shift
  setsid "$bin/$name" "$@" >"$run/$name.log" 2>&1 </dev/null 8>&- &
  echo $! >"$run/$name.pid"
}

wait_until() { # SECONDS WHAT NAME COMMAND...
  local deadline=$((SECONDS + $1)) what=$2 name=$3
  shift 3
  until "$@" >/dev/null 2>&1; do
    if ! alive "$name" || ((SECONDS >= deadline)); then
      echo "up.sh: $what did not come up; the end of $run/$name.log:" >&2
      tail -n 15 "$run/$name.log" >&2
      exit 1
    fi
    sleep 0.1
  done
}

write_kubeconfig() { # PORT TOKEN
  cat >"$kubeconfig" <<CONFIG
apiVersion: v1
kind: Config
current-context: drover
contexts: [{name: drover, context: {cluster: drover, user: admin}}]
clusters:
- name: drover
  cluster: {server: "https://127.0.0.1:$1", certificate-authority: "$run/pki/apiserver.crt"}
users:
- name: admin
  user: {token: "$2"}
CONFIG
}

exec 8>"$run/.lock"
flock 8
if alive etcd && alive kube-apiserver && ready >/dev/null 2>&1; then
  echo "$kubeconfig"
  exit 0
fi
"$here/down.sh"
mkdir -p "$run/pki"

etcd_port=$(free_port)
peer_port=$(free_port)
# Without fsync: the data is thrown away, and a slow disk must not make a test flaky.
start etcd --name drover --data-dir "$run/etcd" --unsafe-no-fsync --log-level warn \
  --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
  --listen-peer-urls "http://127.0.0.1:$peer_port" --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" \
  --initial-cluster "drover=http://127.0.0.1:$peer_port"

openssl genrsa -out "$run/pki/service-account.key" 2048 2>/dev/null
token=$(openssl rand -hex 24)
printf '%s,admin,admin,"system:masters"\n' "$token" >"$run/pki/tokens.csv"
port=$(free_port)
# The advertised address may not be loopback and is never dialled (TEST-NET-1); without the endpoint reconciler nobody
# publishes it. The server makes its own certificate in pki/.
start kube-apiserver --etcd-servers "http://127.0.0.1:$etcd_port" --bind-address 127.0.0.1 --secure-port "$port" \
  --advertise-address 192.0.2.1 --endpoint-reconciler-type none --service-cluster-ip-range 10.96.0.0/16 \
  --cert-dir "$run/pki" --token-auth-file "$run/pki/tokens.csv" --authorization-mode RBAC \
  --service-account-issuer https://kubernetes.default.svc \
  --service-account-key-file "$run/pki/service-account.key" \
  --service-account-signing-key-file "$run/pki/service-account.key" \
  --disable-admission-plugins ServiceAccount --profiling=false
write_kubeconfig "$port" "$token"
wait_until 60 "the API server" kube-apiserver ready
alive etcd || { echo "up.sh: etcd ended; see $run/etcd.log" >&2; exit 1; }
echo "$kubeconfig"
