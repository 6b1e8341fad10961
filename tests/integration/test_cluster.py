"""`cluster render` without a cluster: pods and nodes get the same values by the same path, wherever
facts come from.
"""

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
    """A node and, beside it, an administrator with the same settings."""
    made = Node(tmp_path)
    made.settings(SETTINGS)
    return made


def render(node, *flags, inside=()):
    """`cluster render --offline` with the node's settings file; the metadata service of this
    machine is not asked.
    """
    config = node.root / "etc/eks-proxy-agent/config.toml"
    base = [*node.argv("x", facts=False)[:3], "cluster", "render", "--offline", "--config", str(config)]
    return run([*inside, *base, *flags, "--set=metadata.deadline=1"])


NOBODY = "--set=metadata.endpoint=http://127.0.0.1:9"


def data(done: Outcome):
    """The ConfigMap's variables."""
    assert done.code == 0, done.both
    (document,) = yaml.safe_load_all(done.out)
    assert (document["kind"], document["metadata"]["namespace"]) == ("ConfigMap", "kube-system")
    return document["data"]


def test_pods_get_what_the_node_has(node):
    """The ConfigMap of the same settings and facts holds the six variables of node.env, byte for
    byte.
    """
    assert node.run("apply").code == 0
    assert data(render(node, "--facts", str(node.facts))) == node.variables("etc/eks-proxy-agent/node.env")


def test_the_same_with_the_clusters_of_user_data(node):
    """What a NodeConfig in the facts says of the cluster counts for the pods too."""
    spec = "{cluster: {name: b, apiServerEndpoint: https://AB.gr7.eu-central-1.eks.amazonaws.com, cidr: 10.99.0.0/16}}"
    node.be(user_data=f"apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec: {spec}\n")
    assert node.run("apply").code == 0
    seen = data(render(node, "--facts", str(node.facts)))
    assert seen == node.variables("etc/eks-proxy-agent/node.env")
    assert "10.99.0.0/16" in seen["NO_PROXY"]


def test_on_a_node_the_metadata_service_is_asked(node):
    """Without vpc.cidrs and --facts the VPC is that of this instance."""
    with MetadataService(Instance(vpc_cidrs_v4=("10.77.0.0/16",))) as service:
        seen = data(render(node, "--set=metadata.endpoint=" + service.endpoint))
    assert "10.77.0.0/16" in seen["NO_PROXY"]


def test_settings_alone_are_enough(node):
    """With vpc.cidrs and the endpoint nobody is asked: the endpoint tells the region."""
    host = "https://AB.gr7.eu-central-1.eks.amazonaws.com"
    done = render(node, '--set=vpc.cidrs=["10.42.0.0/16"]', "--set=cluster.endpoint=" + host, NOBODY)
    node.be(vpc_cidrs_v4=FACTS["vpc_cidrs_v4"])
    assert node.run("apply", "--set=cluster.endpoint=" + host).code == 0
    assert data(done) == node.variables("etc/eks-proxy-agent/node.env")


def test_without_the_vpc_the_three_ways_are_told(node):
    """Off a node, without vpc.cidrs and --facts, nothing is rendered."""
    done = render(node, NOBODY)
    assert (done.code, done.out) == (1, "")
    assert "the CIDRs of the VPC are not known" in done.err
    for way in ("vpc.cidrs", "--facts FILE", "run this on a node", "--from-node FILE"):
        assert way in done.err


def test_the_status_of_a_node_is_taken_as_it_is(node):
    """--from-node reads the very file that a node wrote."""
    assert node.run("apply").code == 0
    status = node.root / "run/eks-proxy-agent/status.json"
    assert data(render(node, "--from-node", str(status), NOBODY)) == node.variables("etc/eks-proxy-agent/node.env")


def test_what_only_a_node_can_ask_is_told(node):
    """aws.direct and endpoint_access "auto" are warned of, and the way to certainty is named."""
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
def test_on_a_node_the_proxy_in_use_is_taken(node, tmp_path):
    """Of several proxies the pods get the one that the node has, which need not be the first."""
    urls = (ProxyUrl("http", "first", 3128), ProxyUrl("http", "second", 3128))
    kept = tmp_path / "proxies.json"
    kept.write_text(json.dumps({"choice": choice_to_json(Choice(urls, urls[1]))}))
    inside = ["unshare", "--mount", "sh", "-euc", ON_THE_NODE, "sh", str(kept)]
    with MetadataService(Instance()) as service:
        seen = data(render(node, TWO, "--set=metadata.endpoint=" + service.endpoint, inside=inside))
    assert (seen["http_proxy"], seen["HTTPS_PROXY"]) == ("http://second:3128", "http://second:3128")


