"""verify and service-cidr on a real control plane."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.cluster import pods
from agent.core.cluster.kubectl_errors import applied_range
from tests.cluster.administrator import CONFIG_MAP, Administrator
from tests.cluster.api_proxy import ApiProxy, api_proxy, status
from tests.cluster.conftest import MANIFESTS
from tests.cluster.harness.control_plane import ControlPlane
from tests.cluster.harness.nodes import Nodes
from tests.integration.command_line import Outcome

ALL_PODS = ("pods", "-n", "kube-system")


@pytest.fixture
def admin(add_ons: ControlPlane, tmp_path: Path) -> Administrator:
    """Return the administrator of a cluster with new add-ons, after apply."""
    administrator = Administrator(add_ons, tmp_path)
    administrator.apply()
    return administrator


def test_pods_with_older_values_are_stale(admin: Administrator) -> None:
    """Pods that are not replaced automatically (OnDelete) are listed with their nodes."""
    patch = [{"op": "replace", "path": "/spec/updateStrategy", "value": {"type": "OnDelete"}}]
    arguments = ("daemonset/kube-proxy", "-n", "kube-system", "--type=json", "-p", json.dumps(patch))
    admin.control_plane.kubectl("patch", *arguments)
    flag = "--set=proxy.url=http://other-proxy:3128"
    applied = admin.apply(flag)
    assert "the update strategy is OnDelete" in applied.err
    done = admin.run("verify", flag)
    assert done.code == 3
    assert "kube-system/daemonset/kube-proxy: 2 pods: created with older values: kube-proxy-" in done.out
    assert " on ip-10-0-1-10.eu-west-1.compute.internal" in done.out
    table = json.loads(admin.run("verify", "--json", flag).out)
    assert table["ok"] is False
    assert table["objects"][2]["pods"] == {"ok": 0, "stale": 2, "wrong": 0, "ending": 0}
    assert len(table["objects"][2]["pod_problems"]["created with older values"]) == 2


def test_edited_config_map_is_reported_by_entry(admin: Administrator) -> None:
    """Differences from the nodes are reported, and pods that started before the edit are stale."""
    data = {"NO_PROXY": "localhost", "HTTP_PROXY": "http://user:hunter2@x:1", "https_proxy": None}
    admin.control_plane.kubectl("patch", *CONFIG_MAP, "-p", json.dumps({"data": data}))
    done = admin.run("verify")
    assert done.code == 3
    name = "kube-system/configmap/proxy-environment-variables: "
    assert name + "https_proxy is missing" in done.out
    assert name + "HTTP_PROXY differs from the settings" in done.out
    assert name + "NO_PROXY does not cover the service CIDR 172.20.0.0/16" in done.out
    assert name + "NO_PROXY does not cover the API server abc.gr7.eu-west-1.eks.amazonaws.com" in done.out
    assert "daemonset/aws-node: 2 pods: created with older values" in done.out
    assert "hunter2" not in done.both


def test_pod_that_started_before_a_reverted_edit_is_stale(admin: Administrator) -> None:
    """A container that started before the last change of the ConfigMap may have other values."""
    good = admin.control_plane.get(*CONFIG_MAP)["data"]["HTTP_PROXY"]
    for value in ("http://other:1", good):
        admin.control_plane.kubectl("patch", *CONFIG_MAP, "-p", json.dumps({"data": {"HTTP_PROXY": value}}))
    late = "2099-01-01T00:00:00Z"  # a test is too fast for timestamps of one second
    pods = admin.control_plane.get(*ALL_PODS, "-l", "k8s-app=aws-node")["items"]
    changed = max(entry["time"] for entry in admin.control_plane.get(*CONFIG_MAP)["metadata"]["managedFields"])
    started = {}
    for pod, time in zip(sorted(pods, key=lambda pod: pod["metadata"]["name"]), ("2020-01-01T00:00:00Z", late)):
        started[pod["metadata"]["name"]] = time
        for container_status in pod["status"]["containerStatuses"]:
            container_status["state"]["running"]["startedAt"] = time
        path = f"/api/v1/namespaces/kube-system/pods/{pod['metadata']['name']}/status"
        admin.control_plane.api().patch(path, {"status": {"containerStatuses": pod["status"]["containerStatuses"]}})
    verdict = json.loads(admin.run("verify", "--json").out)["objects"][1]
    assert verdict["pods"]["stale"] == 1
    problem = f"a container started before the last change of proxy-environment-variables ({changed})"
    oldest = min(started, key=lambda name: started[name])
    assert [name.split()[0] for name in verdict["pod_problems"][problem]] == [oldest]


def test_another_workload_makes_no_pod_stale(add_ons: ControlPlane, tmp_path: Path) -> None:
    """The ConfigMap is written again for a new workload, but with the values that the pods have."""
    admin = Administrator(add_ons, tmp_path)
    admin.apply('--set=cluster.workloads=["kube-system/daemonset/aws-node"]')
    before = add_ons.get(*CONFIG_MAP)["metadata"]
    applied = admin.apply()
    assert "changed kube-system/configmap/proxy-environment-variables" in applied.out
    assert "aws-node" not in applied.out
    assert add_ons.get(*CONFIG_MAP)["metadata"]["resourceVersion"] != before["resourceVersion"]
    done = admin.run("verify")
    assert done.code == 0, done.both


def test_template_that_the_managed_add_on_rewrote_is_explained(admin: Administrator) -> None:
    """The field manager of an update that dropped envFrom and set env is named, with the remedy."""
    manifest = list(yaml.safe_load_all((MANIFESTS / "kube-proxy.yaml").read_text()))
    daemon_set = next(obj for obj in manifest if obj["kind"] == "DaemonSet")
    daemon_set["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "NO_PROXY", "value": "x"}]
    daemon_set["spec"]["template"]["metadata"]["annotations"] = {"eks": "new"}
    admin.control_plane.kubectl("replace", "--field-manager=eks", "-f", "-", input=json.dumps(daemon_set))
    admin.control_plane.wait_for_rollout("kube-system", "daemonset/kube-proxy")
    done = admin.run("verify")
    assert done.code == 3
    problem = "container kube-proxy: no envFrom reference to ConfigMap proxy-environment-variables"
    assert f"{problem}; written by field manager" in done.out
    assert 'env NO_PROXY overrides envFrom; written by field manager "eks" (Update, ' in done.out
    assert 'field manager "eks" is the managed add-on' in done.out
    assert "aws-node: " not in done.out
    admin.apply("--take-over")
    assert admin.run("verify").code == 0


def test_missing_workload_and_config_map_are_reported(admin: Administrator) -> None:
    """verify reports objects that do not exist, and continues with the others."""
    admin.control_plane.kubectl("delete", "-n", "kube-system", "daemonset/kube-proxy", *CONFIG_MAP[:1])
    done = admin.run("verify")
    assert done.code == 3
    assert "kube-system/configmap/proxy-environment-variables: not found" in done.out
    assert "kube-system/daemonset/kube-proxy: not found" in done.out


def test_workload_without_any_pod_is_wrong(
    control_plane: ControlPlane, nodes: Nodes, namespace: str, tmp_path: Path
) -> None:
    """If a controller cannot create any of the desired pods, that is a problem."""
    admin = Administrator(control_plane, tmp_path)
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    kinds = {"DaemonSet": spec, "Deployment": {**spec, "replicas": 3}, "StatefulSet": {**spec, "serviceName": "web"}}
    for kind, workload_spec in kinds.items():
        labels["app"] = kind.lower()
        obj = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": workload_spec}
        control_plane.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(obj))
    flag = f"--set=cluster.workloads={json.dumps([f'{namespace}/{kind.lower()}/web' for kind in kinds])}"
    admin.apply(flag)
    assert admin.run("verify", flag).code == 0
    control_plane.kubectl("create", "quota", "none", "-n", namespace, "--hard=pods=0")
    control_plane.kubectl("delete", "pods", "-n", namespace, "--all")
    done = admin.run("verify", flag)
    assert done.code == 3, done.both
    for kind, count in (("daemonset", 2), ("deployment", 3), ("statefulset", 1)):
        command = f"kubectl -n {namespace} describe {kind} web"
        assert f"{namespace}/{kind}/web: no pods (expected {count}); to see why: {command}" in done.out
    table = json.loads(admin.run("verify", flag, "--json").out)
    assert (table["ok"], [len(verdict["problems"]) for verdict in table["objects"]]) == (False, [0, 1, 1, 1])


def _in_process(admin: Administrator, monkeypatch: pytest.MonkeyPatch, capsys: Any, *flags: str) -> Outcome:
    from agent import cli

    for key, value in admin.control_plane.environment.items():
        monkeypatch.setenv(key, value)
    files = ["--config", str(admin.config), "--kubeconfig", str(admin.kubeconfig)]
    code = cli.main(["cluster", "verify", *files, *flags])
    streams = capsys.readouterr()
    return Outcome(code, streams.out, streams.err)


def test_pods_are_read_page_by_page(admin: Administrator, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """With one pod a page the verdict is the same, and an expired list (410) is read again."""
    monkeypatch.setattr(pods, "PAGE", 1)
    assert _in_process(admin, monkeypatch, capsys).code == 0
    # etcd is compacted past the revision of the continue token before the second page is
    # requested.
    bed = admin.control_plane
    mark, script = admin.directory / "mark", admin.directory / "kubectl"
    script.write_text(f"""#!/bin/bash
