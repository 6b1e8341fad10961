#!/bin/bash
# Runs a command of this checkout as the user nobody, for tests on a machine that only has root: as-nobody.sh COMMAND ...
# HOME and TMPDIR are a directory of its own, which is removed afterwards.  The checkout is readable, not writable.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${AS_NOBODY:-}" ]; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    AS_NOBODY=$scratch unshare --mount "$0" "$@"
    exit
fi

scratch=$AS_NOBODY
unset AS_NOBODY
as_nobody=(setpriv --reuid=nobody "--regid=$(id -g nobody)" --clear-groups --)

# The checkout, or the Python of .venv, may be below a directory that only its owner may enter, such as /root.  In this
# mount namespace an empty overlay gives such a directory another mode; the directory itself is not changed.
overlay=$scratch/overlay
mkdir "$overlay"
mount -t tmpfs -o mode=0755 tmpfs "$overlay"
enter() { # enter DIR: let the user nobody enter it, its parents first
    [ "$1" = / ] || enter "$(dirname "$1")"
    "${as_nobody[@]}" test -x "$1" || {
        upper=$(mktemp -d "$overlay/XXXXXX")
        mkdir -m 0755 "$upper/upper" "$upper/work"
        mount -t overlay -o "lowerdir=$1,upperdir=$upper/upper,workdir=$upper/work" overlay "$1"
    }
}
enter "$PWD"
enter "$(.venv/bin/python -c 'import sys; print(sys.base_prefix)')"
cd "$PWD" # through the overlay

chmod 0755 "$scratch"
install -d -o nobody "$scratch/home"
export HOME=$scratch/home TMPDIR=$scratch/home USER=nobody LOGNAME=nobody
export HYPOTHESIS_STORAGE_DIRECTORY=$HOME/.hypothesis
unreadable=$("${as_nobody[@]}" find agent docs packaging systemd tests ./*.* .venv/bin ! -readable -print -quit 2>&1)
if [ -n "$unreadable" ] || ! "${as_nobody[@]}" .venv/bin/python -c 'import agent, pytest'; then
    echo "error: the user nobody cannot read $PWD: ${unreadable:-.venv}" >&2
    exit 1
fi
exec "${as_nobody[@]}" "$@"
