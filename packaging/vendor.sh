#!/bin/bash
# Fills DIRECTORY with the libraries that ship for the interpreter PYTHON, byte-compiled.
#
#   vendor.sh PYTHON DIRECTORY [WHEELS]   with WHEELS, only the files of that directory are used
#
# If packaging/locks has a lock for that Python, each file must have one of its hashes.  A Python without a lock is for
# development, and gets the versions of packaging/requirements.txt.  PIP may name a pip that installs for PYTHON.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$1 directory=$2 wheels=${3:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
lock=packaging/locks/python$version
read -ra pip <<<"${PIP:-$(packaging/setup.sh installer "$python")}"
# No cache: it may have a systemd-python that was built for another Python of this version, and contains its paths.
pip+=(--disable-pip-version-check install -qq --no-input --no-compile --no-deps --no-cache-dir)
if [ -n "$wheels" ]; then
    pip+=(--isolated --no-index --find-links "$wheels")
    export PIP_CONFIG_FILE=/dev/null
fi

# -g0: debug information would contain the path of the temporary directory.
export CFLAGS="${CFLAGS:-} -g0" TMPDIR=$work
if [ -e "$lock.txt" ]; then
    pip+=(--require-hashes)
    "${pip[@]}" --target "$work/build" -r "$lock-build.txt"
    PYTHONPATH=$work/build "${pip[@]}" --no-build-isolation --use-pep517 \
        --only-binary :all: --no-binary systemd-python --target "$directory" -r "$lock.txt"
else
    "${pip[@]}" --target "$directory" -r packaging/requirements.txt -r packaging/requirements-systemd.txt
fi

# Of PyYAML and charset-normalizer the wheels have every module in Python too: the agent's loader is not that of libyaml,
# and it guesses no encoding.  So systemd-python is the only library that is compiled for a Python and a machine.
find "$directory" -name '*.so' ! -path "$directory/systemd/*" -delete
# The scripts contain the path of this Python.  The other files are pip's records for uninstalling.
rm -rf "${directory:?}/bin"
find "$directory" \( -path '*.dist-info/RECORD' -o -path '*.dist-info/INSTALLER' -o -path '*.dist-info/REQUESTED' \
    -o -path '*.dist-info/direct_url.json' \) -delete
packaging/compile.sh "$python" "$directory" /usr/lib/eks-proxy-agent/vendor