set -e -o pipefail
case "$*" in
*continue=*)
    if [ ! -e {mark} ]; then
        touch {mark}
        export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=http://{bed.address}:2379
        {bed.programs}/kubectl --kubeconfig={bed.kubeconfig} label node --all compacted=yes >&2
        revision=$(etcdctl get / --write-out=json | sed 's/.*"revision":\\([0-9]*\\).*/\\1/')
        etcdctl compact "$revision" >&2
    fi ;;
esac
exec {bed.programs}/kubectl "$@"
""")
    script.chmod(0o755)
    done = _in_process(admin, monkeypatch, capsys, f"--set=cluster.kubectl={script}")
    assert mark.exists()
    assert "the list of pods expired; reading it again" in done.err, done.both
    assert done.code == 0, done.both


# --- service-cidr
# -------------------------------------------------------------------------------------------------


def test_the_service_cidr_of_a_real_cluster(control_plane: ControlPlane, tmp_path: Path) -> None:
    """EKS's range is inferred from the address of the Service default/kubernetes, and reported."""
    done = Administrator(control_plane, tmp_path).run("service-cidr")
    assert (done.code, done.out) == (0, "172.20.0.0/16\n")
    assert "the Service default/kubernetes has 172.20.0.1, the first address of 172.20.0.0/16" in done.err


