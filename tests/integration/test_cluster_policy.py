"""plan, apply, verify and revert with the policy, on a cluster in memory that follows its rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.cluster import policy
from agent.edges.kubectl import KubectlError
from tests.integration.api_objects import FORBIDDEN, Api, daemon_set
from tests.integration.test_cluster_actions import NODES, REFERENCE, SOURCE, Admin, api, specs

__all__ = ["api"]  # the fixture

POLICY = "mutatingadmissionpolicy/eks-proxy-agent"
BINDINGS = (
    "mutatingadmissionpolicybinding/eks-proxy-agent",
    "mutatingadmissionpolicybinding/eks-proxy-agent-workloads",
)
BY_POLICY = '--set=cluster.injection="policy"'
BY_ENV_FROM = '--set=cluster.injection="envFrom"'
CREATED = [f"created {name}" for name in (SOURCE, POLICY, *BINDINGS)]
NO_RIGHT = (
    'Error from server (Forbidden): User "u" cannot get resource "mutatingadmissionpolicies"'
    ' in API group "admissionregistration.k8s.io"'
)


@pytest.fixture
def on(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """The same cluster with the feature on; its namespace "team" has the label."""
    api.policies = "on"
    api.add_namespace("team", **{"eks-proxy-agent_inject": "enabled"})
    monkeypatch.setattr(policy, "PATIENCE", 0.0)
    return api


@pytest.fixture
def admin(tmp_path: Path, on: Api) -> Admin:
    """An administrator of it."""
    return Admin(tmp_path, on)


def own_env(api: Api, name: str, namespace: str = "kube-system") -> list[str]:
    """Return the names of the env of a pod's first container."""
    return [entry["name"] for entry in api.pod(name, namespace)["spec"]["containers"][0].get("env", [])]


# --- auto


def test_auto_takes_the_policy_where_nothing_is_applied(admin: Admin, on: Api) -> None:
    """No template changes and no pod is replaced; apply proves the policy."""
    before = specs(on)
    planned = admin.run("plan")
    assert planned.code == 3
    assert planned.out.splitlines()[-8:] == [
        line
        for name in (POLICY, *BINDINGS)
        for line in (f"{name} will be created", "  + rules: as printed by cluster render --inject")
    ] + [f"{name} is up to date" for name in NODES]
    assert "cluster.injection is policy: the API server supports it (not proved yet)" in planned.err
    done = admin.run("apply")
    assert (done.code, done.out.splitlines()) == (0, CREATED)
    assert "create kube-system/pod (dry run)" in on.requests
    assert specs(on) == before
    text = "note: pods that are older than the values: kube-system/daemonset/aws-node (1), kube-system/daemonset/kube-proxy (1)"
    assert text in done.err
    assert "to replace them: eks-proxy-agent cluster apply --rollout" in done.err


def test_a_second_apply_writes_nothing(admin: Admin, on: Api) -> None:
    """It proves the policy again."""
    assert admin.run("apply").code == 0
    done = admin.run("apply")
    assert (done.code, done.out, on.writes()) == (0, "", [])
    assert "nothing to do: the cluster is up to date" in done.err
    assert "not proved yet" not in done.err
    assert admin.run("plan").code == 0


def test_auto_keeps_env_from_where_apply_has_put_it(admin: Admin, on: Api) -> None:
    """A newer API server changes nothing by itself: aws-node is the CNI."""
    assert admin.run("apply", BY_ENV_FROM).code == 0
    planned = admin.run("plan")
    assert (planned.code, POLICY in planned.out) == (0, False)


def test_auto_without_the_feature_is_env_from_with_the_reason(admin: Admin, on: Api) -> None:
    """Kubernetes before 1.36."""
    on.policies = "absent"
    for action in ("plan", "apply"):
        done = admin.run(action)
        assert "note: cluster.injection is envFrom: the API server does not serve MutatingAdmissionPolicy" in done.err
    assert on.workload("kube-proxy")["spec"]["template"]["spec"]["containers"][0]["envFrom"] == [REFERENCE]
    assert "note: cluster.injection" not in admin.run("apply").err


