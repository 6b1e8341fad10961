"""The policy in the API server's own admission code, compared with the same rule in Python.

`make policy-test` runs this; with ACCEPT=1 it writes tests/cluster/policy-cases.json.
"""

import copy
import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from agent.core.cluster.admission import NAMESPACE_NAME
from agent.core.cluster.ca_policy import CA_DIRECTORY, CA_KEY, CA_NAME, ca_variables
from agent.core.cluster.injection import injected_env, source_env
from agent.core.cluster.patch import containers
from tests.policy import program
from tests.policy.cases import (
    CA_PODS,
    PODS,
    SENTINEL_POD,
    VERSION,
    WORLDS,
    ca_objects,
    container,
    pod,
    pods,
    restricted_pod,
)
from tests.policy.restricted import violations

VERDICTS = Path(__file__).parent.parent / "cluster/policy-cases.json"
#: Pods of hypothesis: those that are committed, and those of each run.
COMMITTED, FRESH = 150, 3000
FORCE = [{"until": SENTINEL_POD}]  # wait until the policies are in force


@pytest.fixture(scope="module", autouse=True)
def _program():
    reason = program.missing()
    if reason:
        pytest.fail(f"the program cannot be compiled here: {reason}", pytrace=False)
    program.policy_program()


def changed(before, result, env):
    """Return the containers that got `env` after their own; fail if anything else is different."""
    after = result.get("pod")
    assert after, result
    spec = after["spec"]
    found = []
    originals = {(group, item["name"]): item for group, _, item in containers(before["spec"])}
    for group, _, item in containers(spec):
        own = originals[group, item["name"]].get("env") or []
        if len(item.get("env") or []) != len(own):
            assert normal(item["env"]) == normal([*own, *env])
            found.append(f"{group}/{item['name']}")
    bare = [[(group, {**item, "env": None}) for group, _, item in containers(s)] for s in (spec, before["spec"])]
    assert normal(bare[0]) == normal(bare[1])
    assert normal(after["metadata"]) == normal({**before["metadata"]})
    return found


def normal(value):
    """Return a value as the API server writes it: without fields that have their zero value."""
    if isinstance(value, dict):
        table = {key: normal(item) for key, item in value.items()}
        return {key: item for key, item in table.items() if item not in (None, "", {}, [])}
    return [normal(item) for item in value] if isinstance(value, (list, tuple)) else value


def by_rule(world, item):
    """Return the containers that get the variables by the rule in Python."""
    env = source_env(world.source())
    labels = world.namespaces[item["metadata"]["namespace"]]
    own = {(group, c["name"]): c.get("env") or [] for group, _, c in containers(item["spec"])}
    after = injected_env(item, labels, world.workloads, env)
    return [f"{group}/{name}" for (group, name), entries in after.items() if len(entries) != len(own[group, name])]


def admitted(world, items):
    """Return the containers of each pod that the API server changed."""
    steps = [*FORCE, *({"pod": item} for item in items)]
    (results,) = program.admit([{"version": VERSION, "objects": world.objects(), "steps": steps}])
    env = source_env(world.source())
    return [changed(item, result, env) for item, result in zip(items, results)]


def made(number, seed_number):
    """Return pods of hypothesis, always the same ones for a seed."""
    items = []

    @seed(seed_number)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(pods(), min_size=1, max_size=1))
    def collect(drawn):
        items.extend(drawn)

    collect()
    return items[:number]


def test_the_api_server_decides_as_the_rule_and_as_recorded():
    """Every pod of the table, in every world."""
    recorded = {}
    for name, world in WORLDS.items():
        verdicts = dict(zip(PODS, admitted(world, list(PODS.values()))))
        assert verdicts == {pod_name: by_rule(world, item) for pod_name, item in PODS.items()}, name
        injected = {pod_name: names for pod_name, names in verdicts.items() if names}
        recorded[name] = {"policies": world.policies(), "env": source_env(world.source()), "injected": injected}
    if os.environ.get("ACCEPT"):
        generated = made(COMMITTED, 1)
        verdicts = admitted(WORLDS["values"], generated)
        rows = [{"pod": item, "injected": names} for item, names in zip(generated, verdicts)]
        table = {"library": program.library_version(), "worlds": recorded, "generated": rows}
        VERDICTS.write_text(compact(table))
    committed = json.loads(VERDICTS.read_text())
    assert committed["worlds"] == recorded, "to accept it: make policy-test ACCEPT=1"


def compact(table):
    """Return JSON with one line for each generated pod: a diff shows what changed."""
    rows = ",\n".join("  " + json.dumps(row, sort_keys=True) for row in table["generated"])
    rest = {key: value for key, value in table.items() if key != "generated"}
    return json.dumps(rest, indent=1)[:-2] + ',\n "generated": [\n' + rows + "\n ]\n}\n"


