"""NodeConfigs of user data and of /etc/eks/nodeadm.d: merged, refused, warned about."""

import pytest

from tests.integration.command_line import PROXY, Node

USER_DATA = """apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  cluster:
    name: blue
    apiServerEndpoint: https://ABC.gr7.eu-central-1.eks.amazonaws.com
    cidr: 10.100.0.0/16
"""
DROP_IN = "apiVersion: node.eks.aws/%s\nkind: NodeConfig\nspec: {cluster: {cidr: %s}}\n"
MULTIPART = """Content-Type: multipart/mixed; boundary=b

--b
Content-Type: application/node.eks.aws

"""


@pytest.fixture
def node(tmp_path):
    """Return a node whose user data is a NodeConfig."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[cluster]\nendpoint_access = "private"\n')
    node.be(user_data=USER_DATA)
    return node


def drop_in(node, name, text):
    """Write a file of /etc/eks/nodeadm.d."""
    node.write("etc/eks/nodeadm.d/" + name, text.encode())


def test_files_override_user_data_and_other_suffixes_are_ignored(node):
    """The last .yaml, .yml or .json has the service CIDR; the endpoint stays that of user data."""
    drop_in(node, "10-a.yaml", DROP_IN % ("v1alpha1", "10.101.0.0/16"))
    drop_in(node, "20-b.YML", MULTIPART + DROP_IN % ("v1alpha1", "10.102.0.0/16") + "---\n--b--\n")
    drop_in(node, "30-empty.json", "")
    drop_in(node, "40.yaml.rpmsave", "\x00")
    (node.root / "etc/eks/nodeadm.d/old").mkdir()
    assert node.main("apply").code == 0
    assert "10.102.0.0/16" in node.no_proxy()
    assert not {"10.100.0.0/16", "10.101.0.0/16"} & set(node.no_proxy())
    assert "abc.gr7.eu-central-1.eks.amazonaws.com" in node.no_proxy()


def test_another_version_of_the_same_api_is_read_and_another_api_refused(node):
    """A newer version has the cluster in the same place; another API is not for nodeadm."""
    drop_in(node, "10.yaml", DROP_IN % ("v1beta1", "10.103.0.0/16"))
    assert node.main("apply").code == 0
    assert "10.103.0.0/16" in node.no_proxy()
    drop_in(node, "10.yaml", DROP_IN.replace("node.eks.aws", "karpenter.k8s.aws") % ("v1", "10.104.0.0/16"))
    done = node.main("apply")
    assert done.code == 1
    assert '/etc/eks/nodeadm.d/10.yaml): apiVersion "karpenter.k8s.aws/v1" is not node.eks.aws/' in done.err
    assert "10.103.0.0/16" in node.no_proxy()


@pytest.mark.parametrize(
    ("user_data", "file", "message"),
    [
        (USER_DATA + " x: [", None, "NodeConfig (user data): line 8, column 2: invalid YAML"),
        (USER_DATA, "spec: {", "NodeConfig (/etc/eks/nodeadm.d/10.yaml): line 1, column 8: invalid YAML"),
        (USER_DATA, "kind: Pod", "NodeConfig (/etc/eks/nodeadm.d/10.yaml): kind is not NodeConfig"),
        (USER_DATA, "\x00\x01", "NodeConfig (/etc/eks/nodeadm.d/10.yaml): invalid YAML"),
    ],
)
def test_a_wrong_node_config_leaves_the_last_good_values(node, user_data, file, message):
    """The error names the NodeConfig and the place; nothing on the node changes."""
    assert node.main("apply").code == 0
    before = node.read("etc/eks-proxy-agent/node.env"), node.read("etc/environment"), node.read("etc/dnf/dnf.conf")
    node.be(user_data=user_data)
    if file:
        drop_in(node, "10.yaml", file)
    done = node.main("apply")
    assert done.code == 1
    assert message in done.err
    assert "Traceback" not in done.err
    assert before == (
        node.read("etc/eks-proxy-agent/node.env"),
        node.read("etc/environment"),
        node.read("etc/dnf/dnf.conf"),
    )


HIDING = """  instance:
    environment:
      default:
        HTTPS_PROXY: http://user:secret@x:1
        NO_PROXY: localhost,10.0.0.0/8
"""


def test_a_node_config_that_hides_the_metadata_service_is_a_failure(node):
    """`check` and `config check` fail and name the lines to delete; `apply` works and warns."""
    text = "NodeConfig (user data): NO_PROXY in spec.instance.environment.default lacks 169.254.169.254"
    remedy = "delete HTTPS_PROXY, NO_PROXY there: the agent sets these variables"
    node.be(user_data=USER_DATA + HIDING)
    applied = node.main("apply")
    assert applied.code == 0
    assert f"warning: {text}; {remedy}" in applied.err
    for command in (["config check"], ["check", "--only", "settings"]):
        done = node.main(*command)
        assert done.code == 1, done.both
        assert text in done.both
        assert remedy in done.both
        assert "secret" not in done.both
        assert done.both.count(text) == 1
    node.be(user_data=USER_DATA + HIDING.replace("10.0.0.0/8", "169.254.0.0/16"))
    assert node.main("config check").code == 0
    assert node.main("check", "--only", "settings").code == 0


def test_a_file_of_nodeadm_that_hides_the_metadata_service_is_named(node):
    """`config check` reads /etc/eks/nodeadm.d too."""
    node.be()
    drop_in(node, "10.yaml", DROP_IN.partition("spec")[0] % "v1alpha1" + "spec:\n" + HIDING)
    done = node.main("config check")
    assert done.code == 1, done.both
    assert "NodeConfig (/etc/eks/nodeadm.d/10.yaml): NO_PROXY in spec.instance.environment.default lacks" in done.err


def test_proxy_variables_in_a_node_config_are_warnings(node):
    """Each proxy variable in spec.instance.environment is a conflict, reported once."""
    environment = "  instance:\n    environment:\n      default: {https_proxy: 'http://x:1', TZ: UTC}\n      kubelet: {NO_PROXY: a}\n"
    node.be(user_data=USER_DATA + environment)
    done = node.main("apply")
    warnings = [line for line in done.err.splitlines() if "spec.instance.environment" in line]
    assert [line.partition(" in spec")[0] for line in warnings] == [
        'warning: NodeConfig sets "https_proxy" for "default"',
        'warning: NodeConfig sets "NO_PROXY" for "kubelet"',
    ]
    assert "http://x:1" not in done.both
