#!/bin/bash
# Byte-compiles DIRECTORY: valid whatever the time stamps become, since an image build or an RPM need not keep them, and
# the same for the same sources.  TARGET, where the directory is on the node, is what tracebacks show.
#
#   compile.sh PYTHON DIRECTORY TARGET
set -euo pipefail

PYTHONHASHSEED=0 "$1" -I -m compileall -q -f --invalidation-mode unchecked-hash -d "$3" "$2"
