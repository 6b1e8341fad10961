"""render, plan, apply, verify and revert of EKS's add-ons on a real control plane."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.cluster.administrator import ADD_ONS, API_HOST, CONFIG_MAP, PROXY, Administrator, all_containers
from tests.cluster.harness.control_plane import ControlPlane
from tests.cluster.harness.nodes import Nodes

REFERENCE = {"configMapRef": {"name": "proxy-environment-variables"}}
SECRET = ("secret/proxy-environment-variables", "-n", "kube-system")


@pytest.fixture
def admin(add_ons: ControlPlane, tmp_path: Path) -> Administrator:
    """Return the administrator of a cluster with new add-ons."""
    return Administrator(add_ons, tmp_path)


def test_apply_changes_every_container_and_revert_restores_it(admin: Administrator) -> None:
    """After apply every container has the variables, and revert restores the original spec."""
    original = admin.specs()
    planned = admin.run("plan")
    assert planned.code == 3
    for name in ("aws-node", "aws-eks-nodeagent", "kube-proxy"):
        assert f"\n  container {name}\n    + envFrom: configMapRef proxy-environment-variables\n" in planned.out
    assert "\n  init container aws-vpc-cni-init\n    + envFrom" in planned.out
    assert admin.specs() == original
    applied = admin.apply()
    assert applied.out.splitlines() == [
        "created kube-system/configmap/proxy-environment-variables",
        "patched kube-system/daemonset/aws-node",
        "patched kube-system/daemonset/kube-proxy",
    ]
    assert "kube-system/daemonset/aws-node: 2 of 2 pods updated, 2 available" in applied.err
    for name in ADD_ONS:
        containers = all_containers(admin.add_on(name)).values()
        assert all(container["envFrom"] == [REFERENCE] for container in containers)
    assert "configmap" in admin.control_plane.kubectl("describe", "pods", "-n", "kube-system").lower()
    data = admin.control_plane.get(*CONFIG_MAP)["data"]
    assert data["HTTP_PROXY"] == data["https_proxy"] == PROXY
    assert {"10.42.0.0/16", "172.20.0.0/16", API_HOST} <= set(data["NO_PROXY"].split(","))
    assert admin.run("plan").code == 0
    verified = admin.run("verify")
    assert verified.code == 0, verified.both
    reverted = admin.run("revert")
    assert reverted.code == 0, reverted.both
    assert "deleted kube-system/configmap/proxy-environment-variables" in reverted.out
    assert "to reset a managed add-on (vpc-cni or kube-proxy) to its defaults: aws eks update-addon" in reverted.err
    assert "eksctl" not in reverted.err
    assert admin.specs() == original
    assert admin.control_plane.try_kubectl("get", *CONFIG_MAP).returncode == 1
    assert admin.run("revert").err.startswith("nothing to do")


def test_a_second_apply_writes_nothing(admin: Administrator) -> None:
    """The second apply reports that there is nothing to do, and no resourceVersion changes."""
    admin.apply()
    before = admin.versions()
    assert "nothing to do" in admin.apply().err
    assert admin.versions() == before


def test_a_changed_cidr_rolls_out(admin: Administrator) -> None:
    """New values replace the pods, and verify finds no problem afterwards."""
    admin.apply()
    pods = _pods(admin)
    flag = '--set=vpc.cidrs=["10.42.0.0/16", "10.43.0.0/16"]'
    planned = admin.run("plan", flag)
    assert planned.code == 3
    assert "  + data NO_PROXY entries: 10.43.0.0/16\n" in planned.out
    admin.apply(flag)
    assert not pods & _pods(admin)
    assert admin.run("verify", flag).code == 0


def _pods(admin: Administrator) -> set[str]:
    """Return the names of the pods that are not terminating."""
    metadata = [pod["metadata"] for pod in admin.control_plane.get("pods", "-n", "kube-system")["items"]]
    return {table["name"] for table in metadata if "deletionTimestamp" not in table}


def test_entries_of_the_operator_are_kept(admin: Administrator) -> None:
    """Apply and revert keep the operator's own envFrom and env in their order, before ours."""
    own = [{"configMapRef": {"name": "operators", "optional": True}}]
    admin.patch("json", [{"op": "add", "path": "/spec/template/spec/containers/0/envFrom", "value": own}])
    admin.set_env("-c", "aws-node", "WARM_IP_TARGET=5")
    original = admin.specs()
    admin.apply()
    container = all_containers(admin.add_on("aws-node"))["aws-node"]
    assert container["envFrom"] == [*own, REFERENCE]
    assert {"name": "WARM_IP_TARGET", "value": "5"} in container["env"]
    assert admin.run("revert").code == 0
    assert admin.specs() == original


