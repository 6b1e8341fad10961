"""Partial manifests of workloads, merged by an oracle of the strategic merge, and Helm values."""

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kubernetes_validate.utils import all_versions, validate

from agent.core.cluster.container_state import container_states
from agent.core.cluster.helm_values import charts_of
from agent.core.cluster.objects import CHECKSUM, CONFIG_MAP, NAME, SECRET, VARIABLES, Source
from agent.core.cluster.override_notes import exclusion_notes, override_notes
from agent.core.cluster.partial import GITOPS, kustomization, partial_manifest
from agent.core.cluster.patch import EnvOverride

DATA = dict.fromkeys(VARIABLES, "http://p:1")
SOURCE = Source(CONFIG_MAP, "kube-system", DATA)
NAMES = st.sampled_from([*VARIABLES, "WARM_IP_TARGET", "A"])
VALUE_FROM = st.one_of(
    st.sampled_from([{"fieldRef": {"fieldPath": "status.podIP"}}, {"secretKeyRef": {"name": "s", "key": "k"}}]),
    st.builds(
        lambda name, key: {"configMapKeyRef": {"name": name, "key": key, "optional": True}},
        st.sampled_from([NAME, "other"]),
        NAMES,
    ),
)
ENTRIES = st.one_of(
    st.builds(lambda name, value: {"name": name, "value": value}, NAMES, st.sampled_from(["", "http://old:1"])),
    st.builds(lambda name, value_from: {"name": name, "valueFrom": value_from}, NAMES, VALUE_FROM),
)
ENVS = st.lists(ENTRIES, max_size=6, unique_by=lambda entry: entry["name"])
OWN = {"configMapRef": {"name": "operators"}}


def workload(*containers, init=()):
    """Return a DaemonSet."""
    spec = {"containers": list(containers), **({"initContainers": list(init)} if init else {})}
    metadata = {"name": "aws-node", "namespace": "kube-system"}
    return {"kind": "DaemonSet", "metadata": metadata, "spec": {"template": {"spec": spec}}}


def merged(base, patch):
    """Merge like kustomize: lists by the names of their items, maps by key; null removes a key."""
    if isinstance(base, dict) and isinstance(patch, dict):
        result = {**base}
        for key, value in patch.items():
            if value is None:
                result.pop(key, None)
            else:
                result[key] = merged(base.get(key), value)
        return result
    if isinstance(base, list) and isinstance(patch, list):
        items = {item["name"]: item for item in base}
        return list({**items, **{item["name"]: merged(items.get(item["name"], {}), item) for item in patch}}.values())
    return copy.deepcopy(patch)


def manifests_of_add_ons():
    """Return aws-node and kube-proxy as they are on EKS, shortened."""
    paths = sorted((Path(__file__).parents[4] / "tests/cluster/manifests").glob("*-*.yaml"))
    documents = [document for path in paths for document in yaml.safe_load_all(path.read_text())]
    return [document for document in documents if document["kind"] == "DaemonSet"]


@pytest.mark.parametrize("version", sorted({text for text in all_versions() if int(text.split(".")[1]) >= 30}))
def test_patched_manifests_are_valid(version):
    """In the strict schema of each version of Kubernetes."""
    for obj in manifests_of_add_ons():
        validate(merged(obj, partial_manifest(obj, SOURCE, take_over=True).manifest), version, strict=True)


def spec_of(obj):
    """Return the pod spec of a workload."""
    return obj["spec"]["template"]["spec"]


@given(first=ENVS, second=ENVS)
def test_merge_gives_the_variables_and_keeps_the_rest(first, second):
    """With take_over every container is right afterwards, and all other entries are as before."""
    obj = workload({"name": "a", "env": first, "envFrom": [OWN]}, {"name": "b"}, init=[{"name": "i", "env": second}])
    result = merged(obj, partial_manifest(obj, SOURCE, take_over=True).manifest)
    assert not any(state.lacks_reference or state.overrides for state in container_states(spec_of(result), SOURCE))
    for group in ("containers", "initContainers"):
        for before, after in zip(spec_of(obj)[group], spec_of(result)[group]):
            others = [entry for entry in before.get("env", []) if entry["name"] not in VARIABLES]
            assert [entry for entry in after["env"] if entry["name"] not in VARIABLES] == others
            assert after.get("envFrom") == before.get("envFrom")
            sources = [entry["valueFrom"] for entry in after["env"] if entry["name"] in VARIABLES]
            assert all(set(source) == {"configMapKeyRef"} for source in sources)  # the API refuses two
            keys = [source["configMapKeyRef"] for source in sources]
            assert keys == [{"name": NAME, "key": key["key"]} for key in keys]
            assert all("value" not in entry for entry in after["env"] if entry["name"] in VARIABLES)


