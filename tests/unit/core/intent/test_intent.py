"""The Intent: proxies, service CIDR, API server, variables and digest, composed from Settings,
Facts and hints.
"""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.facts.cluster_hints import ClusterInfo, first_known, from_arguments, from_node_configs
from agent.core.facts.instance import Facts
from agent.core.intent.intent import compose
from agent.core.net.proxy_url import Credentials
from agent.core.settings.layers import flag_layer, merge

FACTS = Facts(
    instance_id="i-0123456789abcdef0",
    mac="06:1d:5a:3b:7c:9e",
    vpc_cidrs_v4=("10.0.0.0/16",),
    vpc_cidrs_v6=(),
    region="eu-central-1",
    domain="amazonaws.com",
    partition="aws",
)
NODE_CONFIG = "kind: NodeConfig\nspec: {cluster: {apiServerEndpoint: https://config.corp, cidr: 10.96.0.0/12}}"
ARGUMENTS = ["c", "--apiserver-endpoint", "https://arguments.corp", "--service-ipv4-cidr", "10.88.0.0/16"]


def intent(*flags, facts=FACTS, hints=None, credentials=None):
    """The Intent of a node with these flags, where nothing is left to trying (test_direct.py has
    that).
    """
    explicit = ["proxy.url=http://proxy:3128", 'aws.direct=["ec2", "ecr", "s3"]', "cluster.endpoint_access=private"]
    settings = merge([flag_layer([*explicit, *flags])]).settings
    return compose(settings, facts, hints or ClusterInfo(), credentials)


def entries(intent, reason):
    """The values of NO_PROXY that have this reason."""
    return [entry.value for entry in intent.no_proxy if entry.reason == reason]


def test_without_a_proxy_there_is_no_intent():
    """No proxy.url is a valid state, in which nothing is written, whatever else is set."""
    assert intent("proxy.url=", "proxy.https_url=http://other:1", 'proxy.no_proxy=["a.corp"]') is None


def test_the_first_url_is_the_proxy():
    """Of a list the first one is used, for https:// too unless https_url says otherwise."""
    found = intent('proxy.url=["http://a:1", "http://b:2"]')
    assert (str(found.http_proxy), str(found.https_proxy)) == ("http://a:1", "http://a:1")
    found = intent("proxy.https_url=http://secure:2")
    assert (str(found.http_proxy), str(found.https_proxy)) == ("http://proxy:3128", "http://secure:2")


def test_every_source_has_its_reason():
    """VPC, services, AWS names and the owner's entries are there, each with its reason."""
    facts = attrs.evolve(FACTS, vpc_cidrs_v4=("10.0.0.0/16", "100.64.0.0/16"), vpc_cidrs_v6=("2600:1f16::/56",))
    found = intent('proxy.no_proxy=["nexus.corp"]', 'aws.direct=["sts"]', "cluster.domain=k8s.corp", facts=facts)
    assert entries(found, "vpc") == ["10.0.0.0/16", "100.64.0.0/16", "2600:1f16::/56"]
    assert entries(found, "aws:sts") == ["sts.eu-central-1.amazonaws.com"]
    assert entries(found, "owner") == ["nexus.corp"]
    assert entries(found, "cluster-domain") == [".svc", ".cluster.local", ".k8s.corp"]
    assert {entry.reason for entry in found.no_proxy} == {
        "loopback",
        "metadata",
        "credentials",
        "internal",
        "cluster-domain",
        "vpc",
        "service-cidr",
        "api-endpoint",
        "aws:sts",
        "owner",
    }


def test_the_owners_vpc_replaces_the_instances():
    """vpc.cidrs is taken instead of what the metadata service says, for the service CIDR's rule
    too.
    """
    found = intent('vpc.cidrs=["192.168.0.0/16", "fd00::/56"]')
    assert entries(found, "vpc") == ["192.168.0.0/16", "fd00::/56"]
    assert entries(found, "service-cidr") == ["10.100.0.0/16"]


