"""What is tried directly, and what follows."""

from __future__ import annotations

import attrs
import pytest

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import Facts
from agent.core.intent.intent import compose
from agent.core.intent.reachability import ProbeResult, candidates, is_private, services
from agent.core.net.aws_endpoints import SERVICES
from agent.core.settings.layers import Layer, merge
from agent.core.settings.schema import Settings

HOST = "abc.gr7.eu-central-1.eks.amazonaws.com"
FACTS = Facts("i-0123456789abcdef0", "", ("10.0.0.0/16",), (), "eu-central-1", "amazonaws.com", "aws", "111122223333")


def settings(direct: object = "auto", access: str = "auto") -> Settings:
    """Settings with a proxy."""
    data = {
        "proxy": {"url": "http://p:3128"},
        "aws": {"direct": direct},
        "cluster": {"endpoint_access": access, "endpoint": HOST},
    }
    return merge([Layer("test", data)]).settings


def test_every_name_of_a_node_s_services_is_a_candidate() -> None:
    """Regional and dual-stack names alike; registries are tried under the account's name."""
    hosts = {one.entry: one.host for one in candidates(settings(), FACTS, HOST)}
    assert hosts["s3.dualstack.eu-central-1.amazonaws.com"] == "s3.dualstack.eu-central-1.amazonaws.com"
    assert hosts["dkr.ecr.eu-central-1.amazonaws.com"] == "111122223333.dkr.ecr.eu-central-1.amazonaws.com"
    assert hosts[HOST] == HOST
    assert {"sts.eu-central-1.amazonaws.com", "logs.eu-central-1.amazonaws.com"} <= set(hosts)
    assert "cloudformation.eu-central-1.amazonaws.com" in hosts  # cfn-signal's; it has an interface endpoint too
    assert {one.service for one in candidates(settings(), FACTS, HOST)} == {*SERVICES, "api-endpoint"}


@pytest.mark.parametrize("access", ["private", "public"])
def test_explicit_settings_skip_the_question(access: str) -> None:
    """With a list of services and a word about the endpoint, nothing is asked."""
    assert candidates(settings(["s3"], access), FACTS, HOST) == ()


def test_only_what_answered_gets_in() -> None:
    """A service's names enter one by one, each for itself."""
    wanted = candidates(settings(), FACTS, "")
    answers = {"s3.eu-central-1.amazonaws.com": ProbeResult(True), "ec2.eu-central-1.amazonaws.com": ProbeResult(False)}
    assert services(wanted, answers) == (("s3", ("s3.eu-central-1.amazonaws.com",)),)


@pytest.mark.parametrize(
    ("answer", "private"),
    [
        (ProbeResult(True, ("203.0.113.1",)), True),
        (ProbeResult(False, ("203.0.113.1",)), False),
        (ProbeResult(False, ("10.0.7.1",)), True),
        (ProbeResult(False, ("fd00::1", "10.0.7.1")), True),
        (ProbeResult(False, ()), True),
        (None, True),
    ],
)
def test_the_api_server_is_private_when_it_answers_or_lies_in_the_vpc(
    answer: ProbeResult | None, private: bool
) -> None:
    """An address in the VPC is enough, the API server may not be up yet; so is none at all, DNS may
    be late.
    """
    answers = {HOST: answer} if answer else {}
    assert is_private(HOST, FACTS.vpc_cidrs_v4, answers) is private
    intent = compose(settings(), FACTS, ClusterInfo(), None, answers)
    assert intent is not None
    assert (HOST in [entry.value for entry in intent.no_proxy]) is private


def test_entries_say_that_they_were_tried() -> None:
    """The reason of an entry tells how it is known."""
    answers = {"s3.eu-central-1.amazonaws.com": ProbeResult(True)}
    intent = compose(settings(), FACTS, ClusterInfo(), None, answers)
    assert intent is not None
    reasons = [entry.reason for entry in intent.no_proxy if entry.value == "s3.eu-central-1.amazonaws.com"]
    assert reasons == ["direct:s3"]


def test_an_unknown_api_server_counts_as_private() -> None:
    """While nobody told the endpoint, the suffix of the region's endpoints stands for it."""
    unknown = attrs.evolve(settings(), cluster=attrs.evolve(settings().cluster, endpoint=""))
    intent = compose(unknown, FACTS, ClusterInfo())
    assert intent is not None
    found: tuple[str, ...] = tuple(entry.value for entry in intent.no_proxy if entry.reason == "api-endpoint")
    assert found == (".eu-central-1.eks.amazonaws.com",)
