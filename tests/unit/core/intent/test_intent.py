"""The Intent: proxies, service CIDR, API server, variables, digest and warnings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.facts.cluster_hints import ClusterInfo, first_known, from_arguments, from_node_configs
from agent.core.facts.instance import Facts
from agent.core.intent.intent import compose
from agent.core.net.proxy_url import Credentials
from agent.core.record import evolve
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
    """Return the Intent of a node with these flags, without probes (see test_reachability.py)."""
    explicit = ["proxy.url=http://proxy:3128", 'aws.direct=["ec2", "ecr", "s3"]', "cluster.endpoint_access=private"]
    settings = merge([flag_layer([*explicit, *flags])]).settings
    return compose(settings, facts, hints or ClusterInfo(), credentials)


def entries(intent, reason):
    """Return the values of NO_PROXY with this reason."""
    return [entry.value for entry in intent.no_proxy if entry.reason == reason]


def test_no_intent_without_a_proxy():
    """Without proxy.url nothing is written, whatever else is set; that is a valid state."""
    assert intent("proxy.url=", "proxy.https_url=http://other:1", 'proxy.no_proxy=["a.corp"]') is None


def test_first_url_is_the_proxy():
    """The first of a list is used, for https too unless https_url is set."""
    composed = intent('proxy.url=["http://a:1", "http://b:2"]')
    assert (str(composed.http_proxy), str(composed.https_proxy)) == ("http://a:1", "http://a:1")
    composed = intent("proxy.https_url=http://secure:2")
    assert (str(composed.http_proxy), str(composed.https_proxy)) == ("http://proxy:3128", "http://secure:2")


def test_every_source_has_its_reason():
    """VPC, services, AWS names and the operator's entries each have a reason."""
    facts = evolve(FACTS, vpc_cidrs_v4=("10.0.0.0/16", "100.64.0.0/16"), vpc_cidrs_v6=("2600:1f16::/56",))
    composed = intent('proxy.no_proxy=["nexus.corp"]', 'aws.direct=["sts"]', "cluster.domain=k8s.corp", facts=facts)
    assert entries(composed, "vpc") == ["10.0.0.0/16", "100.64.0.0/16", "2600:1f16::/56"]
    assert entries(composed, "aws:sts") == ["sts.eu-central-1.amazonaws.com"]
    assert entries(composed, "owner") == ["nexus.corp"]
    assert entries(composed, "cluster-domain") == [".svc", ".cluster.local", ".k8s.corp"]
    assert {entry.reason for entry in composed.no_proxy} == {
        "loopback",
        "metadata",
        "credentials",
        "internal",
        "cluster-domain",
        "vpc",
        "service-cidr",
        "service-address",
        "api-endpoint",
        "aws:sts",
        "owner",
    }


def test_vpc_cidrs_of_the_settings_replace_the_facts():
    """They also decide the default service CIDR."""
    composed = intent('vpc.cidrs=["192.168.0.0/16", "fd00::/56"]')
    assert entries(composed, "vpc") == ["192.168.0.0/16", "fd00::/56"]
    assert entries(composed, "service-cidr") == ["10.100.0.0/16"]


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
def test_default_service_cidr_is_that_of_eks(vpc, service_cidr):
    """EKS chooses 172.20.0.0/16 if an IPv4 CIDR of the VPC is in 10.0.0.0/8, else 10.100.0.0/16."""
    facts = evolve(FACTS, vpc_cidrs_v4=tuple(vpc), vpc_cidrs_v6=("2600:1f16::/56",))
    assert entries(intent(facts=facts), "service-cidr") == [service_cidr]


def test_precedence_of_the_service_cidr():
    """The order is: settings, arguments of bootstrap.sh, NodeConfig, EKS's default."""
    arguments, config = from_arguments(ARGUMENTS), from_node_configs([NODE_CONFIG])
    explicit = intent("cluster.service_cidr=10.77.0.0/16", hints=first_known(arguments, config))
    assert entries(explicit, "service-cidr") == ["10.77.0.0/16"]
    assert entries(intent(hints=first_known(arguments, config)), "service-cidr") == ["10.88.0.0/16"]
    assert entries(intent(hints=first_known(from_arguments(["c"]), config)), "service-cidr") == ["10.96.0.0/12"]
    assert entries(intent(hints=first_known(from_arguments(["c"]))), "service-cidr") == ["172.20.0.0/16"]


