"""Problems that verify reports, and the diff of a plan."""

import pytest

from agent.core.cluster.diff import FieldChange, changes
from agent.core.cluster.managed_fields import data_changed, is_applied_by_us, is_ours_alone, other_managers
from agent.core.cluster.objects import CHECKSUM, CONFIG_MAP, NAME, SECRET, UNDO, VARIABLES, Source, read_source
from agent.core.cluster.pod_state import (
    ENDING,
    OK,
    STALE,
    WRONG,
    Expected,
    absence_problems,
    covers,
    judge_pod,
    selector_text,
    source_problems,
    template_problems,
)
from agent.core.settings.workloads import Workload

DATA = {
    **dict.fromkeys(VARIABLES[:4], "http://p:1"),
    **dict.fromkeys(VARIABLES[4:], "localhost,10.0.0.0/8,.eks.example"),
}
SOURCE = Source(CONFIG_MAP, "kube-system", DATA)
CHANGED = "2026-11-22T10:00:00Z"
EXPECTED = Expected(SOURCE, "2026-11-22T12:00:00Z", CHANGED, "2026-11-22T11:00:00Z")
OURS = {"configMapRef": {"name": NAME}}
OPTIONAL = {"configMapRef": {"name": NAME, "optional": True}}


def pod(*, env_from=(OURS,), env=(), checksum=SOURCE.checksum, started="2026-11-22T10:00:01Z", **metadata):
    """Return a pod of one container."""
    container = {"name": "c", "envFrom": list(env_from), "env": list(env)}
    annotations = {CHECKSUM: checksum} if checksum else {}
    statuses = [{"state": {"running": {"startedAt": started}} if started else {"waiting": {}}}]
    return {
        "metadata": {"name": "p", "namespace": "kube-system", "annotations": annotations, **metadata},
        "spec": {"nodeName": "n", "containers": [container], "initContainers": [{"name": "i", "envFrom": [OURS]}]},
        "status": {"phase": "Running", "containerStatuses": statuses},
    }


@pytest.mark.parametrize(
    ("obj", "state", "problem"),
    [
        (pod(), OK, ""),
        (pod(started=CHANGED), OK, ""),
        (pod(started=""), OK, ""),
        (pod(checksum=None), STALE, "before the last change of proxy-environment-variables (2026-11-22T12:00:00Z)"),
        (pod(checksum=None, started="2026-11-22T12:00:00Z"), OK, ""),
        (pod(checksum="other"), STALE, "created with older values"),
        (
            pod(started="2026-11-22T09:59:59Z"),
            STALE,
            "a container started before the last change of proxy-environment-variables",
        ),
        (pod(started="2026-11-22T09:59:59Z", checksum=None), STALE, "started before"),
        (pod(env_from=(OPTIONAL,)), STALE, "started before the last change"),
        (pod(env_from=(OPTIONAL, OURS)), OK, ""),
        (pod(env_from=(OPTIONAL,), started="2026-11-22T11:00:00Z"), OK, ""),
        (pod(env_from=()), WRONG, "container c: no envFrom reference to ConfigMap"),
        (pod(env_from=({"secretRef": {"name": NAME}},)), WRONG, "container c: no envFrom reference to ConfigMap"),
        (
            pod(env_from=(OURS, {"secretRef": {"name": "x"}})),
            WRONG,
            "container c: envFrom secretRef x comes after the agent's reference and may override it",
        ),
        (pod(env_from=(OURS, {"prefix": "HTTP_", "configMapRef": {"name": "x"}})), WRONG, "configMapRef x comes after"),
        (pod(env_from=(OURS, {"prefix": "DB_", "configMapRef": {"name": "x"}})), OK, ""),
        (pod(env=({"name": "no_proxy", "value": "x"},)), WRONG, "container c: env no_proxy overrides envFrom"),
        (pod(env_from=(), deletionTimestamp=CHANGED), ENDING, ""),
    ],
)
def test_state_of_a_pod(obj, state, problem):
    """An ok pod has the reference in every container, no overriding env, and the current values."""
    verdict = judge_pod(obj, EXPECTED)
    assert (verdict.state, verdict.node) == (state, "n")
    assert problem in " ".join(verdict.problems)


def by_other_means(*, data=DATA, **more):
    """Return a pod whose containers have the values of `data` as env of their own."""
    env = [{"name": name, "value": value} for name, value in data.items()]
    obj = pod(env_from=(), env=env, checksum=None, started="2026-01-01T00:00:00Z")
    obj["spec"].update({"initContainers": [{"name": "i", "env": env}], **more})
    return obj


