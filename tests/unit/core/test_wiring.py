"""What systemctl says of a unit, as a value."""

import pytest

from agent.core.wiring import Wiring, parse_wiring

NEWER = """\
MainPID=1129
ExecMainStartTimestampMonotonic=2500000
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
DropInPaths=/etc/systemd/system/docker.service.d/90-eks-proxy.conf /run/systemd/x.conf"""

#: systemd 219 has another name for the files, and none for some of the properties.
OLDER = """\
Id=docker.service
LoadState=loaded
ActiveState=inactive
UnitFileState=disabled
NeedDaemonReload=no
EnvironmentFile=/etc/environment (ignore_errors=yes)
EnvironmentFile=/etc/eks-proxy-agent/node.env (ignore_errors=yes)"""


def test_everything_is_read():
    """A property that comes several times keeps its order, which decides who wins."""
    assert parse_wiring("docker.service", NEWER) == Wiring(
        "docker.service",
        main_pid=1129,
        needs_reload=True,
        drop_ins=("/etc/systemd/system/docker.service.d/90-eks-proxy.conf", "/run/systemd/x.conf"),
        environment_files=("/etc/default/docker", "/etc/eks-proxy-agent/node.env"),
        unset=("HTTP_PROXY", "X=1"),
        before=("shutdown.target", "kubelet.service"),
        since=2.5,
    )


def test_the_older_name_of_a_property_is_known():
    """systemd 219 says EnvironmentFile."""
    found = parse_wiring("docker.service", OLDER)
    assert found.environment_files == ("/etc/environment", "/etc/eks-proxy-agent/node.env")
    assert (found.enabled, found.active, found.main_pid) == ("disabled", "inactive", 0)


@pytest.mark.parametrize("text", ["", "\n\n", "LoadState=not-found\nMainPID=x", "=\n=="])
def test_what_is_not_said_is_not_there(text):
    """A unit that does not exist, or garbage, is no unit."""
    assert not parse_wiring("x.service", text).exists