def test_config_map_of_another_field_manager_is_reported_and_not_forced(admin: Administrator) -> None:
    """The error names the manager of a ConfigMap with other values, and no workload is changed."""
    admin.control_plane.kubectl(
        "create",
        "configmap",
        *CONFIG_MAP[0].split("/")[1:],
        *CONFIG_MAP[1:],
        "--from-literal=HTTP_PROXY=http://theirs:1",
    )
    original = admin.specs()
    for action in ("plan", "apply"):
        done = admin.run(action)
        assert done.code == 1
        assert 'belongs to field manager "kubectl-create"' in done.err
        assert ".data.HTTP_PROXY" in done.err
        assert "--force-conflicts" in done.err
    assert admin.specs() == original
    assert admin.control_plane.get(*CONFIG_MAP)["data"] == {"HTTP_PROXY": "http://theirs:1"}
    assert admin.run("revert").code == 0
    assert admin.control_plane.get(*CONFIG_MAP)["data"] == {"HTTP_PROXY": "http://theirs:1"}


def test_revert_removes_only_our_fields_of_a_shared_config_map(admin: Administrator) -> None:
    """revert deletes what is ours alone; from a shared ConfigMap it removes our own keys."""
    admin.apply()
    admin.control_plane.kubectl("patch", *CONFIG_MAP, "-p", '{"data": {"THEIRS": "1"}}')
    admin.apply()
    assert "older values" not in admin.run("verify").out
    done = admin.run("revert")
    assert done.code == 0
    assert 'the other fields belong to field manager "kubectl-patch"' in done.out
    remaining = admin.control_plane.get(*CONFIG_MAP)
    assert remaining["data"] == {"THEIRS": "1"}
    assert not remaining["metadata"].get("annotations")


def test_env_that_overrides_the_config_map_is_reported_and_taken_over_on_request(admin: Administrator) -> None:
    """Env of `kubectl set env` is reported by container and field manager.

    --take-over removes it, and revert restores it.
    """
    admin.set_env("-c", "aws-node", "HTTP_PROXY=http://old:1", "no_proxy=x", "A=b")
    original = admin.specs()
    admin.apply()
    assert "container aws-node: env HTTP_PROXY, no_proxy overrides envFrom" in admin.run("plan").out
    verified = admin.run("verify")
    assert verified.code == 3
    assert 'env HTTP_PROXY, no_proxy overrides envFrom; written by field manager "kubectl-set"' in verified.out
    assert "2 pods: container aws-node: env HTTP_PROXY, no_proxy overrides envFrom: aws-node-" in verified.out
    assert "- env HTTP_PROXY: http://old:1" in admin.run("plan", "--take-over").out
    admin.apply("--take-over")
    assert "HTTP_PROXY" not in json.dumps(all_containers(admin.add_on("aws-node"))["aws-node"]["env"])
    assert admin.run("verify").code == 0
    before = admin.versions()
    admin.apply("--take-over")
    assert admin.versions() == before
    assert admin.run("revert").code == 0
    assert admin.specs() == original


