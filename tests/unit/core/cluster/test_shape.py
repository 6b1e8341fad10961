"""Objects of a wrong shape, from a person or from an API server: each is an error that names it."""

import copy
import json
import re
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.cluster import apply, revert, service_cidr, verify
from agent.cluster.plan import make_plan
from agent.core.cluster.manifests import workloads_in
from agent.core.cluster.objects import CONFIG_MAP, NAME
from agent.core.cluster.patch import apply_patch, patch_text
from agent.core.cluster.shape import shape_problem
from agent.edges.kubectl import Kubectl, KubectlError
from agent.errors import AgentError
from tests.unit.core.cluster.test_golden import (
    AWS_NODE,
    CHANGED,
    INTENT,
    KUBE_PROXY,
    MANAGER,
    NAMESPACE,
    WIDER,
    applied,
    daemon_set,
    inputs,
    path_of,
    source,
    source_of,
)

CONTAINER = {
    "name": "kube-proxy",
    "env": [
        {"name": "HTTP_PROXY", "value": "http://old:1"},
        {"name": "no_proxy", "valueFrom": {"configMapKeyRef": {"name": NAME, "key": "no_proxy"}}},
    ],
    "envFrom": [{"prefix": "A_", "secretRef": {"name": "theirs", "optional": True}}],
}
FIELDS = {"f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"kube-proxy"}': {"f:env": {}}}}}}}
MANAGERS = [{"manager": "helm", "operation": "Update", "time": CHANGED, "fieldsV1": FIELDS}]


def deployed(obj):
    """Return a workload with all fields that the agent reads."""
    obj = copy.deepcopy(obj)
    obj["metadata"].update(generation=2, managedFields=MANAGERS)
    obj["spec"]["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    obj["spec"]["selector"]["matchExpressions"] = [{"key": "a", "operator": "In", "values": ["b"]}]
    obj["spec"]["replicas"] = 2
    obj["status"].update(observedGeneration=2, updatedNumberScheduled=2, numberAvailable=2)
    return obj


def pod(workload):
    """Return a running pod of a workload."""
    status = [{"state": {"running": {"startedAt": CHANGED}}}]
    return {
        "metadata": {"name": "pod", "namespace": NAMESPACE, "annotations": {"a": "b"}, "creationTimestamp": CHANGED},
        "spec": {**copy.deepcopy(workload["spec"]["template"]["spec"]), "nodeName": "node"},
        "status": {"phase": "Running", "containerStatuses": status, "initContainerStatuses": status},
    }


OBJECTS = [
    deployed(obj) for obj in applied(objects=(daemon_set(AWS_NODE, {"name": "a"}), daemon_set(KUBE_PROXY, CONTAINER)))
]
SERVER = {
    **{path_of(obj): obj for obj in (*OBJECTS, source())},
    f"/api/v1/namespaces/{NAMESPACE}/pods": {"kind": "PodList", "metadata": {}, "items": [pod(OBJECTS[1])]},
    "/api/v1/namespaces/default/services/kubernetes": {
        "kind": "Service",
        "spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]},
    },
    "/apis/networking.k8s.io/v1/servicecidrs": {
        "kind": "ServiceCIDRList",
        "items": [{"spec": {"cidrs": ["10.0.0.0/16"]}}],
    },
    "/api/v1/configmaps": {"kind": "ConfigMapList", "items": [source()]},
}


class Server(Kubectl):
    """kubectl and an API server whose objects are in a table by path."""

    def __init__(self, objects):
        super().__init__("kubectl")
        self.objects = objects

    def _run(self, doing, arguments, text=""):
        if arguments[0] == "get":
            path = arguments[2].partition("?")[0]
            if path in self.objects:
                return json.dumps(self.objects[path])
            raise KubectlError(doing, "Error from server (NotFound): not found")
        if arguments[0] == "apply":
            before = self.objects.get(path_of(json.loads(text)))
            return json.dumps({**source(), **json.loads(text), "metadata": (before or source())["metadata"]})
        if arguments[0] == "patch":
            kind, _, name = arguments[1].partition("/")
            return json.dumps(self.objects[f"/apis/apps/v1/namespaces/{NAMESPACE}/{kind}s/{name}"])
        return ""


def run_all(objects):
    """Run every action, and return the errors that a user would see."""
    kubectl, errors = Server(objects), []
    arguments = SimpleNamespace(json=True)
    for action in (
        lambda: service_cidr.print_service_range(arguments, kubectl),
        lambda: verify.print_verdict(arguments, verify.verify(kubectl, inputs()), inputs()),
        lambda: apply.apply_plan(kubectl, make_plan(kubectl, inputs(WIDER), take_over=True), take_over=True, timeout=0),
        lambda: revert.revert(kubectl, (AWS_NODE, KUBE_PROXY), (NAMESPACE,), 0, "other"),
    ):
        try:
            action()
        except AgentError as error:
            errors.append(str(error))
    return errors


WRONG = (None, [], {}, "", "x", 5, -1, 1.5, True, [None], ["x"], [5], [[]], [{}], {"a": None}, {"a": 5}, {"a": []})


def places(value, path=()):
    """Yield the path of every value in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def changed(value, path, new):
    """Return a copy with a new value at a path."""
    if not path:
        return new
    copied = copy.copy(value)
    copied[path[0]] = changed(value[path[0]], path[1:], new)
    return copied


PLACES = [place for place in places(SERVER) if place]


def test_objects_of_the_right_shape_cause_no_error():
    """Otherwise the other tests would test nothing."""
    assert [error for error in run_all(SERVER) if "timed out after 0 s" not in error] == []
    assert [shape_problem(obj, obj["kind"]) for obj in SERVER.values()] == [""] * len(SERVER)


@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(WRONG)), min_size=1, max_size=2))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=300)
def test_response_of_a_wrong_shape_is_at_most_an_error(edits):
    """Whatever the API server responds, an action ends, or raises an error for people."""
    objects = SERVER
    for place, new in edits:
        if place in places(objects):
            objects = changed(objects, place, new)
    run_all(objects)


@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(WRONG)), min_size=1, max_size=2))
@settings(deadline=None)
def test_manifest_of_a_wrong_shape_is_at_most_an_error(edits):
    """Whatever a person has written, it is a valid patch or an error that names the file."""
    document = {"kind": "List", "items": list(SERVER.values())}
    for place, new in edits:
        place = ("items", list(SERVER).index(place[0]), *place[1:])
        if place in places(document):
            document = changed(document, place, new)
    errors = []
    try:
        for obj in workloads_in("FILE", yaml.safe_dump(document).encode()).values():
            json.loads(patch_text(apply_patch(obj, source_of(INTENT, NAMESPACE, "salt"), take_over=False)))
    except AgentError as error:
        errors.append(str(error))
    assert all(error.startswith(("FILE: ", f"{NAMESPACE}/")) for error in errors)


@given(st.text() | st.binary() | st.recursive(st.sampled_from(WRONG), st.lists).map(yaml.safe_dump))
def test_any_text_as_a_manifest_is_at_most_an_error(text):
    """A file of another format is an error that names the file, or has no workloads."""
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    errors = []
    try:
        assert workloads_in("FILE", content) == {}
    except AgentError as error:
        errors.append(str(error))
    assert all(error.startswith("FILE: ") for error in errors)


@pytest.mark.parametrize(
    ("place", "new", "problem"),
    [
        (
            ("spec", "template", "spec", "containers", 0),
            None,
            "spec.template.spec.containers[0]: expected a mapping, not null",
        ),
        (("spec", "template"), [], "spec.template: expected a mapping, not a list"),
        (("metadata", "name"), 5, "metadata.name: expected a string, not an integer"),
        (("metadata", "generation"), True, "metadata.generation: expected an integer, not true or false"),
        (("spec",), None, "spec: missing"),
    ],
)
def test_error_names_the_object_and_the_field(place, new, problem):
    """The text has what was done, the kind, and the path of the field."""
    path = path_of(OBJECTS[1])
    kubectl = Server({**SERVER, path: changed(SERVER[path], place, new)})
    text = f"reading {KUBE_PROXY}: kubectl: the response is not a valid DaemonSet: {problem}"
    with pytest.raises(KubectlError, match=re.escape(text)):
        make_plan(kubectl, inputs(), take_over=False)


def test_another_kind_than_the_requested_one_is_an_error():
    """Its content is not shown: it may be a Secret."""
    path = path_of(source())
    kubectl = Server({**SERVER, path: {"kind": "Secret", "data": {"HTTP_PROXY": "c2VjcmV0"}}})
    with pytest.raises(KubectlError, match=f'the response is not a {CONFIG_MAP} but a "Secret"') as raised:
        make_plan(kubectl, inputs(), take_over=False)
    assert "c2VjcmV0" not in str(raised.value)


def test_null_counts_as_absent_as_in_the_api():
    """A DaemonSet whose optional fields are null is valid, and so is its patch."""
    obj = {**OBJECTS[0], "status": None}
    obj["metadata"] = {**obj["metadata"], "annotations": None, "managedFields": None}
    (read,) = workloads_in("FILE", json.dumps(obj).encode()).values()
    assert patch_text(apply_patch(read, source_of(INTENT, NAMESPACE, ""), take_over=False))


def test_manifest_keeps_what_kubernetes_reads_as_text():
    """Dates stay as they are written, and keys become strings, as in sigs.k8s.io/yaml."""
    text = "kind: DaemonSet\nmetadata: {name: a, creationTimestamp: 2026-11-22T10:00:00Z, labels: {1: a, null: b}}\n"
    text += "spec: {selector: {}, template: {spec: {}}}\n"
    (obj,) = workloads_in("FILE", text.encode("utf-16")).values()
    assert obj["metadata"]["creationTimestamp"] == "2026-11-22T10:00:00Z"
    assert obj["metadata"]["labels"] == {"1": "a", "null": "b"}
    assert MANAGER not in json.dumps(obj)
