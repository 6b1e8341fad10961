#!/bin/bash
# Byte-compiles DIRECTORY.  The result does not depend on timestamps, which an image build or an RPM may change; the same
# sources give the same bytes.  TARGET is the path of the directory on the node, which tracebacks show.
#
#   compile.sh PYTHON DIRECTORY TARGET
set -euo pipefail

PYTHONHASHSEED=0 "$1" -I -m compileall -q -f --invalidation-mode unchecked-hash -d "$3" "$2"
