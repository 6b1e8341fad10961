"""`cluster render` without a cluster: pods and nodes get the same values from the same facts."""

import json
import shlex

import pytest
import yaml

from agent import log
from agent.core.net.proxy_selection import Choice, choice_to_json
from agent.core.net.proxy_url import ProxyUrl
from agent.demo.instance import Instance
from agent.demo.metadata_service import MetadataService
from agent.edges.kubectl import KubectlError
from tests.integration.command_line import FACTS, PROXY, REPOSITORY, Node, Outcome, run

SETTINGS = f'[proxy]\nurl = "{PROXY}"\nno_proxy = [".corp"]\n[aws]\ndirect = ["ec2", "s3"]\n[cluster]\nendpoint_access = "private"\n'


@pytest.fixture
def node(tmp_path):
    """Return a node and an administrator with the same settings."""
    node = Node(tmp_path)
    node.settings(SETTINGS)
    return node


def render(node, *flags, inside=()):
    """Run `cluster render --offline` with the node's settings file.

    It does not query the metadata service of this machine.
    """
    config = node.root / "etc/eks-proxy-agent/config.toml"
    base = [*node.argv("x", facts=False)[:3], "cluster", "render", "--offline", "--config", str(config)]
    return run([*inside, *base, *flags, "--set=metadata.deadline=1"])


NO_METADATA = "--set=metadata.endpoint=http://127.0.0.1:9"


def data(done: Outcome):
    """Return the ConfigMap's variables."""
    assert done.code == 0, done.both
    (document,) = yaml.safe_load_all(done.out)
    assert (document["kind"], document["metadata"]["namespace"]) == ("ConfigMap", "kube-system")
    return document["data"]


def test_pods_get_the_variables_of_the_node(node):
    """With the same settings and facts, the ConfigMap has the six variables of node.env exactly."""
    assert node.run("apply").code == 0
    assert data(render(node, "--facts", str(node.facts))) == node.variables("etc/eks-proxy-agent/node.env")


def test_a_command_is_not_run_for_pods(node, tmp_path):
    """Where its output is not known, no ConfigMap without a password replaces the Secret."""
    node.settings(SETTINGS.replace("[aws]", f'credentials_command = ["/usr/bin/touch", "{tmp_path}/ran"]\n[aws]'))
    done = render(node, "--facts", str(node.facts))
    assert done.code == 1
    assert "proxy.credentials_command: not run by cluster, and no credentials are known here" in done.err
    assert "hint: run this as root on a configured node, or set proxy.credentials_file" in done.err
    assert not (tmp_path / "ran").exists()


def test_cluster_of_user_data_counts_for_pods(node):
    """The cluster information of a NodeConfig in the facts counts for the pods too."""
    spec = "{cluster: {name: b, apiServerEndpoint: https://AB.gr7.eu-central-1.eks.amazonaws.com, cidr: 10.99.0.0/16}}"
    node.be(user_data=f"apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec: {spec}\n")
    assert node.run("apply").code == 0
    variables = data(render(node, "--facts", str(node.facts)))
    assert variables == node.variables("etc/eks-proxy-agent/node.env")
    assert "10.99.0.0/16" in variables["NO_PROXY"]


def test_metadata_service_is_queried_on_a_node(node):
    """Without vpc.cidrs and --facts, the VPC is that of this instance."""
    with MetadataService(Instance(vpc_cidrs_v4=("10.77.0.0/16",))) as service:
        variables = data(render(node, "--set=metadata.endpoint=" + service.endpoint))
    assert "10.77.0.0/16" in variables["NO_PROXY"]


def test_settings_alone_are_sufficient(node):
    """With vpc.cidrs and the endpoint, nothing is queried: the endpoint contains the region."""
    host = "https://AB.gr7.eu-central-1.eks.amazonaws.com"
    done = render(node, '--set=vpc.cidrs=["10.42.0.0/16"]', "--set=cluster.endpoint=" + host, NO_METADATA)
    node.be(vpc_cidrs_v4=FACTS["vpc_cidrs_v4"])
    assert node.run("apply", "--set=cluster.endpoint=" + host).code == 0
    assert data(done) == node.variables("etc/eks-proxy-agent/node.env")


def test_unknown_vpc_is_an_error_with_all_remedies(node):
    """Off a node, without vpc.cidrs and --facts, nothing is rendered."""
    done = render(node, NO_METADATA)
    assert (done.code, done.out) == (1, "")
    assert "the CIDRs of the VPC are unknown" in done.err
    for remedy in ("vpc.cidrs", "--facts FILE", "run this on a node", "--from-node FILE"):
        assert remedy in done.err


def test_status_of_a_node_is_used_unchanged(node):
    """--from-node reads the status.json that a node wrote."""
    assert node.run("apply").code == 0
    status = node.root / "run/eks-proxy-agent/status.json"
    assert data(render(node, "--from-node", str(status), NO_METADATA)) == node.variables("etc/eks-proxy-agent/node.env")


