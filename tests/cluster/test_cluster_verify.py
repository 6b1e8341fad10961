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
from tests.cluster.conftest import MANIFESTS
from tests.cluster.harness.control_plane import ControlPlane
from tests.cluster.harness.nodes import Nodes
from tests.cluster.moody_api import MoodyApi, moody_api, status
from tests.integration.command_line import Outcome

ALL_PODS = ("pods", "-n", "kube-system")


@pytest.fixture
def admin(add_ons: ControlPlane, tmp_path: Path) -> Administrator:
    """The administrator of a cluster with the variables given to fresh add-ons."""
    made = Administrator(add_ons, tmp_path)
    made.apply()
    return made


def test_pods_of_older_values_are_named_stale(admin: Administrator) -> None:
    """Pods that their owner replaces by hand (OnDelete) are named, with their nodes, until they are
    replaced.
    """
    patch = [{"op": "replace", "path": "/spec/updateStrategy", "value": {"type": "OnDelete"}}]
    what = ("daemonset/kube-proxy", "-n", "kube-system", "--type=json", "-p", json.dumps(patch))
    admin.control_plane.kubectl("patch", *what)
    flag = "--set=proxy.url=http://other-proxy:3128"
    applied = admin.apply(flag)
    assert "its update strategy is OnDelete" in applied.err
    done = admin.run("verify", flag)
    assert done.code == 3
    assert "kube-system/daemonset/kube-proxy: 2 pods: is of older values: kube-proxy-" in done.out
    assert " on ip-10-0-1-10.eu-west-1.compute.internal" in done.out
    found = json.loads(admin.run("verify", "--json", flag).out)
    assert found["ok"] is False
    assert found["objects"][2]["pods"] == {"ok": 0, "stale": 2, "wrong": 0, "ending": 0}
    assert len(found["objects"][2]["pod_problems"]["is of older values"]) == 2


def test_a_config_map_that_somebody_edited_is_told_by_entry(admin: Administrator) -> None:
    """Values that are not the nodes' are named, and the pods that run since before the edit are
    stale.
    """
    data = {"NO_PROXY": "localhost", "HTTP_PROXY": "http://user:hunter2@x:1", "https_proxy": None}
    admin.control_plane.kubectl("patch", *CONFIG_MAP, "-p", json.dumps({"data": data}))
    done = admin.run("verify")
    assert done.code == 3
    name = "kube-system/configmap/proxy-environment-variables: "
    assert name + "https_proxy is missing" in done.out
    assert name + "HTTP_PROXY is not what the settings say" in done.out
    assert name + "NO_PROXY lacks the service CIDR 172.20.0.0/16" in done.out
    assert name + "NO_PROXY lacks the API server abc.gr7.eu-west-1.eks.amazonaws.com" in done.out
    assert "daemonset/aws-node: 2 pods: is of older values" in done.out
    assert "hunter2" not in done.both


def test_a_pod_from_before_a_change_and_back_is_stale(admin: Administrator) -> None:
    """A container that runs since before the last change of the ConfigMap may have other values
    than it has now.
    """
    good = admin.control_plane.get(*CONFIG_MAP)["data"]["HTTP_PROXY"]
    for value in ("http://other:1", good):
        admin.control_plane.kubectl("patch", *CONFIG_MAP, "-p", json.dumps({"data": {"HTTP_PROXY": value}}))
    late = "2099-01-01T00:00:00Z"  # the clocks of a test are too quick to tell before from after
    pods = admin.control_plane.get(*ALL_PODS, "-l", "k8s-app=aws-node")["items"]
    changed = max(one["time"] for one in admin.control_plane.get(*CONFIG_MAP)["metadata"]["managedFields"])
    started = {}
    for pod, time in zip(sorted(pods, key=lambda one: one["metadata"]["name"]), ("2020-01-01T00:00:00Z", late)):
        started[pod["metadata"]["name"]] = time
        for one in pod["status"]["containerStatuses"]:
            one["state"]["running"]["startedAt"] = time
        path = f"/api/v1/namespaces/kube-system/pods/{pod['metadata']['name']}/status"
        admin.control_plane.api().patch(path, {"status": {"containerStatuses": pod["status"]["containerStatuses"]}})
    found = json.loads(admin.run("verify", "--json").out)["objects"][1]
    assert found["pods"]["stale"] == 1
    text = f"has a container that runs since before the last change of proxy-environment-variables ({changed})"
    assert [name.split()[0] for name in found["pod_problems"][text]] == [min(started, key=lambda one: started[one])]