def test_env_with_a_password_is_not_taken_over(admin: Administrator) -> None:
    """--take-over fails before any change: to restore the env, revert would need the password."""
    admin.set_env("-c", "kube-proxy", "HTTPS_PROXY=http://me:hunter2@old:1", name="kube-proxy")
    original = admin.specs()
    for action in ("plan", "apply"):
        done = admin.run(action, "--take-over")
        assert done.code == 1
        assert "kubectl -n kube-system set env daemonset/kube-proxy -c kube-proxy HTTPS_PROXY-" in done.err
        assert "hunter2" not in done.both
    assert admin.specs() == original
    done = admin.run("plan")
    assert "contains a password" in done.out
    assert "hunter2" not in done.both


def test_references_of_the_well_known_recipe_are_kept(admin: Administrator) -> None:
    """References of the copied recipe count: apply adds none beside them, and revert keeps them."""
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "aws-node", "envFrom": [REFERENCE]}]}}}}
    admin.patch("strategic", patch)
    admin.control_plane.kubectl(
        "create", "configmap", *CONFIG_MAP[0].split("/")[1:], *CONFIG_MAP[1:], f"--from-literal=HTTP_PROXY={PROXY}"
    )
    admin.set_env("--from=configmap/proxy-environment-variables", name="kube-proxy")
    original = admin.specs()
    assert "overrides" not in admin.run("plan").out
    admin.apply()
    assert all_containers(admin.add_on("aws-node"))["aws-node"]["envFrom"] == [REFERENCE]
    assert admin.run("verify").code == 0
    assert admin.run("revert").code == 0
    assert admin.specs() == original
    assert admin.control_plane.get(*CONFIG_MAP)["data"] == {"HTTP_PROXY": PROXY}


def test_the_second_workload_waits_for_the_first(admin: Administrator, nodes: Nodes) -> None:
    """While the first workload is not ready the second is not changed, and the undo is printed."""
    original = admin.add_on("kube-proxy")["spec"]
    with nodes.stuck("aws-node"):
        done = admin.run("apply", "--timeout=4")
        assert done.code == 1
        assert "kube-system/daemonset/aws-node: rollout timed out after 4 s" in done.err
        steps = "created kube-system/configmap/proxy-environment-variables; patched"
        assert f"completed before the error: {steps}" in done.err
        assert "to undo: eks-proxy-agent cluster revert" in done.err
        assert admin.add_on("kube-proxy")["spec"] == original
        again = admin.run("apply", "--timeout=3")
        assert again.code == 1
        assert admin.add_on("kube-proxy")["spec"] == original
    admin.apply()
    assert admin.run("verify").code == 0


def test_revert_that_times_out_names_apply_as_its_undo(admin: Administrator, nodes: Nodes) -> None:
    """If a reverted workload is not ready, apply undoes the revert; a second revert continues."""
    original = admin.specs()
    admin.apply()
    with nodes.stuck("aws-node"):
        done = admin.run("revert", "--timeout=3")
        assert done.code == 1
        assert "kube-system/daemonset/aws-node: rollout timed out after 3 s" in done.err
        undo = "to undo: eks-proxy-agent cluster apply"
        assert f"completed before the error: reverted kube-system/daemonset/aws-node; {undo}" in done.err
        assert f"hint: kubectl -n kube-system describe daemonset aws-node; {undo}" in done.err
        assert "cluster revert" not in done.err
    assert admin.run("revert").code == 0
    assert admin.specs() == original


