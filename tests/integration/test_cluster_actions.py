"""plan, apply, verify and revert of a cluster that is in memory: order, output and failures."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.cluster import rollouts
from agent.cluster.inputs import _contradiction
from agent.commands import cluster
from agent.core.settings.schema import Cluster, Proxy, Settings
from agent.core.settings.workloads import Workload
from agent.edges import kubectl as kubectl_module
from tests.integration.api_objects import FORBIDDEN, NAME, OUTDATED, Api, daemon_set, decoded
from tests.integration.command_line import Node, Outcome, main

HOST = "abc.gr7.eu-west-1.eks.amazonaws.com"
SETTINGS = f"""\
[proxy]
url = "http://proxy.corp.example:3128"
[vpc]
cidrs = ["10.42.0.0/16"]
[aws]
direct = ["ec2"]
[cluster]
endpoint = "https://{HOST}"
endpoint_access = "private"
[metadata]
endpoint = "http://127.0.0.1:9"
"""
REFERENCE = {"configMapRef": {"name": NAME}}
SOURCE = f"kube-system/configmap/{NAME}"
NODES = ("kube-system/daemonset/aws-node", "kube-system/daemonset/kube-proxy")
CONFIG_MAP = f"/api/v1/namespaces/kube-system/configmaps/{NAME}"
SECRET = f"/api/v1/namespaces/kube-system/secrets/{NAME}"
UNREACHABLE = "Unable to connect to the server: dial tcp: i/o timeout"


class Admin:
    """An administrator with settings and that cluster."""

    def __init__(self, directory: Path, api: Api) -> None:
        self.node, self.api = Node(directory), api
        self.config = directory / "admin.toml"
        self.config.write_text(SETTINGS)

    def run(self, action: str, *flags: str) -> Outcome:
        """Run one action."""
        self.api.requests.clear()
        return main("cluster", action, "--config", str(self.config), *flags)

    def password(self) -> str:
        """Return the flag that gives the proxy a password."""
        path = self.node.write("etc/proxy.pass", b"alice:s3cret\n", 0o600)
        return f"--set=proxy.credentials_file={path}"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    """The cluster; nothing waits."""
    api = Api()
    monkeypatch.setattr(cluster, "kubectl_of", lambda arguments, settings: api)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return api


@pytest.fixture
def admin(tmp_path: Path, api: Api) -> Admin:
    """An administrator."""
    return Admin(tmp_path, api)


@pytest.fixture
def applied(admin: Admin) -> Admin:
    """The same after apply."""
    assert admin.run("apply").code == 0
    return admin


def specs(api: Api) -> Any:
    """Return everything of the workloads, as text."""
    return json.dumps([api.workload("aws-node"), api.workload("kube-proxy")], sort_keys=True)


# --- plan and apply


def test_plan_changes_nothing(admin: Admin, api: Api) -> None:
    """Exit code 3, each object with its changes; every write is tried on the server."""
    before = specs(api)
    done = admin.run("plan")
    assert done.code == 3
    assert done.out.startswith(f"{SOURCE} will be created\n")
    assert f"{NODES[0]} will be changed, and its pods will be replaced\n" in done.out
    assert "  container agent\n    + envFrom: configMapRef proxy-environment-variables\n" in done.out
    assert "(record for revert)" in done.out
    assert (specs(api), api.source(), api.writes()) == (before, None, [])
    assert f"apply {CONFIG_MAP} (dry run)" in api.requests
    assert "patch kube-system/daemonset/aws-node (dry run)" in api.requests


def test_plan_as_json(admin: Admin) -> None:
    """The same for programs."""
    done = admin.run("plan", "--json")
    document = json.loads(done.out)
    assert (done.code, document["schema"], document["pending"]) == (3, 1, True)
    objects = {item["object"]: item for item in document["objects"]}
    assert {name: item["action"] for name, item in objects.items()} == {
        SOURCE: "create",
        **dict.fromkeys(NODES, "patch"),
    }
    assert {"where": "container agent", "field": "envFrom", "before": None, "after": f"configMapRef {NAME}"} in objects[
        NODES[0]
    ]["changes"]


def test_apply_writes_the_config_map_first(admin: Admin, api: Api) -> None:
    """A pod whose template refers to a missing ConfigMap would not start."""
    done = admin.run("apply")
    assert done.code == 0
    assert done.out.splitlines() == [f"created {SOURCE}", *(f"patched {name}" for name in NODES)]
    assert f"{NODES[0]}: 1 of 1 pods updated, 1 available\n" in done.err
    assert api.writes() == [f"apply {CONFIG_MAP}", *(f"patch {name}" for name in NODES)]
    for name in ("aws-node", "kube-proxy"):
        for container in api.workload(name)["spec"]["template"]["spec"]["containers"]:
            assert container["envFrom"] == [REFERENCE]
    source = api.source()
    assert source
    assert source["data"]["HTTP_PROXY"] == "http://proxy.corp.example:3128"
    assert {"10.42.0.0/16", "172.20.0.0/16", HOST} <= set(source["data"]["NO_PROXY"].split(","))


def test_a_second_apply_writes_nothing(applied: Admin, api: Api) -> None:
    """Plan has exit code 0 then; both say so."""
    done = applied.run("apply")
    assert (done.code, done.out, done.err, api.writes()) == (0, "", "nothing to do: the cluster is up to date\n", [])
    planned = applied.run("plan")
    assert (planned.code, planned.err) == (0, "nothing to do: the cluster is up to date\n")
    assert planned.out.splitlines() == [f"{name} is up to date" for name in (SOURCE, *NODES)]
    assert json.loads(applied.run("plan", "--json").out)["pending"] is False


def test_changed_values_are_a_change_of_both(applied: Admin, api: Api) -> None:
    """The checksum on the templates replaces the pods."""
    flag = '--set=vpc.cidrs=["10.42.0.0/16", "10.43.0.0/16"]'
    assert "  + data NO_PROXY entries: 10.43.0.0/16\n" in applied.run("plan", flag).out
    assert applied.run("apply", flag).out.splitlines() == [f"changed {SOURCE}", *(f"patched {name}" for name in NODES)]


def test_workloads_that_do_not_exist_are_all_named(admin: Admin, api: Api) -> None:
    """Before anything is written."""
    flag = '--set=cluster.workloads=["kube-system/daemonset/aws-node", "a/deployment/b", "a/sts/c"]'
    done = admin.run("apply", flag)
    assert done.code == 1
    assert "not found in this cluster: a/deployment/b, a/statefulset/c" in done.err
    assert "nothing was changed" in done.err
    assert api.writes() == []


def test_a_namespace_limits_workloads_and_config_map(admin: Admin, api: Api) -> None:
    """Each namespace has its own ConfigMap."""
    api.add(daemon_set("app", namespace="apps"))
    flag = '--set=cluster.workloads=["kube-system/daemonset/aws-node", "apps/daemonset/app"]'
    assert admin.run("apply", flag, "--namespace", "apps").out.splitlines() == [
        f"created apps/configmap/{NAME}",
        "patched apps/daemonset/app",
    ]
    assert api.source() is None
    assert admin.run("apply", flag).out.splitlines() == [f"created {SOURCE}", f"patched {NODES[0]}"]
    done = admin.run("apply", flag, "--namespace", "A/b")
    assert (done.code, "not a valid namespace name" in done.err) == (2, True)


def test_a_password_makes_it_a_secret(admin: Admin, api: Api) -> None:
    """The old ConfigMap goes when no template or pod refers to it; no output has the password."""
    assert admin.run("apply").code == 0
    planned = admin.run("plan", admin.password())
    assert f"{SOURCE} will be deleted\n" in planned.out
    done = admin.run("apply", admin.password())
    assert f"deleted {SOURCE}\n" in done.out
    assert api.source() is None
    secret = api.source("secrets")
    assert secret
    assert decoded(secret)["HTTP_PROXY"] == "http://alice:s3cret@proxy.corp.example:3128"
    assert "s3cret" not in done.both + planned.both
    assert admin.run("apply", admin.password()).err == "nothing to do: the cluster is up to date\n"
    back = admin.run("apply")
    assert f"deleted kube-system/secret/{NAME}\n" in back.out
    assert api.source("secrets") is None


def test_a_config_map_that_an_old_pod_needs_stays(applied: Admin, api: Api) -> None:
    """With OnDelete the pods of the old template are still there."""
    api.replaces_pods = False
    done = applied.run("apply", applied.password())
    assert f"kept {SOURCE}: pod aws-node-0 of {NODES[0]} requires it; run this again" in done.out
    assert api.source()
    api.replaces_pods = True
    for name in ("aws-node", "kube-proxy"):
        api.add(api.workload(name))
    assert f"deleted {SOURCE}\n" in applied.run("apply", applied.password()).out


@pytest.mark.parametrize("change", ["data of others", "other workloads", "not ours"])
def test_an_object_of_the_other_kind_that_is_not_only_ours_stays(applied: Admin, api: Api, change: str) -> None:
    """Others wrote data, other settings use it, or someone else made it."""
    source = api.source()
    assert source
    if change == "data of others":
        entry = {"manager": "kubectl", "operation": "Update", "time": "", "fieldsV1": {"f:data": {"f:other": {}}}}
        source["metadata"]["managedFields"].append(entry)
    elif change == "other workloads":
        source["metadata"]["annotations"]["eks-proxy-agent/workloads"] += ",kube-system/daemonset/other"
    else:
        del source["metadata"]["annotations"]["eks-proxy-agent/workloads"]
    assert "deleted" not in applied.run("apply", applied.password()).out
    assert api.source()


def test_env_that_overrides_is_a_warning_or_removed(admin: Admin, api: Api) -> None:
    """--take-over removes it; with a password the operator has to."""
    env = api.workload("kube-proxy")["spec"]["template"]["spec"]["containers"][0]
    env["env"] = [{"name": "HTTP_PROXY", "value": "http://old:1"}]
    planned = admin.run("plan")
    assert (
        "  note: container kube-proxy: env HTTP_PROXY overrides envFrom; to remove it, use --take-over\n" in planned.out
    )
    done = admin.run("apply")
    assert f"warning: {NODES[1]}: container kube-proxy: env HTTP_PROXY overrides envFrom" in done.err
    assert admin.run("apply", "--take-over").out.splitlines() == [f"patched {NODES[1]}"]
    container = api.workload("kube-proxy")["spec"]["template"]["spec"]["containers"][0]
    assert "env" not in container
    container["env"] = [{"name": "HTTP_PROXY", "value": "http://u:s3cret@old:1"}]
    refused = admin.run("apply", "--take-over")
    assert refused.code == 1
    assert f"{NODES[1]}: --take-over does not remove env with a password" in refused.err
    command = "kubectl -n kube-system set env daemonset/kube-proxy -c kube-proxy HTTP_PROXY-"
    assert f"hint: remove it yourself: {command}" in refused.err
    assert "and contains a password; remove it with kubectl set env" in admin.run("plan").out
    assert "s3cret" not in refused.both


def test_a_conflict_is_not_forced(admin: Admin, api: Api) -> None:
    """The error names the manager, and how to take the object over."""
    text = (
        'error: Apply failed with 1 conflict: conflict with "helm" using v1: .data.HTTP_PROXY\nPlease review the fields'
    )
    api.failures = [("apply", text)]
    done = admin.run("apply")
    assert done.code == 1
    assert f'{SOURCE}: belongs to field manager "helm", with other values; it was not changed' in done.err
    assert 'conflict with "helm" using v1: .data.HTTP_PROXY' in done.err
    assert "--force-conflicts" in done.err
    assert "Please review" not in done.err
    assert api.writes() == []


def test_an_object_that_was_written_meanwhile_is_read_again(admin: Admin, api: Api) -> None:
    """The patch is made of the new object."""
    real, outdated = api.patch, [True]

    def patch(workload: Workload, text: str, doing: str, *, dry_run: bool) -> Any:
        if not dry_run and outdated:
            outdated.clear()
            api.workload("aws-node")["spec"]["template"]["spec"]["containers"].append({"name": "new"})
            raise kubectl_module.KubectlError(doing, OUTDATED)
        return real(workload, text, doing, dry_run=dry_run)

    api.patch = patch  # type: ignore[method-assign]
    assert admin.run("apply").code == 0
    containers = api.workload("aws-node")["spec"]["template"]["spec"]["containers"]
    assert [container["envFrom"] for container in containers] == [[REFERENCE]] * 3


def test_a_failure_reports_the_completed_steps(admin: Admin, api: Api) -> None:
    """And the command that undoes them; without any there is nothing to undo."""
    api.failures = [("apply", "Error from server (Boom): x")]
    done = admin.run("apply")
    assert (done.code, done.out) == (1, "")
    real, text = api.patch, "Error from server (Boom): x"

    def patch(workload: Workload, patch: str, doing: str, *, dry_run: bool) -> Any:
        if not dry_run and workload.name == "kube-proxy":
            raise kubectl_module.KubectlError(doing, text)
        return real(workload, patch, doing, dry_run=dry_run)

    api.patch = patch  # type: ignore[method-assign]
    done = admin.run("apply")
    assert done.code == 1
    steps = f"created {SOURCE}; patched {NODES[0]}"
    assert f"completed before the error: {steps}; to undo: eks-proxy-agent cluster revert\n" in done.err
    assert "hint: to undo: eks-proxy-agent cluster revert" in done.err
    again = admin.run("apply")
    assert "completed before the error: nothing\n" in again.err
    assert "to undo" not in again.err


# --- rollouts


def pending(api: Api, name: str, **status: int) -> None:
    """Let the status of a DaemonSet be this."""
    api.workload(name)["status"].update(status)


def test_a_rollout_that_does_not_end_is_an_error(admin: Admin, api: Api) -> None:
    """With what is missing, and where to look."""
    pending(api, "aws-node", numberAvailable=0)
    done = admin.run("apply", "--timeout", "0.01")
    assert done.code == 1
    text = f"{NODES[0]}: rollout timed out after 0.01 s: 1 of 1 pods updated, 0 available"
    assert text in done.err
    hint = "hint: kubectl -n kube-system describe daemonset aws-node; to undo: eks-proxy-agent cluster revert"
    assert hint in done.err
    assert done.err.count(f"{NODES[0]}: 1 of 1 pods updated, 0 available\n") == 1


def test_a_rollout_is_waited_for_although_nothing_was_patched(applied: Admin, api: Api) -> None:
    """An earlier run may have been interrupted; its progress is shown, a finished one is not."""
    pending(api, "kube-proxy", updatedNumberScheduled=0)
    done = applied.run("apply", "--timeout", "0.01")
    assert done.code == 1
    assert f"{NODES[1]}: 0 of 1 pods updated, 1 available" in done.err
    assert NODES[0] + ":" not in done.err


def test_an_unreachable_api_server_is_waited_for(admin: Admin, api: Api) -> None:
    """aws-node is its network; any other error ends the wait."""
    real = api.get
    answers = ["unreachable", "unreachable"]

    def get(path: str, kind: str, doing: str = "") -> Any:
        if doing.startswith("waiting for") and answers:
            raise kubectl_module.KubectlError(doing, UNREACHABLE if answers.pop() == "unreachable" else FORBIDDEN)
        return real(path, kind, doing)

    api.get = get  # type: ignore[method-assign]
    done = admin.run("apply")
    assert done.code == 0
    assert done.err.count("the API server does not respond (Unreachable)") == 1
    assert f"{NODES[0]}: 1 of 1 pods updated, 1 available\n" in done.err
    answers.append("forbidden")
    assert admin.run("apply").code == 1


def test_pods_that_a_person_has_to_delete_are_noted(admin: Admin, api: Api) -> None:
    """Each time, since nothing else says so; exit code 0."""
    api.workload("aws-node")["spec"]["updateStrategy"] = {"type": "OnDelete"}
    text = f"{NODES[0]}: the update strategy is OnDelete; delete the pods to replace them"
    first, second = admin.run("apply"), admin.run("apply")
    assert (first.code, second.code) == (0, 0)
    assert first.err.count(text) == second.err.count(text) == 1
    assert f"note: {text}" in second.err


def test_progress_on_a_terminal_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Elsewhere each new text is a line, and an equal one is not repeated."""
    progress = rollouts._Progress("name")
    progress.show("a")
    progress.show("a")
    progress.show("b")
    progress.end()
    assert capsys.readouterr().err == "name: a\nname: b\n"
    monkeypatch.setattr(rollouts.sys.stderr, "isatty", lambda: True, raising=False)
    progress = rollouts._Progress("name")
    progress.end()
    progress.show("a")
    progress.show("b")
    progress.end()
    assert capsys.readouterr().err == "\r\033[Kname: a\r\033[Kname: b\n"


