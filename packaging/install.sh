#!/bin/bash
# Installs the agent and its libraries below DESTDIR, for the interpreter PYTHON (that of the node).
#
#   usr/lib/eks-proxy-agent/{agent,vendor}   the package and its libraries, byte-compiled
#   usr/bin/eks-proxy-agent                  the launcher
#   usr/lib/systemd/system*                  units and preset
#   usr/share/{man,bash-completion,zsh}      manual pages and completions
#   etc/eks-proxy-agent                      the default settings
#   var/lib/node_exporter/textfile_collector an empty directory for the metrics
#
# Without DESTDIR it changes the running system, and requires CONFIRM=/.  uninstall.sh removes all but the last.
#
# The same sources give the same bytes.  The libraries are fetched and compiled once, and kept in a cache, or taken from
# the directory VENDOR, which vendor.sh made.  INTERPRETER is PYTHON's path on the node, if it is different there.
set -euo pipefail
shopt -s inherit_errexit # a step that fails in $(cached_vendor) ends the script
cd "$(dirname "$0")/.."

[ -n "${DESTDIR:-}" ] && [ "$DESTDIR" != / ] || [ "${CONFIRM:-}" = / ] || {
    echo 'error: without DESTDIR this changes the running system, and rpm knows nothing of it; install the RPM (make rpm),' \
        'or confirm with CONFIRM=/' >&2
    exit 1
}
umask 022
python=${PYTHON:-/usr/bin/python3}
root=${DESTDIR:-}
library=/usr/lib/eks-proxy-agent
case "$python" in
    /*) ;;
    *)
        python=$(command -v "$python") || {
            echo "error: PYTHON=$PYTHON: no such Python on this machine" >&2
            exit 1
        }
        ;;
esac
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' || {
    echo "error: PYTHON=$python: Python 3.9 or newer is required" >&2
    exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# --- the libraries --------------------------------------------------------------------------------------------------

# The name of the cached directory depends on the pins, the scripts, the Python and the machine.
cached_vendor() {
    local key cache=${XDG_CACHE_HOME:-$HOME/.cache}/eks-proxy-agent/vendor fresh
    key=$(
        {
            cat packaging/requirements.txt packaging/requirements-systemd.txt packaging/locks/*.txt packaging/vendor.sh packaging/compile.sh
            "$python" -c 'import platform, sys, sysconfig
print(sys.version, sysconfig.get_platform(), platform.libc_ver())'
            pkg-config --modversion libsystemd 2>/dev/null || true
        } | sha256sum | cut -c1-20
    )
    if [ ! -d "$cache/$key" ]; then
        packaging/setup.sh build "$python" >&2
        packaging/setup.sh demo >&2 # for the pip of .venv
        echo "fetching the libraries for $python (kept in $cache) ..." >&2
        mkdir -p "$cache"
        fresh=$(mktemp -d "$cache/.new-XXXXXX")
        packaging/vendor.sh "$python" "$fresh/vendor" >&2 || {
            rm -rf "$fresh"
            exit 1
        }
        # If another run was faster, its result stays.
        mv -T "$fresh/vendor" "$cache/$key" 2>/dev/null || [ -d "$cache/$key" ]
        rm -rf "$fresh"
    fi
    echo "$cache/$key"
}

# --- the tree -------------------------------------------------------------------------------------------------------

# Replaces a directory below $root with a copy of another.
lay() { # lay SOURCE TARGET TAR-OPTIONS
    local source=$1 target=$root$2
    shift 2
    rm -rf "$target"
    mkdir -p "$target"
    tar -C "$source" "$@" -cf - . | tar -C "$target" --no-same-owner -xf -
    find "$target" -type d -exec chmod 0755 {} +
    find "$target" -type f -exec chmod 0644 {} +
    # rpm reads the requirements of a library only from executable files.
    find "$target" -type f -name '*.so' -exec chmod 0755 {} +
}

vendor=${VENDOR:-$(cached_vendor)}
lay "$vendor" "$library/vendor"
lay agent "$library/agent" --exclude=__pycache__
packaging/compile.sh "$python" "$root$library/agent" "$library/agent"

sed "1s|@PYTHON@|${INTERPRETER:-$python}|" packaging/launcher >"$work/launcher"
install -D -m 0755 "$work/launcher" "$root/usr/bin/eks-proxy-agent"

mkdir -p "$root/usr/lib/systemd/system"
install -m 0644 systemd/*.service "$root/usr/lib/systemd/system"
install -D -m 0644 -t "$root/usr/lib/systemd/system-preset" packaging/90-eks-proxy-agent.preset

"$python" -I packaging/man/pages.py "$work/pages"
install -D -m 0644 -t "$root/usr/share/man/man8" "$work/pages/eks-proxy-agent.8"
install -D -m 0644 -t "$root/usr/share/man/man5" "$work/pages/eks-proxy-agent.toml.5"
install -D -m 0644 "$work/pages/completion" "$root/usr/share/bash-completion/completions/eks-proxy-agent"
install -D -m 0644 "$work/pages/completion.zsh" "$root/usr/share/zsh/site-functions/_eks-proxy-agent"

mkdir -p "$root/etc/eks-proxy-agent/config.d"
settings=$root/etc/eks-proxy-agent/config.toml
if [ -e "$settings" ] && ! cmp -s packaging/config.toml "$settings"; then
    echo "kept: $settings" >&2
else
    install -m 0644 packaging/config.toml "$settings"
fi

# The unit can only write to a directory that exists when it starts.  An existing one keeps its owner and mode.
mkdir -p "$root/var/lib/node_exporter/textfile_collector"
