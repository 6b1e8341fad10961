#!/bin/bash
# Prepares a machine with python3 and make, level by level.  Fast and silent if nothing is missing.
#
#   setup.sh demo           .venv/bin/eks-proxy-agent; neither root nor a compiler
#   setup.sh dev            the same, with systemd-python, linters and the libraries of the unit tests
#   setup.sh test           the same, with the programs for all tests
#   setup.sh cluster        the same, with the packages of the cluster tests, including a compiler for Kubernetes
#   setup.sh powercut       the level of `test`, with QEMU for `make powercut`
#   setup.sh python X.Y     .venv-X.Y for the unit tests, with the Python X.Y of this machine
#   setup.sh has X.Y        exits 0 if this machine has that Python
#   setup.sh find X.Y       prints its path
#   setup.sh build PYTHON   the packages for compiling systemd-python for PYTHON
#   setup.sh rpm PYTHON     the same, and rpmbuild
#   setup.sh installer PYTHON   prints a pip that can install for PYTHON
#
# As root it installs missing system packages (apt-get or dnf); as another user it names them.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
die() {
    say "error: $*"
    exit 1
}

# --- system packages ------------------------------------------------------------------------------------------------

package_manager() {
    local name
    for name in apt-get dnf; do
        if command -v "$name" >/dev/null && { [ "$name" != apt-get ] || [ -e /etc/debian_version ]; }; then
            echo "$name"
            return
        fi
    done
}

# Prints Amazon Linux's name of a Debian package; nothing if it is not required there.
translate() {
    case "$1" in
        python3-venv) ;;
        python3-dev) echo python3-devel ;;
        libsystemd-dev) echo systemd-devel ;;
        pkg-config) echo pkgconfig ;;
        rpm) echo rpm-build ;;
        *) echo "$1" ;;
    esac
}

installed() {
    case "$manager" in
        apt-get) [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
        *) rpm -q --quiet --whatprovides "$1" ;;
    esac
}

# Installs packages, given by Debian's names.  Without root it prints them and fails.
system_packages() {
    local manager name missing=()
    [ "$#" -gt 0 ] || return 0
    manager=$(package_manager)
    [ -n "$manager" ] || die "no apt-get or dnf on this machine; install these packages (Debian's names) yourself: $*"
    for name in "$@"; do
        [ "$manager" = apt-get ] || name=$(translate "$name")
        [ -z "$name" ] || installed "$name" || missing+=("$name")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        say "missing system packages: ${missing[*]}"
        say "to install them: sudo $manager install -y ${missing[*]}"
        return 1
    fi
    say "installing system packages: ${missing[*]}"
    case "$manager" in
        apt-get) install_debian "${missing[@]}" ;;
        *) "$manager" install -y -q "${missing[@]}" >&2 ;;
    esac
}

# The tests start the servers among them (Squid, the registry).  Without this file Debian would start them.
install_debian() {
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 0755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    quietly apt-get update
    quietly apt-get install -y --no-install-recommends "$@"
    if [ -n "$(trap -p EXIT)" ]; then
        rm -f "$policy"
        trap - EXIT
    fi
}

# Runs a verbose command; shows its output only if it fails.
quietly() {
    local output
    output=$("$@" 2>&1) || {
        say "$output"
        die "failed: $*"
    }
}

# --- Python ---------------------------------------------------------------------------------------------------------

is_python() { # is_python EXECUTABLE [X.Y]
    "$1" -c 'import sys
version = "%d.%d" % sys.version_info[:2]
sys.exit(not (version == sys.argv[1] if len(sys.argv) > 1 else sys.version_info >= (3, 9)))' ${2:+"$2"} 2>/dev/null
}

# Prints the Python for .venv: $PYTHON, python3, or the newest python3.X.
find_python() {
    local name
    for name in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.10 python3.9; do
        if is_python "$name"; then
            echo "$name"
            return
        fi
    done
    die "${PYTHON:-python3}: Python 3.9 or newer is required"
}

# Prints the Python of a version: from the PATH, or an inactive one of pyenv.
find_version() {
    local name
    for name in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
        if is_python "$name" "$1"; then
            echo "$name"
            return
        fi
    done
    return 1
}

has_ensurepip() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

is_system_python() { "$1" -c 'import sys; sys.exit(sys.base_prefix != "/usr")'; }

# Prints the system packages for creating .venv with this Python, if it does not exist.
venv_needs() {
    if ! is_python .venv/bin/python && ! has_ensurepip "$1" && is_system_python "$1"; then
        echo python3-venv
    fi
}

can_compile() { # can_compile PYTHON: whether systemd-python can be compiled
    command -v gcc >/dev/null && pkg-config --exists libsystemd 2>/dev/null &&
        "$1" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))'
}

# Prints the system packages for compiling systemd-python for this Python.
build_needs() {
    can_compile "$1" && return
    echo gcc libsystemd-dev pkg-config
    ! is_system_python "$1" || echo python3-dev
}

# Prints the BuildRequires of rpm.spec, where rpm checks them.
rpm_needs() {
    [ "$(package_manager)" != dnf ] || echo systemd-rpm-macros python3-pip
}

# Prints the packages of the programs that the tests run, besides Python.
test_needs() {
    if [ "$(package_manager)" != apt-get ]; then
        echo systemd
        return
    fi
    sed 's/#.*//' tests/packages.txt
    # The boot tests run as root on Debian only.
    [ "$(id -u)" -ne 0 ] || sed 's/#.*//' tests/boot/packages.txt
}

