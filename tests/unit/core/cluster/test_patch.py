"""JSON patches of workloads, applied by an independent implementation (python-json-patch)."""

import copy
import json

import jsonpatch
import jsonpointer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.cluster.objects import CHECKSUM, CONFIG_MAP, NAME, SECRET, UNDO, Source
from agent.core.cluster.patch import (
    apply_patch,
    env_overrides,
    patch_text,
    pointer,
    requires_source,
    revert_patch,
)
from agent.errors import AgentError

DATA = {"HTTP_PROXY": "http://p:1", "NO_PROXY": "a,b"}
SOURCE = Source(CONFIG_MAP, "kube-system", DATA)
OTHER = Source(CONFIG_MAP, "kube-system", {**DATA, "NO_PROXY": "c"})
PRIVATE = Source(SECRET, "kube-system", DATA, "salt")
OURS = {"configMapRef": {"name": NAME}}
THEIRS = {"secretRef": {"name": "theirs"}}


def workload(*containers, init=(), annotations=None, template=None):
    """Return a DaemonSet with these containers."""
    spec = {"containers": list(containers), **({"initContainers": list(init)} if init else {})}
    metadata = {"labels": {"a": "b"}, **({"annotations": template} if template else {})}
    obj = {"kind": "DaemonSet", "metadata": {"name": "x", "namespace": "kube-system"}}
    obj["metadata"].update({"annotations": annotations} if annotations else {})
    return {**obj, "spec": {"template": {"metadata": metadata, "spec": spec}}}


def patched(obj, patch):
    """Return the object after the patch.

    For the API server a test against null means "absent"; python-json-patch does not support this.
    """
    rest = []
    after = copy.deepcopy(obj)
    for op in json.loads(patch_text(patch)):
        if op["op"] == "test" and op["value"] is None:
            assert jsonpointer.resolve_pointer(after, op["path"], None) is None
            continue
        rest.append(op)
        after = jsonpatch.apply_patch(after, [op])
    assert jsonpatch.apply_patch(obj, rest) == after
    return after


def containers(obj):
    """Return all containers by name."""
    spec = obj["spec"]["template"]["spec"]
    return {container["name"]: container for container in spec.get("initContainers", []) + spec["containers"]}


def applied(obj, source=SOURCE, take_over=False):
    """Return the object after apply."""
    return patched(obj, apply_patch(obj, source, take_over=take_over))


def reverted(obj):
    """Return the object after revert."""
    return patched(obj, revert_patch(obj))


def test_every_container_gets_the_reference():
    """Containers and init containers get it, with envFrom or without.

    The template gets the checksum.
    """
    original = workload({"name": "a"}, {"name": "b", "envFrom": [THEIRS]}, init=[{"name": "i"}])
    after = applied(original)
    assert {name: container["envFrom"] for name, container in containers(after).items()} == {
        "a": [OURS],
        "b": [THEIRS, OURS],
        "i": [OURS],
    }
    assert after["spec"]["template"]["metadata"]["annotations"] == {CHECKSUM: SOURCE.checksum}
    assert reverted(after) == original


@pytest.mark.parametrize("first", [OURS, THEIRS])
def test_the_reference_comes_last(first):
    """The last reference wins: ours moves to the end, and the operator's keep their order."""
    later = {"configMapRef": {"name": "later"}}
    original = workload({"name": "a", "envFrom": [first, later]})
    after = applied(original)
    assert containers(after)["a"]["envFrom"] == [first, later, OURS]
    assert reverted(after) == original
    containers(after)["a"]["envFrom"].append(THEIRS)
    again = applied(after)
    assert containers(again)["a"]["envFrom"] == [first, later, THEIRS, OURS]
    assert apply_patch(again, SOURCE, take_over=False).ops == ()
    assert containers(reverted(again))["a"]["envFrom"] == [first, later, THEIRS]


def test_entry_with_another_prefix_may_follow_the_reference():
    """An entry after ours whose prefix matches no variable cannot override any."""
    after = applied(workload({"name": "a"}))
    containers(after)["a"]["envFrom"].append({**THEIRS, "prefix": "DB_"})
    assert apply_patch(after, SOURCE, take_over=False).ops == ()
    containers(after)["a"]["envFrom"][1]["prefix"] = "HTTP_"
    assert containers(applied(after))["a"]["envFrom"][-1] == OURS


def test_a_second_apply_is_empty():
    """If nothing has to change there are no operations; other values change only the checksum."""
    after = applied(workload({"name": "a"}))
    assert apply_patch(after, SOURCE, take_over=True).ops == ()
    ops = [op["path"] for op in apply_patch(after, OTHER, take_over=False).ops if op["op"] != "test"]
    assert ops == ["/spec/template/metadata/annotations/eks-proxy-agent~1checksum"]


