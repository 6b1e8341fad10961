"""Workloads as the settings name them."""

import pytest

from agent.core.settings.workloads import Workload, parse_workload


@pytest.mark.parametrize(
    ("text", "kind", "path"),
    [
        ("kube-system/daemonset/aws-node", "DaemonSet", "/apis/apps/v1/namespaces/kube-system/daemonsets/aws-node"),
        ("a/ds/b", "DaemonSet", "/apis/apps/v1/namespaces/a/daemonsets/b"),
        ("a/Deployment/b.c", "Deployment", "/apis/apps/v1/namespaces/a/deployments/b.c"),
        ("a/sts/b", "StatefulSet", "/apis/apps/v1/namespaces/a/statefulsets/b"),
    ],
)
def test_a_workload_is_read_and_has_a_path(text, kind, path):
    """NAMESPACE/KIND/NAME is read, with the kind in full or as kubectl abbreviates it."""
    workload = parse_workload(text)
    assert (workload.kind, workload.path) == (kind, path)
    assert parse_workload(str(workload)) == workload


@pytest.mark.parametrize(
    "value", ["", "a", "a/b", "a/ds", "a/pod/b", "A/ds/b", "a/ds/b/c", "a/ds/-b", "../ds/b", 5, "a/ds/b\n"]
)
def test_refuses_anything_else(value):
    """No value leads to another path of the API."""
    with pytest.raises(ValueError, match=r"^expected |^unknown KIND in "):
        parse_workload(value)


def test_workloads_are_values():
    """Equal workloads have the same hash."""
    assert len({Workload("a", "DaemonSet", "b"), parse_workload("a/ds/b")}) == 1