pip_install() { # pip_install VENV ARGUMENTS
    local python=$1/bin/python
    shift
    "$python" -m pip --disable-pip-version-check install -qq --no-input -c packaging/requirements.txt "$@"
}

# environment VENV PYTHON LEVEL: brings a virtual environment to a level (demo, unit, dev), unless its stamp has that level.
environment() {
    local venv=$1 python=$2 level=$3 packages=() stamp key
    case "$level" in
        demo) packages=(-e .) ;;
        unit) packages=(-r packaging/requirements-test.txt -e .) ;;
        dev) packages=(-r packaging/requirements-dev.txt -e .) ;;
    esac
    if [ "$level" != demo ]; then
        if can_compile "$python"; then
            packages+=(-r packaging/requirements-systemd.txt)
        else
            say "$venv: no systemd-python, because a compiler or headers are missing; only \`run\` needs it"
        fi
    fi
    stamp=$venv/.stamp-$level
    key=$(
        {
            pwd
            cat pyproject.toml packaging/requirements*.txt packaging/setup.sh
        } | sha256sum | cut -c1-64
    )
    # The level dev includes the demo.
    [ "$level" != demo ] || ! grep -qs "^$key" "$venv/.stamp-dev" || stamp=$venv/.stamp-dev
    [ "$level" = demo ] || key+=" ${packages[*]}"
    exec 9<pyproject.toml
    flock 9 # against a second make
    if ! grep -qsF "$key" "$stamp" || ! "$venv/bin/python" -c '' 2>/dev/null; then
        say "$venv: preparing ($level) ..."
        "$venv/bin/python" -c 'import pip' 2>/dev/null || {
            has_ensurepip "$python" || die "$python: no ensurepip, so it cannot create a virtual environment"
            "$python" -m venv --clear "$venv"
        }
        # Editable installs with pyproject.toml require pip 21.3.
        pip_install "$venv" 'pip>=21.3'
        pip_install "$venv" "${packages[@]}"
        [ "$level" = demo ] || pip_install "$venv" --no-deps -r packaging/requirements-test-no-deps.txt
        printf '%s\n' "$key" >"$stamp"
    fi
    exec 9>&-
}

# Prints the Python of .venv, or the one to create it with.
venv_python() {
    if is_python .venv/bin/python; then
        echo .venv/bin/python
    else
        find_python
    fi
}

# Prints a pip that installs for a Python and is run by it, so that markers and wheels are those of the target.
installer() {
    if "$1" -c 'import pip, sys; sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (21, 3))' 2>/dev/null; then
        echo "$1 -m pip"
    elif .venv/bin/python -m pip --python "$1" --version >/dev/null 2>&1; then
        echo ".venv/bin/python -m pip --python $1"
    else
        die "$1: no pip can install for it; its own is absent or older than 21.3, and .venv's does not support it"
    fi
}

# --- levels ---------------------------------------------------------------------------------------------------------

python=
case "${1:-}" in
    demo)
        python=$(venv_python)
        # shellcheck disable=SC2046 # here and below: words are package names
        system_packages $(venv_needs "$python")
        environment .venv "$python" demo
        ;;
    dev)
        python=$(venv_python)
        # shellcheck disable=SC2046
        system_packages $(venv_needs "$python") $(build_needs "$python") || has_ensurepip "$python" ||
            die "$python: cannot create a virtual environment without these packages"
        environment .venv "$python" dev # reports a missing compiler
        ;;
    test)
        python=$(venv_python)
        # shellcheck disable=SC2046
        system_packages $(venv_needs "$python") $(build_needs "$python") $(test_needs) || die "the tests require these packages"
        environment .venv "$python" dev
        ;;
    cluster)
        "$0" test
        # Elsewhere the tests report why they are skipped.
        # shellcheck disable=SC2046
        [ "$(package_manager)" != apt-get ] || system_packages $(sed 's/#.*//' tests/cluster/packages.txt) ||
            die "the cluster tests require these packages"
        ;;
    powercut)
        "$0" test
        [ "$(package_manager)" = apt-get ] || die "the power cuts require Debian"
        # shellcheck disable=SC2046
        system_packages $(sed 's/#.*//' tests/powercut/packages.txt) || die "the power cuts require these packages"
        ;;
    python)
        python=$(find_version "$2") || die "no Python $2 on this machine"
        environment ".venv-$2" "$python" unit
        ;;
    has) find_version "$2" >/dev/null ;;
    find) find_version "$2" ;;
    build)
        # shellcheck disable=SC2046
        system_packages $(build_needs "$2") || die "$2: cannot compile systemd-python without these packages"
        can_compile "$2" || die "$2: its headers (Python.h) or those of libsystemd are missing"
        ;;
    rpm)
        # shellcheck disable=SC2046
        system_packages rpm $(rpm_needs) $(build_needs "$2") || die "$2: cannot build an RPM without these packages"
        can_compile "$2" || die "$2: its headers (Python.h) or those of libsystemd are missing"
        ;;
    installer) installer "$2" ;;
    *) die "usage: setup.sh demo | dev | test | cluster | powercut | python X.Y | has X.Y | find X.Y | build PYTHON | rpm PYTHON | installer PYTHON" ;;
esac