def test_auto_without_effect_deletes_the_policy_and_takes_env_from(admin: Admin, on: Api) -> None:
    """Kubernetes 1.34 and 1.35 accept the objects and ignore them."""
    on.policies = "off"
    done = admin.run("apply")
    assert done.code == 0
    deleted = [f"deleted {name}" for name in (*BINDINGS, POLICY)]
    assert done.out.splitlines() == [*CREATED, *deleted, f"changed {SOURCE}", *(f"patched {name}" for name in NODES)]
    assert "cluster.injection is envFrom: a dry-run pod in kube-system did not get the variables within 0 s" in done.err
    assert admin.run("verify").code == 0


def test_auto_without_permission_is_env_from_with_the_reason(admin: Admin, on: Api) -> None:
    """To read the policy, or to write it."""
    on.failures = [("mutatingadmissionpolicies/", NO_RIGHT)]
    assert "envFrom: missing permission: get mutatingadmissionpolicies" in admin.run("plan").err
    on.failures = [("apply /apis/admission", NO_RIGHT.replace("cannot get", "cannot create"))]
    done = admin.run("apply")
    assert "envFrom: missing permission: create mutatingadmissionpolicies" in done.err
    assert (done.code, on.objects.keys() & {POLICY}) == (0, set())


def test_auto_that_cannot_create_a_pod_is_env_from(admin: Admin, on: Api) -> None:
    """A policy that cannot be proved might do nothing."""
    on.failures = [("create kube-system/pod", FORBIDDEN)]
    done = admin.run("apply")
    assert (done.code, f"deleted {POLICY}" in done.out) == (0, True)
    assert "envFrom: no pod can be created as a dry run" in done.err


def test_a_namespace_limits_auto_to_env_from(admin: Admin, on: Api) -> None:
    """A policy is cluster-wide."""
    assert "--namespace limits the command" in admin.run("plan", "--namespace", "kube-system").err
    done = admin.run("plan", "--namespace", "kube-system", BY_POLICY)
    assert (done.code, "a policy is cluster-wide" in done.err) == (2, True)


# --- policy


@pytest.mark.parametrize("missing", ["feature", "permission", "permission to write"])
def test_policy_as_a_setting_is_an_error_where_it_cannot_be(admin: Admin, on: Api, missing: str) -> None:
    """Nothing is applied then."""
    if missing == "feature":
        on.policies = "absent"
    elif missing == "permission":
        on.failures = [("mutatingadmissionpolicies/", NO_RIGHT)]
    else:
        on.failures = [("apply /apis/admission", NO_RIGHT)]
    done = admin.run("apply", BY_POLICY)
    assert done.code == 1
    assert ("does not serve" in done.err) if missing == "feature" else ("missing permission" in done.err)
    assert on.writes() == []


def test_policy_as_a_setting_without_effect_is_an_error(admin: Admin, on: Api) -> None:
    """It names what was applied; the operator decides."""
    on.policies = "off"
    done = admin.run("apply", BY_POLICY)
    assert (done.code, done.out.splitlines()) == (1, CREATED)
    assert "the policy has no effect: a dry-run pod in kube-system did not get the variables" in done.err
    assert f"completed before the error: {'; '.join(CREATED)}; to undo: eks-proxy-agent cluster revert" in done.err


def test_moving_to_the_policy_shows_and_does_the_rollouts(admin: Admin, on: Api) -> None:
    """The templates become what they were; the new pods have the variables from the policy."""
    before = specs(on)
    assert admin.run("apply", BY_ENV_FROM).code == 0
    planned = admin.run("plan", BY_POLICY)
    assert f"{NODES[0]} will be changed, and its pods will be replaced" in planned.out
    done = admin.run("apply", BY_POLICY)
    assert done.code == 0
    assert done.out.splitlines() == [f"changed {SOURCE}", *CREATED[1:], *(f"patched {name}" for name in NODES)]
    assert specs(on) == before
    assert set(own_env(on, "aws-node")) >= {"HTTP_PROXY", "no_proxy"}
    assert admin.run("verify").code == 0


def test_moving_back_to_env_from_deletes_the_policy(admin: Admin, on: Api) -> None:
    """After the templates have their references."""
    assert admin.run("apply").code == 0
    done = admin.run("apply", BY_ENV_FROM)
    assert done.code == 0
    assert done.out.splitlines()[1:] == [
        *(f"patched {name}" for name in NODES),
        *(f"deleted {name}" for name in (*BINDINGS, POLICY)),
    ]


