"""kubectl's errors, rollouts, service ranges, hosts, and a node's status."""

import json

import pytest

from agent.core.cluster import facts as cluster_facts
from agent.core.cluster.kubectl_errors import applied_range, conflicting_managers, hint, reason
from agent.core.cluster.rollout import desired_pods, rollout
from agent.core.cluster.service_cidr import addresses_of, covers, from_service_cidrs, infer_range
from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.intent.intent import Intent
from agent.core.net.proxy_url import Credentials, ProxyUrl
from agent.core.noproxy.entries import Entry
from agent.core.settings.schema import Aws, Cluster, Settings, Vpc
from agent.core.status.document import intent_from_status
from agent.errors import AgentError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Error from server (NotFound): daemonsets.apps "x" not found', "NotFound"),
        ("Error from server (Conflict): Operation cannot be fulfilled on daemonsets.apps", "Conflict"),
        ("Error from server (TooManyRequests): Too many requests, please try again later.", "TooManyRequests"),
        ("Error from server (Expired): The provided continue parameter is too old", "Expired"),
        ("Error from server (Gone): x", "Expired"),
        ("The request is invalid", "Invalid"),
        ('The DaemonSet "a" is invalid: spec.template.spec.containers[0].image: Required value', "Invalid"),
        ("error: You must be logged in to the server (Unauthorized)", "Unauthorized"),
        ("Error in configuration: context was not found for specified context: x", "Context"),
        ('error: context "x" does not exist', "Context"),
        ("error: current-context must exist in order to minify", "NoContext"),
        ("error: stat /nonexistent: no such file or directory", "Kubeconfig"),
        ('error: error loading config file "x": yaml: line 1', "Kubeconfig"),
        ('error: auth info "none" does not exist', "Kubeconfig"),
        (
            "The connection to the server localhost:8080 was refused - did you specify the right host or port?",
            "NoKubeconfig",
        ),
        (
            "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?",
            "Unreachable",
        ),
        ("Unable to connect to the server: dial tcp: lookup x: no such host", "Unreachable"),
        ("Unable to connect to the server: net/http: TLS handshake timeout", "Unreachable"),
        ("Unable to connect to the server: x509: certificate signed by unknown authority", "Untrusted"),
        ("Unable to connect to the server: getting credentials: exec: executable aws not found", "Credentials"),
        ('error: Apply failed with 1 conflict: conflict with "helm" using v1: .data.A', "ApplyConflict"),
        ("something else", ""),
    ],
)
def test_each_failure_has_a_reason(text, expected):
    """The reason decides which requests are retried, and which hint is printed."""
    assert reason(text) == expected


def test_hint_names_the_missing_permission():
    """The hint has the verb, the resource with its group, and the namespace."""
    text = 'User "a" cannot list resource "servicecidrs" in API group "networking.k8s.io" at the cluster scope'
    assert "list servicecidrs.networking.k8s.io (cluster-wide)" in hint("Error from server (Forbidden): " + text)
    text = 'User "a" cannot patch resource "configmaps" in API group "" in the namespace "kube-system"'
    assert 'patch configmaps in namespace "kube-system"' in hint(text)
    assert hint("something else") == ""


def test_conflicting_managers_are_listed_once():
    """kubectl has one text for one conflict and another for many; both name field managers."""
    text = 'conflicts with "b" using v1:\n- .data.A\nconflicts with "a" using v1:\n- .data.B\nwith "b"'
    assert conflicting_managers(text) == ["a", "b"]
    assert applied_range("The range of valid IPs is 10.0.0.0/24.") == "10.0.0.0/24"
    assert applied_range("no range") == ""


def rolling(kind, spec=None, **status):
    """Return a workload of generation 2."""
    status.setdefault("observedGeneration", 2)
    return {"kind": kind, "metadata": {"generation": 2}, "spec": spec or {}, "status": status}