def test_a_password_is_in_a_secret_and_nowhere_else(admin: Administrator) -> None:
    """With credentials a Secret replaces the ConfigMap, and a new password rolls out.

    No output, annotation or patch contains them.
    """
    admin.apply()
    first = admin.password("user:s3cr3t-one")
    planned = admin.run("plan", first)
    assert planned.code == 3
    assert "configMapRef proxy-environment-variables" in planned.out
    applied = admin.apply(first)
    assert "deleted kube-system/configmap/proxy-environment-variables" in applied.out
    data = admin.control_plane.get(*SECRET)["data"]
    assert base64.b64decode(data["HTTP_PROXY"]) == b"http://user:s3cr3t-one@proxy.corp.example:3128"
    assert all_containers(admin.add_on("aws-node"))["aws-node"]["envFrom"] == [{"secretRef": REFERENCE["configMapRef"]}]
    assert admin.run("verify", first).code == 0
    versions = admin.control_plane.get(*SECRET)["metadata"]["resourceVersion"], admin.specs()
    admin.apply(first)
    assert (admin.control_plane.get(*SECRET)["metadata"]["resourceVersion"], admin.specs()) == versions
    pods = _pods(admin)
    second = admin.password("user:s3cr3t-two")
    outcomes = [
        planned,
        applied,
        admin.run("plan", second),
        admin.run("verify", second),
        admin.run("plan", "--json", second),
    ]
    assert [outcome.code for outcome in outcomes[2:]] == [3, 3, 3]
    outcomes.append(admin.apply(second))
    assert not pods & _pods(admin)
    everything = "".join(outcome.both for outcome in outcomes) + json.dumps([admin.add_on(name) for name in ADD_ONS])
    for secret in ("s3cr3t", base64.b64encode(b"http://user:s3c").decode()[:18]):
        assert secret not in everything
    assert admin.run("revert").code == 0
    assert admin.control_plane.try_kubectl("get", *SECRET).returncode == 1


def test_any_deployment_and_stateful_set_of_a_namespace(admin: Administrator, namespace: str, tmp_path: Path) -> None:
    """Workloads of another namespace get a ConfigMap there, and revert undoes it."""
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    kinds = {"Deployment": spec, "StatefulSet": {**spec, "serviceName": "web"}}
    for kind, workload_spec in kinds.items():
        labels["app"] = kind.lower()
        obj = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": workload_spec}
        text = json.dumps(obj)
        admin.control_plane.kubectl("apply", "-n", namespace, "-f", "-", input=text)
        admin.control_plane.wait_for_rollout(namespace, f"{kind.lower()}/web")
    names = [f"{namespace}/{kind.lower()}/web" for kind in kinds]
    flag = f"--set=cluster.workloads={json.dumps(names)}"
    original = [admin.control_plane.get(f"{kind}/web", "-n", namespace)["spec"] for kind in kinds]
    admin.apply(flag)
    verified = admin.run("verify", flag, "--json")
    assert verified.code == 0, verified.both
    objects = json.loads(verified.out)["objects"]
    assert [(verdict["object"], verdict.get("pods", {}).get("ok")) for verdict in objects] == [
        (f"{namespace}/configmap/proxy-environment-variables", None),
        (names[0], 2),
        (names[1], 2),
    ]
    # The ConfigMap lists the workloads, even if the settings no longer do.
    assert admin.run("revert", f"--namespace={namespace}").code == 0
    assert [admin.control_plane.get(f"{kind}/web", "-n", namespace)["spec"] for kind in kinds] == original


def test_revert_includes_workloads_that_the_settings_no_longer_name(admin: Administrator) -> None:
    """revert also reverts the workloads that the ConfigMap lists."""
    original = admin.specs()
    admin.apply()
    done = admin.run("revert", '--set=cluster.workloads=["default/deployment/new"]')
    assert done.code == 0, done.both
    assert "note: default/deployment/new: not found in this cluster" in done.err
    assert admin.specs() == original
    assert admin.control_plane.try_kubectl("get", *CONFIG_MAP).returncode == 1