# --- verify


def test_verify_after_apply_is_ok(applied: Admin) -> None:
    """Exit code 0, and a row for each object with its pods."""
    done = applied.run("verify")
    assert (done.code, done.err) == (0, "")
    rows = [line.split() for line in done.out.splitlines()]
    assert rows == [
        ["OBJECT", "STATE", "PODS", "OK", "STALE", "WRONG"],
        [SOURCE, "ok"],
        *([name, "ok", "1", "1", "0", "0"] for name in NODES),
    ]
    document = json.loads(applied.run("verify", "--json").out)
    assert (document["schema"], document["ok"], document["warnings"]) == (1, True, [])
    assert document["objects"][1]["pods"] == {"ok": 1, "stale": 0, "wrong": 0, "ending": 0}
    assert "pods" not in document["objects"][0]


def test_verify_before_apply_names_what_is_missing(admin: Admin, api: Api) -> None:
    """The ConfigMap, the references of each template and pod, and a workload."""
    del api.objects["/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy"]
    done = admin.run("verify")
    assert done.code == 3
    assert f"{SOURCE}: not found\n" in done.out
    assert f"{NODES[1]}: not found\n" in done.out
    assert f"{NODES[0]}: container agent: no envFrom reference to ConfigMap {NAME}\n" in done.out
    assert f"{NODES[0]}: to repair it: eks-proxy-agent cluster apply; to preview the changes: " in done.out
    assert (
        f"{NODES[0]}: 1 pod: container aws-node, container agent: no envFrom reference to ConfigMap {NAME}:"
        " aws-node-0 on node-1\n" in done.out
    )
    assert "to replace the pods" not in done.err
    document = json.loads(admin.run("verify", "--json").out)
    assert document["ok"] is False
    problem = f"container aws-node, container agent: no envFrom reference to ConfigMap {NAME}"
    assert document["objects"][1]["pod_problems"] == {problem: ["aws-node-0 on node-1"]}