def test_pod_with_the_same_values_by_other_means_is_right():
    """Values of a chart or of an admission policy count; they have no checksum and no age."""
    assert judge_pod(by_other_means(), EXPECTED).state == OK
    keys = [{"name": name, "valueFrom": {"configMapKeyRef": {"name": NAME, "key": name}}} for name in VARIABLES]
    assert judge_pod(by_other_means(initContainers=[{"name": "i", "env": keys}]), EXPECTED).state == STALE
    template = daemon_set({"name": "c", "env": by_other_means()["spec"]["containers"][0]["env"]})
    assert template_problems(template, EXPECTED) == []
    assert "no checksum annotation" in template_problems(daemon_set({"name": "c", "env": keys}), EXPECTED)[0]
    later = by_other_means()["spec"]["containers"][0]
    later["envFrom"] = [OURS, {"configMapRef": {"name": "x"}}]
    assert judge_pod(by_other_means(containers=[later]), EXPECTED).problems == (
        "a container started before the last change of proxy-environment-variables (2026-11-22T12:00:00Z)",
    )


def test_other_values_of_a_pod_are_one_line():
    """All variables of all containers are one problem, so that a report has one line for a pod."""
    old = {**DATA, **dict.fromkeys(VARIABLES[:4], "http://old:1")}
    verdict = judge_pod(
        by_other_means(data=old, containers=[{"name": "c", "envFrom": [OURS]}, {"name": "d"}]), EXPECTED
    )
    missing = f"no envFrom reference to ConfigMap {NAME}"
    own = "env http_proxy, HTTP_PROXY, https_proxy, HTTPS_PROXY overrides envFrom"
    assert verdict.problems == (f"init container i: {missing} and {own}; container d: {missing}",)
    assert verdict.state == WRONG


def test_unknown_values_are_not_right():
    """Another ConfigMap is not read, and without ours nothing can be compared."""
    other = {"name": "i", "envFrom": [{"configMapRef": {"name": "x"}}]}
    assert judge_pod(by_other_means(initContainers=[other]), EXPECTED).state == WRONG
    empty = Expected(Source(CONFIG_MAP, "kube-system", {}))
    assert judge_pod(by_other_means(containers=[{"name": "c"}], initContainers=[]), empty).state == WRONG


def test_sidecar_that_started_before_an_edit_makes_the_pod_stale():
    """Init containers that keep running also have the environment of their start."""
    obj = pod()
    old = {"state": {"running": {"startedAt": "2026-11-22T09:59:59Z"}}}
    obj["status"]["initContainerStatuses"] = [{"state": {"terminated": {}}}, old]
    assert judge_pod(obj, EXPECTED).state == STALE


def test_terminated_pod_is_ignored():
    """Succeeded and failed pods have no running containers."""
    obj = pod(env_from=())
    obj["status"]["phase"] = "Succeeded"
    assert judge_pod(obj, EXPECTED).state == ENDING
    del obj["status"]
    assert judge_pod(obj, EXPECTED).state == WRONG


@pytest.mark.parametrize(
    ("value", "entries", "is_covered"),
    [
        ("172.20.0.0/16", ["172.20.0.0/16"], True),
        ("172.20.0.0/16", ["172.16.0.0/12"], True),
        ("172.20.0.0/16", ["172.20.0.0/17", "172.20.0.1"], False),
        ("fd00::/108", ["fd00::/64", "x"], True),
        ("172.20.0.1", ["172.20.0.0/16"], True),
        ("172.20.0.1", ["fd00::/8", ""], False),
        ("A.eks.example", [".eks.example"], True),
        ("a.eks.example", ["eks.example"], True),
        ("a.eks.example", ["a.eks.example"], True),
        ("eks.example.com", ["eks.example", "10.0.0.0/8"], False),
        ("xeks.example", [".eks.example"], False),
    ],
)
def test_no_proxy_coverage(value, entries, is_covered):
    """CIDRs are covered by larger CIDRs, hosts by names and domains."""
    assert covers(entries, value) is is_covered


def test_problems_of_a_config_map():
    """Missing keys, different values (not shown), missing and unexpected entries are reported."""
    assert (
        source_problems(SOURCE, DATA, [("10.100.0.0/16", "the service CIDR"), ("x.eks.example", "the API server")])
        == []
    )
    other = {**DATA, "HTTP_PROXY": "http://u:hunter2@p:1", "no_proxy": "localhost,mine"}
    del other["NO_PROXY"]
    problems = source_problems(Source(SECRET, "kube-system", other), DATA, [("10.100.0.0/16", "the service CIDR")])
    assert problems == [
        "NO_PROXY is missing",
        "HTTP_PROXY differs from the settings",
        "no_proxy differs from the settings: missing 10.0.0.0/8 .eks.example; unexpected mine",
        "no_proxy does not cover the service CIDR 10.100.0.0/16",
    ]
    shuffled = {**DATA, "NO_PROXY": "10.0.0.0/8,localhost,.eks.example"}
    assert source_problems(Source(CONFIG_MAP, "n", shuffled), DATA, []) == [
        "NO_PROXY differs from the settings: different order"
    ]
    assert source_problems(SOURCE, None, []) == []


