"""render, plan, apply, verify and revert on add-ons as EKS has them, in a real control plane."""

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
    """The administrator of a cluster with fresh add-ons."""
    return Administrator(add_ons, tmp_path)


def test_every_step_of_the_recipe_works_and_is_taken_back(admin: Administrator) -> None:
    """Plan, apply, plan, verify and revert: every container gets the variables, and the original
    spec comes back.
    """
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
        assert all(one["envFrom"] == [REFERENCE] for one in all_containers(admin.add_on(name)).values())
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
    assert "eksctl utils update-kube-proxy" in reverted.err
    assert "eksctl utils update-aws-node" in reverted.err
    assert admin.specs() == original
    assert admin.control_plane.try_kubectl("get", *CONFIG_MAP).returncode == 1
    assert admin.run("revert").err.startswith("nothing to do")


def test_a_second_apply_writes_nothing(admin: Administrator) -> None:
    """The second apply says so, and no resourceVersion changes."""
    admin.apply()
    before = admin.versions()
    assert "nothing to do" in admin.apply().err
    assert admin.versions() == before


def test_a_changed_cidr_rolls_out(admin: Administrator) -> None:
    """Other values replace the pods, and verify calls the pods that are left of the old ones stale
    until then.
    """
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
    """The pods that are not on their way out."""
    items = admin.control_plane.get("pods", "-n", "kube-system")["items"]
    return {one["metadata"]["name"] for one in items if "deletionTimestamp" not in one["metadata"]}


def test_the_owners_entries_survive(admin: Administrator) -> None:
    """The owner's own envFrom and env stay in place before ours, through apply and revert."""
    own = [{"configMapRef": {"name": "owners", "optional": True}}]
    admin.patch("json", [{"op": "add", "path": "/spec/template/spec/containers/0/envFrom", "value": own}])
    admin.set_env("-c", "aws-node", "WARM_IP_TARGET=5")
    original = admin.specs()
    admin.apply()
    container = all_containers(admin.add_on("aws-node"))["aws-node"]
    assert container["envFrom"] == [*own, REFERENCE]
    assert {"name": "WARM_IP_TARGET", "value": "5"} in container["env"]
    assert admin.run("revert").code == 0
    assert admin.specs() == original


def test_another_field_managers_config_map_is_reported_and_not_forced(admin: Administrator) -> None:
    """A ConfigMap with somebody else's values is left to them by name, and no workload is
    touched.
    """
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


def test_a_config_map_that_others_write_too_loses_our_fields_only(admin: Administrator) -> None:
    """revert deletes what is ours alone; of a shared ConfigMap it takes out our own keys."""
    admin.apply()
    admin.control_plane.kubectl("patch", *CONFIG_MAP, "-p", '{"data": {"THEIRS": "1"}}')
    admin.apply()
    assert "older values" not in admin.run("verify").out
    done = admin.run("revert")
    assert done.code == 0
    assert 'the rest belongs to field manager "kubectl-patch"' in done.out
    left = admin.control_plane.get(*CONFIG_MAP)
    assert left["data"] == {"THEIRS": "1"}
    assert not left["metadata"].get("annotations")


def test_env_that_beats_the_config_map_is_found_and_taken_over_when_asked(admin: Administrator) -> None:
    """What `kubectl set env` left is told by container and field manager, removed with --take-over,
    and given back.
    """
    admin.set_env("-c", "aws-node", "HTTP_PROXY=http://old:1", "no_proxy=x", "A=b")
    original = admin.specs()
    admin.apply()
    assert "container aws-node: env HTTP_PROXY beats envFrom" in admin.run("plan").out
    verified = admin.run("verify")
    assert verified.code == 3
    assert 'env HTTP_PROXY beats envFrom; written by field manager "kubectl-set"' in verified.out
    assert "2 pods: container aws-node: env no_proxy beats envFrom: aws-node-" in verified.out
    assert "- env HTTP_PROXY: http://old:1" in admin.run("plan", "--take-over").out
    admin.apply("--take-over")
    assert "HTTP_PROXY" not in json.dumps(all_containers(admin.add_on("aws-node"))["aws-node"]["env"])
    assert admin.run("verify").code == 0
    before = admin.versions()
    admin.apply("--take-over")
    assert admin.versions() == before
    assert admin.run("revert").code == 0
    assert admin.specs() == original


