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

# Hundreds of processes of the agent start in the tests: they need not compile it each.
.venv/bin/python -m compileall -q agent

# The unit tests run with the oldest Python that the agent supports, and with the newest of this machine.
ours=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
newest=$ours
for version in 3.14 3.13 3.12 3.11 3.10; do
    [ "$version" != "$ours" ] || break
    packaging/setup.sh has "$version" || continue
    newest=$version
    break
done
pythons=("$newest")
if [ "$newest" != 3.9 ] && { [ "$ours" = 3.9 ] || packaging/setup.sh has 3.9; }; then
    pythons=(3.9 "$newest")
elif [ "$newest" != 3.9 ]; then
    # That is no failure, also under CI=true: no package of the distribution brings it.
    say "the unit tests do not run with Python 3.9, which this machine lacks"
fi
for version in "${pythons[@]}"; do
    python=.venv/bin/python
    if [ "$version" != "$ours" ]; then
        packaging/setup.sh python "$version"
        python=.venv-$version/bin/python
    fi
    say "Python $version: tests/unit"
    "$python" -m pytest -q -p no:cacheprovider -n "$(nproc)" tests/unit
done

directories=(tests/integration tests/packaging)
if [ "$(id -u)" -eq 0 ] && [ -e /etc/debian_version ]; then
    directories+=(tests/clients tests/boot)
else
    left_out+='tests/clients, tests/boot: need root on Debian (network namespaces, debootstrap, systemd-nspawn)'$'\n'
fi
if [ -n "$left_out" ] && [ "${CI:-}" = true ]; then
    printf 'error: with CI=true nothing may be left out:\n%s' "$left_out" >&2
    exit 1
fi

# Most of the time is nodes that wait for something, so there is one more worker than cores.
pytest=(.venv/bin/python -m pytest -n "$(($(nproc) + 1))" --dist loadgroup)
if [ "$(id -u)" -eq 0 ]; then
    say "Python $ours, as the user nobody: tests/integration"
    packaging/as-nobody.sh "${pytest[@]}" -p no:cacheprovider -m 'not needs_root' tests/integration
    pytest+=(-m 'needs_root or not integration')
fi
say "Python $ours: ${directories[*]}"
# tests/conftest.py says both above the closing line.
export TESTS_LEFT_OUT=$left_out
export TESTS_ELSEWHERE='tests/cluster: make cluster-test (the first time compiles Kubernetes, about 8 minutes on 2 cores)'
exec "${pytest[@]}" "${directories[@]}"