def fields(*path):
    """Return FieldsV1 of one path."""
    tree = {}
    for key in reversed(path):
        tree = {key: tree}
    return tree


def entry(manager, path, time=CHANGED, operation="Update"):
    """Return an entry of managedFields."""
    return {"manager": manager, "operation": operation, "time": time, "fieldsV1": fields(*path)}


def daemon_set(container, managed=(), annotations=None, template=None):
    """Return a workload of one container."""
    metadata = {
        "name": "x",
        "namespace": "kube-system",
        "managedFields": list(managed),
        "annotations": annotations or {},
    }
    spec = {"metadata": {"annotations": template or {}}, "spec": {"containers": [container]}}
    return {"kind": "DaemonSet", "metadata": metadata, "spec": {"template": spec}}


def test_template_problem_names_the_field_managers():
    """A problem names the other field managers of the field, newest first.

    If the agent had added the reference before, the problem says that it was removed.
    """
    here = ["f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"c"}']
    managed = [
        entry("old", here, "2026-01-01T00:00:00Z"),
        entry("eks", [*here, "f:env", 'k:{"name":"NO_PROXY"}'], operation="Apply"),
        entry("eks-proxy-agent", here),
    ]
    annotations = {UNDO: '{"env":[],"envFrom":{"containers/c":"ConfigMap"}}'}
    obj = daemon_set({"name": "c", "env": [{"name": "NO_PROXY", "value": "x"}]}, managed, annotations)
    lost = "container c: the envFrom reference to ConfigMap proxy-environment-variables was removed"
    writers = '"eks" (Apply, 2026-11-22T10:00:00Z) and "old" (Update, 2026-01-01T00:00:00Z)'
    assert template_problems(obj, EXPECTED) == [
        f"{lost}; written by field manager {writers}",
        'container c: env NO_PROXY overrides envFrom; written by field manager "eks" (Apply, 2026-11-22T10:00:00Z)',
    ]
    good = {"name": "c", "envFrom": [OURS]}
    assert template_problems(daemon_set(good, template={CHECKSUM: SOURCE.checksum}), EXPECTED) == []
    assert "has no checksum annotation" in template_problems(daemon_set(good), EXPECTED)[0]
    assert "has older values" in template_problems(daemon_set(good, template={CHECKSUM: "x"}), EXPECTED)[0]


@pytest.mark.parametrize(
    ("obj", "desired"),
    [
        ({"kind": "DaemonSet", "spec": {}, "status": {"desiredNumberScheduled": 3}}, 3),
        ({"kind": "DaemonSet", "spec": {}, "status": {}}, 0),
        ({"kind": "Deployment", "spec": {"replicas": 2}}, 2),
        ({"kind": "StatefulSet", "spec": {}}, 1),
        ({"kind": "Deployment", "spec": {"replicas": 0}}, 0),
    ],
)
def test_workload_without_any_pod_is_a_problem(obj, desired):
    """Having no pods is a problem if some are desired, because verify could check none."""
    workload = Workload("n", "DaemonSet", "x")
    problem = f"no pods (expected {desired}); to see why: kubectl -n n describe daemonset x"
    assert absence_problems(obj, workload, 0) == ([problem] if desired else [])
    assert absence_problems(obj, workload, 1) == []


def test_time_and_manager_of_a_data_change():
    """A change of a label does not count as a change of the data."""
    obj = {
        "metadata": {
            "managedFields": [entry("a", ["f:data", "f:X"]), entry("b", ["f:metadata"], "2027-01-01T00:00:00Z")]
        }
    }
    assert data_changed(obj, by_us=True) == CHANGED
    ours = entry("eks-proxy-agent", ["f:data"], "2028-01-01T00:00:00Z")
    both = {"metadata": {"managedFields": [*obj["metadata"]["managedFields"], ours]}}
    assert data_changed(both, by_us=True) == "2028-01-01T00:00:00Z"
    assert data_changed(both, by_us=False) == CHANGED
    assert [writer.manager for writer in other_managers(obj, ["f:data"])] == ["a"]
    assert data_changed({}, by_us=True) == ""
    assert not is_ours_alone(obj)
    ours = {"metadata": {"annotations": {"eks-proxy-agent/workloads": ""}, "managedFields": []}}
    assert is_ours_alone(ours)


@pytest.mark.parametrize(
    ("manager", "operation", "expected"),
    [
        ("eks-proxy-agent", "Apply", True),
        ("eks-proxy-agent", "Update", False),
        ("helm", "Apply", False),
        ("helm", "Update", False),
    ],
)
def test_only_our_server_side_apply_counts(manager, operation, expected):
    """Neither our updates nor another manager's apply."""
    obj = {"metadata": {"managedFields": [entry(manager, ["f:data"], operation=operation)]}}
    assert is_applied_by_us(obj) == expected


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({"matchLabels": {"b": "1", "a": "2"}}, "a=2,b=1"),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["x", "y"]}]}, "a in (x,y)"),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["x"]}]}, "a notin (x)"),
        (
            {"matchExpressions": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "DoesNotExist"}]},
            "a,!b",
        ),
        ({}, ""),
    ],
)
def test_selector_text(selector, text):
    """The four operators of LabelSelector have the text form of the API."""
    assert selector_text(selector) == text


