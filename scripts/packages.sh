#!/usr/bin/env bash
# packages.sh COMMAND=PACKAGE…: installs the Debian packages whose commands are missing; elsewhere names them.
# COMMAND may also be a file pattern, such as /usr/lib/llvm-*/lib/libclang.so*.
set -euo pipefail
missing=()
for need in "$@"; do
  what=${need%%=*} package=${need#*=}
  case $what in
    /*) compgen -G "$what" >/dev/null || missing+=("$package") ;;
    *) command -v "$what" >/dev/null || missing+=("$package") ;;
  esac
done
((${#missing[@]})) || exit 0
if ! command -v apt-get >/dev/null; then
  echo "setup: missing: ${missing[*]} (names as in Debian); install them and run this again" >&2
  exit 1
fi
as_root=()
((EUID == 0)) || as_root=(sudo)
echo "setup: installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