def test_env_with_a_password_is_left_to_its_owner(admin: Administrator) -> None:
    """--take-over refuses what it could not give back without writing the password down, before it
    changes anything.
    """
    admin.set_env("-c", "kube-proxy", "HTTPS_PROXY=http://me:hunter2@old:1", name="kube-proxy")
    original = admin.specs()
    for action in ("plan", "apply"):
        done = admin.run(action, "--take-over")
        assert done.code == 1
        assert "kubectl -n kube-system set env daemonset/kube-proxy -c kube-proxy HTTPS_PROXY-" in done.err
        assert "hunter2" not in done.both
    assert admin.specs() == original
    done = admin.run("plan")
    assert "holds a password" in done.out
    assert "hunter2" not in done.both


def test_the_known_recipes_own_references_are_kept(admin: Administrator) -> None:
    """References of the copied recipe count as given: apply adds none beside them, and revert
    leaves them.
    """
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "aws-node", "envFrom": [REFERENCE]}]}}}}
    admin.patch("strategic", patch)
    admin.control_plane.kubectl(
        "create", "configmap", *CONFIG_MAP[0].split("/")[1:], *CONFIG_MAP[1:], f"--from-literal=HTTP_PROXY={PROXY}"
    )
    admin.set_env("--from=configmap/proxy-environment-variables", name="kube-proxy")
    original = admin.specs()
    assert "beats" not in admin.run("plan").out
    admin.apply()
    assert all_containers(admin.add_on("aws-node"))["aws-node"]["envFrom"] == [REFERENCE]
    assert admin.run("verify").code == 0
    assert admin.run("revert").code == 0
    assert admin.specs() == original
    assert admin.control_plane.get(*CONFIG_MAP)["data"] == {"HTTP_PROXY": PROXY}


def test_the_second_workload_waits_for_the_first(admin: Administrator, nodes: Nodes) -> None:
    """While the first workload does not become ready the second is not touched, and the way back is
    told.
    """
    original = admin.add_on("kube-proxy")["spec"]
    with nodes.stuck("aws-node"):
        done = admin.run("apply", "--timeout=4")
        assert done.code == 1
        assert "kube-system/daemonset/aws-node: not ready after 4 seconds" in done.err
        assert "until then: created kube-system/configmap/proxy-environment-variables; patched" in done.err
        assert "to go back: eks-proxy-agent cluster revert" in done.err
        assert admin.add_on("kube-proxy")["spec"] == original
        again = admin.run("apply", "--timeout=3")
        assert again.code == 1
        assert admin.add_on("kube-proxy")["spec"] == original
    admin.apply()
    assert admin.run("verify").code == 0


def test_a_revert_that_hangs_does_not_name_itself_as_the_way_back(admin: Administrator, nodes: Nodes) -> None:
    """While a workload that was reverted does not become ready, apply is the way back; a second
    revert goes on from there.
    """
    original = admin.specs()
    admin.apply()
    with nodes.stuck("aws-node"):
        done = admin.run("revert", "--timeout=3")
        assert done.code == 1
        assert "kube-system/daemonset/aws-node: not ready after 3 seconds" in done.err
        assert (
            "until then: reverted kube-system/daemonset/aws-node; to have it back: eks-proxy-agent cluster a"
            in done.err
        )
        assert "hint: kubectl -n kube-system describe daemonset aws-node; to have it back:" in done.err
        assert "cluster revert" not in done.err
    assert admin.run("revert").code == 0
    assert admin.specs() == original


def test_a_password_is_in_a_secret_and_nowhere_else(admin: Administrator) -> None:
    """With credentials a Secret replaces the ConfigMap; no output, annotation or patch tells them;
    a new one rolls out.
    """
    admin.apply()
    first = admin.password("user:s3cr3t-one")
    planned = admin.run("plan", first)
    assert planned.code == 3
    assert "configMapRef proxy-environment-variables" in planned.out
    applied = admin.apply(first)
    assert "deleted ConfigMap of kube-system" in applied.out
    data = admin.control_plane.get(*SECRET)["data"]
    assert base64.b64decode(data["HTTP_PROXY"]) == b"http://user:s3cr3t-one@proxy.corp.example:3128"
    assert all_containers(admin.add_on("aws-node"))["aws-node"]["envFrom"] == [{"secretRef": REFERENCE["configMapRef"]}]
    assert admin.run("verify", first).code == 0
    versions = admin.control_plane.get(*SECRET)["metadata"]["resourceVersion"], admin.specs()
    admin.apply(first)
    assert (admin.control_plane.get(*SECRET)["metadata"]["resourceVersion"], admin.specs()) == versions
    pods = _pods(admin)
    second = admin.password("user:s3cr3t-two")
    seen = [
        planned,
        applied,
        admin.run("plan", second),
        admin.run("verify", second),
        admin.run("plan", "--json", second),
    ]
    assert [one.code for one in seen[2:]] == [3, 3, 3]
    seen.append(admin.apply(second))
    assert not pods & _pods(admin)
    everything = "".join(one.both for one in seen) + json.dumps([admin.add_on(name) for name in ADD_ONS])
    for secret in ("s3cr3t", base64.b64encode(b"http://user:s3c").decode()[:18]):
        assert secret not in everything
    assert admin.run("revert").code == 0
    assert admin.control_plane.try_kubectl("get", *SECRET).returncode == 1


