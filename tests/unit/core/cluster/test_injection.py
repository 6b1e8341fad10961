"""The rule of the policy in Python, held by the verdicts of the API server's own code."""

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given

from agent.core.cluster.injection import INJECTED, OWN, SKIPPED, injected_env, is_chosen, source_env, verdict
from agent.core.cluster.objects import CONFIG_MAP, VARIABLES, Source
from agent.core.cluster.patch import containers
from tests.policy.cases import DATA, NAMESPACES, OURS, PODS, THEIRS, WORKLOADS, WORLDS, container, env, pod, pods

VERDICTS = json.loads((Path(__file__).parents[3] / "cluster/policy-cases.json").read_text())
ENV = source_env(WORLDS["values"].source())


def changed(world, item):
    """Return the containers of a pod that get the variables by the rule."""
    labels = world.namespaces[item["metadata"]["namespace"]]
    after = injected_env(item, labels, world.workloads, source_env(world.source()))
    before = {(group, one["name"]): one.get("env") or [] for group, _, one in containers(item["spec"])}
    return [f"{group}/{name}" for (group, name), entries in after.items() if entries != before[group, name]]


@pytest.mark.parametrize("name", WORLDS)
def test_the_rule_is_that_of_the_policy(name):
    """Verdicts on a policy that has changed since are worth nothing."""
    world, recorded = WORLDS[name], VERDICTS["worlds"][name]
    assert world.policies() == recorded["policies"], "run make policy-test ACCEPT=1"
    assert source_env(world.source()) == recorded["env"]
    decided = {pod_name: changed(world, item) for pod_name, item in PODS.items()}
    assert {pod_name: names for pod_name, names in decided.items() if names} == recorded["injected"]


def test_the_rule_holds_for_generated_pods():
    """150 pods that hypothesis made, with the API server's verdicts."""
    assert [changed(WORLDS["values"], row["pod"]) for row in VERDICTS["generated"]] == [
        row["injected"] for row in VERDICTS["generated"]
    ]
    assert {bool(row["injected"]) for row in VERDICTS["generated"]} == {True, False}


@given(pods())
def test_own_env_stays_first_and_a_second_time_changes_nothing(item):
    """reinvocationPolicy IfNeeded may run the policy twice."""
    labels = NAMESPACES[item["metadata"]["namespace"]]
    after = injected_env(item, labels, WORKLOADS, ENV)
    again = copy.deepcopy(item)
    for group, _, one in containers(again["spec"]):
        assert after[group, one["name"]][: len(one.get("env") or [])] == (one.get("env") or [])
        one["env"] = after[group, one["name"]]
    assert injected_env(again, labels, WORKLOADS, ENV) == after


@given(pods())
def test_a_container_gets_all_six_or_none(item):
    """HTTP_PROXY without NO_PROXY would send the traffic inside the cluster to the proxy."""
    for one in injected_env(item, {"eks-proxy-agent/inject": "enabled"}, (), ENV).values():
        added = [entry["name"] for entry in one if entry in ENV]
        assert added in ([], [*VARIABLES])


def test_an_incomplete_config_map_injects_nothing():
    """Also not the variables that it has."""
    assert source_env(Source(CONFIG_MAP, "kube-system", {**DATA, "no_proxy": ""})) != []
    assert source_env(Source(CONFIG_MAP, "kube-system", {"HTTP_PROXY": "http://p:1"})) == []


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (container(), INJECTED),
        (container(env=env("no_Proxy")), OWN),
        (container(env=env("HTTP_PROXY"), envFrom=[THEIRS]), OWN),
        (container(envFrom=[OURS]), INJECTED),
        (container(envFrom=[OURS, THEIRS]), SKIPPED),
    ],
)
def test_the_verdict_on_a_container(one, expected):
    """The texts are those of `cluster verify`."""
    assert verdict(pod(one), one) == expected


def test_a_namespace_of_named_workloads_is_not_opted_in_by_its_label():
    """kube-system with the label: its other pods stay as they are."""
    labels = {"eks-proxy-agent/inject": "enabled"}
    item = pod(namespace="kube-system", owner=("DaemonSet", "node-local-dns"))
    assert not is_chosen(item, labels, WORKLOADS)
    assert is_chosen(item, labels, ())