def test_verify_compares_the_data_with_the_settings(applied: Admin, api: Api) -> None:
    """A list that was edited; the pods that started before are stale, and how to replace them."""
    source = api.source()
    assert source
    source["data"]["NO_PROXY"] = "localhost"
    later = {
        "manager": "vi",
        "operation": "Update",
        "time": "2026-02-01T00:00:00Z",
        "fieldsV1": {"f:data": {"f:NO_PROXY": {}}},
    }
    source["metadata"]["managedFields"].append(later)
    done = applied.run("verify")
    assert done.code == 3
    assert f"{SOURCE}: NO_PROXY differs from the settings: missing " in done.out
    assert f"{SOURCE}: NO_PROXY does not cover the API server {HOST}\n" in done.out
    assert f"{SOURCE}: NO_PROXY does not cover the service CIDR 172.20.0.0/16\n" in done.out


def test_verify_names_at_most_five_pods(applied: Admin, api: Api) -> None:
    """Page after page; --json has all, and pods that end do not count."""
    pod = api.objects.pop("/api/v1/namespaces/kube-system/pods/kube-proxy-0")
    pod["metadata"]["annotations"] = {"eks-proxy-agent/checksum": "old"}
    for number in range(7):
        copy = json.loads(json.dumps(pod))
        copy["metadata"]["name"] = f"kube-proxy-{number}"
        api.objects[f"/api/v1/namespaces/kube-system/pods/kube-proxy-{number}"] = copy
    ending = json.loads(json.dumps(pod))
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    api.objects["/api/v1/namespaces/kube-system/pods/kube-proxy-9"] = ending
    api.pages = 3
    done = applied.run("verify")
    assert done.code == 3
    names = ", ".join(f"kube-proxy-{number} on node-1" for number in range(5))
    assert f"{NODES[1]}: 7 pods: created with older values: {names} and 2 more (--json lists all)\n" in done.out
    assert "to replace the pods: kubectl rollout restart" in done.err
    document = json.loads(applied.run("verify", "--json").out)
    assert document["objects"][2]["pods"] == {"ok": 0, "stale": 7, "wrong": 0, "ending": 1}
    assert len(document["objects"][2]["pod_problems"]["created with older values"]) == 7


