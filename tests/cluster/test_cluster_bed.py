"""The bed itself."""

from __future__ import annotations

from tests.cluster.harness.control_plane import ControlPlane
from tests.cluster.harness.nodes import Nodes


def test_daemon_sets_roll_out(add_ons: ControlPlane) -> None:
    """Both add-ons have a ready pod on both nodes."""
    pods = add_ons.get("pods", "--namespace=kube-system")["items"]
    names = sorted(
        pod["metadata"]["name"].rpartition("-")[0] for pod in pods if not pod["metadata"].get("deletionTimestamp")
    )
    assert names == ["aws-node", "aws-node", "kube-proxy", "kube-proxy"]


def test_stuck(add_ons: ControlPlane, nodes: Nodes) -> None:
    """A stuck one."""
    with nodes.stuck("aws-node"):
        add_ons.kubectl("rollout", "restart", "-n", "kube-system", "daemonset/aws-node")
        done = add_ons.try_kubectl("rollout", "status", "-n", "kube-system", "daemonset/aws-node", "--timeout=3s")
        assert done.returncode == 1
    add_ons.rolled_out("kube-system", "daemonset/aws-node")


def test_namespace(namespace: str, control_plane: ControlPlane) -> None:
    """No rights for nobody."""
    done = control_plane.try_kubectl("get", "pods", "-n", namespace, user="nobody")
    assert "forbidden" in done.stderr
    assert control_plane.kubectl("get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}") == "172.20.0.1"