def test_values_that_only_a_node_can_probe_are_warnings(node):
    """aws.direct and endpoint_access "auto" cause warnings, with --from-node as the remedy."""
    flags = ["--set=aws.direct=auto", "--set=cluster.endpoint_access=auto", "--facts", str(node.facts)]
    done = render(node, *flags)
    assert done.code == 0
    assert "warning: aws.direct is" in done.err
    assert "warning: cluster.endpoint_access is" in done.err
    assert "--from-node FILE" in done.err


TWO = '--set=proxy.url=["http://first:3128", "http://second:3128"]'
ON_THE_NODE = """
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir /run/eks-proxy-agent
cp "$1" /run/eks-proxy-agent/proxies.json
shift
exec "$@"
"""


@pytest.mark.needs_root("a mount namespace")
def test_proxy_in_use_is_taken_on_a_node(node, tmp_path):
    """Of several proxies the pods get the one that the node uses, which may not be the first."""
    urls = (ProxyUrl("http", "first", 3128), ProxyUrl("http", "second", 3128))
    remembered = tmp_path / "proxies.json"
    remembered.write_text(json.dumps({"choice": choice_to_json(Choice(urls, urls[1]))}))
    inside = ["unshare", "--mount", "sh", "-euc", ON_THE_NODE, "sh", str(remembered)]
    with MetadataService(Instance()) as service:
        variables = data(render(node, TWO, "--set=metadata.endpoint=" + service.endpoint, inside=inside))
    assert (variables["http_proxy"], variables["HTTPS_PROXY"]) == ("http://second:3128", "http://second:3128")


def test_first_of_several_proxies_is_taken_elsewhere_with_a_warning(node):
    """Only a node can find out which proxy works."""
    done = render(node, TWO, "--facts", str(node.facts))
    assert data(done)["http_proxy"] == "http://first:3128"
    assert "warning: proxy.url has 2 proxies, and only a node can check them; the pods use the first" in done.err
    assert "--from-node FILE" in done.err


@pytest.mark.parametrize(
    ("flags", "code", "problem"),
    [
        (["--set=proxy.url=[]"], 78, "proxy.url is not set"),
        (["--namespace=../x"], 2, '--namespace "../x": not a valid namespace name'),
        (["--manifest=x"], 2, "--manifest requires --output DIR"),
        (["--output=OUT", "--manifest=/nonexistent"], 1, "/nonexistent: cannot be read"),
        (["--output=OUT", "--manifest=GARBAGE"], 1, "invalid YAML"),
        (["--output=OUT"], 1, "the containers of kube-system/daemonset/aws-node"),
        (["--set=proxy.credentials_file=CREDENTIALS"], 2, "write it to a file (0600) with --output DIR"),
        (["--timeout=5"], 2, 'unknown option "--timeout"'),
        (["--request-timeout=0"], 2, "expected a number above 0"),
        (["--request-timeout=long"], 2, "'long': expected a number above 0"),
    ],
)
def test_wrong_usage_is_an_error(node, tmp_path, flags, code, problem):
    """Each ends with its exit code and the problem; nothing is written."""
    (tmp_path / "garbage").write_text("a: [")
    node.write("../credentials", b"me:s3cret\n", 0o600)
    for name in ("out", "garbage", "credentials"):
        flags = [flag.replace(name.upper(), str(tmp_path / name)) for flag in flags]
    done = render(node, "--facts", str(node.facts), *flags)
    assert (done.code, done.out) == (code, ""), done.both
    assert problem in done.err
    assert not (tmp_path / "out").exists()


HEAD = "kind: DaemonSet\nmetadata: {namespace: kube-system, name: aws-node}\n"


@pytest.mark.parametrize(
    ("manifest", "problem"),
    [
        ("5\n", "document 1: not a Kubernetes object: expected a mapping"),
        ("---\n" + HEAD + "---\n- a\n", 'document 1: DaemonSet "aws-node": spec: missing'),
        ("kind: Service\n---\n- a\n", "document 2: not a Kubernetes object: expected a mapping"),
        ("metadata: {name: a}\n", "document 1: not a Kubernetes object: it has no kind"),
        ("kind: [a]\n", "document 1: not a Kubernetes object: it has no kind"),
        ("kind: DaemonSet\nmetadata: [a]\n", "document 1: DaemonSet: metadata: expected a mapping, not a list"),
        ("kind: DaemonSet\nspec: {}\n", "document 1: DaemonSet: metadata: missing"),
        ("kind: DaemonSetList\nitems: 3\n", 'document 1: "DaemonSetList": items: expected a list'),
        ("kind: List\nitems: [null]\n", "document 1: items[0]: not a Kubernetes object"),
        ("kind: DaemonSetList\nitems: [{spec: {}}]\n", "document 1: items[0]: DaemonSet: metadata: missing"),
        (HEAD, 'DaemonSet "aws-node": spec: missing'),
        (
            HEAD + "spec: {template: {spec: {containers: [{image: x}]}}}\n",
            "spec.template.spec.containers[0].name: missing",
        ),
        (HEAD + "spec: {template: {spec: {containers: [x]}}}\n", "containers[0]: expected a mapping, not a string"),
        (HEAD + "spec: {template: {spec: {containers: [null]}}}\n", "containers[0]: expected a mapping, not null"),
        (HEAD + "spec: {template: {spec: {containers: [{name: 5}]}}}\n", "name: expected a string, not an integer"),
        (
            HEAD + "spec: {template: {spec: {containers: [{name: a, env: [{name: b, value: 8080}]}]}}}\n",
            "spec.template.spec.containers[0].env[0].value: expected a string, not an integer",
        ),
        (
            HEAD + "spec: {template: {metadata: {annotations: {a/b: true}}, spec: {}}}\n",
            '.annotations["a/b"]: expected',
        ),
        (HEAD + "spec: &a {template: *a}\n", 'alias "*a" is not supported; write its value'),
        (HEAD + "spec: {template: !!binary aGk=}\n", "tag"),
        (
            "kind: DaemonSet\nmetadata: {name: x}\nspec: {template: {spec: {}}, selector: 3}\n",
            "spec.selector: expected",
        ),
    ],
)
def test_invalid_manifest_is_an_error(node, tmp_path, manifest, problem):
    """The error names the object and the field, and nothing is written."""
    (tmp_path / "manifest").write_text(manifest)
    flags = ["--output", str(tmp_path / "out"), "--manifest", str(tmp_path / "manifest")]
    done = render(node, "--facts", str(node.facts), "--set", 'cluster.workloads=["kube-system/ds/aws-node"]', *flags)
    assert (done.code, done.out) == (1, ""), done.both
    assert problem in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