@pytest.mark.parametrize("name", ["values", "a password", "no workloads are named"])
def test_any_pod_is_decided_as_by_the_rule(name):
    """Pods of hypothesis, others in each run; the seed is in the message."""
    number = random.randrange(10**6)
    items = made(FRESH, number)
    world = WORLDS[name]
    for item, names in zip(items, admitted(world, items)):
        assert names == by_rule(world, item), (number, item)


def test_a_container_that_another_plugin_adds_gets_the_variables_too():
    """reinvocationPolicy IfNeeded; the containers before keep exactly one copy of the variables."""
    world = WORLDS["values"]
    steps = [*FORCE, {"pod": pod(), "sidecar": container("mesh")}]
    ((result,),) = program.admit([{"version": VERSION, "objects": world.objects(), "steps": steps}])
    env = normal(source_env(world.source()))
    assert {c["name"]: c["env"] for c in result["pod"]["spec"]["containers"]} == {"main": env, "mesh": env}


def test_no_pod_is_changed_after_the_config_map_is_deleted():
    """parameterNotFoundAction Allow: the pod is created."""
    world = WORLDS["values"]
    steps = [*FORCE, {"pod": pod()}, {"delete": ["kube-system", "proxy-environment-variables"], "until": pod()}]
    steps += [{"pod": pod()}]
    ((before, after),) = program.admit([{"version": VERSION, "objects": world.objects(), "steps": steps}])
    assert changed(pod(), before, source_env(world.source())) == ["containers/main"]
    assert changed(pod(), after, []) == []


def test_the_ca_is_mounted_where_its_config_map_is():
    """With its variables; a container keeps each that it sets."""
    steps = [*FORCE, *({"pod": item} for item in CA_PODS.values())]
    (results,) = program.admit([{"version": VERSION, "objects": ca_objects(), "steps": steps}])
    for (name, item), result in zip(CA_PODS.items(), results):
        is_chosen = item["metadata"]["namespace"] == "team" and "opts out" not in name
        assert result.get("pod"), (name, result)
        assert normal(result["pod"]["spec"]) == normal(with_ca(item) if is_chosen else item["spec"]), name


def with_ca(item):
    """Return the spec of a pod after admission, by the rule in Python."""
    spec, is_used = copy.deepcopy(item["spec"]), False
    for _, _, one in containers(spec):
        variables = ca_variables(item, one)
        if variables:
            is_used = True
            one["env"] = [*one.get("env", []), *({"name": n, "value": f"{CA_DIRECTORY}/{CA_KEY}"} for n in variables)]
            mount = {"name": CA_NAME, "mountPath": CA_DIRECTORY, "readOnly": True}
            one["volumeMounts"] = [*one.get("volumeMounts", []), mount]
    if is_used and all(volume["name"] != CA_NAME for volume in spec.get("volumes", [])):
        volume = {"name": CA_NAME, "configMap": {"name": CA_NAME, "optional": True}}
        spec["volumes"] = [*spec.get("volumes", []), volume]
    return spec


def test_the_ca_reaches_a_container_that_another_plugin_adds():
    """The volume is there once, the mount in each container once."""
    steps = [*FORCE, {"pod": pod(), "sidecar": container("mesh")}]
    ((result,),) = program.admit([{"version": VERSION, "objects": ca_objects(), "steps": steps}])
    spec = result["pod"]["spec"]
    assert [volume["name"] for volume in spec["volumes"]] == [CA_NAME]
    assert [[mount["name"] for mount in c["volumeMounts"]] for c in spec["containers"]] == [[CA_NAME]] * 2


@pytest.mark.parametrize("world", [WORLDS["values"], WORLDS["a password"]])
def test_a_namespace_with_pod_security_restricted_admits_what_both_policies_make(world):
    """With variables, by value or from a Secret, and the CA: no more is forbidden than before."""
    objects = {(obj["kind"], obj["metadata"]["name"]): obj for obj in (*ca_objects(), *world.objects())}
    items = [restricted_pod(), pod(), *CA_PODS.values()]
    steps = [*FORCE, *({"pod": item} for item in items)]
    (results,) = program.admit([{"version": VERSION, "objects": [*objects.values()], "steps": steps}])
    first = results[0]["pod"]["spec"]
    assert [volume["name"] for volume in first["volumes"]] == [CA_NAME]
    assert {entry["name"] for one in first["containers"] for entry in one["env"]} >= {"no_proxy", "SSL_CERT_FILE"}
    after = [violations(result["pod"]["spec"]) for result in results]
    assert after == [violations(item["spec"]) for item in items]
    assert after[0] == []
    assert after[1] != []


def test_namespaces_have_the_label_of_their_name():
    """The bindings rely on a label that the API server sets on every namespace."""
    for world in WORLDS.values():
        names = [obj["metadata"] for obj in world.objects() if obj["kind"] == "Namespace"]
        assert all(metadata["labels"][NAMESPACE_NAME] == metadata["name"] for metadata in names)