def test_both_service_cidrs_of_a_dual_stack_cluster():
    """Arguments may have an IPv4 and an IPv6 service CIDR; both are direct."""
    hints = from_arguments(["c", "--service-ipv6-cidr", "fd12::/108", "--service-ipv4-cidr", "10.88.0.0/16"])
    assert entries(intent(hints=hints), "service-cidr") == ["10.88.0.0/16", "fd12::/108"]
    assert entries(intent(hints=hints), "service-address") == ["10.88.0.1", "fd12::1", "[fd12::1]"]


def test_pod_cidrs_of_an_overlay_network():
    """They are direct besides the VPC, canonical and sorted."""
    composed = intent('vpc.pod_cidrs=["192.168.7.1/16", "10.244.0.0/16"]')
    assert entries(composed, "pod-cidr") == ["10.244.0.0/16", "192.168.0.0/16"]
    assert entries(composed, "vpc") == ["10.0.0.0/16"]
    assert entries(intent(), "pod-cidr") == []


def test_precedence_of_the_api_server():
    """The order is: settings, arguments of bootstrap.sh, NodeConfig, the suffix of the region."""
    arguments, config = from_arguments(ARGUMENTS), from_node_configs([NODE_CONFIG])
    explicit = intent("cluster.endpoint=https://settings.corp", hints=first_known(arguments, config))
    assert entries(explicit, "api-endpoint") == ["settings.corp"]
    assert entries(intent(hints=first_known(arguments, config)), "api-endpoint") == ["arguments.corp"]
    assert entries(intent(hints=config), "api-endpoint") == ["config.corp"]
    assert entries(intent(), "api-endpoint") == [".eu-central-1.eks.amazonaws.com"]


def test_unknown_api_server_of_an_ipv6_cluster():
    """In a VPC with IPv6 the suffix of dual-stack names is in the list too."""
    suffixes = [".eks-cluster.eu-central-1.api.aws", ".eu-central-1.eks.amazonaws.com"]
    facts = evolve(FACTS, vpc_cidrs_v6=("2600:1f16::/56",))
    assert entries(intent(facts=facts), "api-endpoint") == suffixes
    assert entries(intent('vpc.cidrs=["10.0.0.0/16", "2600:1f16::/56"]'), "api-endpoint") == suffixes


def test_ipv6_address_of_the_api_server_has_both_spellings():
    """Clients disagree on brackets."""
    composed = intent("cluster.endpoint=https://[fd00::1]:443")
    assert entries(composed, "api-endpoint") == ["fd00::1", "[fd00::1]"]


def test_public_api_server_uses_the_proxy():
    """With endpoint_access = "public" neither host nor suffix is in the list."""
    composed = intent("cluster.endpoint_access=public", "cluster.endpoint=https://api.corp")
    assert entries(composed, "api-endpoint") == []
    assert not [entry for entry in composed.no_proxy if "api.corp" in entry.value or ".eks." in entry.value]


def test_names_follow_region_and_partition():
    """In China no name is of the standard partition."""
    facts = evolve(FACTS, region="cn-north-1", domain="amazonaws.com.cn", partition="aws-cn")
    composed = intent(facts=facts)
    names = [
        entry.value for entry in composed.no_proxy if entry.reason.startswith("aws:") or entry.reason == "api-endpoint"
    ]
    assert len(names) > 5
    assert [name for name in names if "cn-north-1" not in name or not name.endswith(".com.cn")] == []


# --- variables, digest, secrets ---