def test_any_deployment_and_stateful_set_of_a_namespace(admin: Administrator, namespace: str, tmp_path: Path) -> None:
    """Workloads elsewhere get a ConfigMap in their own namespace, and give it back."""
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    kinds = {"Deployment": spec, "StatefulSet": {**spec, "serviceName": "web"}}
    for kind, one in kinds.items():
        labels["app"] = kind.lower()
        text = json.dumps({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": one})
        admin.control_plane.kubectl("apply", "-n", namespace, "-f", "-", input=text)
        admin.control_plane.rolled_out(namespace, f"{kind.lower()}/web")
    names = [f"{namespace}/{kind.lower()}/web" for kind in kinds]
    flag = f"--set=cluster.workloads={json.dumps(names)}"
    original = [admin.control_plane.get(f"{kind}/web", "-n", namespace)["spec"] for kind in kinds]
    admin.apply(flag)
    verified = admin.run("verify", flag, "--json")
    assert verified.code == 0, verified.both
    objects = json.loads(verified.out)["objects"]
    assert [(one["object"], one.get("pods", {}).get("ok")) for one in objects] == [
        (f"{namespace}/configmap/proxy-environment-variables", None),
        (names[0], 2),
        (names[1], 2),
    ]
    # The settings may forget a workload: the ConfigMap does not.
    assert admin.run("revert", f"--namespace={namespace}").code == 0
    assert [admin.control_plane.get(f"{kind}/web", "-n", namespace)["spec"] for kind in kinds] == original


def test_revert_finds_what_the_settings_forgot(admin: Administrator) -> None:
    """With other workloads in the settings by now, those that the ConfigMap names are taken back
    too.
    """
    original = admin.specs()
    admin.apply()
    done = admin.run("revert", '--set=cluster.workloads=["default/deployment/new"]')
    assert done.code == 0, done.both
    assert "note: default/deployment/new is not in this cluster" in done.err
    assert admin.specs() == original
    assert admin.control_plane.try_kubectl("get", *CONFIG_MAP).returncode == 1


def test_revert_tells_what_other_settings_gave_to_other_namespaces(admin: Administrator, namespace: str) -> None:
    """A namespace that these settings do not name may be that of others: what is there is named and
    left, with the way.
    """
    admin.apply(f"--namespace={namespace}")
    ours = f"note: left {namespace}/configmap/proxy-environment-variables: eks-proxy-agent cluster revert --namespace"
    admin.control_plane.kubectl("create", "configmap", "-n", "default", "proxy-environment-variables")  # none of ours
    try:
        done = admin.run("revert")
    finally:
        admin.control_plane.kubectl("delete", "configmap", "-n", "default", "proxy-environment-variables")
    assert done.code == 0
    assert "nothing to do: nothing of this program is in kube-system\n" in done.err
    assert f"{ours} {namespace} takes it back\n" in done.err
    assert "left default" not in done.err
    assert "deleted" in admin.run("revert", f"--namespace={namespace}").out
    assert f"left {namespace}" not in admin.run("revert").err


def test_what_pods_still_need_is_kept(admin: Administrator) -> None:
    """Pods that nobody replaced (OnDelete) could not start again without the ConfigMap: revert and
    apply leave it to them.
    """
    strategy = [{"op": "replace", "path": "/spec/updateStrategy", "value": {"type": "OnDelete"}}]
    admin.apply()
    admin.control_plane.kubectl(
        "patch", "-n", "kube-system", "daemonset/kube-proxy", "--type=json", "-p", json.dumps(strategy)
    )
    secret = admin.password("user:s3cr3t")
    kept = "kept kube-system/configmap/proxy-environment-variables: pod kube-proxy-"
    assert kept in admin.apply(secret).out
    assert admin.run("revert", "--namespace=kube-system").code == 0  # the Secret goes, which no pod refers to
    assert admin.control_plane.try_kubectl("get", *SECRET).returncode == 1
    reverted = admin.run("revert")
    assert (reverted.code, kept in reverted.out, "nothing to do" in reverted.err) == (0, True, False)
    admin.control_plane.kubectl("delete", "pods", "-n", "kube-system", "-l", "k8s-app=kube-proxy")
    assert "deleted kube-system/configmap/proxy-environment-variables" in admin.run("revert").out


def test_what_a_template_still_needs_is_kept(admin: Administrator) -> None:
    """When our note on a workload is gone, its references count as the owner's, and keep the
    ConfigMap.
    """
    admin.apply()
    admin.control_plane.kubectl("annotate", "-n", "kube-system", "daemonset/aws-node", "eks-proxy-agent/undo-")
    done = admin.run("revert")
    assert done.code == 0
    assert "the template of kube-system/daemonset/aws-node could not start without it" in done.out
    assert admin.control_plane.try_kubectl("get", *CONFIG_MAP).returncode == 0


def test_a_config_map_of_kubectl_apply_is_left_and_told(admin: Administrator) -> None:
    """What was rendered and applied with kubectl is another field manager's: revert names it and
    how to remove it.
    """
    admin.control_plane.kubectl("apply", "-f", "-", input=admin.run("render").out)
    done = admin.run("revert")
    assert done.code == 0
    assert 'to field manager "kubectl-client-side-apply"' in done.err
    assert "kubectl -n kube-system delete configmap proxy-environment-variables removes it" in done.err
    assert admin.control_plane.try_kubectl("get", *CONFIG_MAP).returncode == 0


def test_what_render_writes_is_what_kubectl_takes(admin: Administrator, tmp_path: Path) -> None:
    """The ConfigMap by `kubectl apply -f -` and the patches by `kubectl patch` leave nothing for
    plan to do.
    """
    rendered = admin.run("render")
    assert rendered.code == 0
    admin.control_plane.kubectl("apply", "-f", "-", input=rendered.out)
    files = admin.run("render", "--output", str(tmp_path / "out"))
    assert files.code == 0, files.both
    for line in files.out.splitlines():
        command = line.split()
        admin.control_plane.kubectl(*command[1:])
    for name in ADD_ONS:
        admin.control_plane.rolled_out("kube-system", f"daemonset/{name}")
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()] == [0o600] * 3
    planned = admin.run("plan")
    assert (planned.code, "nothing to do" in planned.err) == (0, True), planned.both
    assert admin.run("verify").code == 0


def test_render_without_a_cluster_reads_manifests(admin: Administrator, tmp_path: Path) -> None:
    """Offline the patches come from manifests, and are refused by the server when the object is
    another one by then.
    """
    manifest = tmp_path / "objects.yaml"
    manifest.write_text(admin.control_plane.kubectl("get", "daemonsets", "-n", "kube-system", "-o", "yaml"))
    nowhere = ["--offline", "--kubeconfig=/nonexistent"]
    flags = [*nowhere, "--manifest", str(manifest), "--output", str(tmp_path / "out")]
    done = admin.run("render", *flags)
    assert done.code == 0, done.both
    admin.patch("json", [{"op": "add", "path": "/spec/template/spec/containers/0/envFrom", "value": [REFERENCE]}])
    results = [admin.control_plane.try_kubectl(*line.split()[1:]) for line in done.out.splitlines()]
    assert [one.returncode for one in results] == [0, 1, 0]
    assert "The request is invalid" in results[1].stderr
    alone = admin.run("render", *nowhere)
    assert alone.out == Path(tmp_path / "out/kube-system-configmap.yaml").read_text()
    without = admin.run("render", *nowhere, "--output", str(tmp_path / "other"))
    assert without.code == 1
    assert (
        "the containers of kube-system/daemonset/aws-node, kube-system/daemonset/kube-proxy are not known"
        in without.err
    )


def test_a_secret_is_rendered_to_private_files_only(admin: Administrator, tmp_path: Path) -> None:
    """stdout is refused for a password, files are 0600, and the patches do not hold it."""
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


def test_a_nodes_own_status_gives_the_values(admin: Administrator) -> None:
    """With --from-node the ConfigMap has the node's very list, whatever the settings here would
    make of it.
    """
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
        "no_proxy": [{"entry": one.value, "reason": one.reason} for one in entries],
    }
    path = admin.directory / "status.json"
    path.write_text(json.dumps(status))
    admin.apply("--from-node", str(path))
    assert admin.control_plane.get(*CONFIG_MAP)["data"]["NO_PROXY"] == render(entries)
    assert admin.run("verify", "--from-node", str(path)).code == 0
    assert admin.run("verify").code == 3
