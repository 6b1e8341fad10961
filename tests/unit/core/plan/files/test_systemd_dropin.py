"""The drop-ins: their unit alone decides the text, so a baked image needs no reload at boot."""

import pytest

from agent.core.plan.files.systemd_dropin import GATED_UNITS, ClosedGate, EnvironmentDropin, FormerDropin
from agent.core.settings.unit_table import DEFAULT_UNITS

ENVIRONMENT_TEXT = EnvironmentDropin("docker.service").merge(None)
NODEADM_TEXT = EnvironmentDropin("nodeadm-run.service").merge(None)
CLOSED_TEXT = ClosedGate("docker.service").merge(None)


def directives(text):
    """Every line of a drop-in that is not a comment."""
    return [line for line in text.decode("ascii").splitlines() if line and not line.startswith("#")]


def test_units_read_etc_environment_and_then_node_env():
    """The later file wins; with the minus, a missing file does not stop the unit."""
    assert directives(ENVIRONMENT_TEXT) == [
        "[Service]",
        "EnvironmentFile=-/etc/environment",
        "EnvironmentFile=-/etc/eks-proxy-agent/node.env",
    ]


@pytest.mark.parametrize("unit", ["cloud-init.service", "cloud-init-network.service", "cloud-init-main.service"])
def test_cloud_init_reads_node_env_only(unit):
    """A foreign proxy in /etc/environment must not carry its requests to the metadata service."""
    assert directives(EnvironmentDropin(unit).merge(None)) == [
        "[Service]",
        "EnvironmentFile=-/etc/eks-proxy-agent/node.env",
    ]


@pytest.mark.parametrize("unit", ["nodeadm-config.service", "nodeadm-run.service", "nodeadm-boot-hook.service"])
def test_nodeadm_has_no_proxy_for_plain_http(unit):
    """Its plain http is for the metadata service; a NO_PROXY of a NodeConfig may lack that."""
    assert directives(EnvironmentDropin(unit).merge(None)) == [
        "[Service]",
        "EnvironmentFile=-/etc/eks-proxy-agent/node.env",
        "UnsetEnvironment=http_proxy HTTP_PROXY",
    ]


@pytest.mark.parametrize("unit", ["cloud-config.service", "cloud-final.service", "my-nodeadm-run.service"])
def test_all_other_units_read_both_files(unit):
    """The rules are for nodeadm and for the stages of cloud-init that query metadata."""
    assert EnvironmentDropin(unit).merge(None) == ENVIRONMENT_TEXT


def test_a_unit_that_waits_is_ordered_after_the_agent():
    """Before= of the agent's unit cannot name a unit that only the operator knows."""
    text = EnvironmentDropin("app.service", waits=True).merge(None)
    assert directives(text) == ["[Unit]", "After=eks-proxy-agent.service", *directives(ENVIRONMENT_TEXT)]
    assert EnvironmentDropin.lets_wait(text)
    assert not EnvironmentDropin.lets_wait(ENVIRONMENT_TEXT)
    assert not EnvironmentDropin.lets_wait(None)


def test_policy_closed_asserts_and_does_not_require():
    """An Assert blocks the start only; Requires= would stop docker with the agent."""
    assert directives(CLOSED_TEXT) == ["[Unit]", "AssertPathExists=/run/eks-proxy-agent/ready"]


@pytest.mark.parametrize("text", [ENVIRONMENT_TEXT, NODEADM_TEXT, CLOSED_TEXT])
def test_a_drop_in_names_its_program_and_how_to_revert(text):
    """The first line names the agent and `revert`, and every line is complete."""
    first = text.decode("ascii").splitlines()[0]
    assert first.startswith("# ")
    assert "eks-proxy-agent revert" in first
    assert text.endswith(b"\n")
    assert b"%" not in text, "systemd would expand it"
    assert not any(line.endswith("\\") for line in text.decode("ascii").splitlines())


@pytest.mark.parametrize("unit", [*DEFAULT_UNITS, "a@b.service"])
def test_drop_ins_are_in_the_directory_of_their_unit(unit):
    """Their names sort last, and nodeadm does not use them (it uses environment.conf)."""
    assert EnvironmentDropin(unit).path == f"/etc/systemd/system/{unit}.d/zz-eks-proxy.conf"
    assert ClosedGate(unit).path == f"/etc/systemd/system/{unit}.d/91-eks-proxy-closed.conf"


def test_the_name_sorts_after_the_drop_ins_of_others():
    """systemd reads drop-ins in the order of their names; the last EnvironmentFile= wins."""
    others = ["override.conf", "http-proxy.conf", "proxy.conf", "environment.conf", "99-proxy.conf", "z.conf"]
    assert max([*others, EnvironmentDropin.name, FormerDropin.name]) == EnvironmentDropin.name


@pytest.mark.parametrize("cls", [EnvironmentDropin, FormerDropin])
def test_the_unit_of_a_drop_in_is_read_from_either_name(cls):
    """status.json of an earlier version has the earlier name."""
    assert EnvironmentDropin.unit_of(cls.path_of("a@b.service")) == "a@b.service"
    assert EnvironmentDropin.unit_of(ClosedGate.path_of("docker.service")) is None
    assert EnvironmentDropin.unit_of("/etc/systemd/system/docker.service.d/zzz-eks-proxy.conf") is None


def test_only_runtimes_are_gated():
    """A gate on the units used to inspect a broken node would lock operators out."""
    assert set(GATED_UNITS) == {"docker.service", "containerd.service", "kubelet.service"}
