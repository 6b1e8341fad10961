"""AWS names by region and partition, compared with botocore, which Amazon maintains."""

import sys
from urllib.parse import urlsplit

import pytest

from agent.core.net.aws_endpoints import SERVICES, cluster_endpoint_suffixes, service_names
from agent.core.noproxy.entries import parse_operator_entry

PLACES = [
    ("us-east-1", "amazonaws.com", "aws"),
    ("eu-central-1", "amazonaws.com", "aws"),
    ("mx-central-1", "amazonaws.com", "aws"),
    ("cn-north-1", "amazonaws.com.cn", "aws-cn"),
    ("cn-northwest-1", "amazonaws.com.cn", "aws-cn"),
    ("us-gov-east-1", "amazonaws.com", "aws-us-gov"),
    ("us-gov-west-1", "amazonaws.com", "aws-us-gov"),
    ("us-iso-east-1", "c2s.ic.gov", "aws-iso"),
]

#: Service names of the agent and of botocore, where they differ.
CLIENTS = {"elasticfilesystem": ("efs",), "elasticloadbalancing": ("elb", "elbv2"), "monitoring": ("cloudwatch",)}

#: Names that botocore does not have: registries (for docker), the SSM agent's own channels, and
#: S3's old names.
NOT_IN_BOTOCORE = ("dkr.ecr", "dkr-ecr", "ssmmessages", "ec2messages", "s3-", "s3.amazonaws.com")


TOO_OLD = "the last botocore for Python before 3.10 lacks current dual-stack names"


def covered(host, names):
    """Return True if NO_PROXY with these names exempts `host`."""
    return any(host == name or host.endswith("." + name) for name in names)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[0])
def test_names_are_portable_entries(service, place):
    """Each name is a valid entry of NO_PROXY without a leading dot, so it covers its subdomains."""
    names = service_names(service, *place)
    assert list(names) == sorted(set(names))
    for name in names:
        assert parse_operator_entry(name).spellings == (name,)
        assert not name.startswith(".")
        assert place[0] in name or name == "s3.amazonaws.com"


def test_names_of_the_default_services_in_frankfurt():
    """The three default services have these names in the standard partition."""
    place = ("eu-central-1", "amazonaws.com", "aws")
    assert service_names("ec2", *place) == ("ec2.eu-central-1.amazonaws.com", "ec2.eu-central-1.api.aws")
    assert service_names("ecr", *place) == (
        "api.ecr.eu-central-1.amazonaws.com",
        "dkr-ecr.eu-central-1.on.aws",
        "dkr.ecr.eu-central-1.amazonaws.com",
        "ecr.eu-central-1.api.aws",
    )
    assert service_names("s3", *place) == (
        "s3-eu-central-1.amazonaws.com",
        "s3.amazonaws.com",
        "s3.dualstack.eu-central-1.amazonaws.com",
        "s3.eu-central-1.amazonaws.com",
    )


@pytest.mark.parametrize(
    ("service", "host"),
    [
        ("s3", "my-bucket.s3.eu-central-1.amazonaws.com"),
        ("s3", "al2023-repos-eu-central-1-de612dc2.s3.dualstack.eu-central-1.amazonaws.com"),
        ("s3", "my-bucket.s3.amazonaws.com"),
        ("s3", "my-bucket.s3-eu-central-1.amazonaws.com"),
        ("ecr", "111122223333.dkr.ecr.eu-central-1.amazonaws.com"),
        ("ecr", "111122223333.dkr-ecr.eu-central-1.on.aws"),
        ("ssm", "ssmmessages.eu-central-1.amazonaws.com"),
        ("ssm", "ec2messages.eu-central-1.amazonaws.com"),
    ],
)
def test_names_cover_subdomains(service, host):
    """Buckets, registries, Amazon Linux's repositories and the SSM agent's channels are covered."""
    assert covered(host, service_names(service, "eu-central-1", "amazonaws.com", "aws"))


def test_china_has_no_names_of_the_standard_partition():
    """S3's global name does not exist in China, and dual-stack names differ."""
    names = [
        name for service in SERVICES for name in service_names(service, "cn-north-1", "amazonaws.com.cn", "aws-cn")
    ]
    assert [name for name in names if not name.endswith(".com.cn")] == []


@pytest.mark.parametrize(
    ("place", "ipv6", "suffixes"),
    [
        (("cn-north-1", "amazonaws.com.cn", "aws-cn"), False, [".cn-north-1.eks.amazonaws.com.cn"]),
        (
            ("cn-north-1", "amazonaws.com.cn", "aws-cn"),
            True,
            [".cn-north-1.eks.amazonaws.com.cn", ".eks-cluster.cn-north-1.api.amazonwebservices.com.cn"],
        ),
        (
            ("us-gov-west-1", "amazonaws.com", "aws-us-gov"),
            True,
            [".us-gov-west-1.eks.amazonaws.com", ".eks-cluster.us-gov-west-1.api.aws"],
        ),
        (("us-iso-east-1", "c2s.ic.gov", "aws-iso"), True, [".us-iso-east-1.eks.c2s.ic.gov"]),
    ],
)
def test_suffixes_of_cluster_endpoints(place, ipv6, suffixes):
    """Suffixes with a leading dot cover every cluster of the region, IPv6 clusters too."""
    assert list(cluster_endpoint_suffixes(*place, ipv6=ipv6)) == suffixes