def test_verify_begins_again_when_the_list_expires(applied: Admin, api: Api) -> None:
    """Three times at most; any other error ends it."""
    expired = "Error from server (Gone): expired"
    pods = "get /api/v1/namespaces/kube-system/pods"
    api.failures = [(pods, expired)] * 2
    done = applied.run("verify")
    assert (done.code, done.err.count("the list of pods expired; reading it again")) == (0, 2)
    api.failures = [(pods, expired)] * 3
    assert applied.run("verify").code == 1
    api.failures = [(pods, "Error from server (Boom): x")]
    assert applied.run("verify").code == 1


def test_a_workload_without_pods_is_a_problem(applied: Admin, api: Api) -> None:
    """Nothing was checked then."""
    del api.objects["/api/v1/namespaces/kube-system/pods/kube-proxy-0"]
    done = applied.run("verify")
    assert done.code == 3
    assert (
        f"{NODES[1]}: no pods (expected 1); to see why: kubectl -n kube-system describe daemonset kube-proxy"
        in done.out
    )


@pytest.mark.parametrize(
    ("manager", "env", "remedy"),
    [
        ("eks", [], 'field manager "eks" is the managed add-on'),
        ("helm", [], "to repair it: eks-proxy-agent cluster apply; to preview"),
        ("helm", [{"name": "NO_PROXY", "value": "a"}], "cluster apply --take-over; to preview the changes: "),
    ],
)
def test_the_remedy_depends_on_who_wrote(applied: Admin, api: Api, manager: str, env: Any, remedy: str) -> None:
    """The managed add-on rewrites its template at each update; own env needs --take-over."""
    workload = api.workload("kube-proxy")
    container = workload["spec"]["template"]["spec"]["containers"][0]
    del container["envFrom"]
    container["env"] = env
    fields: Any = {"f:containers": {'k:{"name":"kube-proxy"}': {}}}
    entry = {
        "manager": manager,
        "operation": "Update",
        "time": "",
        "fieldsV1": {"f:spec": {"f:template": {"f:spec": fields}}},
    }
    workload["metadata"]["managedFields"] = [entry]
    assert remedy in applied.run("verify").out


