#!/bin/bash
# Prepares a machine with python3 and make, level by level.  Quick and silent when nothing is missing.
#
#   setup.sh demo           .venv/bin/eks-proxy-agent; neither root nor a compiler
#   setup.sh dev            the same, with systemd-python and what lint and the unit tests need
#   setup.sh test           the same, with the programs that all tests need
#   setup.sh cluster        the same, with what the cluster tests need, a compiler for Kubernetes included
#   setup.sh python X.Y     .venv-X.Y for the unit tests, with the Python X.Y of this machine
#   setup.sh has X.Y        exits 0 if this machine has that Python
#   setup.sh find X.Y       prints where it is
#   setup.sh build PYTHON   what compiling systemd-python for PYTHON needs
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

# Debian's name of a package, in the words of the distribution of Amazon Linux; nothing where there is none.
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

# Installs the packages given by Debian's names; names them and fails when it may not.
system_packages() {
    local manager name missing=()
    [ "$#" -gt 0 ] || return 0
    manager=$(package_manager)
    [ -n "$manager" ] || die "neither apt-get nor dnf here; install by hand what Debian calls: $*"
    for name in "$@"; do
        [ "$manager" = apt-get ] || name=$(translate "$name")
        [ -z "$name" ] || installed "$name" || missing+=("$name")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        say "missing system packages: ${missing[*]}"
        say "install them with: sudo $manager install -y ${missing[*]}"
        return 1
    fi
    say "installing system packages: ${missing[*]}"
    case "$manager" in
        apt-get) install_debian "${missing[@]}" ;;
        *) "$manager" install -y -q "${missing[@]}" >&2 ;;
    esac
}

# The servers among them (Squid, the registry) are for the tests to start: without this file Debian would start them.
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

# Runs a talkative command; shows what it said only when it fails.
quietly() {
    local said
    said=$("$@" 2>&1) || {
        say "$said"
        die "failed: $*"
    }
}

# --- Python ---------------------------------------------------------------------------------------------------------

is_python() { # is_python EXECUTABLE [X.Y]
    "$1" -c 'import sys
version = "%d.%d" % sys.version_info[:2]
sys.exit(not (version == sys.argv[1] if len(sys.argv) > 1 else sys.version_info >= (3, 9)))' ${2:+"$2"} 2>/dev/null
}

# The Python for .venv: $PYTHON, python3, or the newest that is called python3.X.
find_python() {
    local name
    for name in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.10 python3.9; do
        if is_python "$name"; then
            echo "$name"
            return
        fi
    done
    die "Python 3.9 or newer is needed, and ${PYTHON:-python3} is not"
}

# A Python of one version: on the PATH, or where pyenv keeps those that are not active.
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

of_the_system() { "$1" -c 'import sys; sys.exit(sys.base_prefix != "/usr")'; }

# What .venv needs of the system, when it has to be made with this Python.
venv_needs() {
    if ! is_python .venv/bin/python && ! has_ensurepip "$1" && of_the_system "$1"; then
        echo python3-venv
    fi
}

can_compile() { # can_compile PYTHON: what systemd-python needs
    command -v gcc >/dev/null && pkg-config --exists libsystemd 2>/dev/null &&
        "$1" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))'
}

# What compiling systemd-python for this Python needs of the system.
build_needs() {
    can_compile "$1" && return
    echo gcc libsystemd-dev pkg-config
    ! of_the_system "$1" || echo python3-dev
}

# What rpm.spec builds with, where rpm can look for it.
rpm_needs() {
    [ "$(package_manager)" != dnf ] || echo systemd-rpm-macros python3-pip
}

# What the tests call, besides Python.
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

