"""What verify says of objects, and what the plan's diff shows."""

import pytest

from agent.core.cluster.diff import FieldChange, changes
from agent.core.cluster.managed_fields import data_changed, is_ours_alone, others
from agent.core.cluster.objects import CHECKSUM, CONFIG_MAP, NAME, SECRET, UNDO, VARIABLES, Source, read_source
from agent.core.cluster.pod_state import (
    ENDING,
    OK,
    STALE,
    WRONG,
    Expected,
    absence,
    covered,
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
    """A pod of one container."""
    container = {"name": "c", "envFrom": list(env_from), "env": list(env)}
    annotations = {CHECKSUM: checksum} if checksum else {}
    statuses = [{"state": {"running": {"startedAt": started}} if started else {"waiting": {}}}]
    return {
        "metadata": {"name": "p", "namespace": "kube-system", "annotations": annotations, **metadata},
        "spec": {"nodeName": "n", "containers": [container], "initContainers": [{"name": "i", "envFrom": [OURS]}]},
        "status": {"phase": "Running", "containerStatuses": statuses},
    }


@pytest.mark.parametrize(
    ("found", "state", "problem"),
    [
        (pod(), OK, ""),
        (pod(started=CHANGED), OK, ""),
        (pod(started=""), OK, ""),
        (pod(checksum=None), STALE, "before the last change of proxy-environment-variables (2026-11-22T12:00:00Z)"),
        (pod(checksum=None, started="2026-11-22T12:00:00Z"), OK, ""),
        (pod(checksum="other"), STALE, "is of older values"),
        (
            pod(started="2026-11-22T09:59:59Z"),
            STALE,
            "runs since before the last change of proxy-environment-variables",
        ),
        (pod(started="2026-11-22T09:59:59Z", checksum=None), STALE, "runs since before"),
        (pod(env_from=(OPTIONAL,)), STALE, "runs since before the last change"),
        (pod(env_from=(OPTIONAL, OURS)), OK, ""),
        (pod(env_from=(OPTIONAL,), started="2026-11-22T11:00:00Z"), OK, ""),
        (pod(env_from=()), WRONG, "container c has no envFrom of ConfigMap"),
        (pod(env_from=({"secretRef": {"name": NAME}},)), WRONG, "container c has no envFrom of ConfigMap"),
        (
            pod(env_from=(OURS, {"secretRef": {"name": "x"}})),
            WRONG,
            "container c: envFrom secretRef x comes after ours, and may beat it",
        ),
        (pod(env_from=(OURS, {"prefix": "HTTP_", "configMapRef": {"name": "x"}})), WRONG, "configMapRef x comes after"),
        (pod(env_from=(OURS, {"prefix": "DB_", "configMapRef": {"name": "x"}})), OK, ""),
        (pod(env=({"name": "no_proxy", "value": "x"},)), WRONG, "container c: env no_proxy beats envFrom"),
        (pod(env_from=(), deletionTimestamp=CHANGED), ENDING, ""),
    ],
)
def test_how_a_pod_stands(found, state, problem):
    """A reference in every container, no env that beats it, and containers that started with the
    present values.
    """
    seen = judge_pod(found, EXPECTED)
    assert (seen.state, seen.node) == (state, "n")
    assert problem in " ".join(seen.problems)


def test_a_sidecar_that_runs_since_before_an_edit_makes_the_pod_stale():
    """Init containers that go on running have their environment since they started, too."""
    found = pod()
    old = {"state": {"running": {"startedAt": "2026-11-22T09:59:59Z"}}}
    found["status"]["initContainerStatuses"] = [{"state": {"terminated": {}}}, old]
    assert judge_pod(found, EXPECTED).state == STALE


def test_a_pod_that_is_done_counts_for_nothing():
    """Succeeded and failed pods have no containers any more."""
    found = pod(env_from=())
    found["status"]["phase"] = "Succeeded"
    assert judge_pod(found, EXPECTED).state == ENDING
    del found["status"]
    assert judge_pod(found, EXPECTED).state == WRONG


@pytest.mark.parametrize(
    ("value", "entries", "yes"),
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
def test_what_no_proxy_covers(value, entries, yes):
    """CIDRs by larger CIDRs, hosts by names and domains."""
    assert covered(value, entries) is yes


def test_what_is_wrong_with_a_config_map():
    """Missing keys, other values (without telling them), entries that are too few or too many."""
    assert (
        source_problems(SOURCE, DATA, [("10.100.0.0/16", "the service CIDR"), ("x.eks.example", "the API server")])
        == []
    )
    other = {**DATA, "HTTP_PROXY": "http://u:hunter2@p:1", "no_proxy": "localhost,mine"}
    del other["NO_PROXY"]
    problems = source_problems(Source(SECRET, "kube-system", other), DATA, [("10.100.0.0/16", "the service CIDR")])
    assert problems == [
        "NO_PROXY is missing",
        "HTTP_PROXY is not what the settings say",
        "no_proxy is not what the settings say: lacks 10.0.0.0/8 .eks.example; has besides mine",
        "no_proxy lacks the service CIDR 10.100.0.0/16",
    ]
    shuffled = {**DATA, "NO_PROXY": "10.0.0.0/8,localhost,.eks.example"}
    assert source_problems(Source(CONFIG_MAP, "n", shuffled), DATA, []) == [
        "NO_PROXY is not what the settings say: another order"
    ]
    assert source_problems(SOURCE, None, []) == []


def fields(*path):
    """FieldsV1 of one path."""
    found = {}
    for key in reversed(path):
        found = {key: found}
    return found


def entry(manager, path, time=CHANGED, operation="Update"):
    """One of managedFields."""
    return {"manager": manager, "operation": operation, "time": time, "fieldsV1": fields(*path)}


def daemon_set(container, managed=(), annotations=None, template=None):
    """A workload of one container."""
    metadata = {
        "name": "x",
        "namespace": "kube-system",
        "managedFields": list(managed),
        "annotations": annotations or {},
    }
    spec = {"metadata": {"annotations": template or {}}, "spec": {"containers": [container]}}
    return {"kind": "DaemonSet", "metadata": metadata, "spec": {"template": spec}}


def test_a_template_that_somebody_wrote_anew_is_told_with_the_writer():
    """The field managers of the very field, newest first, ours left out; and whether we had given
    it before.
    """
    here = ["f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"c"}']
    managed = [
        entry("old", here, "2026-01-01T00:00:00Z"),
        entry("eks", [*here, "f:env", 'k:{"name":"NO_PROXY"}'], operation="Apply"),
        entry("eks-proxy-agent", here),
    ]
    note = {UNDO: '{"env":[],"envFrom":{"containers/c":"ConfigMap"}}'}
    found = daemon_set({"name": "c", "env": [{"name": "NO_PROXY", "value": "x"}]}, managed, note)
    lost = "container c lost its envFrom of ConfigMap proxy-environment-variables; written by field manager"
    assert template_problems(found, EXPECTED) == [
        lost + ' "eks" (Apply, 2026-11-22T10:00:00Z) and "old" (Update, 2026-01-01T00:00:00Z)',
        'container c: env NO_PROXY beats envFrom; written by field manager "eks" (Apply, 2026-11-22T10:00:00Z)',
    ]
    good = {"name": "c", "envFrom": [OURS]}
    assert template_problems(daemon_set(good, template={CHECKSUM: SOURCE.checksum}), EXPECTED) == []
    assert "has no checksum" in template_problems(daemon_set(good), EXPECTED)[0]
    assert "is of older values" in template_problems(daemon_set(good, template={CHECKSUM: "x"}), EXPECTED)[0]


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({"kind": "DaemonSet", "spec": {}, "status": {"desiredNumberScheduled": 3}}, 3),
        ({"kind": "DaemonSet", "spec": {}, "status": {}}, 0),
        ({"kind": "Deployment", "spec": {"replicas": 2}}, 2),
        ({"kind": "StatefulSet", "spec": {}}, 1),
        ({"kind": "Deployment", "spec": {"replicas": 0}}, 0),
    ],
)
def test_a_workload_without_any_of_its_pods_is_told(found, wanted):
    """Where pods are wanted and none is there, nothing was looked at; one pod, or none wanted, is
    fine.
    """
    workload = Workload("n", "DaemonSet", "x")
    way = f"has no pod, but is to have {wanted}: kubectl -n n describe daemonset x tells why"
    assert absence(found, workload, 0) == ([way] if wanted else [])
    assert absence(found, workload, 1) == []


def test_who_changed_the_data_and_when():
    """The time of a label's change is none of the data's."""
    found = {
        "metadata": {
            "managedFields": [entry("a", ["f:data", "f:X"]), entry("b", ["f:metadata"], "2027-01-01T00:00:00Z")]
        }
    }
    assert data_changed(found, by_us=True) == CHANGED
    ours = entry("eks-proxy-agent", ["f:data"], "2028-01-01T00:00:00Z")
    both = {"metadata": {"managedFields": [*found["metadata"]["managedFields"], ours]}}
    assert data_changed(both, by_us=True) == "2028-01-01T00:00:00Z"
    assert data_changed(both, by_us=False) == CHANGED
    assert [one.manager for one in others(found, ["f:data"])] == ["a"]
    assert data_changed({}, by_us=True) == ""
    assert not is_ours_alone(found)
    ours = {"metadata": {"annotations": {"eks-proxy-agent/workloads": ""}, "managedFields": []}}
    assert is_ours_alone(ours)


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
def test_a_selector_in_a_url(selector, text):
    """The four operators of LabelSelector in the API's text form."""
    assert selector_text(selector) == text


def test_a_diff_is_told_by_container():
    """Named things by their names, lists by their items, NO_PROXY by entries, and the server's own
    fields not at all.
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


def test_a_diff_of_a_secret_masks_its_data():
    """That something changes is told, what is not."""
    old, new = ({"kind": SECRET, "data": {"NO_PROXY": value}} for value in ("YQ==", "Yg=="))
    assert changes(old, new) == (FieldChange("", "data NO_PROXY", "***", "***"),)
    assert changes(None, new) == (FieldChange("", "data NO_PROXY", None, "***"),)
    assert changes(new, None) == (FieldChange("", "data NO_PROXY", "***", None),)


def test_a_diff_of_a_secret_masks_its_salt():
    """With the salt, and the checksum that stands below in the same plan, somebody could try
    passwords.
    """
    source = Source(SECRET, "n", {"HTTP_PROXY": "http://u:p@h:1"}, "the-salt")
    for before, after in ((None, source.manifest([])), (source.manifest([]), None)):
        assert "annotation eks-proxy-agent/salt" in [one.field for one in changes(before, after)]
        assert "the-salt" not in str(changes(before, after))


def test_a_secret_is_read_back():
    """What is no base64 is kept as it is, and differs then."""
    found = {"kind": SECRET, "metadata": {"namespace": "n"}, "data": {"NO_PROXY": "YQ==", "no_proxy": "a", "B": "%%%"}}
    assert read_source(found).data == {"NO_PROXY": "a", "no_proxy": "a"}  # B is none of ours
    manifest = Source(SECRET, "n", {"NO_PROXY": "ä"}, "salt").manifest([])
    again = read_source({**manifest, "metadata": {**manifest["metadata"], "namespace": "n"}})
    assert (again.data, again.salt) == ({"NO_PROXY": "ä"}, "salt")