DAEMON = {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}
DEPLOYED = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
STATE = {"currentRevision": "a", "updateRevision": "a", "readyReplicas": 2, "replicas": 2}
MOVING = {"type": "Progressing", "reason": "NewReplicaSetAvailable"}
LATE = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "too slow"}
BY_HAND = {"updateStrategy": {"type": "OnDelete"}}
PARTITION = {"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}}


@pytest.mark.parametrize(
    ("obj", "is_done", "text"),
    [
        (rolling("DaemonSet", **DAEMON), True, "3 of 3 pods updated, 3 available"),
        (rolling("DaemonSet", **{**DAEMON, "numberAvailable": 2}), False, "3 of 3 pods updated, 2 available"),
        (rolling("DaemonSet", **{**DAEMON, "updatedNumberScheduled": 1}), False, "1 of 3 pods updated"),
        (rolling("DaemonSet", **{**DAEMON, "observedGeneration": 1}), False, "waiting for the controller"),
        (rolling("DaemonSet", BY_HAND, **DAEMON), True, "OnDelete"),
        (rolling("DaemonSet"), True, "0 of 0"),
        (rolling("Deployment", {"replicas": 2, "paused": True}), True, "kubectl rollout resume"),
        (rolling("Deployment", {"replicas": 2}, **DEPLOYED), True, "2 of 2"),
        (rolling("Deployment", {"replicas": 2}, **{**DEPLOYED, "replicas": 3}), False, "1 old pending termination"),
        (rolling("Deployment", {"replicas": 2}, **{**DEPLOYED, "availableReplicas": 1}), False, "1 available"),
        (
            rolling("Deployment", {"replicas": 2}, **DEPLOYED, conditions=[{"type": "Available"}, MOVING]),
            True,
            "2 of 2",
        ),
        (rolling("Deployment", {"replicas": 2}, conditions=[LATE]), False, "progress deadline exceeded: too slow"),
        (rolling("StatefulSet", {"replicas": 2}, **STATE), True, "2 of 2"),
        (rolling("StatefulSet", {"replicas": 2}, **{**STATE, "readyReplicas": 1}), False, "1 available"),
        (
            rolling("StatefulSet", {"replicas": 2}, **{**STATE, "updateRevision": "b", "updatedReplicas": 2}),
            False,
            "2 of 2",
        ),
        (rolling("StatefulSet", PARTITION, **{**STATE, "updatedReplicas": 1}), True, "the partition is 1"),
        (rolling("StatefulSet", PARTITION, **STATE), False, "0 of 1 pods updated"),
    ],
)
def test_rollout_progress(obj, is_done, text):
    """A rollout is done if the controller observed it, and all pods are updated and available."""
    state = rollout(obj)
    assert state.done is is_done
    assert text in state.text
    assert state.failed is ("deadline" in text)


def test_service_ranges():
    """Only EKS's default ranges are inferred from their first address; dual-stack works too."""
    service = {"spec": {"clusterIP": "10.100.0.1", "clusterIPs": ["10.100.0.1", "fd00::1"]}}
    assert infer_range(addresses_of(service)).cidrs == ("10.100.0.0/16", "fd00::/108")
    assert infer_range(("10.100.0.1", "2001:db8::1")).cidrs == ()
    assert infer_range(("192.168.0.1",)).cidrs == ()
    # 10.100.128.0/20 is a custom range inside the first default range.
    assert [infer_range((first,)).cidrs for first in ("10.100.128.1", "172.20.0.2", "fd00::1:1")] == [(), (), ()]
    assert from_service_cidrs(
        {"items": [{"spec": {"cidrs": ["10.0.0.0/8"]}}, {"spec": {"cidrs": ["10.0.0.0/8"]}}, {}]}
    ) == ("10.0.0.0/8",)
    with pytest.raises(ValueError, match="is not a CIDR"):
        from_service_cidrs({"items": [{"spec": {"cidrs": ["x"]}}]})
    assert covers(("10.0.0.0/8", "fd00::/8"), ("10.1.2.3", "fd00::1"))
    assert not covers(("10.0.0.0/8",), ("10.1.2.3", "fd00::1"))


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("0123abc.gr7.eu-west-1.eks.amazonaws.com", "eu-west-1"),
        ("0123abc.yl4.cn-north-1.eks.amazonaws.com.cn", "cn-north-1"),
        ("0123abc.eks-cluster.us-east-2.api.aws", "us-east-2"),
        ("api.example.com", ""),
        ("127.0.0.1", ""),
    ],
)
def test_region_of_an_endpoint(host, region):
    """The host names of EKS API servers contain the region; other names do not."""
    assert cluster_facts.region_of(host) == region