# environment VENV PYTHON LEVEL: brings a virtual environment to a level (demo, unit, dev), unless its stamp says it is there.
environment() {
    local venv=$1 python=$2 level=$3 what=() stamp wanted
    case "$level" in
        demo) what=(-e .) ;;
        unit) what=(-r packaging/requirements-test.txt -e .) ;;
        dev) what=(-r packaging/requirements-dev.txt -e .) ;;
    esac
    if [ "$level" != demo ]; then
        if can_compile "$python"; then
            what+=(-r packaging/requirements-systemd.txt)
        else
            say "$venv: without systemd-python, for want of a compiler or headers; everything but \`run\` works"
        fi
    fi
    stamp=$venv/.stamp-$level
    wanted=$(
        {
            pwd
            cat pyproject.toml packaging/requirements*.txt packaging/setup.sh
        } | sha256sum | cut -c1-64
    )
    # What developers have is enough for the demo.
    [ "$level" != demo ] || ! grep -qs "^$wanted" "$venv/.stamp-dev" || stamp=$venv/.stamp-dev
    [ "$level" = demo ] || wanted+=" ${what[*]}"
    exec 9<pyproject.toml
    flock 9 # two makes at once
    if ! grep -qsF "$wanted" "$stamp" || ! "$venv/bin/python" -c '' 2>/dev/null; then
        say "$venv: preparing ($level) ..."
        "$venv/bin/python" -c 'import pip' 2>/dev/null || {
            has_ensurepip "$python" || die "$python has no ensurepip: it cannot make a virtual environment"
            "$python" -m venv --clear "$venv"
        }
        # Editable installs by pyproject.toml need pip 21.3.
        pip_install "$venv" 'pip>=21.3'
        pip_install "$venv" "${what[@]}"
        [ "$level" = demo ] || pip_install "$venv" --no-deps -r packaging/requirements-test-no-deps.txt
        printf '%s\n' "$wanted" >"$stamp"
    fi
    exec 9>&-
}

# The Python that .venv has, or is to be made with.
venv_python() {
    if is_python .venv/bin/python; then
        echo .venv/bin/python
    else
        find_python
    fi
}

# A pip that installs for another Python, run by that Python: markers and wheels are then those of the target.
installer() {
    if "$1" -c 'import pip, sys; sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (21, 3))' 2>/dev/null; then
        echo "$1 -m pip"
    elif .venv/bin/python -m pip --python "$1" --version >/dev/null 2>&1; then
        echo ".venv/bin/python -m pip --python $1"
    else
        die "no pip can install for $1: its own is absent or older than 21.3, and .venv's does not know it"
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
            die "$python cannot make a virtual environment without them"
        environment .venv "$python" dev # says what is lost without a compiler
        ;;
    test)
        python=$(venv_python)
        # shellcheck disable=SC2046
        system_packages $(venv_needs "$python") $(build_needs "$python") $(test_needs) || die "the tests need them"
        environment .venv "$python" dev
        ;;
    cluster)
        "$0" test
        # Elsewhere the tests themselves say why they are left out.
        # shellcheck disable=SC2046
        [ "$(package_manager)" != apt-get ] || system_packages $(sed 's/#.*//' tests/cluster/packages.txt) ||
            die "the cluster tests need them"
        ;;
    python)
        python=$(find_version "$2") || die "there is no Python $2 here"
        environment ".venv-$2" "$python" unit
        ;;
    has) find_version "$2" >/dev/null ;;
    find) find_version "$2" ;;
    build)
        # shellcheck disable=SC2046
        system_packages $(build_needs "$2") || die "systemd-python cannot be compiled for $2 without them"
        can_compile "$2" || die "$2 still lacks its headers (Python.h), or libsystemd's"
        ;;
    rpm)
        # shellcheck disable=SC2046
        system_packages rpm $(rpm_needs) $(build_needs "$2") || die "an RPM for $2 cannot be built without them"
        can_compile "$2" || die "$2 still lacks its headers (Python.h), or libsystemd's"
        ;;
    installer) installer "$2" ;;
    *) die "usage: setup.sh demo | dev | test | cluster | python X.Y | has X.Y | find X.Y | build PYTHON | rpm PYTHON | installer PYTHON" ;;
esac