# --- revert


def test_revert_restores_the_workloads_first(applied: Admin, api: Api) -> None:
    """Then the ConfigMap goes; a note says how to reset the add-ons."""
    done = applied.run("revert")
    assert done.code == 0
    assert done.out.splitlines() == [*(f"reverted {name}" for name in NODES), f"deleted {SOURCE}"]
    assert [request.split()[0] for request in api.writes()] == ["patch", "patch", "delete"]
    assert "to reset a managed add-on (vpc-cni or kube-proxy) to its defaults: aws eks update-addon" in done.err
    assert api.source() is None
    assert "envFrom" not in specs(api)
    assert "annotations" not in api.workload("aws-node")["metadata"]
    again = applied.run("revert")
    assert again.err.startswith("nothing to do: the agent changed nothing in kube-system\n")


def test_revert_finds_workloads_of_earlier_settings(admin: Admin, api: Api) -> None:
    """The ConfigMap lists them; one that no longer exists is a note."""
    api.add(daemon_set("app"))
    both = '--set=cluster.workloads=["kube-system/daemonset/app", "kube-system/daemonset/aws-node"]'
    assert admin.run("apply", both).code == 0
    only = '--set=cluster.workloads=["kube-system/daemonset/aws-node"]'
    note = "kube-system/daemonset/app is no longer in cluster.workloads but still has the proxy; cluster revert includes it"
    assert f"  note: {note}\n" in admin.run("plan", only).out
    del api.objects["/apis/apps/v1/namespaces/kube-system/daemonsets/aws-node"]
    done = admin.run("revert", only)
    assert done.out.splitlines() == ["reverted kube-system/daemonset/app", f"deleted {SOURCE}"]
    assert f"note: {NODES[0]}: not found in this cluster" in done.err


def test_revert_leaves_the_data_of_others(applied: Admin, api: Api) -> None:
    """Only our fields are removed; an object that kubectl applied is not ours to delete."""
    source = api.source()
    assert source
    source["data"]["other"] = "1"
    entry = {"manager": "helm", "operation": "Update", "time": "", "fieldsV1": {"f:data": {"f:other": {}}}}
    source["metadata"]["managedFields"].append(entry)
    done = applied.run("revert")
    text = f'removed the agent\'s fields from {SOURCE}; the other fields belong to field manager "helm"'
    assert text in done.out
    source = api.source()
    assert source
    assert source["data"] == {"other": "1"}


