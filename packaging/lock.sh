#!/bin/bash
# Writes packaging/locks: for each target Python the libraries of packaging/requirements*.txt with the hashes of all
# their files, resolved by that Python itself.
#
#   lock.sh [X.Y ...]   3.9: Amazon Linux 2023, EL 9; 3.11: Debian 12, where the RPM is tested; 3.12: EL 10
#
# pythonX.Y.txt has the libraries that ship, pythonX.Y-build.txt those that compile systemd-python.
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$#" -gt 0 ] || set -- 3.9 3.11 3.12
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

lock() { # lock PIP-COMPILE NAME REQUIREMENTS...
    local compile=$1 name=$2
    shift 2
    cat "$@" >"$work/in.txt"
    "$compile" --quiet --no-header --no-annotate --allow-unsafe --strip-extras --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file "$work/$name" "$work/in.txt"
    {
        echo "# Made by \`make lock\` from packaging/requirements*.txt; not to be edited."
        cat "$work/$name"
    } >"packaging/locks/$name"
    echo "packaging/locks/$name"
}

mkdir -p packaging/locks
for version in "$@"; do
    python=$(packaging/setup.sh find "$version") || {
        echo "error: no Python $version on this machine; its lock has to be resolved with it" >&2
        exit 1
    }
    "$python" -m venv "$work/$version"
    "$work/$version/bin/python" -m pip --disable-pip-version-check install -qq pip-tools
    compile=$work/$version/bin/pip-compile
    lock "$compile" "python$version.txt" packaging/requirements.txt packaging/requirements-systemd.txt
    lock "$compile" "python$version-build.txt" packaging/requirements-build.txt
done