@pytest.mark.parametrize(
    ("server", "host"),
    [
        ("https://ABC.gr7.eu-west-1.eks.amazonaws.com", "abc.gr7.eu-west-1.eks.amazonaws.com"),
        ("https://10.0.3.4:6443", "10.0.3.4"),
        ("https://127.0.0.1:16443", ""),
        ("https://rancher.example.com/k8s/clusters/c-1", ""),
        ("https://bastion.example.com", ""),
        ("", ""),
    ],
)
def test_host_for_nodes(server, host):
    """A tunnel or a jump host of the kubeconfig does not belong in NO_PROXY."""
    assert cluster_facts.host_for_nodes(server, ["10.0.0.0/16"]) == host


def test_facts_without_a_node():
    """The region determines domain and partition; without it, the values that need it are named."""
    settings = Settings(vpc=Vpc(("10.0.0.0/16", "fd00::/56")))
    facts = cluster_facts.facts_of_settings(settings, "cn-north-1")
    assert (facts.vpc_cidrs_v4, facts.vpc_cidrs_v6) == (("10.0.0.0/16",), ("fd00::/56",))
    assert (facts.domain, facts.partition) == ("amazonaws.com.cn", "aws-cn")
    none = cluster_facts.facts_of_settings(settings, "")
    assert cluster_facts.missing_region(settings, ClusterInfo(), none) == "the host of the API server"
    assert cluster_facts.missing_region(settings, ClusterInfo(endpoint="x"), none) == ""
    named = Settings(aws=Aws(("ec2",)), cluster=Cluster(endpoint="x", endpoint_access="private"))
    assert cluster_facts.missing_region(named, ClusterInfo(), none) == "the hosts of aws.direct"
    assert cluster_facts.missing_region(named, ClusterInfo(), facts) == ""
    assert cluster_facts.assumptions(named) == []
    assert len(cluster_facts.assumptions(settings)) == 3


PROXY = ProxyUrl("http", "p", 3128)
INTENT = Intent(PROXY, PROXY, (Entry("10.0.0.0/16", "vpc"), Entry(".svc", "cluster-domain")))
STATUS = {
    "schema": 1,
    "phase": "configured",
    "proxy": {"http": "http://p:3128", "https": "http://p:3128"},
    "no_proxy": [{"entry": entry.value, "reason": entry.reason} for entry in INTENT.no_proxy],
    "intent": INTENT.digest(),
}


def test_status_of_a_node_becomes_its_intent():
    """The Intent has the node's variables, and the credentials of the administrator's settings."""
    assert intent_from_status(json.dumps(STATUS), "f", None) == INTENT
    with_password = intent_from_status(json.dumps(STATUS), "f", Credentials("u", "p"))
    assert dict(with_password.variables(secret=True))["http_proxy"] == "http://u:p@p:3128"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"proxy": None, "phase": "unconfigured"}, 'the node has no proxy (phase "unconfigured")'),
        ({"no_proxy": [{"entry": "a,b", "reason": "x"}]}, "no_proxy: invalid entry"),
        ({"no_proxy": [{"entry": "a"}]}, "missing key 'reason'"),
        ({"no_proxy": 5}, "not the status of a configured node: no_proxy: expected list, got int"),
        ({"proxy": {"http": "p", "https": "p"}}, "has no scheme"),
        ({"no_proxy": []}, "its values do not match its intent hash"),
        ({"intent": None}, "its values do not match its intent hash"),
    ],
)
def test_edited_status_is_rejected(change, problem):
    """Every edit of a status is detected, and the error names it."""
    with pytest.raises(AgentError) as caught:
        intent_from_status(json.dumps({**STATUS, **change}), "f", None)
    assert problem in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "null", "[" * 100000, "\x00"])
def test_status_that_is_not_json_is_rejected(text):
    """A status file without a JSON object is an error, whatever it contains."""
    with pytest.raises(AgentError, match="f: not the status of a configured node"):
        intent_from_status(text, "f", None)


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        ({"kind": "DaemonSet", "spec": {}}, 0),
        ({"kind": "DaemonSet", "spec": {}, "status": {"desiredNumberScheduled": 3}}, 3),
        ({"kind": "Deployment", "spec": {}}, 1),
        ({"kind": "Deployment", "spec": {"replicas": 0}}, 0),
    ],
)
def test_number_of_desired_pods(obj, expected):
    """A new object has no status yet, and one replica is the default."""
    assert desired_pods(obj) == expected