def test_revert_names_an_object_that_kubectl_applied(applied: Admin, api: Api) -> None:
    """`render` made it, and someone else manages it."""
    source = api.source()
    assert source
    source["metadata"]["managedFields"][0]["manager"] = "kubectl"
    done = applied.run("revert")
    assert f'note: {SOURCE}: not deleted, because it belongs to field manager "kubectl"' in done.err
    assert f"to delete it: kubectl -n kube-system delete configmap {NAME}" in done.err
    assert api.source()


def test_revert_leaves_a_foreign_object_alone(admin: Admin, api: Api) -> None:
    """It has our name, and nothing of us."""
    api.objects[CONFIG_MAP] = {"kind": "ConfigMap", "metadata": {"name": NAME, "namespace": "kube-system", "uid": "u"}}
    done = admin.run("revert")
    assert (done.code, api.writes()) == (0, [])
    assert done.err.startswith("nothing to do: ")
    assert "not deleted" not in done.err


def test_revert_keeps_what_a_pod_needs(applied: Admin, api: Api) -> None:
    """Pods of the old template refer to it until someone deletes them."""
    api.replaces_pods = False
    done = applied.run("revert")
    assert (
        f"kept {SOURCE}: pod aws-node-0 of {NODES[0]} requires it; run this again when nothing refers to it" in done.out
    )
    assert api.source()
    for name in ("aws-node", "kube-proxy"):
        api.pod(name)["status"]["phase"] = "Succeeded"
    assert f"deleted {SOURCE}\n" in applied.run("revert").out


def test_revert_of_a_namespace_notes_the_others(applied: Admin, api: Api) -> None:
    """Objects of other settings are not touched; without permission the error is the note."""
    api.add(daemon_set("app", namespace="apps"))
    workloads = '--set=cluster.workloads=["apps/daemonset/app"]'
    assert applied.run("apply", workloads).code == 0
    done = applied.run("revert")
    note = f"note: apps/configmap/{NAME}: not reverted; to revert it: eks-proxy-agent cluster revert --namespace apps"
    assert note in done.err
    assert api.source(namespace="apps")
    api.failures = [("get /api/v1/configmaps", FORBIDDEN), ("get /api/v1/secrets", FORBIDDEN)]
    assert applied.run("revert").err.count("note: get /api/v1/") == 2
    done = applied.run("revert", workloads, "--namespace", "apps")
    assert done.out.splitlines() == ["reverted apps/daemonset/app", f"deleted apps/configmap/{NAME}"]
    assert "get /api/v1/configmaps?" not in " ".join(api.requests)
    assert "managed add-on" not in done.err


def test_revert_without_permission_for_secrets(applied: Admin, api: Api) -> None:
    """Without it the user cannot have created one; for the ConfigMap it is an error."""
    api.failures = [(f"get {SECRET}", FORBIDDEN)]
    assert applied.run("revert").code == 0
    api.failures = [(f"get {CONFIG_MAP}", FORBIDDEN)]
    assert applied.run("revert").code == 1


# --- the service CIDR


def test_service_cidr_of_the_default_range(admin: Admin) -> None:
    """stdout has the CIDR only."""
    done = admin.run("service-cidr")
    assert (done.code, done.out) == (0, "172.20.0.0/16\n")
    assert done.err.startswith("source: ")
    text = admin.run("service-cidr", "--json").out
    document = json.loads(text)
    assert text == json.dumps(document, indent=2) + "\n"
    assert (document["schema"], document["cidrs"], document["addresses"]) == (1, ["172.20.0.0/16"], ["172.20.0.1"])


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_service_cidr_that_the_api_lists(admin: Admin, api: Api, version: str) -> None:
    """It is more reliable than a guess."""
    item = {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["172.20.0.0/20"]}}
    api.objects[f"/apis/networking.k8s.io/{version}/servicecidrs"] = {"kind": "ServiceCIDRList", "items": [item]}
    done = admin.run("service-cidr")
    assert done.out == "172.20.0.0/20\n"
    assert f"source: the ServiceCIDR API (networking.k8s.io/{version}) lists it\n" in done.err


def other_range(api: Api) -> None:
    """Give the cluster a range that is not one of EKS's defaults."""
    api.objects["/api/v1/namespaces/default/services/kubernetes"]["spec"]["clusterIP"] = "192.168.7.1"


def test_service_cidr_of_a_rejected_dry_run(admin: Admin, api: Api) -> None:
    """The server names its range when an address is outside it."""
    other_range(api)
    text = "The Service is invalid: spec.clusterIPs: the range of valid IPs is 192.168.7.0/24"
    api.failures = [("create", text)]
    done = admin.run("service-cidr")
    assert done.out == "192.168.7.0/24\n"
    assert "source: the API server named it when it rejected an address in a dry run\n" in done.err