# --- compared with botocore ---


@pytest.fixture(scope="module")
def botocore_host():
    """Return a function (client, region, parameters) → host, with botocore's endpoint rules."""
    if sys.version_info < (3, 10):
        pytest.skip(TOO_OLD)
    from botocore.endpoint_provider import EndpointProvider
    from botocore.loaders import Loader

    loader = Loader()
    partitions, providers = loader.load_data("partitions"), {}

    def resolve(client, region, *, dual_stack=False, fips=False, **parameters):
        if client not in providers:
            rules = loader.load_service_model(client, "endpoint-rule-set-1")
            providers[client] = EndpointProvider(rules, partitions)
        if client in ("s3", "sts"):
            parameters.setdefault("UseGlobalEndpoint", False)
        parameters = {"Region": region, "UseFIPS": fips, "UseDualStack": dual_stack, **parameters}
        url = providers[client].resolve_endpoint(**parameters).url
        return urlsplit(url).hostname

    return resolve


@pytest.mark.impossible_here(TOO_OLD)
@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[0])
def test_names_equal_those_of_botocore(service, place, botocore_host):
    """The hosts of AWS's own client are covered, and no other API host is in the list."""
    names = service_names(service, *place)
    clients = CLIENTS.get(service, (service,))
    standard = {botocore_host(client, place[0]) for client in clients}
    assert all(covered(host, names) for host in standard)
    if place[2] == "aws-iso":  # no dual-stack there
        return
    dual = {botocore_host(client, place[0], dual_stack=True) for client in clients}
    assert {name for name in names if not name.startswith(NOT_IN_BOTOCORE)} <= standard | dual


@pytest.mark.impossible_here(TOO_OLD)
@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[0])
def test_fips_names_equal_those_of_botocore(service, place, botocore_host):
    """The hosts that AWS's client uses with FIPS are covered, in the regions that have them."""
    plain, names = service_names(service, *place), service_names(service, *place, fips=True)
    if not place[0].startswith(("us-east", "us-gov")):
        assert names == plain
        return
    clients = CLIENTS.get(service, (service,))
    standard = {botocore_host(client, place[0], fips=True) for client in clients}
    assert all(covered(host, names) for host in standard)
    dual = {botocore_host(client, place[0], fips=True, dual_stack=True) for client in clients}
    added = {name for name in set(names) - set(plain) if not name.startswith(NOT_IN_BOTOCORE)}
    assert added <= standard | dual


def test_fips_names_in_virginia():
    """Registries have them too; eks puts the word first."""
    place = ("us-east-1", "amazonaws.com", "aws")
    added = {name for service in ("ecr", "eks", "s3", "eks-auth") for name in service_names(service, *place, fips=True)}
    assert {name for name in added if "fips" in name} == {
        "api.ecr-fips.us-east-1.amazonaws.com",
        "dkr.ecr-fips.us-east-1.amazonaws.com",
        "ecr-fips.us-east-1.api.aws",
        "dkr-ecr-fips.us-east-1.on.aws",
        "fips.eks.us-east-1.amazonaws.com",
        "eks-fips.us-east-1.api.aws",
        "s3-fips.us-east-1.amazonaws.com",
        "s3-fips.dualstack.us-east-1.amazonaws.com",
        "eks-auth-fips.us-east-1.api.aws",
    }


@pytest.mark.impossible_here(TOO_OLD)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[0])
def test_buckets_of_botocore_are_covered(place, botocore_host):
    """A bucket is direct by its regional name, its dual-stack name and its path."""
    names = service_names("s3", *place)
    for options in ({}, {"dual_stack": True}, {"ForcePathStyle": True}):
        if not (place[2] == "aws-iso" and options.get("dual_stack")):
            assert covered(botocore_host("s3", place[0], Bucket="my-bucket", **options), names)


@pytest.mark.impossible_here(TOO_OLD)
def test_global_bucket_name_of_botocore_is_covered(botocore_host):
    """The global name of S3, which older SDKs use in us-east-1, is covered."""
    names = service_names("s3", "us-east-1", "amazonaws.com", "aws")
    host = botocore_host("s3", "us-east-1", Bucket="my-bucket", UseGlobalEndpoint=True)
    assert host == "my-bucket.s3.amazonaws.com"
    assert covered(host, names)