def test_revert_reports_but_keeps_objects_of_other_namespaces(admin: Administrator, namespace: str) -> None:
    """A namespace that the settings do not name may belong to other settings.

    The note has the command that reverts it.
    """
    admin.apply(f"--namespace={namespace}")
    command = f"eks-proxy-agent cluster revert --namespace {namespace}"
    kept = f"note: {namespace}/configmap/proxy-environment-variables: not reverted"
    admin.control_plane.kubectl("create", "configmap", "-n", "default", "proxy-environment-variables")  # not ours
    try:
        done = admin.run("revert")
    finally:
        admin.control_plane.kubectl("delete", "configmap", "-n", "default", "proxy-environment-variables")
    assert done.code == 0
    assert "nothing to do: the agent changed nothing in kube-system\n" in done.err
    assert f"{kept}; to revert it: {command}\n" in done.err
    assert "note: default/" not in done.err
    assert "deleted" in admin.run("revert", f"--namespace={namespace}").out
    assert kept not in admin.run("revert").err


def test_config_map_that_pods_require_is_kept(admin: Administrator) -> None:
    """Old pods (OnDelete) could not start again without the ConfigMap: revert and apply keep it."""
    strategy = [{"op": "replace", "path": "/spec/updateStrategy", "value": {"type": "OnDelete"}}]
    admin.apply()
    admin.control_plane.kubectl(
        "patch", "-n", "kube-system", "daemonset/kube-proxy", "--type=json", "-p", json.dumps(strategy)
    )
    secret = admin.password("user:s3cr3t")
    kept = "kept kube-system/configmap/proxy-environment-variables: pod kube-proxy-"
    assert kept in admin.apply(secret).out
    assert admin.run("revert", "--namespace=kube-system").code == 0  # no pod refers to the Secret, so it is deleted
    assert admin.control_plane.try_kubectl("get", *SECRET).returncode == 1
    reverted = admin.run("revert")
    assert (reverted.code, kept in reverted.out, "nothing to do" in reverted.err) == (0, True, False)
    admin.control_plane.kubectl("delete", "pods", "-n", "kube-system", "-l", "k8s-app=kube-proxy")
    assert "deleted kube-system/configmap/proxy-environment-variables" in admin.run("revert").out


def test_config_map_that_a_template_requires_is_kept(admin: Administrator) -> None:
    """Without the undo annotation a reference counts as the operator's, and the ConfigMap stays."""
    admin.apply()
    admin.control_plane.kubectl("annotate", "-n", "kube-system", "daemonset/aws-node", "eks-proxy-agent/undo-")
    done = admin.run("revert")
    assert done.code == 0
    assert "the template of kube-system/daemonset/aws-node requires it" in done.out
    assert admin.control_plane.try_kubectl("get", *CONFIG_MAP).returncode == 0


def test_config_map_of_kubectl_apply_is_kept_and_reported(admin: Administrator) -> None:
    """A rendered ConfigMap belongs to kubectl's field manager: revert prints how to delete it."""
    admin.control_plane.kubectl("apply", "-f", "-", input=admin.run("render").out)
    done = admin.run("revert")
    assert done.code == 0
    assert 'belongs to field manager "kubectl-client-side-apply"' in done.err
    assert "to delete it: kubectl -n kube-system delete configmap proxy-environment-variables" in done.err
    assert admin.control_plane.try_kubectl("get", *CONFIG_MAP).returncode == 0


def test_kubectl_accepts_rendered_files(admin: Administrator, tmp_path: Path) -> None:
    """After `kubectl apply -f -` and `kubectl patch` with them, plan has nothing to do."""
    rendered = admin.run("render")
    assert rendered.code == 0
    admin.control_plane.kubectl("apply", "-f", "-", input=rendered.out)
    files = admin.run("render", "--output", str(tmp_path / "out"))
    assert files.code == 0, files.both
    for line in files.out.splitlines():
        command = line.split()
        admin.control_plane.kubectl(*command[1:])
    for name in ADD_ONS:
        admin.control_plane.wait_for_rollout("kube-system", f"daemonset/{name}")
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()] == [0o600] * 3
    planned = admin.run("plan")
    assert (planned.code, "nothing to do" in planned.err) == (0, True), planned.both
    assert admin.run("verify").code == 0