@pytest.mark.parametrize(
    ("vpc", "service_cidr"),
    [
        (["10.0.0.0/16"], "172.20.0.0/16"),
        (["10.255.0.0/16"], "172.20.0.0/16"),
        (["10.0.0.0/8"], "172.20.0.0/16"),
        (["192.168.0.0/16", "10.1.0.0/16"], "172.20.0.0/16"),
        (["192.168.0.0/16"], "10.100.0.0/16"),
        (["172.31.0.0/16"], "10.100.0.0/16"),
        (["172.20.0.0/16"], "10.100.0.0/16"),
        (["11.0.0.0/16"], "10.100.0.0/16"),
        (["100.64.0.0/16"], "10.100.0.0/16"),
        ([], "10.100.0.0/16"),
    ],
)
def test_the_service_cidr_by_the_rule_of_eks(vpc, service_cidr):
    """EKS takes 172.20.0.0/16 when any CIDR of the VPC lies in 10.0.0.0/8, else 10.100.0.0/16; IPv6
    does not count.
    """
    facts = attrs.evolve(FACTS, vpc_cidrs_v4=tuple(vpc), vpc_cidrs_v6=("2600:1f16::/56",))
    assert entries(intent(facts=facts), "service-cidr") == [service_cidr]


def test_the_service_cidr_from_who_knows_best():
    """The owner's word counts most, then bootstrap.sh's arguments, then a NodeConfig, then the
    rule.
    """
    arguments, config = from_arguments(ARGUMENTS), from_node_configs([NODE_CONFIG])
    owner = intent("cluster.service_cidr=10.77.0.0/16", hints=first_known(arguments, config))
    assert entries(owner, "service-cidr") == ["10.77.0.0/16"]
    assert entries(intent(hints=first_known(arguments, config)), "service-cidr") == ["10.88.0.0/16"]
    assert entries(intent(hints=first_known(from_arguments(["c"]), config)), "service-cidr") == ["10.96.0.0/12"]
    assert entries(intent(hints=first_known(from_arguments(["c"]))), "service-cidr") == ["172.20.0.0/16"]


def test_both_service_cidrs_of_a_dual_stack_cluster():
    """Arguments may name an IPv4 and an IPv6 service CIDR; both are reached directly."""
    hints = from_arguments(["c", "--service-ipv6-cidr", "fd12::/108", "--service-ipv4-cidr", "10.88.0.0/16"])
    assert entries(intent(hints=hints), "service-cidr") == ["10.88.0.0/16", "fd12::/108"]


def test_the_api_server_from_who_knows_best():
    """A private API server is reached directly: the owner's host, the arguments', the NodeConfig's,
    else the suffix.
    """
    arguments, config = from_arguments(ARGUMENTS), from_node_configs([NODE_CONFIG])
    owner = intent("cluster.endpoint=https://owner.corp", hints=first_known(arguments, config))
    assert entries(owner, "api-endpoint") == ["owner.corp"]
    assert entries(intent(hints=first_known(arguments, config)), "api-endpoint") == ["arguments.corp"]
    assert entries(intent(hints=config), "api-endpoint") == ["config.corp"]
    assert entries(intent(), "api-endpoint") == [".eu-central-1.eks.amazonaws.com"]


def test_an_unknown_api_server_of_an_ipv6_cluster():
    """In a VPC with IPv6 the cluster may be one, and its API server has a dual-stack name: that
    suffix is there as well.
    """
    suffixes = [".eks-cluster.eu-central-1.api.aws", ".eu-central-1.eks.amazonaws.com"]
    facts = attrs.evolve(FACTS, vpc_cidrs_v6=("2600:1f16::/56",))
    assert entries(intent(facts=facts), "api-endpoint") == suffixes
    assert entries(intent('vpc.cidrs=["10.0.0.0/16", "2600:1f16::/56"]'), "api-endpoint") == suffixes


def test_an_api_server_of_an_ipv6_address_has_both_spellings():
    """Clients disagree on brackets, so both stand in the list."""
    found = intent("cluster.endpoint=https://[fd00::1]:443")
    assert entries(found, "api-endpoint") == ["fd00::1", "[fd00::1]"]


def test_a_public_api_server_takes_the_proxy():
    """With endpoint_access = "public" neither host nor suffix is in the list."""
    found = intent("cluster.endpoint_access=public", "cluster.endpoint=https://owner.corp")
    assert entries(found, "api-endpoint") == []
    assert not [entry for entry in found.no_proxy if "owner.corp" in entry.value or ".eks." in entry.value]


