#!/bin/bash
# The package for aarch64: built, and tried, in an arm64 root of Debian that QEMU emulates (as root on Debian).
#
#   arm64.sh rpm    build it; PYTHON=X.Y and DIST=DIR as for packaging/rpm.sh
#   arm64.sh test   build it, install it in such a root, run the demo there, and erase it
#
# The root is made once and kept in a cache; each run works in a throw-away layer above it, in a
# network of its own.  The libraries are fetched here, for aarch64, each with one of the hashes of its lock.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

say() { printf '%s\n' "$*" >&2; }
die() {
    say "error: $*"
    exit 1
}

# The Debian that has the Python of a distribution.  No one has 3.12, that of EL 10.
version=${PYTHON:-3.9}
case "$version" in
    3.9) suite=bullseye ;;
    3.11) suite=bookworm ;;
    *) die "PYTHON=$version: for aarch64 there are 3.9 (Amazon Linux 2023, EL 9) and 3.11 (Debian 12) only" ;;
esac
case "${ARCH:-aarch64}" in
    aarch64) ;;
    *) die "ARCH=$ARCH: aarch64 or x86_64; the second on such a machine" ;;
esac
[ "$(id -u)" -eq 0 ] || die "ARCH=aarch64: requires root, for debootstrap and chroot"
[ -e /etc/debian_version ] || die "ARCH=aarch64: requires Debian, for debootstrap and qemu-user-static"
for program in debootstrap qemu-aarch64-static update-binfmts; do
    command -v "$program" >/dev/null ||
        die "ARCH=aarch64: no $program; apt-get install debootstrap qemu-user-static binfmt-support"
done

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT

# --- the root -------------------------------------------------------------------------------------------------------

packages=python3,python3-dev,gcc,libc6-dev,libsystemd-dev,pkg-config,rpm,systemd,util-linux,procps
root=${XDG_CACHE_HOME:-$HOME/.cache}/eks-proxy-agent/arm64/$suite-$(sha256sum <<<"2 $packages" | cut -c1-12)
# The registration outlives this script, as after the installation of the package.
[ -e /proc/sys/fs/binfmt_misc/status ] || mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
[ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ] || update-binfmts --enable qemu-aarch64

pip=()
read -ra pip <<<"$(packaging/setup.sh installer "$(command -v python3)")"
pip+=(--disable-pip-version-check -q --no-input)

# The packages are unpacked and not configured: emulated, that takes half an hour, and a compiler and rpm need little of it.
if [ ! -d "$root" ]; then
    say "building a root for aarch64 (Debian's $suite, once, two minutes) ..."
    fresh=$root.building-$$
    trap 'rm -rf --one-file-system "$work" "$fresh"' EXIT
    mkdir -p "$fresh"
    debootstrap --download-only --arch=arm64 --variant=minbase --include="$packages" "$suite" "$work/debian" \
        >"$work/log" 2>&1 || {
        tail -n 20 "$work/log" >&2
        die "debootstrap failed; the end of its output is above"
    }
    for package in "$work"/debian/var/cache/apt/archives/*.deb; do
        dpkg-deb --extract "$package" "$fresh"
    done
    ln -s mawk "$fresh/usr/bin/awk"
    for name in passwd group; do
        cp "$fresh/usr/share/base-passwd/$name.master" "$fresh/etc/$name"
    done
    # packaging/setup.sh asks dpkg for these.
    for name in ${packages//,/ }; do
        printf 'Package: %s\nStatus: install ok installed\nVersion: 1\nArchitecture: arm64\nMaintainer: -\nDescription: -\n\n' "$name"
    done >"$fresh/var/lib/dpkg/status"
    # Debian 11 has a pip that is too old for packaging/setup.sh.
    "${pip[@]}" download --no-deps --only-binary :all: --python-version "$version" -d "$work/pip" pip
    python3 -m zipfile -e "$work"/pip/pip-*.whl "$fresh/usr/lib/python3/dist-packages"
    mv "$fresh" "$root"
fi

# inside COMMAND...: runs it in a layer above the root, with $work as /build; only loopback is there.
inside() {
    mkdir -p "$work/layer"
    # shellcheck disable=SC2016 # expanded by the inner shell
    unshare --mount --net bash -euc '
        root=$1 work=$2
        shift 2
        ip link set lo up
        mount -t tmpfs tmpfs "$work/layer"
        mkdir "$work/layer/upper" "$work/layer/work" "$work/layer/root"
        mount -t overlay -o "lowerdir=$root,upperdir=$work/layer/upper,workdir=$work/layer/work" root "$work/layer/root"
        mkdir "$work/layer/root/build"
        mount --bind "$work" "$work/layer/root/build"
        mount -t proc proc "$work/layer/root/proc"
        mount --rbind /dev "$work/layer/root/dev"
        exec chroot "$work/layer/root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"
    ' bash "$root" "$work" "$@"
}

# --- the package ----------------------------------------------------------------------------------------------------

build() {
    local lock=packaging/locks/python$version inputs
    inputs=(agent docs packaging systemd rpm.spec LICENSE README.md CHANGELOG.md)
    mkdir -p "$work/wheels" "$work/source" "$work/dist"
    # Without markers: the Python of this machine would evaluate them, and the lock is that of the target.
    awk '/^[a-z]/ { source = /^systemd-python==/; sub(/ ;[^\\]*/, " ") } { print > (source ? sources : wheels) }' \
        sources="$work/sources.txt" wheels="$work/wheels.txt" "$lock.txt"
    fetch=("${pip[@]}" download --no-deps --require-hashes -d "$work/wheels")
    "${fetch[@]}" --only-binary :all: --python-version "$version" --platform manylinux2014_aarch64 \
        --platform manylinux_2_28_aarch64 -r "$work/wheels.txt" -r "$lock-build.txt"
    # pip reads the metadata of a source from the source, by the build tools of the lock.
    "${pip[@]}" install --no-deps --require-hashes --only-binary :all: --target "$work/build" -r "$lock-build.txt"
    PYTHONPATH=$work/build "${fetch[@]}" --no-binary :all: --no-build-isolation -r "$work/sources.txt"

    tar --exclude=__pycache__ -cf - "${inputs[@]}" | tar -C "$work/source" -xf -
    local epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct -- "${inputs[@]}" 2>/dev/null || true)}
    inside SOURCE_DATE_EPOCH="${epoch:-$(stat -c %Y CHANGELOG.md)}" WHEELS=/build/wheels DIST=/build/dist PYTHON="$version" \
        /build/source/packaging/rpm.sh >"$work/output" || {
        cat "$work/output" >&2
        die "rpm.sh failed in the root for aarch64; see above"
    }
}

case "${1:-}" in
    rpm)
        build
        mkdir -p "${DIST:-dist}"
        for package in "$work"/dist/*.rpm; do
            mv "$package" "${DIST:-dist}/"
            echo "${DIST:-dist}/${package##*/}"
        done
        ;;
    test)
        build
        # --nodeps: on Debian, rpm knows no installed packages.
        # shellcheck disable=SC2016
        inside sh -euc '
            cd /
            uname -m
            rpm -i --nodeps /build/dist/*.rpm
            rpm -V --nodeps eks-proxy-agent
            eks-proxy-agent --version
            eks-proxy-agent demo
            rpm -e eks-proxy-agent
            [ ! -e /usr/lib/eks-proxy-agent ]
        '
        ;;
    *) die "usage: arm64.sh rpm | test" ;;
esac
