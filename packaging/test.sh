#!/bin/bash
# Runs the tests of `make test`, the fast ones first.  The last line is pytest's own summary.
# With CI=true a skipped group is a failure; elsewhere the skipped groups are listed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n=== %s\n' "$*"; }
skipped= # lines

packaging/setup.sh test

say "lint"
make --no-print-directory lint
[ -x .venv/bin/mypy ] || skipped+='mypy: its current version needs Python 3.10 (in a fresh clone: make test PYTHON=python3.11)'$'\n'

# The tests start hundreds of processes of the agent: compile it once for all.
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
    # Not a failure, even with CI=true: no package of the distribution has it.
    say "no Python 3.9 on this machine: the unit tests do not run with it"
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

directories=(tests/integration tests/packaging tests/fuzz tests/faults)
if [ "$(id -u)" -eq 0 ] && [ -e /etc/debian_version ]; then
    directories+=(tests/clients tests/boot)
else
    skipped+='tests/clients, tests/boot: need root on Debian (network namespaces, debootstrap, systemd-nspawn)'$'\n'
fi
if [ -n "$skipped" ] && [ "${CI:-}" = true ]; then
    printf 'error: skipped with CI=true:\n%s' "$skipped" >&2
    exit 1
fi

# Most of the time the nodes wait, so there is one more worker than cores.
pytest=(.venv/bin/python -m pytest -n "$(($(nproc) + 1))" --dist loadgroup)
if [ "$(id -u)" -eq 0 ]; then
    say "Python $ours, as the user nobody: tests/integration"
    packaging/as-nobody.sh "${pytest[@]}" -p no:cacheprovider -m 'not needs_root' tests/integration
    pytest+=(-m 'needs_root or not integration')
fi
say "Python $ours: ${directories[*]}"
# tests/conftest.py prints both above the summary.
export TESTS_LEFT_OUT=$skipped
export TESTS_ELSEWHERE='tests/cluster: make cluster-test (the first time compiles Kubernetes, about 8 minutes on 2 cores)'
exec "${pytest[@]}" "${directories[@]}"
