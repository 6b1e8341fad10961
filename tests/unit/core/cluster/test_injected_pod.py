"""State of pods that the policy chooses, and the workload that would replace one."""

import pytest

from agent.core.cluster.injected_pod import CaState, judge_injected_pod, owner_of, probe_pod
from agent.core.cluster.injection import injected_env, source_env
from agent.core.cluster.objects import CONFIG_MAP, SECRET, Source
from agent.core.cluster.patch import containers
from agent.core.settings.workloads import Workload
from tests.policy.cases import DATA, NAMESPACES, PODS, THEIRS, WORKLOADS, container, env, pod, restricted_pod
from tests.policy.restricted import violations

ENV = source_env(Source(CONFIG_MAP, "kube-system", DATA))
OLD = source_env(Source(CONFIG_MAP, "kube-system", {**DATA, "no_proxy": "old"}))
REFERENCES = source_env(Source(SECRET, "team", {}))


def running(item, entries=ENV):
    """Return a pod as it runs after admission by the policy with these entries."""
    labels = NAMESPACES[item["metadata"]["namespace"]]
    after = injected_env(item, labels, WORKLOADS, entries)
    spec = {**item["spec"]}
    for group in ("containers", "initContainers"):
        spec[group] = [{**one, "env": after[group, one["name"]]} for one in spec.get(group, [])]
    return {"metadata": {**item["metadata"], "name": "x"}, "spec": spec}


def judged(item, entries=ENV, **more):
    """Return the state of a pod, its problems and its notes."""
    found = judge_injected_pod(item, NAMESPACES[item["metadata"]["namespace"]], WORKLOADS, entries, **more)
    return found and (found.verdict.state, found.verdict.problems, found.notes)


@pytest.mark.parametrize("name", PODS)
def test_every_pod_is_right_after_admission(name):
    """What the policy leaves alone is as it should be."""
    found = judged(running(PODS[name]))
    assert found is None or (found[0], found[1]) == ("ok", ())


OLDER = "container main: has older values"
WITHOUT = "container main: was created without the variables"
SAME = [{"name": entry["name"], "value": entry["value"]} for entry in reversed(ENV)]


@pytest.mark.parametrize(
    ("item", "entries", "expected"),
    [
        (running(pod(), OLD), ENV, ("stale", (OLDER,), ())),
        (running(pod(), ENV), REFERENCES, ("stale", (OLDER,), ())),
        (running(pod(), REFERENCES), REFERENCES, ("ok", (), ())),
        (running(pod(), []), ENV, ("stale", (WITHOUT,), ())),
        (running(pod(container(env=SAME)), []), ENV, ("ok", (), ())),
        (running(pod(container(env=env("HTTP_PROXY")))), ENV, ("ok", (), ())),
        (running(pod(container(envFrom=[THEIRS]))), ENV, ("ok", (), ("container main: skipped: envFrom",))),
        ({**running(pod(), []), "status": {"phase": "Succeeded"}}, ENV, ("ending", (), ())),
        (running(pod(namespace="plain"), []), ENV, None),
    ],
)
def test_the_state_of_a_pod(item, entries, expected):
    """Values that another means set are right if they are the same."""
    assert judged(item, entries) == expected


def test_a_pod_without_the_ca_is_older_than_its_config_map():
    """Without the ConfigMap in its namespace it is as it should be."""
    item = running(pod())
    assert judged(item, ca=CaState(True)) == ("stale", ("container main: was created without the CA",), ())
    assert judged(item, ca=CaState(False)) == ("ok", (), ())


@pytest.mark.parametrize(
    ("item", "workload"),
    [
        (PODS["aws-node"], Workload("kube-system", "DaemonSet", "aws-node")),
        (PODS["a Deployment"], Workload("kube-system", "Deployment", "ebs-csi-controller")),
        (PODS["a ReplicaSet without a hash"], None),
        (pod(owner=("Job", "x")), None),
        (pod(), None),
    ],
)
def test_the_workload_that_replaces_a_pod(item, workload):
    """The pod of a Job ends by itself, and nothing replaces a bare one."""
    assert owner_of(item) == workload


@pytest.mark.parametrize("workload", [None, *WORKLOADS], ids=str)
def test_the_policy_chooses_the_pod_of_the_dry_run(workload):
    """Else it would prove nothing."""
    namespace = workload.namespace if workload else "team"
    after = injected_env(probe_pod(namespace, workload), NAMESPACES[namespace], WORKLOADS, ENV)
    assert after == {("containers", "probe"): ENV}
    assert [group for group, _, _ in containers(probe_pod(namespace, workload)["spec"])] == ["containers"]


@pytest.mark.parametrize("workload", [None, Workload("kube-system", "Deployment", "x")])
def test_a_namespace_with_pod_security_restricted_admits_the_probe_pod(workload):
    """Otherwise the dry run would prove nothing there."""
    assert violations(probe_pod("team", workload)["spec"]) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"volumes": [{"name": "v", "configMap": {"name": "x"}}]}, []),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/etc"}}]}, ["volume v: hostPath is not an allowed type"]),
        (
            {"securityContext": {}},
            [f"container {c}: {r}" for c in ("init", "main") for r in ("runAsNonRoot", "seccompProfile")],
        ),
        ({"hostNetwork": True}, ["hostNetwork is set"]),
    ],
)
def test_the_level_restricted_is_read_as_published(change, expected):
    """The reader that holds the policies to it can fail."""
    assert violations({**restricted_pod()["spec"], **change}) == expected