@given(env=ENVS)
def test_container_with_own_env_is_left_out(env):
    """Without take_over the manifest has only containers whose entries it does not contradict."""
    obj = workload({"name": "a", "env": env}, {"name": "b"})
    partial = partial_manifest(obj, SOURCE)
    names = [container["name"] for container in spec_of(partial.manifest)["containers"]]
    assert names == (["b"] if partial.env_overrides else ["a", "b"])
    assert "None" not in str(partial.manifest)


def test_manifest_has_only_our_fields():
    """Names, references without values, the checksum; nothing that another manager may own."""
    obj = workload({"name": "a", "image": "x", "resources": {"limits": {"cpu": 1}}})
    manifest = partial_manifest(obj, SOURCE).manifest
    assert set(manifest) == {"apiVersion", "kind", "metadata", "spec"}
    assert manifest["metadata"] == {"name": "aws-node", "namespace": "kube-system"}
    assert manifest["spec"]["template"]["metadata"] == {"annotations": {CHECKSUM: SOURCE.checksum}}
    (container,) = spec_of(manifest)["containers"]
    assert set(container) == {"name", "env"}
    assert [entry["name"] for entry in container["env"]] == list(VARIABLES)
    assert "http://p:1" not in str(manifest)


def test_a_password_is_in_no_manifest():
    """With a Secret the entries refer to its keys."""
    manifest = partial_manifest(workload({"name": "a"}), Source(SECRET, "kube-system", DATA, "salt")).manifest
    assert spec_of(manifest)["containers"][0]["env"][0]["valueFrom"] == {
        "secretKeyRef": {"name": NAME, "key": "http_proxy"}
    }


def test_workload_without_any_other_container_has_no_manifest():
    """The notes name the container and its env."""
    partial = partial_manifest(workload({"name": "a", "env": [{"name": "HTTP_PROXY", "value": "x"}]}), SOURCE)
    assert partial.manifest is None
    assert exclusion_notes(partial.env_overrides, "remove it") == [
        "container a: left out, because it has env HTTP_PROXY; remove it"
    ]


@pytest.mark.parametrize(("tool", "text"), [("flux", "ssa: Merge"), ("argocd", "ServerSideApply=true")])
def test_annotations_for_tools_protect_the_workload(tool, text):
    """A tool merges the fields, and does not delete the add-on when its file is removed."""
    annotations = partial_manifest(workload({"name": "a"}), SOURCE, annotations=GITOPS[tool]).manifest["metadata"][
        "annotations"
    ]
    shown = " ".join(f"{key.rpartition('/')[2]}: {value}" for key, value in annotations.items())
    assert text in shown
    assert "prune: disabled" in shown or "Prune=false,Delete=false" in shown


def test_notes_have_one_line_for_a_container():
    """All variables of a container are in one note; a password has another remedy."""
    overrides = [EnvOverride("containers", "a", name, secret=False) for name in ("HTTP_PROXY", "NO_PROXY")]
    assert override_notes([*overrides, EnvOverride("initContainers", "i", "http_proxy", secret=True)]) == [
        "container a: env HTTP_PROXY, NO_PROXY overrides envFrom; to remove it, use --take-over",
        "init container i: env http_proxy overrides envFrom and contains a password; remove it with kubectl set env",
    ]


def test_kustomization_without_patches_has_no_key_for_them():
    """kustomize 2.0.3 and 5 accept the same keys."""
    assert "patchesStrategicMerge" not in kustomization(["a.yaml"], [])
    assert kustomization(["a.yaml"], ["b.yaml"])["patchesStrategicMerge"] == ["b.yaml"]


def test_charts_refer_to_the_config_map():
    """Each chart has its own keys, and the checksum as an annotation of its pods."""
    charts = {chart.name: chart.values for chart in charts_of(SOURCE)}
    assert charts["aws-ebs-csi-driver"]["controller"]["envFrom"] == [{"configMapRef": {"name": NAME}}]
    assert charts["karpenter"]["controller"]["envFrom"] == [{"configMapRef": {"name": NAME}}]
    assert charts["cluster-autoscaler"]["envFromConfigMap"] == NAME
    assert charts["aws-load-balancer-controller"]["env"] == DATA
    assert charts["external-dns"]["env"][0]["valueFrom"]["configMapKeyRef"]["name"] == NAME
    assert all(SOURCE.checksum in str(values) for values in charts.values())


def test_charts_never_show_a_password():
    """With a Secret the chart that takes only plain values has none."""
    secret = Source(SECRET, "kube-system", dict.fromkeys(VARIABLES, "http://me:hunter2@p:1"), "salt")
    charts = {chart.name: chart.values for chart in charts_of(secret)}
    assert "hunter2" not in str(charts)
    assert charts["aws-load-balancer-controller"] is None
    assert charts["cluster-autoscaler"]["envFromSecret"] == NAME
