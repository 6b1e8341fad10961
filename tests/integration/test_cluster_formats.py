"""`cluster render --output` in each format, without a cluster."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.cluster.formats import yaml_text
from tests.integration.command_line import PROXY, REPOSITORY, Node, Outcome, run

SETTINGS = f'[proxy]\nurl = "{PROXY}"\n[aws]\ndirect = ["ec2"]\n[cluster]\nendpoint_access = "private"\n'
NAME = "proxy-environment-variables"
FILES = [str(REPOSITORY / f"tests/cluster/manifests/{name}.yaml") for name in ("aws-node", "kube-proxy")]
MANIFESTS = [flag for path in FILES for flag in ("--manifest", path)]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A directory with settings and facts."""
    node = Node(tmp_path)
    node.settings(SETTINGS)
    return node


def render(node: Node, *flags: str) -> Outcome:
    """Run `cluster render --offline` into OUT."""
    config = node.root / "etc/eks-proxy-agent/config.toml"
    base = [*node.argv("x", facts=False)[:3], "cluster", "render", "--offline", "--config", str(config)]
    return run([*base, "--facts", str(node.facts), "--output", str(out(node)), *flags])


def out(node: Node) -> Path:
    """Return the directory of the output."""
    return node.facts.parent / "the output"


def files(node: Node) -> dict[str, str]:
    """Return the files of the output by name."""
    return {path.name: path.read_text() for path in out(node).iterdir()}


def load(text: str) -> Any:
    """Return the only document of a text."""
    (document,) = yaml.safe_load_all(text)
    return document


def test_ssa_is_one_command_for_all_files(node: Node) -> None:
    """It has our field manager; each workload has a partial manifest beside the ConfigMap."""
    done = render(node, "--format", "ssa", *MANIFESTS)
    assert done.code == 0, done.both
    (command,) = map(shlex.split, done.out.splitlines())
    assert command[:4] == ["kubectl", "apply", "--server-side", "--field-manager=eks-proxy-agent"]
    assert {word for word in command if word.startswith("/")} == {str(path) for path in out(node).iterdir()}
    written = files(node)
    assert sorted(written) == [
        "kube-system-configmap.yaml",
        "kube-system-daemonset-aws-node.yaml",
        "kube-system-daemonset-kube-proxy.yaml",
    ]
    manifest = load(written["kube-system-daemonset-aws-node.yaml"])
    spec = manifest["spec"]["template"]["spec"]
    assert [container["name"] for container in spec["initContainers"]] == ["aws-vpc-cni-init"]
    assert [container["name"] for container in spec["containers"]] == ["aws-node", "aws-eks-nodeagent"]
    assert "annotations" not in manifest["metadata"]
    assert "&id" not in "".join(written.values())


@pytest.mark.parametrize(
    ("tool", "domain"), [("flux", "kustomize.toolkit.fluxcd.io/"), ("argocd", "argocd.argoproj.io/")]
)
def test_gitops_annotates_the_workloads_only(node: Node, tool: str, domain: str) -> None:
    """The ConfigMap is the agent's alone, so a tool may delete it."""
    assert render(node, "--format", "ssa", "--gitops", tool, *MANIFESTS).code == 0
    written = files(node)
    annotations = load(written["kube-system-daemonset-aws-node.yaml"])["metadata"]["annotations"]
    assert all(key.startswith(domain) for key in annotations)
    assert domain not in written["kube-system-configmap.yaml"]


def test_kustomize_has_the_manifests_unchanged(node: Node) -> None:
    """The kustomization lists all files; the copies are byte for byte those of --manifest."""
    done = render(node, "--format", "kustomize", *MANIFESTS)
    assert done.code == 0, done.both
    assert [shlex.split(line) for line in done.out.splitlines()] == [["kubectl", "apply", "-k", str(out(node))]]
    written = files(node)
    kustomization = load(written.pop("kustomization.yaml"))
    assert sorted([*kustomization["resources"], *kustomization["patchesStrategicMerge"]]) == sorted(written)
    assert [written[Path(path).name] for path in FILES] == [Path(path).read_text() for path in FILES]


