"""Texts of `cluster plan`, `cluster verify` and the hints for kubectl's errors.

After an intended change: ACCEPT=1 pytest tests/unit/core/cluster/test_golden.py
"""

import argparse
import copy
import json
import os
from pathlib import Path

import jsonpatch
import pytest

from agent.cluster import plan_view, verify
from agent.cluster.inputs import ClusterInputs
from agent.cluster.plan import make_plan
from agent.core.cluster.kubectl_errors import hint, reason
from agent.core.cluster.objects import MANAGER, UNDO, source_of
from agent.core.cluster.patch import apply_patch, patch_text
from agent.core.intent.intent import Intent
from agent.core.net.proxy_url import Credentials, ProxyUrl
from agent.core.noproxy.entries import Entry
from agent.core.settings.schema import Settings
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import KubectlError
from agent.errors import AgentError

GOLDEN = Path(__file__).parent / "golden"
NAMESPACE = "kube-system"
AWS_NODE, KUBE_PROXY = (Workload(NAMESPACE, "DaemonSet", name) for name in ("aws-node", "kube-proxy"))
PROXY = ProxyUrl("http", "proxy.example.com", 3128)
INTENT = Intent(PROXY, PROXY, (Entry("10.42.0.0/16", "vpc"), Entry("172.20.0.0/16", "service-cidr")))
WIDER = Intent(PROXY, PROXY, (*INTENT.no_proxy, Entry("10.43.0.0/16", "vpc")))
PRIVATE = Intent(PROXY, PROXY, INTENT.no_proxy, Credentials("alice", "hunter2"))
DIRECT = (("172.20.0.0/16", "the service CIDR"), ("10.42.0.0/16", "the VPC"))
BEFORE, CHANGED, AFTER = (f"2026-11-22T{hour}:00:00Z" for hour in (10, 11, 12))


class Cluster:
    """In-memory stand-in for Kubectl, with objects by API path."""

    def __init__(self, *objects, pods=(), conflict=""):
        """Take the objects, the pods of every workload, and the error of server-side apply."""
        self.objects = {path_of(obj): obj for obj in objects}
        self.pods = list(pods)
        self.conflict = conflict

    def find(self, path, kind, doing="", *, allowed=True):
        """Return an object or None."""
        return self.objects.get(path)

    def get(self, path, kind, doing=""):
        """Return the only page of pods."""
        assert "/pods?" in path
        return {"kind": "PodList", "items": self.pods}

    def apply(self, manifest, doing, *, dry_run):
        """Return the object after a server-side apply."""
        if self.conflict:
            raise KubectlError(doing, self.conflict)
        return {**(self.objects.get(path_of(manifest)) or {}), **manifest}

    def patch(self, workload, patch, doing, *, dry_run):
        """Return the workload after a JSON patch."""
        return patched(self.objects[workload.path], patch)


def path_of(obj):
    """Return the API path of an object."""
    api = "/apis/apps/v1" if obj["kind"] == "DaemonSet" else "/api/v1"
    metadata = obj["metadata"]
    return f"{api}/namespaces/{metadata['namespace']}/{obj['kind'].lower()}s/{metadata['name']}"


def patched(obj, text):
    """Return an object after a JSON patch, whose tests are those of test_patch.py."""
    return jsonpatch.apply_patch(copy.deepcopy(obj), [op for op in json.loads(text) if op["op"] != "test"])


