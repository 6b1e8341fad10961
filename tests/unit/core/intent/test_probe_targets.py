"""Hosts for health checks of the proxy."""

import json

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import facts_from_json
from agent.core.intent.intent import compose
from agent.core.intent.probe_targets import endpoints, first_endpoint
from agent.core.record import evolve
from agent.core.settings.layers import merge, parse_toml

FACTS = facts_from_json(
    json.dumps(
        {
            "instance_id": "i-0123456789abcdef0",
            "region": "cn-north-1",
            "vpc_cidrs_v4": ["10.0.0.0/16"],
            "account": '{"accountId": "123456789012"}',
        }
    )
)


def settings(text):
    """Return settings from TOML."""
    return merge((parse_toml("config.toml", ('[proxy]\nurl = "http://p:1"\n' + text).encode()),)).settings


def of(text):
    """Return the endpoints as HOST:PORT."""
    parsed = settings(text)
    intent = compose(parsed, FACTS, ClusterInfo())
    return [f"{host}:{port}" for host, port in endpoints(parsed, FACTS, intent)]


def test_auto_has_the_endpoints_of_the_region_and_partition():
    """They are EKS, both of ECR, S3, STS, EC2 and CloudFormation, in the partition's domain."""
    assert of('[aws]\ndirect = []\n[cluster]\nendpoint_access = "public"') == [
        "eks.cn-north-1.amazonaws.com.cn:443",
        "api.ecr.cn-north-1.amazonaws.com.cn:443",
        "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn:443",
        "s3.cn-north-1.amazonaws.com.cn:443",
        "sts.cn-north-1.amazonaws.com.cn:443",
        "ec2.cn-north-1.amazonaws.com.cn:443",
        "cloudformation.cn-north-1.amazonaws.com.cn:443",
    ]


def test_auto_excludes_direct_endpoints():
    """Endpoints that NO_PROXY exempts never use the proxy."""
    targets = of('[aws]\ndirect = ["ecr", "eks", "s3", "sts"]')
    assert targets == ["ec2.cn-north-1.amazonaws.com.cn:443", "cloudformation.cn-north-1.amazonaws.com.cn:443"]


def test_list_of_the_operator_is_used_unchanged():
    """It may have ports, IPv6 addresses and direct hosts."""
    targets = endpoints(settings('[check]\nendpoints = ["quay.io", "[fd00::1]:8443", "10.0.0.1"]'), FACTS, None)
    assert targets == (("quay.io", 443), ("fd00::1", 8443), ("10.0.0.1", 443))
    assert of("[check]\nendpoints = []") == []


def test_there_is_always_an_endpoint_to_check_proxies_with():
    """A node that reaches all of AWS directly still checks its proxy."""
    every = settings('[aws]\ndirect = ["cloudformation", "ec2", "ecr", "eks", "s3", "sts"]')
    assert first_endpoint(every, FACTS, compose(every, FACTS, ClusterInfo())) == (
        "eks.cn-north-1.amazonaws.com.cn",
        443,
    )
    none = settings("[check]\nendpoints = []")
    assert first_endpoint(none, FACTS, None) == ("sts.cn-north-1.amazonaws.com.cn", 443)


def test_fips_kernel_checks_fips_endpoints_where_they_exist():
    """Clients on such a kernel use them; there are none in China or Frankfurt."""
    text = '[aws]\ndirect = []\n[cluster]\nendpoint_access = "public"'
    place = {"region": "us-east-1", "domain": "amazonaws.com", "partition": "aws", "fips": True}
    facts = evolve(FACTS, **place)
    assert [host for host, _ in endpoints(settings(text), facts, None)] == [
        "fips.eks.us-east-1.amazonaws.com",
        "api.ecr-fips.us-east-1.amazonaws.com",
        "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
        "s3-fips.us-east-1.amazonaws.com",
        "sts-fips.us-east-1.amazonaws.com",
        "ec2-fips.us-east-1.amazonaws.com",
        "cloudformation-fips.us-east-1.amazonaws.com",
    ]
    for region, domain, partition in (
        ("eu-central-1", "amazonaws.com", "aws"),
        ("cn-north-1", "amazonaws.com.cn", "aws-cn"),
    ):
        plain = evolve(facts, region=region, domain=domain, partition=partition, fips=False)
        fips = evolve(plain, fips=True)
        assert endpoints(settings(text), fips, None) == endpoints(settings(text), plain, None)