def test_render_without_a_cluster_reads_manifests(admin: Administrator, tmp_path: Path) -> None:
    """Offline, patches come from manifests; the server rejects them if the object has changed."""
    manifest = tmp_path / "objects.yaml"
    manifest.write_text(admin.control_plane.kubectl("get", "daemonsets", "-n", "kube-system", "-o", "yaml"))
    nowhere = ["--offline", "--kubeconfig=/nonexistent"]
    flags = [*nowhere, "--manifest", str(manifest), "--output", str(tmp_path / "out")]
    done = admin.run("render", *flags)
    assert done.code == 0, done.both
    admin.patch("json", [{"op": "add", "path": "/spec/template/spec/containers/0/envFrom", "value": [REFERENCE]}])
    results = [admin.control_plane.try_kubectl(*line.split()[1:]) for line in done.out.splitlines()]
    assert [result.returncode for result in results] == [0, 1, 0]
    assert "The request is invalid" in results[1].stderr
    alone = admin.run("render", *nowhere)
    assert alone.out == Path(tmp_path / "out/kube-system-configmap.yaml").read_text()
    without = admin.run("render", *nowhere, "--output", str(tmp_path / "other"))
    assert without.code == 1
    workloads = "kube-system/daemonset/aws-node, kube-system/daemonset/kube-proxy"
    assert f"the containers of {workloads} are unknown" in without.err


def test_a_secret_is_rendered_to_private_files_only(admin: Administrator, tmp_path: Path) -> None:
    """render does not print a password to stdout; the files are 0600."""
    flag = admin.password("user:s3cr3t")
    refused = admin.run("render", flag)
    assert (refused.code, refused.out) == (2, "")
    done = admin.run("render", flag, "--output", str(tmp_path / "out"))
    assert done.code == 0
    files = sorted((tmp_path / "out").iterdir())
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600] * 3
    admin.control_plane.kubectl("apply", "-f", str(tmp_path / "out/kube-system-secret.yaml"))
    assert b"user:s3cr3t@" in base64.b64decode(admin.control_plane.get(*SECRET)["data"]["HTTP_PROXY"])


def test_kubectl_shows_the_variables_in_the_pods(admin: Administrator) -> None:
    """`kubectl describe pod` names the ConfigMap in each container's environment."""
    admin.apply()
    pod = next(name for name in sorted(_pods(admin)) if name.startswith("aws-node"))
    text = admin.control_plane.kubectl("describe", "pod", "-n", "kube-system", pod)
    assert text.count("proxy-environment-variables  ConfigMap") == 3


def test_status_of_a_node_supplies_the_values(admin: Administrator) -> None:
    """With --from-node the ConfigMap has the node's NO_PROXY, whatever the settings contain."""
    from agent.core.intent.intent import Intent
    from agent.core.net.proxy_url import ProxyUrl
    from agent.core.noproxy.entries import Entry, render

    proxy = ProxyUrl("http", "node-proxy", 3128)
    entries = (Entry("172.20.0.0/16", "service-cidr"), Entry("s3.eu-west-1.amazonaws.com", "direct:s3"))
    intent = Intent(proxy, proxy, entries)
    status = {
        "schema": 1,
        "phase": "configured",
        "intent": intent.digest(),
        "proxy": {"http": str(proxy), "https": str(proxy)},
        "no_proxy": [{"entry": entry.value, "reason": entry.reason} for entry in entries],
    }
    path = admin.directory / "status.json"
    path.write_text(json.dumps(status))
    admin.apply("--from-node", str(path))
    assert admin.control_plane.get(*CONFIG_MAP)["data"]["NO_PROXY"] == render(entries)
    assert admin.run("verify", "--from-node", str(path)).code == 0
    assert admin.run("verify").code == 3