def test_reference_of_the_operator_is_kept():
    """An earlier reference survives apply and revert; one with a prefix does not count as ours."""
    prefixed = {"prefix": "X_", **OURS}
    optional = {"configMapRef": {"name": NAME, "optional": True}}
    original = workload({"name": "a", "envFrom": [optional]}, {"name": "b", "envFrom": [prefixed]})
    after = applied(original)
    assert containers(after)["a"]["envFrom"] == [optional]
    assert containers(after)["b"]["envFrom"] == [prefixed, OURS]
    assert reverted(after) == original


def test_proxy_with_a_new_password_changes_the_reference():
    """Our reference becomes a secretRef, and a configMapRef again; the operator's stays."""
    original = workload({"name": "a", "envFrom": [THEIRS]}, {"name": "b", "envFrom": [OURS]})
    secret = applied(applied(original), PRIVATE)
    assert containers(secret)["a"]["envFrom"] == [THEIRS, {"secretRef": {"name": NAME}}]
    assert containers(secret)["b"]["envFrom"] == [OURS, {"secretRef": {"name": NAME}}]
    assert containers(applied(secret))["a"]["envFrom"] == [THEIRS, OURS]
    assert reverted(secret) == original


@pytest.mark.parametrize(
    ("entry", "is_override"),
    [
        ({"name": "HTTP_PROXY", "value": "x"}, True),
        ({"name": "no_proxy"}, True),
        ({"name": "no_proxy", "valueFrom": {"configMapKeyRef": {"name": NAME, "key": "no_proxy"}}}, False),
        ({"name": "no_proxy", "valueFrom": {"configMapKeyRef": {"name": NAME, "key": "NO_PROXY"}}}, True),
        ({"name": "no_proxy", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "no_proxy"}}}, True),
        ({"name": "no_proxy", "valueFrom": {"secretKeyRef": {"name": NAME, "key": "no_proxy"}}}, True),
        ({"name": "ALL_PROXY", "value": "x"}, False),
    ],
)
def test_env_that_overrides_env_from(entry, is_override):
    """Each of the six variables does, except with the value of the same key of our ConfigMap."""
    spec = workload({"name": "a", "env": [entry]})["spec"]["template"]["spec"]
    variables = [override.variable for override in env_overrides(spec, CONFIG_MAP)]
    assert variables == ([entry["name"]] if is_override else [])


def test_take_over_twice_and_revert():
    """Entries that two runs removed return to their places; a new value of the operator stays."""
    a, proxy, b, bypass = ({"name": name, "value": "1"} for name in ("A", "HTTP_PROXY", "B", "NO_PROXY"))
    late = {"name": "https_proxy", "value": "2"}
    original = workload({"name": "c", "env": [a, proxy, b, bypass]}, {"name": "d", "env": [proxy]})
    once = applied(original, take_over=True)
    assert containers(once)["c"]["env"] == [a, b]
    assert "env" not in containers(once)["d"]
    assert reverted(once) == original
    containers(once)["c"]["env"].insert(0, late)
    twice = applied(once, take_over=True)
    assert containers(twice)["c"]["env"] == [a, b]
    assert containers(reverted(twice))["c"]["env"] == [late, proxy, a, bypass, b]
    own = {"name": "HTTP_PROXY", "value": "the operator's"}
    containers(twice)["d"]["env"] = [own]
    assert containers(reverted(twice))["d"]["env"] == [own]


def test_password_is_not_copied_to_the_annotation():
    """An entry with user info stays in place, and is marked as secret."""
    original = workload({"name": "a", "env": [{"name": "HTTP_PROXY", "value": "http://u:hunter2@p:1"}]})
    patch = apply_patch(original, SOURCE, take_over=True)
    assert [override.secret for override in patch.env_overrides] == [True]
    assert "hunter2" not in patch_text(patch)
    assert "hunter2" not in repr(patch.env_overrides)


def test_removed_container_is_dropped_from_the_annotation():
    """After an update that renamed a container, the annotation has only the present containers."""
    after = applied(workload({"name": "a"}, {"name": "b"}))
    after["spec"]["template"]["spec"]["containers"][1] = {"name": "c"}
    again = applied(after)
    assert json.loads(again["metadata"]["annotations"][UNDO])["envFrom"] == {
        "containers/a": CONFIG_MAP,
        "containers/c": CONFIG_MAP,
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        "{}",
        '{"env": 5, "envFrom": []}',
        '{"env": [[1]], "envFrom": {}}',
        '{"env": [], "envFrom": {"a": "Pod"}}',
        '{"env": [[["containers/a", Infinity, {"name": "x"}]]], "envFrom": {}}',
        '{"env": [[["containers/a", 1000000000000000000000, {"name": "x"}]]], "envFrom": {}}',
        '{"env": [[["containers/a", -1, {"name": "x"}]]], "envFrom": {}}',
        '{"env": [[["containers/a", 0, {"name": []}]]], "envFrom": {}}',
        pytest.param("[" * 100000, id="deep"),
    ],
)
def test_corrupt_undo_annotation_is_an_error(text):
    """revert does not guess what a corrupt annotation meant."""
    with pytest.raises(AgentError, match=r"kube-system/x: cannot read annotation eks-proxy-agent/undo"):
        revert_patch(workload({"name": "a"}, annotations={UNDO: text}))