def test_kustomize_has_the_policy_in_place_of_patches(node: Node) -> None:
    """With --inject no manifest is needed, and the kustomization has all files in their order."""
    done = render(node, "--format", "kustomize", "--inject")
    assert done.code == 0, done.both
    written = files(node)
    kustomization = load(written.pop("kustomization.yaml"))
    assert kustomization["resources"] == ["kube-system-configmap.yaml", "policy.yaml"] == sorted(written)
    assert "patchesStrategicMerge" not in kustomization
    kinds = {document["kind"] for document in yaml.safe_load_all(written["policy.yaml"])}
    assert kinds == {"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"}
    (command,) = map(shlex.split, done.out.splitlines())
    assert command == [*"kubectl apply --server-side --field-manager=eks-proxy-agent -k".split(), str(out(node))]


def test_policy_for_server_side_apply_is_the_default(node: Node) -> None:
    """`--inject` alone and with --format ssa are the same files and commands."""
    outputs = [render(node, "--inject", *flags).out for flags in ([], ["--format", "ssa"])]
    assert outputs[0] == outputs[1]
    assert files(node).keys() == {"kube-system-configmap.yaml", "policy.yaml"}


def test_helm_values_name_release_and_chart(node: Node) -> None:
    """Each chart has its file, and a note on what Helm does with it; no manifest is needed."""
    done = render(node, "--format", "helm-values")
    assert done.code == 0, done.both
    assert "helm upgrade RELEASE karpenter --namespace kube-system --reuse-values --values " in done.out
    assert load(files(node)["kube-system-karpenter.values.yaml"])["controller"]["envFrom"] == [
        {"configMapRef": {"name": NAME}}
    ]
    assert "note: karpenter: Helm replaces lists" in done.err


def test_own_env_is_named_in_every_format(node: Node) -> None:
    """As `plan` does, with the names of the variables, and the password is not shown."""
    path = node.facts.parent / "aws-node.yaml"
    text = Path(FILES[0]).read_text()
    own = '- {name: DISABLE_TCP_EARLY_DEMUX, value: "false"}'
    indent = "\n        "
    secret = "- {name: HTTPS_PROXY, value: 'http://me:hunter2@old:1'}"
    path.write_text(text.replace(own, f"{own}{indent}- {{name: NO_PROXY, value: x}}{indent}{secret}"))
    flags = ["--manifest", str(path), *MANIFESTS[2:]]
    where = "note: kube-system/daemonset/aws-node: init container aws-vpc-cni-init:"
    for format_flags, note in (
        (["--format", "ssa"], f"{where} left out, because it has env NO_PROXY, HTTPS_PROXY and contains a password"),
        (["--format", "kustomize"], f"{where} left out, because it has env NO_PROXY, HTTPS_PROXY"),
        ([], f"{where} env NO_PROXY, HTTPS_PROXY overrides envFrom and contains a password"),
        (["--take-over"], f"{where} env HTTPS_PROXY overrides envFrom and contains a password"),
    ):
        done = render(node, *format_flags, *flags)
        assert (done.code, note in done.err) == (0, True), done.both
        assert "hunter2" not in done.both
    done = render(node, "--format", "kustomize", "--take-over", *flags)
    assert where not in done.err
    assert "value: null" in files(node)["kube-system-daemonset-aws-node.patch.yaml"]


