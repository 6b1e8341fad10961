"""JSON patches of workloads, carried out by an independent implementation (python-json-patch)."""

import copy
import json

import jsonpatch
import jsonpointer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.cluster.objects import CHECKSUM, CONFIG_MAP, NAME, SECRET, UNDO, Source
from agent.core.cluster.patch import apply_patch, beaten, needs, patch_text, pointer, revert_patch
from agent.errors import AgentError

DATA = {"HTTP_PROXY": "http://p:1", "NO_PROXY": "a,b"}
SOURCE = Source(CONFIG_MAP, "kube-system", DATA)
OTHER = Source(CONFIG_MAP, "kube-system", {**DATA, "NO_PROXY": "c"})
PRIVATE = Source(SECRET, "kube-system", DATA, "salt")
OURS = {"configMapRef": {"name": NAME}}
THEIRS = {"secretRef": {"name": "theirs"}}


def workload(*containers, init=(), annotations=None, template=None):
    """A DaemonSet with these containers."""
    spec = {"containers": list(containers), **({"initContainers": list(init)} if init else {})}
    metadata = {"labels": {"a": "b"}, **({"annotations": template} if template else {})}
    found = {"kind": "DaemonSet", "metadata": {"name": "x", "namespace": "kube-system"}}
    found["metadata"].update({"annotations": annotations} if annotations else {})
    return {**found, "spec": {"template": {"metadata": metadata, "spec": spec}}}


def carried_out(found, patch):
    """The object after the patch.  A test against null means "absent" to the API server;
    python-json-patch knows no such.
    """
    rest = []
    after = copy.deepcopy(found)
    for op in json.loads(patch_text(patch)):
        if op["op"] == "test" and op["value"] is None:
            assert jsonpointer.resolve_pointer(after, op["path"], None) is None
            continue
        rest.append(op)
        after = jsonpatch.apply_patch(after, [op])
    assert jsonpatch.apply_patch(found, rest) == after
    return after


def containers(found):
    """All containers by name."""
    spec = found["spec"]["template"]["spec"]
    return {one["name"]: one for one in spec.get("initContainers", []) + spec["containers"]}


def applied(found, source=SOURCE, take_over=False):
    """The object after apply."""
    return carried_out(found, apply_patch(found, source, take_over=take_over))


def reverted(found):
    """The object after revert."""
    return carried_out(found, revert_patch(found))


def test_every_container_gets_the_reference():
    """Containers and init containers, with envFrom or without; the template gets the checksum."""
    found = workload({"name": "a"}, {"name": "b", "envFrom": [THEIRS]}, init=[{"name": "i"}])
    after = applied(found)
    assert {name: one["envFrom"] for name, one in containers(after).items()} == {
        "a": [OURS],
        "b": [THEIRS, OURS],
        "i": [OURS],
    }
    assert after["spec"]["template"]["metadata"]["annotations"] == {CHECKSUM: SOURCE.checksum}
    assert reverted(after) == found


@pytest.mark.parametrize("first", [OURS, THEIRS])
def test_the_reference_comes_last(first):
    """The last one wins: a reference that came after ours goes before it, and the owner's own stays
    where it is.
    """
    later = {"configMapRef": {"name": "later"}}
    found = workload({"name": "a", "envFrom": [first, later]})
    after = applied(found)
    assert containers(after)["a"]["envFrom"] == [first, later, OURS]
    assert reverted(after) == found
    containers(after)["a"]["envFrom"].append(THEIRS)
    again = applied(after)
    assert containers(again)["a"]["envFrom"] == [first, later, THEIRS, OURS]
    assert apply_patch(again, SOURCE, take_over=False).ops == ()
    assert containers(reverted(again))["a"]["envFrom"] == [first, later, THEIRS]


def test_what_cannot_beat_the_reference_may_follow_it():
    """With a prefix that no variable begins with, an entry after ours holds none of them."""
    after = applied(workload({"name": "a"}))
    containers(after)["a"]["envFrom"].append({**THEIRS, "prefix": "DB_"})
    assert apply_patch(after, SOURCE, take_over=False).ops == ()
    containers(after)["a"]["envFrom"][1]["prefix"] = "HTTP_"
    assert containers(applied(after))["a"]["envFrom"][-1] == OURS


def test_a_second_apply_is_empty():
    """Nothing to do is no operation at all; other values change the checksum alone."""
    after = applied(workload({"name": "a"}))
    assert apply_patch(after, SOURCE, take_over=True).ops == ()
    ops = [op["path"] for op in apply_patch(after, OTHER, take_over=False).ops if op["op"] != "test"]
    assert ops == ["/spec/template/metadata/annotations/eks-proxy-agent~1checksum"]


def test_the_owners_own_reference_is_no_ours():
    """A reference that was there before stays through apply and revert; one with a prefix gives
    other variables.
    """
    prefixed = {"prefix": "X_", **OURS}
    optional = {"configMapRef": {"name": NAME, "optional": True}}
    found = workload({"name": "a", "envFrom": [optional]}, {"name": "b", "envFrom": [prefixed]})
    after = applied(found)
    assert containers(after)["a"]["envFrom"] == [optional]
    assert containers(after)["b"]["envFrom"] == [prefixed, OURS]
    assert reverted(after) == found


