"""cluster.injection on a real API server that has no policies, and restarts by kubectl."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.cluster.injected_pod import probe_pod
from agent.core.settings.workloads import DEFAULT_WORKLOADS
from agent.edges.kubectl import Kubectl
from tests.cluster.administrator import Administrator
from tests.cluster.harness.control_plane import ControlPlane

NOT_SERVED = "the API server does not serve MutatingAdmissionPolicy"


@pytest.fixture
def administrator(add_ons: ControlPlane, tmp_path: Path) -> Administrator:
    """Return an administrator with all permissions."""
    return Administrator(add_ons, tmp_path)


def test_auto_falls_back_to_env_from_with_the_reason(administrator: Administrator) -> None:
    """plan and the first apply name it; later there is nothing to say."""
    assert f"note: cluster.injection is envFrom: {NOT_SERVED}" in administrator.run("plan").err
    assert NOT_SERVED in administrator.apply().err
    assert administrator.run("plan").err == "nothing to do: the cluster is up to date\n"
    assert administrator.run("verify").code == 0


def test_policy_as_a_setting_is_an_error(administrator: Administrator) -> None:
    """Nothing is applied."""
    original = administrator.specs()
    done = administrator.run("apply", '--set=cluster.injection="policy"')
    assert (done.code, NOT_SERVED in done.err) == (1, True)
    assert administrator.specs() == original


def test_rollout_restarts_the_workloads_of_older_pods(administrator: Administrator, add_ons: ControlPlane) -> None:
    """An edit that was undone is seen only in pods that started meanwhile."""
    administrator.apply()
    config_map = ("configmap", "proxy-environment-variables", "-n", "kube-system")
    value = add_ons.get(*config_map)["data"]["HTTP_PROXY"]
    for text in ("http://other:1", value):
        add_ons.kubectl("patch", *config_map, "--type=merge", "-p", f'{{"data": {{"HTTP_PROXY": "{text}"}}}}')
    assert administrator.run("verify").code == 3
    done = administrator.run("apply", "--rollout")
    assert done.code == 0, done.both
    names = ("kube-system/daemonset/aws-node", "kube-system/daemonset/kube-proxy")
    assert [f"restarted {name}" in done.out for name in names] == [True, True]
    assert administrator.run("verify").code == 0


def test_an_api_server_creates_the_pod_of_the_dry_run(add_ons: ControlPlane) -> None:
    """With an owner, and with the service account of kube-system; nothing is stored."""
    kubectl = Kubectl(str(add_ons.programs / "kubectl"), [f"--kubeconfig={add_ons.kubeconfig}"])
    created = kubectl.dry_run_create(probe_pod("kube-system", DEFAULT_WORKLOADS[0]), "dry run: creating a pod")
    assert created["metadata"]["ownerReferences"][0]["name"] == "aws-node"
    assert created["metadata"]["uid"]
    assert "eks-proxy-agent-dry-run" not in add_ons.kubectl("get", "pods", "-n", "kube-system")