def test_secret_is_private_and_named(node: Node) -> None:
    """With a password the file is 0600, and a note says not to commit it."""
    password = node.write("etc/proxy.pass", b"me:hunter2\n", 0o600)
    for name in ("ssa", "kustomize", "helm-values", "patch"):
        flags = [] if name == "helm-values" else MANIFESTS
        done = render(node, "--format", name, f"--set=proxy.credentials_file={password}", *flags)
        assert done.code == 0, done.both
        assert "contains the proxy's password; do not commit it in plain text" in done.err
        assert (out(node) / "kube-system-secret.yaml").stat().st_mode & 0o777 == 0o600
        assert "hunter2" not in done.both
    policy = render(node, "--inject", "--format", "kustomize", f"--set=proxy.credentials_file={password}")
    assert "contains the proxy's password; do not commit it in plain text" in policy.err
    assert (
        "note: aws-load-balancer-controller: no values"
        in render(node, "--format", "helm-values", f"--set=proxy.credentials_file={password}").err
    )


def test_exported_manifest_is_named(node: Node) -> None:
    """An export of a cluster has fields that would conflict in Git."""
    path = node.facts.parent / "aws-node.yaml"
    path.write_text(
        Path(FILES[0]).read_text().replace("  name: aws-node\n", '  name: aws-node\n  resourceVersion: "7"\n')
    )
    done = render(node, "--format", "kustomize", "--manifest", str(path), *MANIFESTS[2:])
    assert "note: kube-system/daemonset/aws-node: the manifest is an export of a cluster" in done.err


@pytest.mark.parametrize(
    ("flags", "code", "problem"),
    [
        (["--format", "yaml"], 2, "--format"),
        (["--format", "patch", "--gitops", "flux"], 2, "--gitops: only with --format ssa"),
        (["--format", "ssa", "--take-over"], 2, "--take-over: not with --format ssa"),
        (["--format", "helm-values", "--take-over"], 2, "--take-over: not with --format helm-values"),
        (["--format", "helm-values", *MANIFESTS], 2, "--manifest: not with --format helm-values"),
        (["--format", "kustomize"], 1, "patches need the manifests of the workloads"),
        (
            ["--format", "kustomize", *MANIFESTS[:2]],
            1,
            "the containers of kube-system/daemonset/kube-proxy are unknown",
        ),
        (["--format", "kustomize", *MANIFESTS, "--manifest", "TWIN/kube-proxy.yaml"], 2, "rename one of them"),
        (["--format", "kustomize", *MANIFESTS, "--manifest", "TWIN/kustomization.yaml"], 1, "rename yours"),
        (["--format", "ssa"], 1, "are unknown"),
        (["--inject", "--format", "helm-values"], 2, "--format helm-values: not with --inject"),
        (["--inject", "--format", "patch"], 2, "--format patch: not with --inject"),
        (["--inject", "--take-over"], 2, "--take-over: not with --inject"),
    ],
)
def test_wrong_flags_write_nothing(node: Node, tmp_path: Path, flags: list[str], code: int, problem: str) -> None:
    """Each is an error with its reason; the directory is not created."""
    twin = tmp_path / "twin"
    twin.mkdir()
    for name in ("kube-proxy.yaml", "kustomization.yaml"):
        (twin / name).write_text(Path(FILES[1]).read_text())
    done = render(node, *[flag.replace("TWIN", str(twin)) for flag in flags])
    assert (done.code, done.out, problem in done.err) == (code, "", True), done.both
    assert not out(node).exists()


@pytest.mark.parametrize("text", ["5678901234567e12", "1234567890123456", "y", "N", "0x1f", ".inf", "12:30", "a", ""])
def test_text_stays_text_for_every_reader(text: str) -> None:
    """The YAML of Go takes 12e4 for a number and y for true; a checksum may look like one."""
    written = yaml_text({"key": text})
    assert load(written) == {"key": text}
    assert written == (f"key: {text}\n" if text == "a" else f"key: '{text}'\n")


@pytest.mark.parametrize("flags", [["--format", "ssa"], ["--take-over"]])
def test_formats_require_a_directory(node: Node, flags: list[str]) -> None:
    """On stdout there is only the ConfigMap."""
    argv = [*node.argv("x", facts=False)[:3], "cluster", "render", "--offline", *flags]
    done = run(argv)
    assert done.code == 2
    assert "requires --output DIR" in done.err