def daemon_set(workload, *containers, init=(), pods=2):
    """Return a DaemonSet with these containers."""
    spec = {"containers": list(containers), **({"initContainers": list(init)} if init else {})}
    labels = {"k8s-app": workload.name}
    return {
        "kind": "DaemonSet",
        "metadata": {"name": workload.name, "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
        "status": {"desiredNumberScheduled": pods},
    }


NEW = (
    daemon_set(AWS_NODE, {"name": "aws-node"}, {"name": "aws-eks-nodeagent"}, init=[{"name": "aws-vpc-cni-init"}]),
    daemon_set(KUBE_PROXY, {"name": "kube-proxy"}),
)
OLD_ENV = [{"name": "HTTP_PROXY", "value": "http://old:1"}, {"name": "A", "value": "b"}]
SECRET_ENV = [{"name": "HTTPS_PROXY", "value": "http://bob:hunter2@old:1"}]
WITH_ENV = (NEW[0], daemon_set(KUBE_PROXY, {"name": "kube-proxy", "env": OLD_ENV}))
WITH_SECRET_ENV = (NEW[0], daemon_set(KUBE_PROXY, {"name": "kube-proxy", "env": SECRET_ENV}))


def source(intent=INTENT, workloads=(AWS_NODE, KUBE_PROXY), **metadata):
    """Return the ConfigMap or Secret of an Intent, as the cluster has it."""
    manifest = source_of(intent, NAMESPACE, "salt").manifest(workloads)
    managers = [{"manager": MANAGER, "operation": "Apply", "time": CHANGED, "fieldsV1": {"f:data": {}}}]
    own = {"uid": "1", "creationTimestamp": BEFORE, "managedFields": managers}
    return {**manifest, "metadata": {**manifest["metadata"], **own, **metadata}}


def applied(intent=INTENT, objects=NEW, take_over=False):
    """Return the workloads after apply."""
    after = source_of(intent, NAMESPACE, "salt")
    return tuple(patched(obj, patch_text(apply_patch(obj, after, take_over=take_over))) for obj in objects)


def inputs(intent=INTENT, workloads=(AWS_NODE, KUBE_PROXY), warnings=()):
    """Return the inputs of a command."""
    return ClusterInputs(Settings(), intent, (NAMESPACE,), workloads, DIRECT, warnings)


CONFLICT = """error: Apply failed with 1 conflict: conflict with "helm" using v1: .data.NO_PROXY
Please review the fields above--they currently have other managers."""

#: Title → the cluster, the inputs, and --take-over.
PLANS = {
    "first apply": (Cluster(*NEW), inputs(), False),
    "nothing to do": (Cluster(*applied(), source()), inputs(), False),
    "changed values": (Cluster(*applied(), source()), inputs(WIDER), False),
    "a warning": (Cluster(*applied(), source()), inputs(warnings=("aws.direct is uncertain",)), False),
    "a workload that the settings no longer name": (
        Cluster(*applied(), source()),
        inputs(workloads=(AWS_NODE,)),
        False,
    ),
    "env that overrides envFrom": (Cluster(*WITH_ENV), inputs(), False),
    "env that overrides envFrom, with --take-over": (Cluster(*WITH_ENV), inputs(), True),
    "env with a password": (Cluster(*WITH_SECRET_ENV), inputs(), False),
    "env with a password, with --take-over": (Cluster(*WITH_SECRET_ENV), inputs(), True),
    "a proxy with a new password": (
        Cluster(*applied(), source(), source(PRIVATE, (AWS_NODE,))),
        inputs(PRIVATE),
        False,
    ),
    "workloads that do not exist": (Cluster(), inputs(), False),
    "a ConfigMap of another field manager": (Cluster(*NEW, conflict=CONFLICT), inputs(), False),
    "a corrupt undo annotation": (
        Cluster({**NEW[0], "metadata": {**NEW[0]["metadata"], "annotations": {UNDO: "x"}}}, NEW[1]),
        inputs(),
        False,
    ),
}


def pod(template, name, started=AFTER, **metadata):
    """Return a running pod of a workload's template."""
    state = {"state": {"running": {"startedAt": started}}}
    spec = template["spec"]["template"]
    return {
        "metadata": {**spec["metadata"], "name": name, "namespace": NAMESPACE, **metadata},
        "spec": {**spec["spec"], "nodeName": f"node-{name}"},
        "status": {"phase": "Running", "containerStatuses": [state]},
    }


def rewritten(obj, manager, **container):
    """Return a workload whose only container a field manager has replaced."""
    template = obj["spec"]["template"]
    name = template["spec"]["containers"][0]["name"]
    entry = {"name": name, **container}
    fields = {"f:containers": {f'k:{{"name":"{name}"}}': {"f:env": {'k:{"name":"NO_PROXY"}': {}}}}}
    managers = [
        {
            "manager": manager,
            "operation": "Update",
            "time": CHANGED,
            "fieldsV1": {"f:spec": {"f:template": {"f:spec": fields}}},
        }
    ]
    spec = {**obj["spec"], "template": {**template, "spec": {"containers": [entry]}}}
    return {**obj, "metadata": {**obj["metadata"], "managedFields": managers}, "spec": spec}


def edited(**data):
    """Return the ConfigMap after an edit of its data; None removes a key."""
    original = source()
    values = {key: value for key, value in {**original["data"], **data}.items() if value is not None}
    return {**original, "data": values}


ONLY_KUBE_PROXY = inputs(workloads=(KUBE_PROXY,))
GOOD = applied()[1]
OLD = applied(WIDER)[1]
ENV = [{"name": "NO_PROXY", "value": "x"}]
SIX_OLD = [pod(OLD, f"kube-proxy-{index}") for index in range(6)]
LATER = {"secretRef": {"name": "later"}}
OUR_REFERENCE = {"configMapRef": {"name": source()["metadata"]["name"]}}

#: Title → the cluster and the inputs.
VERDICTS = {
    "all ok": (Cluster(source(), GOOD, pods=[pod(GOOD, "a"), pod(GOOD, "b")]), ONLY_KUBE_PROXY),
    "a terminating pod is ignored": (
        Cluster(source(), GOOD, pods=[pod(GOOD, "a"), pod(OLD, "b", deletionTimestamp=AFTER)]),
        ONLY_KUBE_PROXY,
    ),
    "nothing exists": (Cluster(), inputs()),
    "an edited ConfigMap": (
        Cluster(
            edited(HTTP_PROXY="http://bob:hunter2@x:1", https_proxy=None, no_proxy="172.20.0.0/16,10.42.0.0/16,x"),
            GOOD,
            pods=[pod(GOOD, "a")],
        ),
        ONLY_KUBE_PROXY,
    ),
    "a ConfigMap with too few entries": (Cluster(edited(NO_PROXY="localhost"), GOOD), ONLY_KUBE_PROXY),
    "old pods": (Cluster(source(), GOOD, pods=[*SIX_OLD, pod(GOOD, "new")]), ONLY_KUBE_PROXY),
    "a pod from before the ConfigMap": (
        Cluster(source(), GOOD, pods=[{**pod(GOOD, "a", BEFORE), "metadata": {"name": "a", "namespace": NAMESPACE}}]),
        ONLY_KUBE_PROXY,
    ),
    "no checksum": (
        Cluster(source(), {**GOOD, "spec": {**NEW[1]["spec"], "template": {"spec": GOOD["spec"]["template"]["spec"]}}}),
        inputs(workloads=(KUBE_PROXY,), warnings=("aws.direct is uncertain",)),
    ),
    "a template with older values": (Cluster(source(), OLD, pods=[pod(OLD, "a")]), ONLY_KUBE_PROXY),
    "a template that was never patched": (Cluster(source(), NEW[1], pods=[pod(NEW[1], "a")]), ONLY_KUBE_PROXY),
    "a template that the managed add-on rewrote": (
        Cluster(source(), rewritten(GOOD, "eks", env=ENV), pods=[pod(rewritten(GOOD, "eks", env=ENV), "a")]),
        ONLY_KUBE_PROXY,
    ),
    "env that kubectl set": (
        Cluster(source(), rewritten(GOOD, "kubectl-set", env=ENV, envFrom=[OUR_REFERENCE])),
        ONLY_KUBE_PROXY,
    ),
    "a later envFrom entry": (
        Cluster(source(), rewritten(GOOD, "helm", envFrom=[OUR_REFERENCE, LATER])),
        ONLY_KUBE_PROXY,
    ),
    "a Secret instead of a ConfigMap": (
        Cluster(source(PRIVATE), GOOD, pods=[pod(GOOD, "a")]),
        inputs(PRIVATE, (KUBE_PROXY,)),
    ),
}

#: Errors as kubectl prints them.
ERRORS = (
    'Error from server (Forbidden): User "a" cannot get resource "services" in API group "" in the namespace "default"',
    'Error from server (Forbidden): User "a" cannot list resource "pods" in API group "" at the cluster scope',
    "Error from server (Forbidden): the server does not name the verb",
    "error: You must be logged in to the server (Unauthorized)",
    'error: context "x" does not exist',
    'error: error loading config file "x": yaml: line 1',
    "The connection to the server localhost:8080 was refused - did you specify the right host or port?",
    "Unable to connect to the server: getting credentials: exec: executable aws not found",
    "Unable to connect to the server: x509: certificate signed by unknown authority",
    "Unable to connect to the server: dial tcp: i/o timeout",
    "Error from server (TooManyRequests): Too many requests, please try again later.",
    "something else",
)


def block(title, lines):
    """Return one case of a golden file."""
    return "\n".join([f"# {title}", *lines, "", ""])


def failure(error):
    """Return the lines of an error."""
    return [f"error: {error}", f"hint: {error.hint}"]


@pytest.fixture
def printed(capsys):
    """Return a function that runs a printer and returns its stdout, stderr and exit code."""

    def run(function, *arguments):
        code = function(*arguments)
        streams = capsys.readouterr()
        return [*streams.out.splitlines(), *streams.err.splitlines(), f"exit code: {code}"]

    return run


def check(name, text):
    """Compare a text with its golden file; with ACCEPT=1, write the file first."""
    golden = GOLDEN / name
    if os.environ.get("ACCEPT") == "1":
        golden.write_text(text)
    assert text.splitlines() == golden.read_text().splitlines()


def test_plans(printed):
    """`cluster plan` prints the golden texts."""
    arguments = argparse.Namespace(json=False)
    blocks = []
    for title, (cluster, cluster_inputs, take_over) in PLANS.items():
        try:
            plan = make_plan(cluster, cluster_inputs, take_over=take_over)
            lines = printed(plan_view.print_plan, arguments, plan, cluster_inputs.warnings)
        except AgentError as error:
            lines = failure(error)
        blocks.append(block(title, lines))
    assert "hunter2" not in "".join(blocks)
    check("plan.txt", "".join(blocks))


def test_verdicts(printed):
    """`cluster verify` prints the golden texts."""
    arguments = argparse.Namespace(json=False)
    blocks = []
    for title, (cluster, cluster_inputs) in VERDICTS.items():
        verdicts = verify.verify(cluster, cluster_inputs)
        blocks.append(block(title, printed(verify.print_verdict, arguments, verdicts, cluster_inputs)))
    assert "hunter2" not in "".join(blocks)
    check("verify.txt", "".join(blocks))


def test_hints():
    """Each of kubectl's errors has the golden reason and hint."""
    cases = [block(error, [f"reason: {reason(error) or 'none'}", f"hint: {hint(error) or 'none'}"]) for error in ERRORS]
    check("hints.txt", "".join(cases))
