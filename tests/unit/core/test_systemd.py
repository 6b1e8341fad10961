"""Units as values: systemctl's output, units to enable or to start, stale environments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.record import evolve
from agent.core.settings.schema import Bootstrap, Node, Settings
from agent.core.settings.unit_table import variables_of
from agent.core.systemd import (
    AGENT,
    UnitState,
    considered,
    dependencies,
    differences,
    enabling,
    is_deferred,
    obstacle,
    parse_unit,
    to_enable,
    to_release,
    unit_of_cgroup,
)

DOCKER = UnitState("docker.service")
SETTINGS = Settings(node=Node(enable=("docker.service", "absent.service")))
VARIABLES = (("http_proxy", "http://proxy.corp:3128"), ("no_proxy", "a,b"))


#: Output of `systemctl show` for one unit.
SHOWN = """\
MainPID=1129
ExecMainStartTimestampMonotonic=2500000
InactiveExitTimestampMonotonic=2400000
Environment=A=1
EnvironmentFiles=/etc/default/docker (ignore_errors=yes)
EnvironmentFiles=/etc/eks-proxy-agent/node.env (ignore_errors=no)
UnsetEnvironment=HTTP_PROXY X=1
Id=docker.service
Before=shutdown.target kubelet.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
NeedDaemonReload=yes
DropInPaths=/etc/systemd/system/docker.service.d/zz-eks-proxy.conf /run/systemd/x.conf"""
#: Output for a unit that the gate of policy "closed" refused to start.
REFUSED = """\
Id=docker.service
LoadState=loaded
ActiveState=inactive
UnitFileState=disabled
MainPID=0
Job=17
AssertResult=no
AssertTimestampMonotonic=2300000
InactiveExitTimestampMonotonic=0
NeedDaemonReload=no"""


# --- output of systemctl --------------------------------------------------------------------------


def test_all_properties_are_parsed():
    """A property that occurs several times keeps its order, which decides the precedence."""
    assert parse_unit("docker.service", SHOWN) == UnitState(
        "docker.service",
        main_pid=1129,
        since=2.5,
        needs_reload=True,
        drop_ins=("/etc/systemd/system/docker.service.d/zz-eks-proxy.conf", "/run/systemd/x.conf"),
        environment_files=("/etc/default/docker", "/etc/eks-proxy-agent/node.env"),
        unset=("HTTP_PROXY", "X=1"),
        before=("shutdown.target", "kubelet.service"),
    )


def test_a_refused_start_is_parsed():
    """A failed Assert counts only if it was evaluated."""
    refused = UnitState(
        "docker.service", enabled="disabled", active="inactive", blocked=True, started=False, queued=True
    )
    assert parse_unit("docker.service", REFUSED) == refused
    never = REFUSED.replace("AssertTimestampMonotonic=2300000", "AssertTimestampMonotonic=0")
    assert not parse_unit("docker.service", never).blocked
    assert not parse_unit("docker.service", REFUSED.replace("Job=17\n", "")).queued


@pytest.mark.parametrize("text", ["", "\n\n", "LoadState=not-found\nMainPID=x", "=\n=="])
def test_a_missing_or_unreadable_unit_does_not_exist(text):
    """Invalid output gives a unit that does not exist."""
    assert not parse_unit("x.service", text).exists


# --- units to enable and to release ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
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
def test_only_a_disabled_unit_is_enabled(changes, expected):
    """A unit that is enabled and stopped, or masked, is so because an administrator did it."""
    unit = evolve(DOCKER, **changes)
    assert to_enable(SETTINGS, {unit.name: unit}) == (("docker.service",) if expected else ())


def test_after_an_interrupted_run_an_enabled_unit_is_started():
    """The killed run enabled it; no administrator stopped it."""
    units = {DOCKER.name: evolve(DOCKER, active="inactive")}
    assert to_enable(SETTINGS, units, interrupted=True) == ("docker.service",)
    assert to_enable(SETTINGS, {DOCKER.name: DOCKER}, interrupted=True) == ()
    absent = {DOCKER.name: evolve(DOCKER, exists=False, enabled="", active="inactive")}
    assert to_enable(SETTINGS, absent, interrupted=True) == ()


AUTO_SETTINGS = Settings()
KUBELET, CRI_DOCKER = UnitState("kubelet.service"), UnitState("cri-docker.service")
BOTH = ("basic.target", "containerd.service", "docker.service")


def auto(*units, arguments=()):
    """Return what node.enable = "auto" means on a node with these units and a disabled docker."""
    disabled = UnitState("docker.service", enabled="disabled", active="inactive")
    states = {unit.name: unit for unit in (disabled, *units)}
    return enabling(Settings(bootstrap=Bootstrap(arguments=arguments)), states)


@pytest.mark.parametrize(
    ("units", "arguments", "enabled", "rule"),
    [
        ((), (), True, "docker.service is enabled: there is no kubelet.service"),
        ((evolve(KUBELET, exists=False),), (), True, "there is no kubelet.service"),
        ((KUBELET,), (), False, "left as it is: kubelet.service does not use it"),
        ((evolve(KUBELET, needs=("containerd.service",)),), (), False, "does not use it"),
        ((evolve(KUBELET, needs=("docker.service",)),), (), True, "kubelet.service names it"),
        ((evolve(KUBELET, needs=("docker.service",), after=BOTH),), (), True, "kubelet.service names it"),
        ((evolve(KUBELET, after=("docker.service",)),), (), True, "kubelet.service names it"),
        ((evolve(KUBELET, after=BOTH),), (), False, "does not use it"),
        ((KUBELET, evolve(CRI_DOCKER, needs=("docker.service",))), (), True, "cri-docker.service names it"),
        ((KUBELET, evolve(CRI_DOCKER, needs=("docker.service",), exists=False)), (), False, "does not use it"),
        ((KUBELET,), ("c", "--container-runtime", "dockerd"), True, "has --container-runtime dockerd"),
        ((KUBELET,), ("c", "--container-runtime=dockerd"), True, "has --container-runtime dockerd"),
        ((KUBELET,), ("c", "--container-runtime", "dockerd", "--container-runtime=containerd"), False, "not use it"),
        ((KUBELET,), ("c", "--container-runtime"), False, "does not use it"),
        ((UnitState("docker.service", exists=False, enabled="masked"),), (), False, "is masked and stays so"),
        ((UnitState("docker.service", exists=False, enabled="masked"), KUBELET), (), False, "left as it is"),
        ((UnitState("docker.service", exists=False, enabled=""),), (), False, ""),
    ],
)
def test_auto_enables_docker_where_it_is_used(units, arguments, enabled, rule):
    """The rule that decided is named; without docker there is nothing to say."""
    decided = auto(*units, arguments=arguments)
    assert decided.units == (("docker.service",) if enabled else ())
    assert rule in decided.rule
    assert bool(decided.rule) == bool(rule)


def test_auto_follows_the_rule_when_units_are_enabled():
    """A disabled docker stays disabled next to a kubelet with containerd."""
    docker = UnitState("docker.service", enabled="disabled", active="inactive")
    units = {unit.name: unit for unit in (docker, KUBELET)}
    assert to_enable(AUTO_SETTINGS, units) == ()
    assert to_enable(AUTO_SETTINGS, {docker.name: docker}) == ("docker.service",)
    assert set(considered(AUTO_SETTINGS)) >= {"docker.service", "kubelet.service", "cri-docker.service"}


def test_a_list_needs_no_rule():
    """It works whatever kubelet uses."""
    units = {"docker.service": UnitState("docker.service", enabled="disabled"), "kubelet.service": KUBELET}
    assert to_enable(SETTINGS, units) == ("docker.service",)
    assert enabling(SETTINGS, units) == (("docker.service", "absent.service"), "")
    assert considered(SETTINGS) == ("docker.service", "absent.service")


@pytest.mark.parametrize(
    ("text", "needs", "after"),
    [
        ("[Unit]\nRequires=docker.service\nAfter=docker.service\n", ("docker.service",), ("docker.service",)),
        ("[Unit]\nWants = a.service b.service\nBindsTo=c.service\n", ("a.service", "b.service", "c.service"), ()),
        ("[Unit]\nAfter=a.service \\\n  b.service\n", (), ("a.service", "b.service")),
        ("[Unit]\n#Requires=docker.service\nDescription=After=x\n[Service]\nExecStart=/bin/x\n", (), ()),
        ("", (), ()),
    ],
)
def test_dependencies_of_a_unit_file(text, needs, after):
    """As systemd reads them: lists, continued lines, comments."""
    assert dependencies(text) == (needs, after)


def test_units_outside_node_enable_are_not_enabled():
    """Their state does not matter."""
    assert to_enable(SETTINGS, {"other.service": UnitState("other.service", enabled="disabled")}) == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"blocked": True, "active": "inactive"}, True),
        ({"blocked": True, "active": "failed"}, True),
        ({"blocked": True, "active": "active"}, False),
        ({"blocked": True, "active": "activating"}, False),
        ({"blocked": True, "active": "inactive", "exists": False}, False),
        # systemd dropped its start job, because a unit that it requires was refused.
        ({"started": False, "active": "inactive"}, True),
        ({"started": False, "active": "inactive", "enabled": "disabled"}, False),
        ({"started": False, "active": "inactive", "queued": True}, False),
        ({"started": False, "active": "inactive", "enabled": "", "exists": False}, False),
        # Stopped by an administrator.
        ({"active": "inactive"}, False),
        ({"active": "failed"}, False),
    ],
)
def test_units_refused_by_policy_closed_are_released(changes, expected):
    """Running, stopped and otherwise failed units are not started."""
    unit = evolve(DOCKER, **changes)
    assert to_release({unit.name: unit}) == (("docker.service",) if expected else ())


def test_a_unit_that_never_started_is_released_only_with_policy_closed():
    """With the policy "open" a refused unit is released.

    A unit that was just not started is left alone.
    """
    refused = UnitState("docker.service", active="inactive", blocked=True)
    unused = UnitState("kubelet.service", active="inactive", started=False)
    assert to_release({"docker.service": refused, "kubelet.service": unused}, closed=False) == ("docker.service",)


# --- units that can wait for the agent ------------------------------------------------------------

EARLY = ["sysinit.target", "basic.target", "sockets.target", "network-pre.target", "network.target", AGENT]
USUAL = ("multi-user.target", "shutdown.target")


def ordered(**before):
    """Units with these Before=, by name; `_` stands for the dot and `__` for a dash."""
    names = {name.replace("__", "-").replace("_", "."): others for name, others in before.items()}
    return {name: UnitState(name, before=tuple(others)) for name, others in names.items()}


def test_a_usual_service_can_wait():
    """It is before multi-user.target and shutdown.target, like every service."""
    states = ordered(app_service=USUAL, multi__user_target=["graphical.target"], shutdown_target=["umount.target"])
    assert obstacle("app.service", states) == ""
    assert obstacle("app.service", ordered(app_service=["app.service"])) == "", "a unit before itself ends too"


@pytest.mark.parametrize("early", EARLY)
@pytest.mark.parametrize("direct", [True, False])
def test_a_unit_that_precedes_the_network_or_the_agent_cannot_wait(early, direct):
    """systemd would find a cycle, or the network would come up only when the agent gives up."""
    before = [*USUAL, early] if direct else [*USUAL, "other.service"]
    states = ordered(app_service=before, other_service=["third.service"], third_service=[early])
    assert obstacle("app.service", states) == f"starts before {early}"


def test_a_unit_without_default_dependencies_cannot_wait():
    """Such a unit starts early in the boot."""
    states = {"app.service": UnitState("app.service", default_dependencies=False)}
    assert obstacle("app.service", states) == "has DefaultDependencies=no"
    assert obstacle("app.service", {"app.service": UnitState("app.service", exists=False)}) == "does not exist"
    assert not parse_unit("app.service", "LoadState=loaded\nDefaultDependencies=no").default_dependencies
    assert parse_unit("app.service", "LoadState=loaded\nDefaultDependencies=yes").default_dependencies


# --- the environment of a process -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "stale"),
    [
        (b"http_proxy=http://proxy.corp:3128\0no_proxy=a,b\0", False),
        (b"PATH=/bin\0no_proxy=a,b\0http_proxy=http://proxy.corp:3128", False),
        (b"http_proxy=http://proxy.corp:3128\0no_proxy=a\0", True),
        (b"http_proxy=http://proxy.corp:3128\0", True),
        (b"A=1\0http_proxy=http://old:1\0no_proxy=a,b\0", True),
        (b"A=1\0", True),
        (b"HTTP_PROXY=http://proxy.corp:3128\0NO_PROXY=a,b\0", True),
        (b"http_proxy\0no_proxy=a,b\0", True),
        (b"", True),
        (b"\xff=\xff\0\0=\0http_proxy=http://proxy.corp:3128\0no_proxy=a,b\0", False),
    ],
)
def test_a_process_with_another_environment_is_stale(environ, stale):
    """All variables must be set to the desired values.

    Other variables do not matter, whatever bytes they contain.
    """
    assert bool(differences(environ, VARIABLES)) is stale


@pytest.mark.parametrize(
    ("environ", "stale"),
    [
        (b"https_proxy=http://proxy.corp:3128\0", False),
        (b"https_proxy=http://proxy.corp:3128\0http_proxy=\0", False),
        (b"https_proxy=http://proxy.corp:3128\0http_proxy=http://proxy.corp:3128\0", True),
        (b"http_proxy=http://proxy.corp:3128\0", True),
    ],
)
def test_a_process_of_nodeadm_must_not_have_http_proxy(environ, stale):
    """Its drop-in removes the variable, so a process that has it is older."""
    variables = (("http_proxy", "http://proxy.corp:3128"), ("https_proxy", "http://proxy.corp:3128"))
    assert bool(differences(environ, variables_of("nodeadm-run.service", variables))) is stale


@given(st.dictionaries(st.text("ab=", min_size=1).filter(lambda name: "=" not in name), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))  # fmt: skip
def test_an_environment_is_not_stale_against_itself(variables):
    """Values may contain `=` and anything but NUL."""
    environ = b"".join(f"{name}={value}".encode() + b"\0" for name, value in variables.items())
    assert not differences(environ, variables.items())


@pytest.mark.parametrize(
    ("different", "deferred"),
    [
        ({"no_proxy": "a", "NO_PROXY": "a"}, True),
        ({"no_proxy": "a"}, True),
        ({}, False),
        ({"no_proxy": "b"}, False),
        ({"no_proxy": ""}, False),
        ({"no_proxy": "a", "NO_PROXY": "c"}, False),
        ({"no_proxy": "a", "http_proxy": "a"}, False),
    ],
)
def test_a_restart_is_deferred_only_for_an_accepted_list(different, deferred):
    """Another proxy, or a list of other inputs, needs a restart."""
    assert is_deferred(different, {"a"}) is deferred


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("0::/system.slice/amazon-ssm-agent.service\n", "amazon-ssm-agent.service"),
        ("0::/runtime.slice/system.slice/kubelet.service/sub/deeper\n", "kubelet.service"),
        ("12:pids:/\n1:name=systemd:/system.slice/system-x.slice/x@1.service\n0::/\n", "x@1.service"),
        ("0::/user.slice/user-0.slice/session-1.scope\n", ""),
        ("0::/\n", ""),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_unit_of_a_control_group(text, unit):
    """A login is not a service; a service may have groups of its own below it."""
    assert unit_of_cgroup(text) == unit
