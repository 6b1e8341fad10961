"""Candidates for direct access, and the conclusions from their probes."""

from __future__ import annotations

import pytest

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import Facts
from agent.core.intent.intent import compose
from agent.core.intent.reachability import ProbeResult, candidates, direct_services, is_private
from agent.core.net.aws_endpoints import SERVICES
from agent.core.record import evolve
from agent.core.settings.layers import Layer, merge
from agent.core.settings.schema import Settings

HOST = "abc.gr7.eu-central-1.eks.amazonaws.com"
FACTS = Facts("i-0123456789abcdef0", "", ("10.0.0.0/16",), (), "eu-central-1", "amazonaws.com", "aws", "111122223333")


def settings(direct: object = "auto", access: str = "auto") -> Settings:
    """Return settings with a proxy."""
    data = {
        "proxy": {"url": "http://p:3128"},
        "aws": {"direct": direct},
        "cluster": {"endpoint_access": access, "endpoint": HOST},
    }
    return merge([Layer("test", data)]).settings


def test_every_name_of_a_service_is_a_candidate() -> None:
    """Regional and dual-stack names are candidates; a registry is probed by the account's name."""
    hosts = {candidate.entry: candidate.host for candidate in candidates(settings(), FACTS, HOST)}
    assert hosts["s3.dualstack.eu-central-1.amazonaws.com"] == "s3.dualstack.eu-central-1.amazonaws.com"
    assert hosts["dkr.ecr.eu-central-1.amazonaws.com"] == "111122223333.dkr.ecr.eu-central-1.amazonaws.com"
    assert hosts[HOST] == HOST
    assert {"sts.eu-central-1.amazonaws.com", "logs.eu-central-1.amazonaws.com"} <= set(hosts)
    assert "cloudformation.eu-central-1.amazonaws.com" in hosts  # cfn-signal's; it has an interface endpoint too
    assert {candidate.service for candidate in candidates(settings(), FACTS, HOST)} == {*SERVICES, "api-endpoint"}


@pytest.mark.parametrize("access", ["private", "public"])
def test_explicit_settings_need_no_probes(access: str) -> None:
    """With explicit services and endpoint access there are no candidates."""
    assert candidates(settings(["s3"], access), FACTS, HOST) == ()


def test_only_direct_names_are_in_the_list() -> None:
    """Each name of a service is probed on its own."""
    probed = candidates(settings(), FACTS, "")
    results = {"s3.eu-central-1.amazonaws.com": ProbeResult(True), "ec2.eu-central-1.amazonaws.com": ProbeResult(False)}
    assert direct_services(probed, results) == (("s3", ("s3.eu-central-1.amazonaws.com",)),)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (ProbeResult(True, ("203.0.113.1",)), True),
        (ProbeResult(False, ("203.0.113.1",)), False),
        (ProbeResult(False, ("10.0.7.1",)), True),
        (ProbeResult(False, ("fd00::1", "10.0.7.1")), True),
        (ProbeResult(False, ()), True),
        (None, True),
    ],
)
def test_api_server_is_private_if_direct_or_in_the_vpc(result: ProbeResult | None, expected: bool) -> None:
    """The API server or DNS may not be up yet: an address in the VPC, or none, is enough."""
    results = {HOST: result} if result else {}
    assert is_private(HOST, FACTS.vpc_cidrs_v4, results) is expected
    intent = compose(settings(), FACTS, ClusterInfo(), None, results)
    assert intent is not None
    assert (HOST in [entry.value for entry in intent.no_proxy]) is expected


def test_reason_of_a_probed_entry() -> None:
    """The reason shows that the entry was probed."""
    results = {"s3.eu-central-1.amazonaws.com": ProbeResult(True)}
    intent = compose(settings(), FACTS, ClusterInfo(), None, results)
    assert intent is not None
    reasons = [entry.reason for entry in intent.no_proxy if entry.value == "s3.eu-central-1.amazonaws.com"]
    assert reasons == ["direct:s3"]


def test_unknown_api_server_counts_as_private() -> None:
    """While the endpoint is unknown, the suffix of the region's endpoints is in the list."""
    unknown = evolve(settings(), cluster=evolve(settings().cluster, endpoint=""))
    intent = compose(unknown, FACTS, ClusterInfo())
    assert intent is not None
    endpoints: tuple[str, ...] = tuple(entry.value for entry in intent.no_proxy if entry.reason == "api-endpoint")
    assert endpoints == (".eu-central-1.eks.amazonaws.com",)


def test_fips_names_are_candidates_on_a_fips_kernel() -> None:
    """A registry is probed by the account's name, also that of its FIPS endpoint."""
    facts = evolve(FACTS, region="us-east-1")
    plain = {candidate.entry: candidate.host for candidate in candidates(settings(), facts, "")}
    fips = {candidate.entry: candidate.host for candidate in candidates(settings(), evolve(facts, fips=True), "")}
    added = {entry: host for entry, host in fips.items() if entry not in plain}
    assert plain.items() <= fips.items()
    assert all("fips" in entry for entry in added)
    assert added["dkr.ecr-fips.us-east-1.amazonaws.com"] == "111122223333.dkr.ecr-fips.us-east-1.amazonaws.com"
    assert added["sts-fips.us-east-1.amazonaws.com"] == "sts-fips.us-east-1.amazonaws.com"


def test_single_host_is_direct_without_the_other_names_of_its_service() -> None:
    """eks.REGION.amazonaws.com may have an endpoint where eks.REGION.api.aws has none."""
    host = "eks.eu-central-1.amazonaws.com"
    intent = compose(settings(["s3", host], "public"), FACTS, ClusterInfo())
    assert intent is not None
    entries = {entry.value: entry.reason for entry in intent.no_proxy if entry.reason.startswith("aws:")}
    assert entries[host] == "aws:" + host
    assert "eks.eu-central-1.api.aws" not in entries
    assert entries["s3.eu-central-1.amazonaws.com"] == "aws:s3"
