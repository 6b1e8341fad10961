"""The test bed itself: properties that the other tests rely on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.boot.harness.waiting import wait_for
from tests.cluster.harness.control_plane import ControlPlane
from tests.cluster.harness.nodes import Nodes

ROOT = Path(__file__).resolve().parents[2]
SESSION = """
import sys
from pathlib import Path
from tests.cluster.harness.control_plane import ControlPlane
from tests.cluster.harness.directory import own_directory
cluster = ControlPlane(own_directory(), Path(sys.argv[1]))
print(cluster.directory, *(process.pid for process in cluster.processes.values()), flush=True)
sys.stdin.read()
"""


def test_add_ons_have_a_ready_pod_on_each_node(add_ons: ControlPlane) -> None:
    """The scheduler, the DaemonSet controller and the simulated nodes work."""
    pods = add_ons.get("pods", "--namespace=kube-system")["items"]
    placements = [(pod["metadata"]["name"].rpartition("-")[0], pod["spec"]["nodeName"]) for pod in pods]
    assert len(set(placements)) == 4
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}


def test_stuck_pods_stall_a_rollout_until_they_are_released(add_ons: ControlPlane, nodes: Nodes) -> None:
    """While new pods crash, a rollout does not complete; afterwards it does."""
    with nodes.stuck("aws-node", "the proxy said 407"):
        add_ons.kubectl("rollout", "restart", "-n", "kube-system", "daemonset/aws-node")
        hung = add_ons.try_kubectl("rollout", "status", "-n", "kube-system", "daemonset/aws-node", "--timeout=3s")
        assert hung.returncode == 1
        assert "the proxy said 407" in add_ons.kubectl("get", "pods", "-n", "kube-system", "-o", "yaml")
    add_ons.wait_for_rollout("kube-system", "daemonset/aws-node")


def test_permissions_are_enforced(namespace: str, control_plane: ControlPlane) -> None:
    """A user without permissions cannot read anything; the administrator can."""
    assert "forbidden" in control_plane.try_kubectl("get", "pods", "-n", namespace, user="nobody").stderr
    address = control_plane.kubectl("get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}")
    assert address == "172.20.0.1"


def test_nothing_remains_after_the_session_is_killed(kubernetes: Path) -> None:
    """SIGKILL to the process that started a control plane ends all of it.

    The next session removes its directory.
    """
    from tests.cluster.harness.directory import own_directory

    argv = [sys.executable, "-c", SESSION, str(kubernetes)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout is not None
        directory, *pids = session.stdout.readline().split()
        session.kill()
    assert len(pids) == 4
    assert Path(directory).is_dir()
    wait_for("the end of its programs", lambda: not any(_is_running(pid) for pid in pids), limit=10)
    own_directory().rmdir()
    assert not Path(directory).exists()


def _is_running(pid: str) -> bool:
    """Return True if a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