def test_a_proxy_that_gets_a_password_changes_the_reference():
    """Ours becomes a secretRef, the owner's stays; and back."""
    found = workload({"name": "a", "envFrom": [THEIRS]}, {"name": "b", "envFrom": [OURS]})
    secret = applied(applied(found), PRIVATE)
    assert containers(secret)["a"]["envFrom"] == [THEIRS, {"secretRef": {"name": NAME}}]
    assert containers(secret)["b"]["envFrom"] == [OURS, {"secretRef": {"name": NAME}}]
    assert containers(applied(secret))["a"]["envFrom"] == [THEIRS, OURS]
    assert reverted(secret) == found


@pytest.mark.parametrize(
    ("entry", "beats"),
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
def test_what_beats_env_from(entry, beats):
    """Any of the six variables but for the same key of our own ConfigMap."""
    found = workload({"name": "a", "env": [entry]})
    seen = [one.variable for one in beaten(found["spec"]["template"]["spec"], CONFIG_MAP)]
    assert seen == ([entry["name"]] if beats else [])


def test_take_over_twice_and_revert():
    """Entries removed by two runs come back in their places; one that the owner wrote again keeps
    the owner's value.
    """
    a, proxy, b, bypass = ({"name": name, "value": "1"} for name in ("A", "HTTP_PROXY", "B", "NO_PROXY"))
    late = {"name": "https_proxy", "value": "2"}
    found = workload({"name": "c", "env": [a, proxy, b, bypass]}, {"name": "d", "env": [proxy]})
    once = applied(found, take_over=True)
    assert containers(once)["c"]["env"] == [a, b]
    assert "env" not in containers(once)["d"]
    assert reverted(once) == found
    containers(once)["c"]["env"].insert(0, late)
    twice = applied(once, take_over=True)
    assert containers(twice)["c"]["env"] == [a, b]
    assert containers(reverted(twice))["c"]["env"] == [late, proxy, a, bypass, b]
    own = {"name": "HTTP_PROXY", "value": "the owner's"}
    containers(twice)["d"]["env"] = [own]
    assert containers(reverted(twice))["d"]["env"] == [own]


def test_a_password_is_not_written_down():
    """An entry with user info stays where it is, and is told as one."""
    found = workload({"name": "a", "env": [{"name": "HTTP_PROXY", "value": "http://u:hunter2@p:1"}]})
    patch = apply_patch(found, SOURCE, take_over=True)
    assert [one.secret for one in patch.beaten] == [True]
    assert "hunter2" not in patch_text(patch)
    assert "hunter2" not in repr(patch.beaten)


def test_a_container_that_is_gone_is_forgotten():
    """After an update of the add-on that renamed a container, the note tells of those that there
    are.
    """
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
def test_a_spoilt_note_is_an_error(text):
    """revert does not guess."""
    with pytest.raises(AgentError, match=r"kube-system/x: the annotation eks-proxy-agent/undo cannot be read"):
        revert_patch(workload({"name": "a"}, annotations={UNDO: text}))


def test_a_change_in_between_fails_the_patch():
    """Each list is guarded by a test of what was read, and of the container's name."""
    found = workload({"name": "a", "envFrom": [THEIRS]})
    ops = json.loads(patch_text(apply_patch(found, SOURCE, take_over=False)))
    for other in ({"name": "a", "envFrom": []}, {"name": "z", "envFrom": [THEIRS]}):
        with pytest.raises(jsonpatch.JsonPatchTestFailed):
            jsonpatch.apply_patch(workload(other), [op for op in ops if op.get("value") is not None])


@pytest.mark.parametrize(
    ("container", "needed"),
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
def test_what_does_not_start_without_the_config_map(container, needed):
    """A reference to all of it or to one key, of whatever name, unless it is optional."""
    assert needs(container, CONFIG_MAP) is needed


def test_a_pointer_escapes():
    """RFC 6901."""
    assert pointer(["a/b", "~"]) == "/a~1b/~0"


def test_a_checksum_tells_no_password():
    """Equal data under another salt has another name, and the salt is nowhere but in the Secret."""
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
    """In the API's normal form: an empty list is none."""
    return {"name": name, **({"env": env} if env else {}), **({"envFrom": env_from} if env_from else {})}


_containers = st.lists(st.tuples(_env, _from), min_size=1, max_size=3)
_maps = st.dictionaries(st.sampled_from(["a", "b/c", "d~e"]), st.sampled_from(["1", "2"]), max_size=2)


def test_what_revert_need_not_know_any_more_leaves_no_empty_map():
    """When the owner's own reference is enough after another kind was ours, the annotation goes,
    and with it the map.
    """
    found = workload({"name": "a", "envFrom": [OURS]})
    assert applied(applied(found, PRIVATE, False), SOURCE, False)["metadata"] == found["metadata"]


@settings(max_examples=60)
@given(
    st.builds(
        lambda main, init, annotations, template: workload(
            *(_container(f"c{at}", *one) for at, one in enumerate(main)),
            init=[_container(f"i{at}", *one) for at, one in enumerate(init)],
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
def test_revert_gives_back_what_any_series_of_applies_found(found, runs):
    """Whatever the object and however often apply ran, with other values, a password or
    --take-over: revert is exact.
    """
    after = found
    for source, take_over in runs:
        after = applied(after, source, take_over)
        assert apply_patch(after, source, take_over=take_over).ops == ()
        kind = "configMapRef" if source.kind == CONFIG_MAP else "secretRef"
        assert all({kind: {"name": NAME}} in one["envFrom"] for one in containers(after).values())
    assert reverted(after) == found
    assert revert_patch(reverted(after)).ops == ()
