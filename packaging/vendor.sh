#!/bin/bash
# Fills DIRECTORY with the libraries that ship for the interpreter PYTHON, byte-compiled.
#
#   vendor.sh PYTHON DIRECTORY [WHEELS]   with WHEELS, nothing but the files of that directory is used
#
# With a lock (packaging/locks) for that Python each file has to have one of its hashes; a Python without one is for
# development, and gets what packaging/requirements.txt pins.  PIP is a pip that installs for PYTHON, if it is known.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$1 directory=$2 wheels=${3:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
lock=packaging/locks/python$version
read -ra pip <<<"${PIP:-$(packaging/setup.sh installer "$python")}"
# No cache: it may hold a systemd-python that was built for, and carries the paths of, another Python of this version.
pip+=(--disable-pip-version-check install -qq --no-input --no-compile --no-deps --no-cache-dir)
if [ -n "$wheels" ]; then
    pip+=(--isolated --no-index --find-links "$wheels")
    export PIP_CONFIG_FILE=/dev/null
fi

# -g0: the compiler's notes for debuggers would hold the path of the temporary directory.
export CFLAGS="${CFLAGS:-} -g0" TMPDIR=$work
if [ -e "$lock.txt" ]; then
    pip+=(--require-hashes)
    "${pip[@]}" --target "$work/build" -r "$lock-build.txt"
    PYTHONPATH=$work/build "${pip[@]}" --no-build-isolation --use-pep517 \
        --only-binary :all: --no-binary systemd-python --target "$directory" -r "$lock.txt"
else
    "${pip[@]}" --target "$directory" -r packaging/requirements.txt -r packaging/requirements-systemd.txt
fi

# The scripts there carry the path of this Python.  The rest is pip's book-keeping, for uninstalling.
rm -rf "${directory:?}/bin"
find "$directory" \( -path '*.dist-info/RECORD' -o -path '*.dist-info/INSTALLER' -o -path '*.dist-info/REQUESTED' \
    -o -path '*.dist-info/direct_url.json' \) -delete
packaging/compile.sh "$python" "$directory" /usr/lib/eks-proxy-agent/vendor
