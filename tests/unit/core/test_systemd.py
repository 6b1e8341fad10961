"""Units as values: which to enable, which to release, which run with an old environment."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.settings.schema import Node, Settings
from agent.core.systemd import Unit, is_stale, to_enable, to_release

DOCKER = Unit("docker.service")
SETTINGS = Settings(node=Node(enable=("docker.service", "absent.service")))
VARIABLES = (("http_proxy", "http://proxy.corp:3128"), ("no_proxy", "a,b"))


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"enabled": "disabled", "active": "inactive"}, True),
        ({"enabled": "disabled", "active": "active"}, True),
        ({"enabled": "enabled", "active": "active"}, False),
        ({"enabled": "enabled", "active": "inactive"}, False),
        ({"enabled": "enabled", "active": "failed"}, False),
        ({"enabled": "static"}, False),
        ({"enabled": "masked", "active": "inactive"}, False),
        ({"enabled": "", "exists": False}, False),
        ({"enabled": "disabled", "exists": False}, False),
    ],
)
def test_only_a_disabled_unit_is_enabled(changes, wanted):
    """One that is enabled and stopped, or masked, is so because an administrator wants it."""
    unit = attrs.evolve(DOCKER, **changes)
    assert to_enable(SETTINGS, {unit.name: unit}) == (("docker.service",) if wanted else ())


def test_a_run_that_was_cut_off_starts_what_it_enabled():
    """Enabled before the kill and not started: then it is not an administrator who stopped it."""
    units = {DOCKER.name: attrs.evolve(DOCKER, active="inactive")}
    assert to_enable(SETTINGS, units, interrupted=True) == ("docker.service",)
    assert to_enable(SETTINGS, {DOCKER.name: DOCKER}, interrupted=True) == ()


def test_units_that_nobody_named_are_left_alone():
    """Whatever state they are in."""
    assert to_enable(SETTINGS, {"other.service": Unit("other.service", enabled="disabled")}) == ()


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"blocked": True, "active": "inactive"}, True),
        ({"blocked": True, "active": "failed"}, True),
        ({"blocked": True, "active": "active"}, False),
        ({"blocked": True, "active": "activating"}, False),
        ({"blocked": True, "active": "inactive", "exists": False}, False),
        # Its start was dropped because what it requires was refused.
        ({"started": False, "active": "inactive"}, True),
        ({"started": False, "active": "inactive", "enabled": "disabled"}, False),
        # Stopped by an administrator.
        ({"active": "inactive"}, False),
        ({"active": "failed"}, False),
    ],
)
def test_what_policy_closed_held_back_is_released(changes, wanted):
    """And nothing that runs, was stopped by somebody, or failed for a reason of its own."""
    unit = attrs.evolve(DOCKER, **changes)
    assert to_release({unit.name: unit}) == (("docker.service",) if wanted else ())


@pytest.mark.parametrize(
    ("environ", "stale"),
    [
        (b"http_proxy=http://proxy.corp:3128\0no_proxy=a,b\0", False),
        (b"PATH=/bin\0no_proxy=a,b\0http_proxy=http://proxy.corp:3128", False),
        (b"http_proxy=http://proxy.corp:3128\0no_proxy=a\0", True),
        (b"http_proxy=http://proxy.corp:3128\0", True),
        (b"HTTP_PROXY=http://proxy.corp:3128\0NO_PROXY=a,b\0", True),
        (b"http_proxy\0no_proxy=a,b\0", True),
        (b"", True),
        (b"\xff=\xff\0\0=\0http_proxy=http://proxy.corp:3128\0no_proxy=a,b\0", False),
    ],
)
def test_a_process_with_another_environment_is_stale(environ, stale):
    """All variables have to be there with our values; other ones do not matter, whatever bytes they have."""
    assert is_stale(environ, VARIABLES) is stale


@given(st.dictionaries(st.text("ab=", min_size=1).filter(lambda name: "=" not in name), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))  # fmt: skip
def test_an_environment_is_not_stale_against_itself(variables):
    """Values may hold `=` and anything but NUL."""
    environ = b"".join(f"{name}={value}".encode() + b"\0" for name, value in variables.items())
    assert not is_stale(environ, tuple(variables.items()))