def test_a_policy_of_another_manager_is_not_forced(admin: Admin, on: Api) -> None:
    """The error names it; nothing is applied."""
    on.failures = [("apply /apis/admission", 'error: Apply failed with 1 conflict: conflict with "argocd"')]
    done = admin.run("apply")
    assert (done.code, on.writes()) == (1, [])
    assert f"{POLICY}: belongs to another field manager; it was not changed" in done.err
    assert "argocd" in done.err


# --- older pods


def test_rollout_restarts_the_workloads_of_older_pods_one_at_a_time(admin: Admin, on: Api) -> None:
    """Pods without a workload are named."""
    on.add(daemon_set("app", namespace="team"))
    on.objects["/api/v1/namespaces/team/pods/bare"] = {
        "kind": "Pod",
        "metadata": {"namespace": "team", "name": "bare"},
        "spec": {"containers": [{"name": "x"}]},
    }
    done = admin.run("apply", "--rollout")
    assert done.code == 0
    names = [*NODES, "team/daemonset/app"]
    assert done.out.splitlines() == [*CREATED, *(f"restarted {name}" for name in names)]
    assert [text for text in on.writes() if "restart" in text] == [f"restart {name}" for name in names]
    assert "and that no workload replaces: team/bare" in done.err
    assert "HTTPS_PROXY" in own_env(on, "app", "team")
    assert "restarted" not in admin.run("apply", "--rollout").out


def test_new_values_restart_nothing_but_are_named(admin: Admin, on: Api) -> None:
    """verify has exit code 3 until the pods are replaced."""
    assert admin.run("apply", "--rollout").code == 0
    assert admin.run("verify").code == 0
    wider = '--set=vpc.cidrs=["10.42.0.0/16", "10.43.0.0/16"]'
    done = admin.run("apply", wider)
    assert done.out.splitlines() == [f"changed {SOURCE}"]
    assert "older than the values: kube-system/daemonset/aws-node (1)" in done.err
    verified = admin.run("verify", wider)
    assert (verified.code, "1 pod: container agent: has older values: aws-node-0" in verified.out) == (3, True)
    assert admin.run("apply", wider, "--rollout").code == 0
    assert admin.run("verify", wider).code == 0


def test_without_permission_to_list_pods_they_are_not_listed(admin: Admin, on: Api) -> None:
    """apply has done its work."""
    on.failures = [("get /api/v1/namespaces?", FORBIDDEN)]
    done = admin.run("apply")
    assert (done.code, "note: pods that are older than the values are not listed" in done.err) == (0, True)


# --- verify


def test_verify_names_what_the_policy_skips(admin: Admin, on: Api) -> None:
    """It does not fail; neither does env of their own."""
    theirs = {"name": "a", "envFrom": [{"configMapRef": {"name": "theirs"}}]}
    own = {"name": "b", "env": [{"name": "http_proxy", "value": "x"}]}
    assert admin.run("apply", "--rollout").code == 0
    on.add(daemon_set("app", theirs, own, namespace="team"))
    done = admin.run("verify")
    assert (done.code, "team/pods: 1 pod: container a: skipped: envFrom: app-0 on node-1" in done.out) == (0, True)
    document = json.loads(admin.run("verify", "--json").out)
    assert document["ok"]
    rows = {item["object"]: item for item in document["objects"]}
    assert rows["team/pods"]["pod_notes"] == {"container a: skipped: envFrom": ["app-0 on node-1"]}
    assert rows["team/pods"]["pods"]["ok"] == 1


@pytest.mark.parametrize("change", ["deleted", "edited", "leftover"])
def test_verify_names_a_policy_that_is_not_ours_any_more(admin: Admin, on: Api, change: str) -> None:
    """Deleted, edited, or a template that still has envFrom."""
    assert admin.run("apply", "--rollout").code == 0
    path = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies/eks-proxy-agent"
    texts = {"deleted": f"{POLICY}: not found", "edited": f"{POLICY}: differs", "leftover": "still has envFrom"}
    if change == "deleted":
        del on.objects[path]
    elif change == "edited":
        on.objects[path]["spec"]["failurePolicy"] = "Fail"
    else:
        undo = json.dumps({"envFrom": {"containers/aws-node": "ConfigMap"}, "env": []})
        on.workload("aws-node")["metadata"]["annotations"] = {"eks-proxy-agent/undo": undo}
    done = admin.run("verify", BY_POLICY)
    assert (done.code, texts[change] in done.out) == (3, True)