@pytest.mark.parametrize("failures", [[], [("create", "Error from server (Boom): x")]])
def test_an_unknown_service_cidr_is_an_error(admin: Admin, api: Api, failures: Any) -> None:
    """For this action, and for apply unless cluster.service_cidr is set."""
    other_range(api)
    api.failures = list(failures)
    done = admin.run("service-cidr")
    assert (done.code, done.out) == (1, "")
    assert "the service CIDR is unknown: " in done.err
    assert "hint: to look it up: aws eks describe-cluster" in done.err
    done = admin.run("apply")
    assert (done.code, api.writes()) == (1, [])
    assert "hint: set cluster.service_cidr; to look it up: " in done.err
    assert admin.run("apply", "--set=cluster.service_cidr=192.168.7.0/24").code == 0


def test_a_configured_service_cidr_of_another_cluster_is_a_warning(admin: Admin) -> None:
    """The kubeconfig may name the wrong cluster."""
    done = admin.run("plan", "--set=cluster.service_cidr=10.100.0.0/16")
    assert "warning: cluster.service_cidr is 10.100.0.0/16, which is not the service CIDR of this cluster: " in done.err
    assert "is not the service CIDR" not in admin.run("plan", "--set=cluster.service_cidr=172.20.0.0/16").err
    settings = Settings(proxy=Proxy(), cluster=Cluster(service_cidr="10.100.0.0/16"))
    assert _contradiction(settings, None) == ()  # without a cluster, as for `render --from-node`


@pytest.mark.parametrize(
    ("failure", "code"),
    [(FORBIDDEN, 0), ("Error from server (Boom): x", 1)],
)
def test_the_service_cidr_api_may_be_forbidden(admin: Admin, api: Api, failure: str, code: int) -> None:
    """The other sources remain then; another error is one."""
    api.failures = [("servicecidrs", failure)]
    assert admin.run("service-cidr").code == code


# --- inputs


def test_the_endpoint_of_the_kubeconfig_counts_if_nodes_use_it(admin: Admin, api: Api) -> None:
    """A tunnel does not; then the region is unknown too."""
    admin.config.write_text(SETTINGS.replace(f'endpoint = "https://{HOST}"\n', ""))
    api.server_url = f"https://{HOST}"
    assert admin.run("apply").code == 0
    source = api.source()
    assert source
    assert HOST in source["data"]["NO_PROXY"].split(",")
    api.server_url = "https://localhost:8443"
    done = admin.run("apply")
    assert done.code == 1
    assert "the region is unknown, and the hosts of aws.direct cannot be computed without it" in done.err
    assert "hint: set cluster.endpoint to the https:// URL that the nodes use, or use --facts FILE" in done.err


def test_without_a_proxy_there_is_nothing_to_apply(admin: Admin) -> None:
    """The hint is revert."""
    admin.config.write_text(SETTINGS.replace('url = "http://proxy.corp.example:3128"\n', ""))
    done = admin.run("apply")
    assert done.code == 78
    assert "proxy.url is not set, so there is no proxy for the pods" in done.err
    assert "hint: to undo an earlier apply: eks-proxy-agent cluster revert" in done.err


def test_values_that_only_a_node_knows_are_assumed_with_a_warning(admin: Admin) -> None:
    """plan, apply and verify say so; with fixed values there is no warning."""
    assert "warning" not in admin.run("plan").err
    admin.config.write_text(SETTINGS.replace('direct = ["ec2"]', "").replace('endpoint_access = "private"', ""))
    for action in ("plan", "verify", "apply"):
        done = admin.run(action)
        assert 'warning: aws.direct is "auto", which only a node can probe' in done.err
        assert 'warning: cluster.endpoint_access is "auto"' in done.err
    assert len(json.loads(admin.run("plan", "--json").out)["warnings"]) == 3
    assert len(json.loads(admin.run("verify", "--json").out)["warnings"]) == 3


def test_without_cidrs_and_metadata_the_vpc_is_unknown(admin: Admin) -> None:
    """The hint has every way to provide them."""
    admin.config.write_text(SETTINGS.replace("[vpc]\ncidrs", "[vpc]\n#cidrs") + "deadline = 0.1\n")
    done = admin.run("plan")
    assert done.code == 1
    assert "the CIDRs of the VPC are unknown: " in done.err
    assert "hint: set vpc.cidrs (in the settings or with --set), use --facts FILE or --from-node FILE" in done.err


def test_a_status_of_a_node_provides_every_value(admin: Admin, api: Api) -> None:
    """The credentials come from the settings, because status.json has none."""
    node = admin.node
    node.settings('[proxy]\nurl = "http://node.example:1"\nno_proxy = ["of.the.node"]\n[aws]\ndirect = []\n')
    assert node.main("apply").code == 0
    status = node.root / "run/eks-proxy-agent/status.json"
    assert admin.run("apply", "--from-node", str(status), admin.password()).code == 0
    secret = api.source("secrets")
    assert secret
    data = decoded(secret)
    assert data["HTTP_PROXY"] == "http://alice:s3cret@node.example:1"
    assert "of.the.node" in data["NO_PROXY"].split(",")


