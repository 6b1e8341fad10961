#!/bin/bash
# Installs the agent and its libraries below DESTDIR, for the interpreter PYTHON (which must exist here, under the
# same path, and be the one that the node has).
#
#   usr/lib/eks-proxy-agent/{agent,vendor}   the package and its libraries, byte-compiled
#   usr/bin/eks-proxy-agent                  the launcher
#   usr/lib/systemd/system*                  units and preset
#   etc/eks-proxy-agent                      the default settings
#
# The same sources give the same bytes.  The libraries are fetched and compiled once, and kept in a cache.
set -euo pipefail
cd "$(dirname "$0")/.."

umask 022
python=${PYTHON:-/usr/bin/python3}
root=${DESTDIR:-}
library=/usr/lib/eks-proxy-agent
case "$python" in
    /*) ;;
    *) python=$(command -v "$python") ;;
esac
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' || {
    echo "error: PYTHON=$python is not Python 3.8 or newer" >&2
    exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# --- the libraries --------------------------------------------------------------------------------------------------

# What the cached folder depends on: the pins, this script, and which Python on which machine it was built for.
key=$(
    {
        cat packaging/requirements.txt packaging/requirements-systemd.txt packaging/install.sh
        "$python" -c 'import platform, sys, sysconfig
print(sys.version, sysconfig.get_platform(), platform.libc_ver())'
        pkg-config --modversion libsystemd 2>/dev/null || true
    } | sha256sum | cut -c1-20
)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/eks-proxy-agent/vendor

build_vendor() { # build_vendor FOLDER
    local pip
    packaging/setup.sh build "$python"
    packaging/setup.sh demo # for the pip of .venv
    pip=$(packaging/setup.sh installer "$python")
    echo "fetching the libraries for $python (kept in $cache) ..." >&2
    pip+=" --disable-pip-version-check install -qq --no-input --no-compile --no-deps --target $1"
    $pip -r packaging/requirements.txt
    # Compiled here and now: pip's own cache may hold one that was built for, and carries the paths of, another Python
    # of the same version.
    CFLAGS="${CFLAGS:-} -g0" TMPDIR=$work $pip --no-cache-dir -r packaging/requirements-systemd.txt
    # The scripts there carry the path of this machine's Python.
    rm -rf "${1:?}/bin"
    find "$1" -name direct_url.json -delete
    find "$1" -name RECORD -exec sed -i -e '\#^\.\./#d' -e '\#^bin/#d' {} +
    compile "$1" "$library/vendor"
}

# Valid whatever the time stamps become: an image build or an RPM need not keep them.  TARGET is what tracebacks show.
compile() { # compile FOLDER TARGET
    PYTHONHASHSEED=0 "$python" -I -m compileall -q -f --invalidation-mode unchecked-hash -d "$2" "$1"
}

if [ ! -d "$cache/$key" ]; then
    mkdir -p "$cache"
    fresh=$(mktemp -d "$cache/.new-XXXXXX")
    build_vendor "$fresh/vendor" || {
        rm -rf "$fresh"
        exit 1
    }
    # Another run may have been faster; then its result stays.
    mv -T "$fresh/vendor" "$cache/$key" 2>/dev/null || [ -d "$cache/$key" ]
    rm -rf "$fresh"
fi

# --- the tree -------------------------------------------------------------------------------------------------------

# Replaces a folder below $root by a copy of another.
lay() { # lay SOURCE TARGET TAR-OPTIONS
    local source=$1 target=$root$2
    shift 2
    rm -rf "$target"
    mkdir -p "$target"
    tar -C "$source" "$@" -cf - . | tar -C "$target" --no-same-owner -xf -
    find "$target" -type d -exec chmod 0755 {} +
    find "$target" -type f -exec chmod 0644 {} +
}

lay "$cache/$key" "$library/vendor"
lay agent "$library/agent" --exclude=__pycache__
compile "$root$library/agent" "$library/agent"

sed "1s|@PYTHON@|$python|" packaging/launcher >"$work/launcher"
install -D -m 0755 "$work/launcher" "$root/usr/bin/eks-proxy-agent"

mkdir -p "$root/usr/lib/systemd/system"
install -m 0644 systemd/*.service "$root/usr/lib/systemd/system"
install -D -m 0644 -t "$root/usr/lib/systemd/system-preset" packaging/90-eks-proxy-agent.preset

mkdir -p "$root/etc/eks-proxy-agent/config.d"
settings=$root/etc/eks-proxy-agent/config.toml
if [ -e "$settings" ] && ! cmp -s packaging/config.toml "$settings"; then
    echo "kept as it is: $settings" >&2
else
    install -m 0644 packaging/config.toml "$settings"
fi
