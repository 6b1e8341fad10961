"""Which hosts the proxy is tried with."""

import json

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import facts_from_json
from agent.core.intent.intent import compose
from agent.core.intent.probe_targets import endpoints, first_endpoint
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
    """Settings from TOML."""
    return merge((parse_toml("config.toml", ('[proxy]\nurl = "http://p:1"\n' + text).encode()),)).settings


def of(text):
    """The endpoints, as HOST:PORT."""
    wanted = settings(text)
    intent = compose(wanted, FACTS, ClusterInfo())
    return ["{}:{}".format(*pair) for pair in endpoints(wanted, FACTS, intent)]


def test_auto_is_what_a_node_needs_in_its_region_and_partition():
    """EKS, both of ECR's, S3, STS, EC2 and CloudFormation, under the partition's domain."""
    assert of('[aws]\ndirect = []\n[cluster]\nendpoint_access = "public"') == [
        "eks.cn-north-1.amazonaws.com.cn:443",
        "api.ecr.cn-north-1.amazonaws.com.cn:443",
        "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn:443",
        "s3.cn-north-1.amazonaws.com.cn:443",
        "sts.cn-north-1.amazonaws.com.cn:443",
        "ec2.cn-north-1.amazonaws.com.cn:443",
        "cloudformation.cn-north-1.amazonaws.com.cn:443",
    ]


def test_auto_leaves_out_what_is_direct():
    """What NO_PROXY exempts never meets the proxy."""
    found = of('[aws]\ndirect = ["ecr", "eks", "s3", "sts"]')
    assert found == ["ec2.cn-north-1.amazonaws.com.cn:443", "cloudformation.cn-north-1.amazonaws.com.cn:443"]


def test_the_owner_s_list_is_taken_as_it_is():
    """Ports and IPv6 addresses too, and what is direct as well."""
    found = endpoints(settings('[check]\nendpoints = ["quay.io", "[fd00::1]:8443", "10.0.0.1"]'), FACTS, None)
    assert found == (("quay.io", 443), ("fd00::1", 8443), ("10.0.0.1", 443))
    assert of("[check]\nendpoints = []") == []


def test_there_is_always_one_to_tell_proxies_apart_with():
    """A node that reaches all of AWS directly still has a proxy to look after."""
    every = settings('[aws]\ndirect = ["cloudformation", "ec2", "ecr", "eks", "s3", "sts"]')
    assert first_endpoint(every, FACTS, compose(every, FACTS, ClusterInfo())) == (
        "eks.cn-north-1.amazonaws.com.cn",
        443,
    )
    none = settings("[check]\nendpoints = []")
    assert first_endpoint(none, FACTS, None) == ("sts.cn-north-1.amazonaws.com.cn", 443)