def test_concurrent_change_fails_the_patch():
    """A test of the list that was read, and of the container's name, guards each list."""
    original = workload({"name": "a", "envFrom": [THEIRS]})
    ops = json.loads(patch_text(apply_patch(original, SOURCE, take_over=False)))
    for other in ({"name": "a", "envFrom": []}, {"name": "z", "envFrom": [THEIRS]}):
        with pytest.raises(jsonpatch.JsonPatchTestFailed):
            jsonpatch.apply_patch(workload(other), [op for op in ops if op.get("value") is not None])


@pytest.mark.parametrize(
    ("container", "is_required"),
    [
        ({}, False),
        ({"envFrom": [THEIRS]}, False),
        ({"envFrom": [OURS]}, True),
        ({"envFrom": [{**OURS, "prefix": "X_"}]}, True),
        ({"envFrom": [{"configMapRef": {"name": NAME, "optional": True}}]}, False),
        ({"env": [{"name": "A", "value": "b"}]}, False),
        ({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": NAME, "key": "NO_PROXY"}}}]}, True),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": NAME, "key": "NO_PROXY"}}}]}, False),
    ],
)
def test_container_that_cannot_start_without_the_config_map(container, is_required):
    """A reference to the ConfigMap or to one of its keys requires it, unless it is optional."""
    assert requires_source(container, CONFIG_MAP) is is_required


def test_pointer_is_escaped():
    """`~` and `/` are escaped as RFC 6901 requires."""
    assert pointer(["a/b", "~"]) == "/a~1b/~0"


def test_checksum_reveals_no_password():
    """Equal data with another salt has another checksum, and repr() shows no data."""
    assert Source(SECRET, "n", DATA, "x").checksum != Source(SECRET, "n", DATA, "y").checksum
    assert Source(CONFIG_MAP, "n", DATA).checksum == SOURCE.checksum != OTHER.checksum
    assert "http" not in repr(SOURCE)


_values = st.one_of(
    st.just({"value": "http://x:1"}), st.just({"valueFrom": {"configMapKeyRef": {"name": NAME, "key": "A"}}})
)
_env = st.lists(
    st.builds(
        lambda name, value: {"name": name, **value},
        st.sampled_from(["A", "B", "HTTP_PROXY", "no_proxy", "NO_PROXY"]),
        _values,
    ),
    max_size=5,
    unique_by=lambda entry: entry["name"],
)
_from = st.lists(st.sampled_from([THEIRS, OURS, {"secretRef": {"name": NAME}}, {"prefix": "P_", **OURS}]), max_size=3)


def _container(name, env, env_from):
    """Return a container in the API's normal form: an empty list is absent."""
    return {"name": name, **({"env": env} if env else {}), **({"envFrom": env_from} if env_from else {})}


_containers = st.lists(st.tuples(_env, _from), min_size=1, max_size=3)
_maps = st.dictionaries(st.sampled_from(["a", "b/c", "d~e"]), st.sampled_from(["1", "2"]), max_size=2)


def test_removed_annotation_leaves_no_empty_map():
    """If an operator's reference is sufficient again, the annotation and its map are removed."""
    original = workload({"name": "a", "envFrom": [OURS]})
    assert applied(applied(original, PRIVATE, False), SOURCE, False)["metadata"] == original["metadata"]


@settings(max_examples=60)
@given(
    st.builds(
        lambda main, init, annotations, template: workload(
            *(_container(f"c{index}", *lists) for index, lists in enumerate(main)),
            init=[_container(f"i{index}", *lists) for index, lists in enumerate(init)],
            annotations=annotations,
            template=template,
        ),
        _containers,
        _containers,
        _maps,
        _maps,
    ),
    st.lists(st.tuples(st.sampled_from([SOURCE, OTHER, PRIVATE]), st.booleans()), min_size=1, max_size=4),
)
def test_revert_restores_the_original_after_any_series_of_applies(original, runs):
    """revert is exact for any object and any runs of apply, with or without --take-over."""
    after = original
    for source, take_over in runs:
        after = applied(after, source, take_over)
        assert apply_patch(after, source, take_over=take_over).ops == ()
        kind = "configMapRef" if source.kind == CONFIG_MAP else "secretRef"
        assert all({kind: {"name": NAME}} in container["envFrom"] for container in containers(after).values())
    assert reverted(after) == original
    assert revert_patch(reverted(after)).ops == ()
