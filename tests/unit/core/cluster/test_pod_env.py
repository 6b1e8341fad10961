"""The environment of containers, by the kubelet's rules of precedence and expansion."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.cluster.pod_env import ObjectData, ObjectRef, container_envs, decoded_data, objects_of

MAP, OTHER, SECRET = ObjectRef("ConfigMap", "map"), ObjectRef("ConfigMap", "other"), ObjectRef("Secret", "secret")
DATA = {MAP: ObjectData({"A": "map", "B": "map"}), OTHER: ObjectData({"A": "other"}), SECRET: ObjectData({"k": "s"})}


def env_of(container, objects=DATA):
    """Return the environment of a pod's only container."""
    (env,) = container_envs({"containers": [{"name": "c", **container}]}, objects, lambda name: True)
    return env


def values(env):
    """Return the values by name."""
    return {name: variable.value for name, variable in env.variables.items()}


def from_map(name, prefix="", **more):
    """Return an entry of envFrom."""
    return {"configMapRef": {"name": name, **more}, **({"prefix": prefix} if prefix else {})}


def from_key(kind, name, key, **more):
    """Return what `valueFrom` of an env entry has for one key."""
    return {"valueFrom": {kind: {"name": name, "key": key, **more}}}


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({}, {}),
        ({"envFrom": [from_map("map")]}, {"A": "map", "B": "map"}),
        ({"envFrom": [from_map("map"), from_map("other")]}, {"A": "other", "B": "map"}),
        ({"envFrom": [from_map("other"), from_map("map")]}, {"A": "map", "B": "map"}),
        ({"envFrom": [from_map("other", "X_")]}, {"X_A": "other"}),
        ({"envFrom": [from_map("map")], "env": [{"name": "A", "value": "own"}]}, {"A": "own", "B": "map"}),
        ({"envFrom": [from_map("map")], "env": [{"name": "A", "value": ""}]}, {"A": "", "B": "map"}),
        ({"envFrom": [from_map("map")], "env": [{"name": "A"}]}, {"A": "", "B": "map"}),
        ({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, {"A": "2"}),
        ({"env": [{"name": "A", **from_key("configMapKeyRef", "map", "B")}]}, {"A": "map"}),
        ({"env": [{"name": "A", **from_key("secretKeyRef", "secret", "k")}]}, {"A": "s"}),
        ({"env": [{"name": "A", **from_key("secretKeyRef", "secret", "x", optional=True)}]}, {}),
        ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}, {"A": None}),
        # $(NAME): a variable that is set before; $$ is an escape; what is not set stays
        ({"envFrom": [from_map("map")], "env": [{"name": "C", "value": "$(A)-$(B)"}]}, {"C": "map-map"}),
        ({"env": [{"name": "C", "value": "$(A)"}, {"name": "A", "value": "1"}]}, {"C": "$(A)", "A": "1"}),
        (
            {"env": [{"name": "A", "value": "1"}, {"name": "C", "value": "$$(A) $A $(A $ $()"}]},
            {"C": "$(A) $A $(A $ $()"},
        ),
        ({"env": [{"name": "A", "value": "x$(A)"}]}, {"A": "x$(A)"}),
        ({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "x$(A)"}]}, {"A": "x1"}),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {}}}, {"name": "C", "value": "http://$(A):1"}]},
            {"A": None, "C": None},
        ),
    ],
)
def test_values_have_the_kubelets_precedence(container, expected):
    """The later envFrom wins, env beats envFrom, and the last of two env entries wins."""
    env = env_of(container)
    assert {name: value for name, value in values(env).items() if name in expected} == expected
    assert env.problems == ()


def test_origin_names_the_entry_and_what_it_overrides():
    """A reader sees which of several entries has won."""
    env = env_of({"envFrom": [from_map("map"), from_map("other")], "env": [{"name": "B", "value": "own"}]})
    origins = {name: variable.origin for name, variable in env.variables.items()}
    assert origins == {"A": "envFrom ConfigMap other", "B": "env, overrides envFrom ConfigMap map"}
    assert (env.where, env.used) == ("container c", (MAP, OTHER))


@pytest.mark.parametrize(
    ("container", "problem"),
    [
        ({"envFrom": [from_map("gone")]}, "ConfigMap gone: not found, so the container cannot start"),
        ({"envFrom": [from_map("gone", optional=True)]}, None),
        ({"envFrom": [from_map("hidden")]}, "ConfigMap hidden: no permission"),
        (
            {"env": [{"name": "A", **from_key("configMapKeyRef", "map", "x")}]},
            "ConfigMap map: no key x, so the container cannot start",
        ),
        (
            {"env": [{"name": "A", **from_key("secretKeyRef", "gone", "x")}]},
            "Secret gone: not found, so the container cannot start",
        ),
        ({"env": [{"name": "A", **from_key("configMapKeyRef", "hidden", "x")}]}, "ConfigMap hidden: no permission"),
    ],
)
def test_absent_and_unreadable_objects_are_problems(container, problem):
    """Without `optional`, the container cannot start; without permission, values are unknown."""
    objects = {
        **DATA,
        ObjectRef("ConfigMap", "gone"): ObjectData(),
        ObjectRef("Secret", "gone"): ObjectData(),
        ObjectRef("ConfigMap", "hidden"): ObjectData(problem="no permission"),
    }
    assert env_of(container, objects).problems == ((problem,) if problem else ())


def test_objects_of_all_containers_are_named_once():
    """Init containers count, and so do single keys."""
    spec = {
        "initContainers": [{"name": "i", "env": [{"name": "A", **from_key("secretKeyRef", "secret", "k")}]}],
        "containers": [{"name": "c", "envFrom": [from_map("map"), from_map("map")]}],
    }
    assert objects_of(spec, lambda name: True) == (SECRET, MAP)
    assert [env.where for env in container_envs(spec, DATA, lambda name: True)] == ["init container i", "container c"]


def test_objects_of_other_variables_are_not_read():
    """A password is not read, unless a wanted variable refers to it."""
    password = {"name": "PASSWORD", **from_key("secretKeyRef", "secret", "k")}
    spec = {"containers": [{"name": "c", "env": [password, {"name": "A", "value": "x"}]}]}
    assert objects_of(spec, lambda name: name == "A") == ()
    assert env_of(spec["containers"][0], {}).variables["PASSWORD"].value is None
    spec["containers"][0]["env"][1]["value"] = "$(PASSWORD)"
    assert objects_of(spec, lambda name: name == "A") == (SECRET,)


def test_data_of_a_secret_is_decoded():
    """A value that is not base64 becomes empty instead of an error."""
    assert decoded_data("Secret", {"a": base64.b64encode(b"x\xff").decode(), "b": "!"}) == {"a": "x\ufffd", "b": ""}
    assert decoded_data("ConfigMap", {"a": "x", "b": None}) == {"a": "x", "b": ""}


@given(st.text("$()AB x"), st.text("AB"))
def test_expansion_accepts_any_text(text, value):
    """Text without a dollar sign is unchanged, and nothing is raised."""
    env = env_of({"env": [{"name": "A", "value": value}, {"name": "C", "value": text}]})
    result = values(env)["C"]
    assert result == text or "$" in text