def test_elsewhere_the_first_of_several_proxies_is_taken_and_that_is_told(node):
    """Which of them serves only a node can find out."""
    done = render(node, TWO, "--facts", str(node.facts))
    assert data(done)["http_proxy"] == "http://first:3128"
    assert (
        "warning: proxy.url has 2 proxies, of which a node takes one that serves: the pods take the first" in done.err
    )
    assert "--from-node FILE" in done.err


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--set=proxy.url=[]"], 78, "proxy.url is not set"),
        (["--namespace=../x"], 2, '--namespace "../x" is no name of a namespace'),
        (["--manifest=x"], 2, "--manifest is for the patches"),
        (["--output=OUT", "--manifest=/nonexistent"], 1, "/nonexistent: cannot be read"),
        (["--output=OUT", "--manifest=GARBAGE"], 1, "is not YAML"),
        (["--output=OUT"], 1, "the containers of kube-system/daemonset/aws-node"),
        (["--set=proxy.credentials_file=CREDENTIALS"], 2, "render it to files (0600) with --output DIR"),
        (["--timeout=5"], 2, 'unknown option "--timeout"'),
        (["--request-timeout=0"], 2, "is not above 0"),
        (["--request-timeout=long"], 2, "'long' is not above 0"),
    ],
)
def test_wrong_use_is_told(node, tmp_path, flags, code, said):
    """Each ends with its code and what is wrong; nothing is written."""
    (tmp_path / "garbage").write_text("a: [")
    node.write("../credentials", b"me:s3cret\n", 0o600)
    for name in ("out", "garbage", "credentials"):
        flags = [flag.replace(name.upper(), str(tmp_path / name)) for flag in flags]
    done = render(node, "--facts", str(node.facts), *flags)
    assert (done.code, done.out) == (code, ""), done.both
    assert said in done.err
    assert not (tmp_path / "out").exists()


HEAD = "kind: DaemonSet\nmetadata: {namespace: kube-system, name: aws-node}\n"


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("kind: DaemonSet\nmetadata: [a]\n", "the containers of kube-system/daemonset/aws-node"),
        ("kind: DaemonSetList\nitems: 3\n", "the containers of kube-system/daemonset/aws-node"),
        (HEAD, "kube-system/daemonset/aws-node: its manifest is not"),
        (HEAD + "spec: {template: {spec: {containers: [{image: x}]}}}\n", "its manifest is not"),
        (HEAD + "spec: {template: {spec: {containers: [x]}}}\n", "its manifest is not"),
        (HEAD + "spec: {template: {spec: {containers: [{name: 2021-01-01}]}}}\n", "its manifest is not"),
    ],
)
def test_what_only_resembles_a_manifest_is_told(node, tmp_path, manifest, said):
    """A file that no API server has checked is named, and nothing is written."""
    (tmp_path / "manifest").write_text(manifest)
    flags = ["--output", str(tmp_path / "out"), "--manifest", str(tmp_path / "manifest")]
    done = render(node, "--facts", str(node.facts), "--set", 'cluster.workloads=["kube-system/ds/aws-node"]', *flags)
    assert (done.code, done.out) == (1, ""), done.both
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


MANIFESTS = [
    "--manifest=%s" % (REPOSITORY / "tests/cluster/manifests" / name) for name in ("aws-node.yaml", "kube-proxy.yaml")
]


def test_what_kubectl_says_of_the_proxy_has_no_password():
    """Only the end of a long error is told, and that may begin in the middle of the proxy's URL."""
    said = "proxyconnect http://alice:hunter2@proxy.corp:3128: "
    for behind in range(2000 - len(said), 2000):
        assert "2@proxy" not in log.redact(str(KubectlError("reading", said + "x" * behind)))


def test_a_file_in_the_place_of_the_directory_is_told(node, tmp_path):
    """The error names the flag, the path and the reason; the file stays as it is, and no command is
    printed.
    """
    (tmp_path / "file").write_text("mine")
    done = render(node, "--facts", str(node.facts), "--output", str(tmp_path / "file"), *MANIFESTS)
    assert (done.code, done.out) == (1, "")
    assert f"--output {tmp_path}/file: the directory cannot be made: File exists" in done.err
    assert (tmp_path / "file").read_text() == "mine"


def test_patches_of_manifests(node, tmp_path):
    """Every workload of the settings has its patch, and the commands that carry all out are
    printed.
    """
    done = render(node, "--facts", str(node.facts), "--output", str(tmp_path / "the output"), *MANIFESTS)
    assert done.code == 0, done.both
    named = {shlex.split(line)[-1] for line in done.out.splitlines()}
    assert named == {str(path) for path in (tmp_path / "the output").iterdir()}
    assert len(named) == 3
    patch = json.loads((tmp_path / "the output/kube-system-daemonset-aws-node.patch.json").read_text())
    assert sum(op["op"] == "add" and op["path"].endswith("/envFrom") for op in patch) == 3