def test_rejection_of_a_real_server_names_its_range(control_plane: ControlPlane) -> None:
    """The range is read from the API server's error for a cluster IP outside of it."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "refused"},
        "spec": {"clusterIP": "203.0.113.1", "ports": [{"port": 443}]},
    }
    done = control_plane.try_kubectl("create", "-n", "default", "-f", "-", input=json.dumps(service))
    assert done.returncode == 1
    assert applied_range(done.stderr) == "172.20.0.0/16"


def _kubernetes(*addresses: str) -> tuple[int, dict[str, Any]]:
    spec = {"clusterIP": addresses[0], "clusterIPs": list(addresses)}
    return 200, {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "kubernetes"}, "spec": spec}


def _service_cidrs(version: str, *cidrs: str) -> tuple[int, dict[str, Any]]:
    """Return the response to kubectl get --raw of Kubernetes 1.33."""
    item = {
        "metadata": {"name": "kubernetes", "uid": "1"},
        "spec": {"cidrs": list(cidrs)},
        "status": {"conditions": []},
    }
    api = f"networking.k8s.io/{version}"
    return 200, {"kind": "ServiceCIDRList", "apiVersion": api, "metadata": {"resourceVersion": "9"}, "items": [item]}


_RANGE = (
    'Invalid value: []string{"203.0.113.1"}: failed to allocate IP 203.0.113.1: the provided IP (203.0.113.1) is not in'
    " the valid range. The range of valid IPs is 10.96.0.0/20"
)
REFUSED = status(
    422,
    "Invalid",
    f'Service "eks-proxy-agent-asks" is invalid: spec.clusterIPs: {_RANGE}',
    name="eks-proxy-agent-asks",
    kind="Service",
    causes=[{"reason": "FieldValueInvalid", "message": _RANGE, "field": "spec.clusterIPs"}],
)
FORBIDDEN = status(
    403,
    "Forbidden",
    'servicecidrs.networking.k8s.io is forbidden: User "x" cannot list resource "servicecidrs" in API group'
    ' "networking.k8s.io" at the cluster scope',
)


@pytest.mark.parametrize(
    ("responses", "code", "cidrs", "how"),
    [
        ({"services/kubernetes": _kubernetes("10.100.0.1")}, 0, ["10.100.0.0/16"], "an EKS default"),
        (
            {"services/kubernetes": _kubernetes("fd30:1c53:5f8a::1")},
            0,
            ["fd30:1c53:5f8a::/108"],
            "EKS assigns a /108 to IPv6 clusters",
        ),
        (
            {"services/kubernetes": _kubernetes("10.96.0.1"), "/v1/servicecidrs": _service_cidrs("v1", "10.96.0.0/20")},
            0,
            ["10.96.0.0/20"],
            "the ServiceCIDR API (networking.k8s.io/v1) lists it",
        ),
        (
            {
                "services/kubernetes": _kubernetes("10.96.0.1", "fd00::1"),
                "/v1beta1/servicecidrs": _service_cidrs("v1beta1", "10.96.0.0/20", "fd00::/112"),
            },
            0,
            ["10.96.0.0/20", "fd00::/112"],
            "networking.k8s.io/v1beta1",
        ),
        (
            {"services/kubernetes": _kubernetes("172.20.0.1"), "servicecidrs": FORBIDDEN},
            0,
            ["172.20.0.0/16"],
            "an EKS default",
        ),
        (
            {"services/kubernetes": _kubernetes("10.96.0.1"), "default/services?": REFUSED},
            0,
            ["10.96.0.0/20"],
            "rejected an address in a dry run",
        ),
        ({"services/kubernetes": _kubernetes("10.96.0.1")}, 1, [], "not the first address of an EKS default range"),
        (
            {"services/kubernetes": _kubernetes("10.100.128.1")},
            1,
            [],
            "not the first address of an EKS default range",
        ),
        ({"services/kubernetes": _kubernetes("None")}, 1, [], "Service default/kubernetes: 'None'"),
    ],
    ids=["eks", "v6", "api", "beta", "forbidden", "dry-run", "unknown", "custom", "headless"],
)
def test_service_cidr_from_recorded_responses(
    control_plane: ControlPlane, tmp_path: Path, responses: dict[str, Any], code: int, cidrs: Any, how: str
) -> None:
    """Each source of the service CIDR works, with responses of other servers than this one."""
    with api_proxy(control_plane, tmp_path) as proxy:

        def fault(method: str, path: str) -> tuple[int, dict[str, Any]] | None:
            return next((response for part, response in responses.items() if part in path), None)

        proxy.fault = fault
        admin = Administrator(control_plane, tmp_path)
        admin.kubeconfig = proxy.kubeconfig
        done = admin.run("service-cidr", "--json")
        assert done.code == code, done.both
        assert (json.loads(done.out)["cidrs"] if done.out else []) == cidrs
        assert how in done.both


def test_unknown_service_cidr_requires_the_setting(control_plane: ControlPlane, tmp_path: Path) -> None:
    """A service CIDR is never guessed: the setting is the remedy, and a wrong one is a warning."""
    with api_proxy(control_plane, tmp_path) as proxy:
        proxy.fault = lambda method, path: _kubernetes("10.96.0.1") if "services/kubernetes" in path else None
        admin = Administrator(control_plane, tmp_path)
        admin.kubeconfig = proxy.kubeconfig
        failed = admin.run("render")
        assert failed.code == 1
        assert "hint: set cluster.service_cidr" in failed.err
        assert "10.96.0.0/20" in admin.run("render", "--set=cluster.service_cidr=10.96.0.0/20").out
        wrong = admin.run("render", "--set=cluster.service_cidr=10.97.0.0/16")
        assert "cluster.service_cidr is 10.97.0.0/16, which is not the service CIDR of this cluster" in wrong.err


def test_api_proxy_forwards(control_plane: ControlPlane, tmp_path: Path) -> None:
    """Without a fault, the proxy of these tests returns the responses of the real server."""
    with api_proxy(control_plane, tmp_path) as proxy:
        assert isinstance(proxy, ApiProxy)
        admin = Administrator(control_plane, tmp_path)
        admin.kubeconfig = proxy.kubeconfig
        assert admin.run("service-cidr").out == "172.20.0.0/16\n"
        assert "GET /api/v1/namespaces/default/services/kubernetes" in proxy.requests[0]