def test_variables_and_their_order():
    """Both spellings are equal; the long variables are last, because a reader may stop at them."""
    variables = intent("proxy.https_url=http://secure:2").variables(secret=False)
    assert [name for name, _ in variables] == "http_proxy HTTP_PROXY https_proxy HTTPS_PROXY no_proxy NO_PROXY".split()
    values = dict(variables)
    assert values["http_proxy"] == values["HTTP_PROXY"] == "http://proxy:3128"
    assert values["https_proxy"] == values["HTTPS_PROXY"] == "http://secure:2"
    assert values["no_proxy"] == values["NO_PROXY"]
    assert values["no_proxy"].startswith("localhost,127.0.0.1,::1,")


@given(st.text(min_size=1, max_size=20), st.text(min_size=8, max_size=20))
def test_credentials_are_in_the_secret_variables_only(user, password):
    """With `secret` they are percent-encoded, in the four variables of proxies."""
    composed = intent("proxy.https_url=http://secure:2", credentials=Credentials(user, password))
    assert composed.variables(secret=False) == intent("proxy.https_url=http://secure:2").variables(secret=False)
    secret = dict(composed.variables(secret=True))
    assert secret["http_proxy"] == composed.http_proxy.with_credentials(Credentials(user, password))
    assert secret["https_proxy"] == composed.https_proxy.with_credentials(Credentials(user, password))
    assert secret["no_proxy"] == dict(composed.variables(secret=False))["no_proxy"]
    assert all(value.isascii() and value.isprintable() and " " not in value for value in secret.values())


def test_repr_shows_no_credentials():
    """An Intent that is logged by accident has no password."""
    assert "hunter2" not in repr(intent(credentials=Credentials("alice", "hunter2")))


def test_digest_is_stable():
    """The same values have the same digest on every node, so nodes can be compared."""
    assert intent("aws.direct=[]").digest() == "49864c064db1"


def test_digest_changes_with_the_values():
    """Another proxy or entry has another digest; another instance with the same values has not."""
    digests = {
        intent().digest(),
        intent("proxy.url=http://other:3128").digest(),
        intent("proxy.https_url=http://other:3128").digest(),
        intent('proxy.no_proxy=["a.corp"]').digest(),
    }
    assert len(digests) == 4
    assert intent(facts=evolve(FACTS, instance_id="i-11111111", mac="06:00:00:00:00:01")).digest() == intent().digest()


def test_digest_does_not_include_credentials():
    """The digest is public, so a password must not be guessed from it."""
    assert intent(credentials=Credentials("alice", "hunter2")).digest() == intent().digest()


# --- warnings ---


def with_line_of(length):
    """Return an Intent whose line no_proxy=... has `length` bytes."""
    short = len("no_proxy=" + dict(intent("aws.direct=[]").variables(secret=False))["no_proxy"])
    missing, names = length - short, []
    while missing > 50:
        names.append(f"h{len(names):08}.corp.example.com")
        missing -= len(names[-1]) + 1
    names.append("z" * (missing - 1))
    composed = intent("aws.direct=[]", "proxy.no_proxy=[{}]".format(",".join(f'"{name}"' for name in names)))
    assert len("no_proxy=" + dict(composed.variables(secret=False))["no_proxy"]) == length
    return composed


@pytest.mark.parametrize(
    ("length", "warning"),
    [
        (8190, None),
        (8191, "pam_env ignores a line over 8190 bytes"),
    ],
)
def test_warning_about_a_line_that_pam_env_ignores(length, warning):
    """The warning has the length of the line."""
    warnings = with_line_of(length).warnings
    if warning is None:
        assert warnings == ()
    else:
        (text,) = warnings
        assert f"has {length} bytes" in text
        assert warning in text


@pytest.mark.parametrize(("password", "warned"), [("p%40ss", True), ("100%", False), ("p@ss", False)])
def test_warning_about_percent_encoded_credentials(password, warned):
    """They would be encoded twice; the warning repeats nothing of them."""
    warnings = [text for text in intent(credentials=Credentials("alice", password)).warnings if "percent" in text]
    assert bool(warnings) is warned
    assert not any("alice" in text or "%40" in text for text in warnings)