def test_one_more_workload_makes_no_pod_of_the_others_stale(add_ons: ControlPlane, tmp_path: Path) -> None:
    """The ConfigMap is written anew for it, but with the values that the pods have."""
    admin = Administrator(add_ons, tmp_path)
    admin.apply('--set=cluster.workloads=["kube-system/daemonset/aws-node"]')
    before = add_ons.get(*CONFIG_MAP)["metadata"]
    applied = admin.apply()
    assert "changed kube-system/configmap/proxy-environment-variables" in applied.out
    assert "aws-node" not in applied.out
    assert add_ons.get(*CONFIG_MAP)["metadata"]["resourceVersion"] != before["resourceVersion"]
    done = admin.run("verify")
    assert done.code == 0, done.both


def test_a_managed_add_on_that_wrote_its_template_anew_is_explained(admin: Administrator) -> None:
    """The field manager of an update that dropped envFrom and set its own env is named, and what to
    do about it.
    """
    manifest = list(yaml.safe_load_all((MANIFESTS / "kube-proxy.yaml").read_text()))
    daemon_set = next(one for one in manifest if one["kind"] == "DaemonSet")
    daemon_set["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "NO_PROXY", "value": "x"}]
    daemon_set["spec"]["template"]["metadata"]["annotations"] = {"eks": "new"}
    admin.control_plane.kubectl("replace", "--field-manager=eks", "-f", "-", input=json.dumps(daemon_set))
    admin.control_plane.rolled_out("kube-system", "daemonset/kube-proxy")
    done = admin.run("verify")
    assert done.code == 3
    assert (
        "container kube-proxy has no envFrom of ConfigMap proxy-environment-variables; written by field manager"
        in done.out
    )
    assert 'env NO_PROXY beats envFrom; written by field manager "eks" (Update, ' in done.out
    assert 'field manager "eks" is the managed add-on' in done.out
    assert "aws-node: " not in done.out
    admin.apply("--take-over")
    assert admin.run("verify").code == 0


def test_a_workload_and_a_config_map_that_are_gone(admin: Administrator) -> None:
    """verify tells what does not exist, and goes on with the rest."""
    admin.control_plane.kubectl("delete", "-n", "kube-system", "daemonset/kube-proxy", *CONFIG_MAP[:1])
    done = admin.run("verify")
    assert done.code == 3
    assert "kube-system/configmap/proxy-environment-variables: does not exist" in done.out
    assert "kube-system/daemonset/kube-proxy: does not exist" in done.out


def test_a_workload_that_gets_no_pod_at_all_is_not_ok(
    control_plane: ControlPlane, nodes: Nodes, namespace: str, tmp_path: Path
) -> None:
    """Where a controller cannot create the pods that are wanted there is none to look at, and that
    is told.
    """
    admin = Administrator(control_plane, tmp_path)
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    kinds = {"DaemonSet": spec, "Deployment": {**spec, "replicas": 3}, "StatefulSet": {**spec, "serviceName": "web"}}
    for kind, one in kinds.items():
        labels["app"] = kind.lower()
        text = json.dumps({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": one})
        control_plane.kubectl("apply", "-n", namespace, "-f", "-", input=text)
    flag = f"--set=cluster.workloads={json.dumps([f'{namespace}/{kind.lower()}/web' for kind in kinds])}"
    admin.apply(flag)
    assert admin.run("verify", flag).code == 0
    control_plane.kubectl("create", "quota", "none", "-n", namespace, "--hard=pods=0")
    control_plane.kubectl("delete", "pods", "-n", namespace, "--all")
    done = admin.run("verify", flag)
    assert done.code == 3, done.both
    for kind, count in (("daemonset", 2), ("deployment", 3), ("statefulset", 1)):
        way = f"kubectl -n {namespace} describe {kind} web tells why"
        assert f"{namespace}/{kind}/web: has no pod, but is to have {count}: {way}" in done.out
    found = json.loads(admin.run("verify", flag, "--json").out)
    assert (found["ok"], [len(one["problems"]) for one in found["objects"]]) == (False, [0, 1, 1, 1])


def _in_process(admin: Administrator, monkeypatch: pytest.MonkeyPatch, capsys: Any, *flags: str) -> Outcome:
    from agent import cli

    for key, value in admin.control_plane.environment.items():
        monkeypatch.setenv(key, value)
    where = ["--config", str(admin.config), "--kubeconfig", str(admin.kubeconfig)]
    code = cli.main(["cluster", "verify", *where, *flags])
    seen = capsys.readouterr()
    return Outcome(code, seen.out, seen.err)


def test_pods_are_read_page_by_page(admin: Administrator, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """With one pod a page the verdict is the same, and a list that grew too old (410) is begun
    anew.
    """
    monkeypatch.setattr(pods, "PAGE", 1)
    assert _in_process(admin, monkeypatch, capsys).code == 0
    # etcd forgets the revision that the continue token stands for, while the second page is asked
    # for.
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
    assert "was too old to go on with; once more" in done.err, done.both
    assert done.code == 0, done.both


# --- service-cidr
# ----------------------------------------------------------------------------------------------------


def test_the_service_cidr_of_a_real_cluster(control_plane: ControlPlane, tmp_path: Path) -> None:
    """The address of the Service default/kubernetes tells EKS's range, and the command says so."""
    done = Administrator(control_plane, tmp_path).run("service-cidr")
    assert (done.code, done.out) == (0, "172.20.0.0/16\n")
    assert "the Service default/kubernetes has 172.20.0.1, the first of 172.20.0.0/16" in done.err


def test_the_refusal_of_a_real_server_names_its_range(control_plane: ControlPlane) -> None:
    """What an API server says to a cluster IP outside of its range is understood."""
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
    """As kubectl get --raw shows it on Kubernetes 1.33."""
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
    ("answers", "code", "cidrs", "how"),
    [
        ({"services/kubernetes": _kubernetes("10.100.0.1")}, 0, ["10.100.0.0/16"], "what EKS chooses by itself"),
        (
            {"services/kubernetes": _kubernetes("fd30:1c53:5f8a::1")},
            0,
            ["fd30:1c53:5f8a::/108"],
            "EKS gives IPv6 clusters a /108",
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
            "what EKS chooses by itself",
        ),
        (
            {"services/kubernetes": _kubernetes("10.96.0.1"), "default/services?": REFUSED},
            0,
            ["10.96.0.0/20"],
            "asked by a dry run",
        ),
        ({"services/kubernetes": _kubernetes("10.96.0.1")}, 1, [], "the first of none of the ranges that EKS chooses"),
        (
            {"services/kubernetes": _kubernetes("10.100.128.1")},
            1,
            [],
            "the first of none of the ranges that EKS chooses",
        ),
        ({"services/kubernetes": _kubernetes("None")}, 1, [], "the Service default/kubernetes: 'None'"),
    ],
    ids=["eks", "v6", "api", "beta", "forbidden", "dry-run", "unknown", "custom", "headless"],
)
def test_the_service_cidr_by_recorded_answers(
    control_plane: ControlPlane, tmp_path: Path, answers: dict[str, Any], code: int, cidrs: Any, how: str
) -> None:
    """Each way to the service CIDR, with answers as servers give them that this cluster is none
    of.
    """
    with moody_api(control_plane, tmp_path) as door:

        def mood(method: str, path: str) -> tuple[int, dict[str, Any]] | None:
            return next((answer for part, answer in answers.items() if part in path), None)

        door.mood = mood
        admin = Administrator(control_plane, tmp_path)
        admin.kubeconfig = door.kubeconfig
        done = admin.run("service-cidr", "--json")
        assert done.code == code, done.both
        assert (json.loads(done.out)["cidrs"] if done.out else []) == cidrs
        assert how in done.both


def test_a_cluster_whose_range_is_unknown_is_asked_of_the_owner(control_plane: ControlPlane, tmp_path: Path) -> None:
    """Nothing is composed with a service CIDR that is a guess; the setting is the way out, and a
    wrong one is told.
    """
    with moody_api(control_plane, tmp_path) as door:
        door.mood = lambda method, path: _kubernetes("10.96.0.1") if "services/kubernetes" in path else None
        admin = Administrator(control_plane, tmp_path)
        admin.kubeconfig = door.kubeconfig
        refused = admin.run("render")
        assert refused.code == 1
        assert "hint: set cluster.service_cidr" in refused.err
        assert "10.96.0.0/20" in admin.run("render", "--set=cluster.service_cidr=10.96.0.0/20").out
        wrong = admin.run("render", "--set=cluster.service_cidr=10.97.0.0/16")
        assert "cluster.service_cidr is 10.97.0.0/16, but that is not this cluster's" in wrong.err


def test_a_door_forwards(control_plane: ControlPlane, tmp_path: Path) -> None:
    """The door of these tests gives the real server's answers when its mood has none."""
    with moody_api(control_plane, tmp_path) as door:
        assert isinstance(door, MoodyApi)
        admin = Administrator(control_plane, tmp_path)
        admin.kubeconfig = door.kubeconfig
        assert admin.run("service-cidr").out == "172.20.0.0/16\n"
        assert "GET /api/v1/namespaces/default/services/kubernetes" in door.seen[0]