def test_names_follow_region_and_partition():
    """Nothing of the standard partition is left in China."""
    facts = attrs.evolve(FACTS, region="cn-north-1", domain="amazonaws.com.cn", partition="aws-cn")
    found = intent(facts=facts)
    names = [
        entry.value for entry in found.no_proxy if entry.reason.startswith("aws:") or entry.reason == "api-endpoint"
    ]
    assert len(names) > 5
    assert [name for name in names if "cn-north-1" not in name or not name.endswith(".com.cn")] == []


# --- variables, digest, secrets
# -------------------------------------------------------------------------------------


def test_the_variables_and_their_order():
    """Both cases, equal, the long ones last, so that a reader which stops at a long line has the
    others.
    """
    variables = intent("proxy.https_url=http://secure:2").variables(secret=False)
    assert [name for name, _ in variables] == "http_proxy HTTP_PROXY https_proxy HTTPS_PROXY no_proxy NO_PROXY".split()
    values = dict(variables)
    assert values["http_proxy"] == values["HTTP_PROXY"] == "http://proxy:3128"
    assert values["https_proxy"] == values["HTTPS_PROXY"] == "http://secure:2"
    assert values["no_proxy"] == values["NO_PROXY"]
    assert values["no_proxy"].startswith("localhost,127.0.0.1,::1,")


@given(st.text(min_size=1, max_size=20), st.text(min_size=8, max_size=20))
def test_credentials_are_in_the_secret_variables_only(user, password):
    """Without `secret` there is no trace of them; with it they are percent-encoded, in the four
    proxy variables.
    """
    found = intent("proxy.https_url=http://secure:2", credentials=Credentials(user, password))
    assert found.variables(secret=False) == intent("proxy.https_url=http://secure:2").variables(secret=False)
    secret = dict(found.variables(secret=True))
    assert secret["http_proxy"] == found.http_proxy.with_credentials(Credentials(user, password))
    assert secret["https_proxy"] == found.https_proxy.with_credentials(Credentials(user, password))
    assert secret["no_proxy"] == dict(found.variables(secret=False))["no_proxy"]
    assert all(value.isascii() and value.isprintable() and " " not in value for value in secret.values())


def test_repr_shows_no_credentials():
    """An Intent in a log by accident shows no password."""
    assert "hunter2" not in repr(intent(credentials=Credentials("alice", "hunter2")))


def test_the_digest_is_stable():
    """The same values have the same digest on every node and in every process: people compare nodes
    by it.
    """
    assert intent("aws.direct=[]").digest() == "560f8aa1ff87"


def test_the_digest_changes_with_what_is_believed():
    """Another proxy or another entry is another Intent; another instance with the same values is
    the same one.
    """
    digests = {
        intent().digest(),
        intent("proxy.url=http://other:3128").digest(),
        intent("proxy.https_url=http://other:3128").digest(),
        intent('proxy.no_proxy=["a.corp"]').digest(),
    }
    assert len(digests) == 4
    assert (
        intent(facts=attrs.evolve(FACTS, instance_id="i-11111111", mac="06:00:00:00:00:01")).digest()
        == intent().digest()
    )


def test_the_digest_knows_no_credentials():
    """A digest that is shown everywhere must not serve to guess a password."""
    assert intent(credentials=Credentials("alice", "hunter2")).digest() == intent().digest()


# --- warnings
# -------------------------------------------------------------------------------------------------------


def with_line_of(length):
    """An Intent whose line no_proxy=... has `length` bytes."""
    short = len("no_proxy=" + dict(intent("aws.direct=[]").variables(secret=False))["no_proxy"])
    missing, names = length - short, []
    while missing > 50:
        names.append(f"h{len(names):08}.corp.example.com")
        missing -= len(names[-1]) + 1
    names.append("z" * (missing - 1))
    found = intent("aws.direct=[]", "proxy.no_proxy=[{}]".format(",".join(f'"{name}"' for name in names)))
    assert len("no_proxy=" + dict(found.variables(secret=False))["no_proxy"]) == length
    return found


@pytest.mark.parametrize(
    ("length", "warning"),
    [
        (8190, None),
        (8191, "pam_env ignores lines over 8190"),
    ],
)
def test_warns_of_a_line_that_pam_ignores(length, warning):
    """A line over the limit of pam_env is warned of with its length."""
    warnings = with_line_of(length).warnings
    if warning is None:
        assert warnings == ()
    else:
        (text,) = warnings
        assert f"a line of {length} bytes" in text
        assert warning in text
