#!/bin/sh
# parliament (Duo Labs' linter of AWS IAM policies) imports pkg_resources and declares nothing that brings it.
#
# Versions: parliament 1.6.4, Python 3.11.
# Behaviour: installed by uv, or by a pip into an environment without setuptools (Python's own venv brings none from 3.12
#   on), the command `parliament` ends at its import with ModuleNotFoundError, whatever policy it is given. With the newest
#   setuptools it does, too: pkg_resources was taken out in release 82. With setuptools below 82 it works.
# What cloudq does: its Makefile installs setuptools below 82 beside parliament.
#
# Installs into a folder of its own. Exit status 0: it is as described above.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
policy='{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "arn:aws:sqs:eu-west-1:123456789012:emails"}]}'
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet parliament==1.6.4
"$folder/venv/bin/python" --version

show() {
    "$folder/venv/bin/python" -m pip uninstall --quiet --yes setuptools
    if [ -n "$1" ]; then "$folder/venv/bin/python" -m pip install --quiet "$1"; fi
    if "$folder/venv/bin/parliament" --string "$policy" >"$folder/said" 2>&1; then said=works; else said=$(tail -n 1 "$folder/said"); fi
    echo "with ${1:-no setuptools}: $said"
}

missing="ModuleNotFoundError: No module named 'pkg_resources'"
found=$(show "" && show "setuptools==82.0.0" && show "setuptools==81.0.0")
echo "$found"
expected="with no setuptools: $missing
with setuptools==82.0.0: $missing
with setuptools==81.0.0: works"
[ "$found" = "$expected" ] || { echo "this has changed" >&2; exit 1; }
