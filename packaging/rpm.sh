#!/bin/bash
# Builds dist/*.rpm for the interpreter PYTHON (a path, a name, or X.Y); on the node it is /usr/bin/pythonX.Y.
#
#   WHEELS=DIR    take the libraries from this directory, and do not use the network
#   DIST=DIR      write the package to this directory
#
# The libraries are those of packaging/locks; if one differs, the build fails.  The same sources give the same file.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# --- which Python ---------------------------------------------------------------------------------------------------

target=${PYTHON:-/usr/bin/python3}
case "$target" in
    [0-9]*) python=$(packaging/setup.sh find "$target") || die "PYTHON=$target: no Python $target" \
        "on this machine; build on the distribution of the nodes, or install it with pyenv (docs/install.md)" ;;
    *) python=$(command -v "$target") || die "PYTHON=$target: no such Python on this machine" ;;
esac
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || die "PYTHON=$target: does not run"
lock=packaging/locks/python$version
[ -e "$lock.txt" ] || die "PYTHON=$target: the libraries are not locked for Python $version;" \
    "to lock them: make lock ARGS=$version"

packaging/setup.sh rpm "$python"
PIP=$(packaging/setup.sh installer "$python" 2>/dev/null) || {
    packaging/setup.sh demo # for the pip of .venv
    PIP=$(packaging/setup.sh installer "$python")
}
export PIP=${PIP/#.venv/$PWD/.venv} # rpmbuild works elsewhere

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dist=${DIST:-dist}
mkdir -p "$work/SOURCES" "$work/libraries" "$dist"

# --- the libraries, each with one of the hashes of its lock ---------------------------------------------------------

read -ra pip <<<"$PIP"
pinned=(--disable-pip-version-check -q --no-input --no-deps --require-hashes --only-binary :all:)

# fetch DIRECTORY [OPTIONS]: download to DIRECTORY.  pip reads the metadata of systemd-python from its source; the build
# tools are those of the lock, whatever this Python has installed.
fetch() {
    local directory=$1
    shift
    "${pip[@]}" download "${pinned[@]}" "$@" -d "$directory" -r "$lock-build.txt" &&
        "${pip[@]}" install "${pinned[@]}" "$@" --upgrade --target "$work/build" -r "$lock-build.txt" &&
        PYTHONPATH=$work/build "${pip[@]}" download "${pinned[@]}" --no-binary systemd-python \
            --no-build-isolation --use-pep517 "$@" -d "$directory" -r "$lock.txt"
}

offline() { PIP_CONFIG_FILE=/dev/null fetch "$work/libraries" --isolated --no-index --find-links "$1"; }

if [ -n "${WHEELS:-}" ]; then
    [ -d "$WHEELS" ] || die "WHEELS=$WHEELS: not a directory"
    offline "$WHEELS" || die "WHEELS=$WHEELS: files of $lock.txt or $lock-build.txt" \
        "are missing or have other hashes; see pip's error above"
else
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/eks-proxy-agent/wheels/$version-$(uname -m)
    mkdir -p "$cache"
    offline "$cache" 2>/dev/null || {
        echo "fetching the libraries for Python $version (kept in $cache) ..." >&2
        fetch "$cache" || die "cannot fetch the libraries of $lock.txt; see pip's error above"
        offline "$cache" || die "$cache: corrupt; remove it"
    }
fi

# --- the sources ----------------------------------------------------------------------------------------------------

inputs=(agent docs packaging systemd rpm.spec LICENSE README.md CHANGELOG.md)
# 1.0.0rc1 is 1.0.0~rc1 for rpm, which is older than 1.0.0.
release=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' agent/__init__.py | sed -E 's/(a|b|rc)[0-9]+$/~&/')
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct -- "${inputs[@]}" 2>/dev/null || true)
fi
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(stat -c %Y CHANGELOG.md)}

pack() { # pack TARBALL TAR-OPTIONS: modes and times as if checked out by root
    local tarball=$1
    shift
    tar --sort=name --owner=0 --group=0 --numeric-owner --mode=u+rw,go=u-w --mtime="@$SOURCE_DATE_EPOCH" -cf "$tarball" "$@"
}

pack "$work/SOURCES/eks-proxy-agent-$release.tar" --exclude=__pycache__ --transform "s|^|eks-proxy-agent-$release/|" \
    "${inputs[@]}"
pack "$work/SOURCES/eks-proxy-agent-libraries-py$version.tar" -C "$work" libraries

# --- the package ----------------------------------------------------------------------------------------------------

options=()
if [ -z "$(rpm --eval '%{?_unitdir}')" ]; then
    # Debian has no such macros, and no rpm database in which rpmbuild could find the BuildRequires.
    options+=(--load packaging/rpm.macros --nodeps)
fi
rpmbuild -bb "${options[@]}" \
    --define "_topdir $work" --define "_tmppath $work" --define "_rpmdir $work/RPMS" \
    --define "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm" \
    --define "agent_version $release" --define "pyver $version" --define "build_python $python" \
    --define "lock $PWD/$lock.txt" rpm.spec >"$work/log" 2>&1 || {
    tail -n 40 "$work/log" >&2
    die "rpmbuild failed; the end of its output is above"
}
for package in "$work"/RPMS/*.rpm; do
    mv "$package" "$dist/"
    echo "$dist/${package##*/}"
done
