#!/bin/bash
# What `make test` runs, the quick things first.  The last line is pytest's own count.
# With CI=true nothing may be left out; elsewhere what was left out is said at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n=== %s\n' "$*"; }
left_out= # lines

packaging/setup.sh test

say "lint"
make --no-print-directory lint
[ -x .venv/bin/mypy ] || left_out+='mypy: its current version needs Python 3.10 (in a fresh clone: make test PYTHON=python3.11)'$'\n'

# Amazon Linux 2 has Python 3.8, Amazon Linux 2023 has 3.9, and the newest shows what is coming.
ours=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
others=
absent=
for version in 3.8 3.9; do
    [ "$version" = "$ours" ] || others+=" $version"
done
for version in 3.14 3.13 3.12 3.11 3.10; do
    [ "$version" != "$ours" ] || break
    packaging/setup.sh has "$version" || continue
    others+=" $version"
    break
done
for version in $others; do
    if ! packaging/setup.sh has "$version"; then
        absent+=" $version"
        continue
    fi
    packaging/setup.sh python "$version"
    say "unit tests with Python $version"
    ".venv-$version/bin/python" -m pytest -q -p no:cacheprovider tests/unit
done
# That is no failure, also under CI=true: no package of the distribution brings them.
[ -z "$absent" ] || say "the unit tests do not run with these Pythons, which this machine lacks:$absent"

folders=(tests/unit tests/integration tests/packaging)
if [ "$(id -u)" -eq 0 ] && [ -e /etc/debian_version ]; then
    folders+=(tests/clients tests/boot)
else
    left_out+='tests/clients, tests/boot: need root on Debian (network namespaces, debootstrap, systemd-nspawn)'$'\n'
fi
if [ -n "$left_out" ] && [ "${CI:-}" = true ]; then
    printf 'error: with CI=true nothing may be left out:\n%s' "$left_out" >&2
    exit 1
fi

say "Python $ours: ${folders[*]}"
# tests/conftest.py says both above the closing line.
export TESTS_LEFT_OUT=$left_out
export TESTS_ELSEWHERE='tests/cluster: make cluster-test (the first time compiles Kubernetes, about 8 minutes on 2 cores)'
# Most of the time is nodes that wait for something, so there is one more worker than cores.
exec .venv/bin/python -m pytest -n "$(($(nproc) + 1))" --dist loadgroup "${folders[@]}"
