"""What is to be done with systemd's units."""

import pytest

from agent.core.settings.schema import Node, Settings
from agent.core.systemd import Unit, is_stale, to_enable, to_release

SETTINGS = Settings(node=Node(enable=("docker.service",)))


@pytest.mark.parametrize(
    ("unit", "interrupted", "wanted"),
    [
        (Unit("docker.service", enabled="disabled", active="inactive"), False, True),
        (Unit("docker.service", enabled="enabled", active="inactive"), False, False),
        (Unit("docker.service", enabled="enabled", active="inactive"), True, True),
        (Unit("docker.service", enabled="enabled", active="active"), True, False),
        (Unit("docker.service", exists=False, enabled="", active="inactive"), True, False),
        (Unit("docker.service", enabled="masked", active="inactive"), False, False),
    ],
)
def test_only_a_disabled_unit_is_enabled_and_started(unit: Unit, interrupted: bool, wanted: bool) -> None:
    """A disabled unit is enabled; an enabled one that is stopped stays so, unless a run was interrupted before its start."""
    assert to_enable(SETTINGS, {unit.name: unit}, interrupted=interrupted) == ((unit.name,) if wanted else ())


@pytest.mark.parametrize(
    ("unit", "wanted"),
    [
        (Unit("docker.service", active="inactive", blocked=True), True),
        (Unit("docker.service", active="active", blocked=True), False),
        (Unit("kubelet.service", active="inactive", enabled="enabled", started=False), True),
        (Unit("kubelet.service", active="inactive", enabled="disabled", started=False), False),
        (Unit("kubelet.service", active="inactive", started=False, queued=True), False),
        (Unit("kubelet.service", active="inactive", enabled="enabled", started=True), False),
        (Unit("containerd.service", exists=False, active="inactive", enabled="", started=False), False),
    ],
)
def test_what_the_closed_policy_refused_is_released(unit: Unit, wanted: bool) -> None:
    """A refused unit, and an enabled one that never came to start, are started; what an administrator stopped is not."""
    assert to_release({unit.name: unit}) == ((unit.name,) if wanted else ())


@pytest.mark.parametrize(
    ("environ", "stale"),
    [(b"A=1\0http_proxy=http://p:1\0", False), (b"http_proxy=http://old:1\0", True), (b"A=1\0", True), (b"", True)],
)
def test_a_process_is_stale_when_a_variable_is_missing_or_other(environ: bytes, stale: bool) -> None:
    """What /proc/PID/environ says is compared variable by variable."""
    assert is_stale(environ, [("http_proxy", "http://p:1")]) is stale


def test_what_never_started_counts_only_while_the_policy_is_closed() -> None:
    """With the policy "open" again a refused unit is released, and one that simply was not started is left alone."""
    refused = Unit("docker.service", active="inactive", blocked=True)
    unused = Unit("kubelet.service", active="inactive", started=False)
    assert to_release({"docker.service": refused, "kubelet.service": unused}, closed=False) == ("docker.service",)
