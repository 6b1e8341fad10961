"""A sample of the faults of `make faults`: of each fault some calls, in each scenario."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.calls import FAULTS
from tests.faults.cases import Bench, sample
from tests.faults.processes import fast_directory
from tests.faults.scenarios import SCENARIOS

#: Cases of each fault and scenario, and the seed that chooses them.
NUMBER, SEED = 3, 1


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A bench; skip without a strace that may trace (a container can forbid it)."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed (tests/packages.txt)")
    probe = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], stderr=subprocess.PIPE, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"strace is not permitted to trace: {probe.stderr}")
    with tempfile.TemporaryDirectory(prefix="faults-", dir=fast_directory()) as directory:
        bench = Bench(Path(directory))
        yield bench
        bench.close()


#: Faults that once did damage: scenario, fault, and what its calls begin with.
_ONCE = [
    # An attribute that could not be read was lost without a word, and so was one that could not be
    # written.
    ("apply", "EACCES", r"fgetxattr\(\d+</etc/dnf/dnf.conf>"),
    ("update", "EACCES", r"fsetxattr\(\d+</etc/dnf/.dnf.conf"),
    # The directory kept the mode of the umask.
    ("bake", "SIGKILL", r"(fsync|fchmod)\(\d+</var/lib(/eks-proxy-agent)?>"),
    # The baseline had the original of a removed file as a content of the agent.
    ("apply", "SIGKILL", r"unlinkat\(\d+</etc/systemd/system/docker.service.d>, .proxy.conf"),
    # A new directory was not in the baseline, and stayed.
    ("update", "EIO", r'openat\(\d+</etc/systemd/system>, "containerd.service.d"'),
    # The search for the name of a copy did not end.
    ("revert", "EIO+", r'\w+\(.*eks-proxy-agent-save"'),
    # Unexpected errors.
    ("update", "EIO", r"flistxattr\(\d+</run/eks-proxy-agent/ready>"),
    ("boot", "EIO", r"newfstatat\(\d+</run/eks-proxy-agent/lock>"),
    ("bootstrap", "EIO", r"read\(\d+</etc/eks/bootstrap.sh>"),
    # The signal was sent, but not remembered, without a word.
    ("bootstrap", "EMFILE", r'openat\(\d+</var/lib/eks-proxy-agent/instances/[^>]+>, "bootstrap.json"'),
]


@pytest.mark.parametrize(
    ("scenario", "fault", "call"),
    [
        pytest.param(scenario, fault, call, marks=pytest.mark.xdist_group(f"faults-{scenario}"))
        for scenario, fault, call in _ONCE
    ],
)
def test_a_fault_that_once_did_damage(bench: Bench, scenario: str, fault: str, call: str) -> None:
    """The same must hold for each call of this kind."""
    cases = [case for case in bench.undisturbed(scenario).cases(fault) if re.match(call, case.point.text)]
    assert cases != []
    failures = [f"{case}: {failure}" for case in cases for failure in bench.failures(case)]
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize(
    ("scenario", "fault"),
    [
        # The scenarios stay together: the undisturbed run is made once.
        pytest.param(scenario, fault, marks=pytest.mark.xdist_group(f"faults-{scenario}"))
        for scenario in SCENARIOS
        for fault in FAULTS
    ],
)
def test_a_fault_at_any_call_does_no_lasting_damage(bench: Bench, scenario: str, fault: str) -> None:
    """Files are wholly old or new, the rerun converges, revert is exact; the error is reported."""
    cases = sample(bench.undisturbed(scenario).cases(fault), NUMBER, SEED)
    assert len(cases) == NUMBER
    failures = [f"{case}: {failure}" for case in cases for failure in bench.failures(case)]
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("fault", ["SIGKILL", "EIO", "EMFILE", "EACCES"])
def test_a_fault_at_a_module_damages_no_file(bench: Bench, fault: str) -> None:
    """Python imports modules when they are needed, some of them in the middle of a command."""
    failures = bench.failures_of_python(fault, NUMBER, SEED)
    assert not failures, "\n".join(failures)
