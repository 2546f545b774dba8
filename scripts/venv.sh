#!/usr/bin/env bash
# venv.sh REQUIREMENTS FOLDER: a Python environment with what a requirements file pins, made anew when that changes.
set -euo pipefail
requirements=$1 folder=$2
cmp -s "$requirements" "$folder/requirements.txt" && exit 0
rm -rf -- "$folder"
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
cp "$requirements" "$folder/requirements.txt"