# --- revert


def test_revert_deletes_the_policy_before_the_config_map(admin: Admin, on: Api) -> None:
    """Pods keep their env until they are replaced, and the output says so."""
    assert admin.run("apply").code == 0
    done = admin.run("revert")
    assert done.code == 0
    assert done.out.splitlines() == [f"deleted {name}" for name in (*BINDINGS, POLICY, SOURCE)]
    assert "keep them until they are replaced" in done.err
    assert "nothing to do" in admin.run("revert").err


def test_revert_leaves_a_policy_of_another_manager(admin: Admin, on: Api) -> None:
    """It is named."""
    assert admin.run("apply").code == 0
    path = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies/eks-proxy-agent"
    fields: dict[str, Any] = {"f:spec": {}}
    entry = {"manager": "helm", "operation": "Update", "time": "", "fieldsV1": fields}
    on.objects[path]["metadata"]["managedFields"] = [entry]
    done = admin.run("revert")
    assert f"note: {POLICY}: not deleted, because another field manager wrote it" in done.err
    assert path in on.objects


# --- a password


def test_a_password_needs_a_secret_in_each_namespace(admin: Admin, on: Api) -> None:
    """The policy has references, and no pod or output has the password."""
    done = admin.run("apply", admin.password(), "--rollout")
    assert done.code == 0
    assert on.source("secrets", "team")
    assert on.source("secrets")
    env = on.pod("kube-proxy")["spec"]["containers"][0]["env"]
    assert env[0]["valueFrom"]["secretKeyRef"] == {
        "name": "proxy-environment-variables",
        "key": "http_proxy",
        "optional": True,
    }
    assert "s3cret" not in done.both + json.dumps(
        [on.pod("kube-proxy"), on.objects[next(p for p in on.objects if "policies/" in p)]]
    )
    assert admin.run("verify", admin.password()).code == 0
    planned = admin.run("plan", admin.password())
    assert "may read Secrets or create pods in team can read the password" in planned.out
    done = admin.run("revert")
    assert on.source("secrets", "team") is None
    assert "deleted team/secret/proxy-environment-variables" in done.out


def test_a_secret_that_old_pods_refer_to_stays_when_the_password_goes(admin: Admin, on: Api) -> None:
    """The references are optional: a restarted container of such a pod would have no proxy."""
    assert admin.run("apply", admin.password(), "--rollout").code == 0
    assert admin.run("apply").code == 0
    assert on.source("secrets")
    assert on.source()


def test_a_namespace_that_disappears_is_named(admin: Admin, on: Api) -> None:
    """Before the first write, the dry run finds it; after it, the completed steps are reported."""
    gone = 'Error from server (NotFound): namespaces "team" not found'
    on.failures = [("apply /api/v1/namespaces/team/secrets", gone)]
    done = admin.run("apply", admin.password())
    assert (done.code, on.writes()) == (1, [])
    assert 'namespaces "team" not found' in done.err
    real = on.apply

    def apply(manifest: Any, doing: str, *, dry_run: bool) -> Any:
        if not dry_run and manifest["metadata"].get("namespace") == "team":
            raise KubectlError(doing, gone)
        return real(manifest, doing, dry_run=dry_run)

    on.apply = apply  # type: ignore[method-assign]
    done = admin.run("apply", admin.password())
    assert done.code == 1
    assert "completed before the error: created kube-system/secret/proxy-environment-variables; to undo" in done.err


def test_revert_leaves_a_config_map_for_a_chart(admin: Admin, on: Api) -> None:
    """One that apply wrote without workloads, with --namespace; it is named."""
    on.add_namespace("charts")
    assert admin.run("apply", "--namespace", "charts").code == 0
    assert admin.run("apply").code == 0
    done = admin.run("revert")
    assert "charts/configmap/proxy-environment-variables: not reverted" in done.err
    assert on.source("configmaps", "charts")