MANIFESTS = [f"--manifest={REPOSITORY}/tests/cluster/manifests/{name}" for name in ("aws-node.yaml", "kube-proxy.yaml")]


def test_truncated_error_of_kubectl_has_no_password():
    """Only the end of a long error is printed; it may begin in the middle of the proxy's URL."""
    text = "proxyconnect http://alice:hunter2@proxy.corp:3128: "
    for padding in range(2000 - len(text), 2000):
        assert "2@proxy" not in log.redact(str(KubectlError("reading", text + "x" * padding)))


def test_output_that_is_a_file_is_an_error(node, tmp_path):
    """The error has the flag, the path and the reason; the file stays, no command is printed."""
    (tmp_path / "file").write_text("mine")
    done = render(node, "--facts", str(node.facts), "--output", str(tmp_path / "file"), *MANIFESTS)
    assert (done.code, done.out) == (1, "")
    assert f"--output {tmp_path}/file: cannot create the directory: File exists" in done.err
    assert (tmp_path / "file").read_text() == "mine"


def test_patches_of_manifests(node, tmp_path):
    """Every workload of the settings has its patch, and the commands for all files are printed."""
    done = render(node, "--facts", str(node.facts), "--output", str(tmp_path / "the output"), *MANIFESTS)
    assert done.code == 0, done.both
    named = {shlex.split(line)[-1] for line in done.out.splitlines()}
    assert named == {str(path) for path in (tmp_path / "the output").iterdir()}
    assert len(named) == 3
    patch = json.loads((tmp_path / "the output/kube-system-daemonset-aws-node.patch.json").read_text())
    assert sum(op["op"] == "add" and op["path"].endswith("/envFrom") for op in patch) == 3


def documents(text):
    """Return the documents of a YAML stream."""
    return list(yaml.safe_load_all(text))


def test_inject_renders_the_policy_and_its_config_map(node, tmp_path):
    """On stdout, or as files with their commands; no containers have to be known."""
    flags = ("--facts", str(node.facts), "--inject")
    done = render(node, *flags)
    assert (done.code, [obj["kind"] for obj in documents(done.out)]) == (
        0,
        ["ConfigMap", "MutatingAdmissionPolicy", *["MutatingAdmissionPolicyBinding"] * 2],
    )
    assert "expression: |-\n" in done.out
    done = render(node, *flags, "--output", str(tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["kube-system-configmap.yaml", "policy.yaml"]
    assert done.out.splitlines() == [
        f"kubectl apply --server-side --field-manager=eks-proxy-agent -f {tmp_path}/out/{name}"
        for name in ("kube-system-configmap.yaml", "policy.yaml")
    ]
    for flag in ("--manifest=x", "--namespace=kube-system"):
        done = render(node, *flags, flag, "--output", str(tmp_path / "out"))
        assert (done.code, "not with --inject" in done.err) == (2, True)


def test_inject_with_a_password_renders_references(node, tmp_path):
    """The Secret is a file; the policy has no value, and no parameter."""
    password = node.write("etc/proxy.pass", b"alice:s3cret\n", 0o600)
    flags = ("--facts", str(node.facts), "--inject", f"--set=proxy.credentials_file={password}")
    assert (render(node, *flags).code, "s3cret" in render(node, *flags).both) == (2, False)
    done = render(node, *flags, "--output", str(tmp_path / "out"))
    assert "each namespace with the label eks-proxy-agent/inject=enabled needs a copy of the Secret" in done.err
    policy = (tmp_path / "out/policy.yaml").read_text()
    assert ("secretKeyRef" in policy, "paramKind" in policy, "alice" in policy) == (True, False, False)