def test_diff_is_grouped_by_container():
    """The diff compares named items by name, lists by item, NO_PROXY by entry.

    Fields that the server writes are ignored.
    """
    before = daemon_set({"name": "c", "image": "1", "env": [{"name": "A", "value": "1"}]})
    after = daemon_set({"name": "c", "image": "2", "env": [{"name": "B", "value": "2"}], "envFrom": [OURS]})
    after["metadata"].update({"resourceVersion": "9", "generation": 3, "managedFields": [entry("x", ["f:spec"])]})
    after["status"] = {"x": 1}
    assert changes(before, after) == (
        FieldChange("container c", "env A", "1", None),
        FieldChange("container c", "env B", None, "2"),
        FieldChange("container c", "image", "1", "2"),
        FieldChange("container c", "envFrom", None, "configMapRef proxy-environment-variables"),
    )
    assert changes(after, after) == ()
    old, new = ({"kind": CONFIG_MAP, "data": {"NO_PROXY": value}} for value in ("a,b,c", "a,d,c"))
    assert changes(old, new) == (FieldChange("", "data NO_PROXY entries", "b", "d"),)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("a,b", "a", ("data NO_PROXY entries", "b", None)),
        ("a", "a,b", ("data NO_PROXY entries", None, "b")),
        ("a,b", "b,a", ("data NO_PROXY", "a,b", "b,a")),
    ],
)
def test_diff_of_a_list_has_the_entries(old, new, expected):
    """Only those that differ; both lists if only their order does."""
    before, after = ({"kind": CONFIG_MAP, "data": {"NO_PROXY": value}} for value in (old, new))
    assert changes(before, after) == (FieldChange("", *expected),)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"secretRef": {"name": "a"}}, "secretRef a"),
        ({"secretRef": {"name": "a", "optional": True}}, '{"secretRef": {"name": "a", "optional": true}}'),
        ({"secretRef": "name"}, '{"secretRef": "name"}'),
        ({"a": "1", "b": "2"}, '{"a": "1", "b": "2"}'),
        ({"name": "A", "value": "1"}, "1"),
        ("text", "text"),
        (7, "7"),
    ],
)
def test_values_in_a_diff(value, text):
    """A reference is its name, a text is itself, all else is JSON."""
    old, new = ({"kind": "X", "spec": {"list": items}} for items in ([], [value]))
    assert changes(old, new) == (FieldChange("", "spec list", None, text),)


def test_diff_of_a_secret_masks_its_data():
    """The diff shows that a value changes, but not the value."""
    old, new = ({"kind": SECRET, "data": {"NO_PROXY": value}} for value in ("YQ==", "Yg=="))
    assert changes(old, new) == (FieldChange("", "data NO_PROXY", "***", "***"),)
    assert changes(None, new) == (FieldChange("", "data NO_PROXY", None, "***"),)
    assert changes(new, None) == (FieldChange("", "data NO_PROXY", "***", None),)


def test_diff_of_a_secret_masks_its_salt():
    """With the salt and the checksum of the same plan, anyone could test passwords."""
    source = Source(SECRET, "n", {"HTTP_PROXY": "http://u:p@h:1"}, "the-salt")
    for before, after in ((None, source.manifest([])), (source.manifest([]), None)):
        assert "annotation eks-proxy-agent/salt" in [change.field for change in changes(before, after)]
        assert "the-salt" not in str(changes(before, after))


def test_secret_is_read_back():
    """A value that is not base64 is kept as it is, so that it differs."""
    obj = {"kind": SECRET, "metadata": {"namespace": "n"}, "data": {"NO_PROXY": "YQ==", "no_proxy": "a", "B": "%%%"}}
    assert read_source(obj).data == {"NO_PROXY": "a", "no_proxy": "a"}  # B is not a proxy variable
    manifest = Source(SECRET, "n", {"NO_PROXY": "ä"}, "salt").manifest([])
    again = read_source({**manifest, "metadata": {**manifest["metadata"], "namespace": "n"}})
    assert (again.data, again.salt) == ({"NO_PROXY": "ä"}, "salt")
