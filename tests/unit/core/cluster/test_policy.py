"""Manifests of the policies: their schemas, and the expressions that a reader has to recognise."""

import json
from pathlib import Path

import pytest
from kubernetes_validate.utils import SchemaNotFoundError, all_versions, validate

from agent.core.cluster.admission import BINDING_KIND, POLICY_KIND, name_of, path_of
from agent.core.cluster.ca_policy import CA_NAME, CA_VARIABLES, ca_config_map, ca_policy, ca_variables
from agent.core.cluster.objects import CONFIG_MAP, OURS, SECRET, VARIABLES, Source
from agent.core.cluster.policy import proxy_policy
from agent.core.settings.workloads import DEFAULT_WORKLOADS
from tests.policy.cases import WORKLOADS

DATA = dict.fromkeys(VARIABLES, "x")
MANIFESTS = [
    *proxy_policy(DEFAULT_WORKLOADS, secret=False),
    *proxy_policy(WORKLOADS, secret=True),
    *proxy_policy((), secret=False),
    *ca_policy(DEFAULT_WORKLOADS),
    ca_config_map("team", "PEM"),
    Source(CONFIG_MAP, "kube-system", DATA).manifest([], OURS),
    Source(SECRET, "team", DATA, "salt").manifest([], OURS),
]
#: Versions of Kubernetes from 1.30 on whose schemas are known, and the first with policies in v1.
VERSIONS = sorted({text for text in all_versions() if int(text.split(".")[1]) >= 30})
FIRST = 36


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(version):
    """In the strict schema: an unknown field is an error."""
    has_policies = int(version.split(".")[1]) >= FIRST
    for manifest in MANIFESTS:
        if manifest["kind"] in (POLICY_KIND, BINDING_KIND) and not has_policies:
            with pytest.raises(SchemaNotFoundError):
                validate(manifest, version, strict=True)
        else:
            validate(manifest, version, strict=True)


def test_the_schemas_include_versions_with_policies():
    """Otherwise the test above would check nothing."""
    assert max(int(version.split(".")[1]) for version in VERSIONS) >= FIRST


def test_a_failure_of_the_policy_never_stops_a_pod():
    """Fail would keep kube-system from starting."""
    for manifest in MANIFESTS:
        if manifest["kind"] == POLICY_KIND:
            assert manifest["spec"]["failurePolicy"] == "Ignore"
        if manifest["kind"] == BINDING_KIND and "paramRef" in manifest["spec"]:
            assert manifest["spec"]["paramRef"]["parameterNotFoundAction"] == "Allow"


def test_no_manifest_of_a_policy_has_a_value():
    """The values are in the ConfigMap or Secret only; a policy is read by many."""
    for secret in (True, False):
        assert "proxy.example.com" not in json.dumps(proxy_policy(WORKLOADS, secret=secret))


@pytest.mark.parametrize(
    ("volumes", "are_set"),
    [
        (None, True),
        ([{"name": "data", "emptyDir": {}}], True),
        ([{"name": CA_NAME, "configMap": {"name": CA_NAME}}], True),
        ([{"name": CA_NAME, "configMap": {"name": "of-others"}}], False),
        ([{"name": CA_NAME, "emptyDir": {}}], False),
        ([{"name": CA_NAME, "configMap": None}], False),
    ],
)
def test_a_volume_of_others_with_the_name_leaves_the_pod_without_the_ca(volumes, are_set):
    """Only that of the ConfigMap passes for the policy's own."""
    container = {"name": "a"}
    pod = {"metadata": {}, "spec": {"containers": [container], "volumes": volumes}}
    assert ca_variables(pod, container) == (list(CA_VARIABLES) if are_set else [])


def test_names_and_paths():
    """Bindings are cluster-wide too."""
    policy, by_label, by_workloads = proxy_policy(DEFAULT_WORKLOADS, secret=False)
    assert path_of(policy) == "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies/eks-proxy-agent"
    assert path_of(by_label).endswith("/mutatingadmissionpolicybindings/eks-proxy-agent")
    assert name_of(by_workloads) == "mutatingadmissionpolicybinding/eks-proxy-agent-workloads"
    assert path_of(ca_config_map("team", "")) == "/api/v1/namespaces/team/configmaps/eks-proxy-agent-ca"


def test_all_that_the_policy_needs_has_the_label_that_the_documentation_deletes_by():
    """And the ConfigMap of an apply with envFrom does not: templates need it."""
    assert all(manifest["metadata"]["labels"] == OURS for manifest in MANIFESTS)
    (key, value), *_ = OURS.items()
    page = (Path(__file__).parents[4] / "docs/cluster.md").read_text()
    assert page.count(f" -l {key}={value}\n") == 2
    assert "labels" not in Source(CONFIG_MAP, "kube-system", DATA).manifest(DEFAULT_WORKLOADS)["metadata"]