def test_the_api_server_of_a_node_has_to_be_covered(admin: Admin, api: Api) -> None:
    """Its host is that of the kubeconfig, because status.json does not have it."""
    node = admin.node
    private = f'[cluster]\nendpoint = "https://{HOST}"\nendpoint_access = "private"\n'
    node.settings(f'[proxy]\nurl = "http://node.example:1"\n[aws]\ndirect = []\n{private}')
    assert node.main("apply").code == 0
    admin.config.write_text(SETTINGS.replace(f'endpoint = "https://{HOST}"\n', ""))
    api.server_url = f"https://{HOST}"
    flag = f"--from-node={node.root}/run/eks-proxy-agent/status.json"
    assert admin.run("apply", flag).code == 0
    source = api.source()
    assert source
    source["data"]["no_proxy"] = "localhost"
    assert f"{SOURCE}: no_proxy does not cover the API server {HOST}\n" in admin.run("verify", flag).out


# --- render


def test_render_of_a_cluster_writes_what_apply_would(admin: Admin, api: Api, tmp_path: Path) -> None:
    """Private files, and the commands for them; nothing is written to the cluster."""
    output = tmp_path / "a directory"
    done = admin.run("render", "--output", str(output))
    assert (done.code, api.writes()) == (0, [])
    names = [
        "kube-system-configmap.yaml",
        "kube-system-daemonset-aws-node.patch.json",
        "kube-system-daemonset-kube-proxy.patch.json",
    ]
    assert sorted(path.name for path in output.iterdir()) == sorted(names)
    assert {path.stat().st_mode & 0o777 for path in output.iterdir()} == {0o600}
    assert done.out.splitlines() == [
        f"kubectl apply -f '{output}/{names[0]}'",
        *(
            f"kubectl -n kube-system patch daemonset {name} --type json --patch-file '{output}/{file}'"
            for name, file in (("aws-node", names[1]), ("kube-proxy", names[2]))
        ),
    ]
    ops = json.loads((output / names[1]).read_text())
    assert {op["path"] for op in ops if op["op"] != "test"} >= {"/spec/template/spec/containers/0/envFrom"}
    api.patch(Workload("kube-system", "DaemonSet", "aws-node"), (output / names[1]).read_text(), "", dry_run=False)
    again = admin.run("render", "--output", str(output))
    assert f"note: {NODES[0]} is up to date: no patch\n" in again.err
    assert "daemonset aws-node" not in again.out


def test_render_prefers_manifests(admin: Admin, api: Api, tmp_path: Path) -> None:
    """The cluster is read for the other workloads only."""
    manifest = tmp_path / "aws-node.json"
    manifest.write_text(json.dumps(daemon_set("aws-node", {"name": "of-the-manifest"})))
    output = tmp_path / "output"
    done = admin.run("render", "--output", str(output), "--manifest", str(manifest))
    assert done.code == 0
    assert "of-the-manifest" in (output / "kube-system-daemonset-aws-node.patch.json").read_text()
    assert (output / "kube-system-daemonset-kube-proxy.patch.json").exists()
    assert [text for text in api.requests if "aws-node" in text] == []
    del api.objects["/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy"]
    done = admin.run("render", "--output", str(output), "--manifest", str(manifest))
    assert (done.code, f"not found in this cluster: {NODES[1]}" in done.err) == (1, True)


def test_render_keeps_the_salt_of_the_cluster(admin: Admin, api: Api, tmp_path: Path) -> None:
    """Otherwise each rendering would replace the pods; a Secret is not printed."""
    refused = admin.run("render", admin.password())
    assert (refused.code, refused.out) == (2, "")
    assert "write it to a file (0600) with --output DIR" in refused.err
    texts = []
    for _ in range(2):
        assert admin.run("render", "--output", str(tmp_path / "o"), admin.password()).code == 0
        texts.append((tmp_path / "o/kube-system-secret.yaml").read_text())
    assert texts[0] != texts[1]
    assert admin.run("apply", admin.password()).code == 0
    for _ in range(2):
        assert admin.run("render", "--output", str(tmp_path / "o"), admin.password()).code == 0
        texts.append((tmp_path / "o/kube-system-secret.yaml").read_text())
    assert texts[2] == texts[3]


def test_render_prints_a_document_for_each_namespace(admin: Admin, api: Api) -> None:
    """With the workloads that it is for; warnings are on stderr."""
    flag = '--set=cluster.workloads=["kube-system/daemonset/aws-node", "apps/deployment/app"]'
    admin.config.write_text(SETTINGS.replace('direct = ["ec2"]', ""))
    done = admin.run("render", flag)
    assert done.code == 0
    documents = list(yaml.safe_load_all(done.out))
    assert [document["metadata"]["namespace"] for document in documents] == ["kube-system", "apps"]
    workloads = [document["metadata"]["annotations"]["eks-proxy-agent/workloads"] for document in documents]
    assert workloads == ["kube-system/daemonset/aws-node", "apps/deployment/app"]
    assert 'warning: aws.direct is "auto"' in done.err
