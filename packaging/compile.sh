#!/bin/bash
# Byte-compiles DIRECTORY.  The result does not depend on timestamps, which an image build or an RPM may change; the same
# sources give the same bytes.  TARGET is the path of the directory on the node, which tracebacks show.
#
#   compile.sh PYTHON DIRECTORY TARGET
set -euo pipefail

# Python 3.9 writes sets in the order of their hashes.  -I would ignore PYTHONHASHSEED, so the environment is emptied, and
# the current directory is one without modules.
python=$(command -v "$1") directory=$(realpath "$2")
cd /
env -i PATH="$PATH" PYTHONHASHSEED=0 "$python" -s -m compileall -q -f --invalidation-mode unchecked-hash -d "$3" "$directory"
