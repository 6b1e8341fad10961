"""Independent clients read from the embedded metadata service what the agent reads."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ec2_metadata
import pytest

from agent.core.facts.instance import Facts, facts_from_json
from agent.demo.instance import Instance, Interface
from agent.demo.metadata_service import MetadataService
from agent.edges.imds import MetadataClient

OTHER = Interface("06:00:00:00:00:01", ("192.168.0.0/16",))  # listed before the primary one
INSTANCES = {
    "frankfurt": Instance(user_data=b"#!/bin/sh\n"),
    "china, two interfaces": Instance(
        region="cn-north-1", partition="aws-cn", domain="amazonaws.com.cn", secondary=(OTHER,)
    ),
    "dual stack": Instance(vpc_cidrs_v6=("2600:1f16:67f:f200:0:0:0:0/56", "2600:1f16:67f:f300:0:0:0:0/56")),
}

WHY = "botocore for Python before 3.10 needs another urllib3 than the agent"


def with_botocore(test: Any) -> Any:
    """Mark a test with the fixture `botocore`; only an old Python excuses that it is missing."""
    return pytest.mark.impossible_here(WHY)(pytest.mark.skipif(sys.version_info < (3, 10), reason=WHY)(test))


@pytest.fixture
def botocore() -> Any:
    """Return the library."""
    import botocore.utils

    return botocore


@pytest.fixture(autouse=True)
def _no_proxy_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove proxy variables, which these clients obey."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=INSTANCES)
def service(request: pytest.FixtureRequest) -> Iterator[MetadataService]:
    """Yield the embedded service for each of some instances."""
    with MetadataService(INSTANCES[request.param]) as service:
        yield service


@pytest.fixture
def facts(service: MetadataService) -> Facts:
    """Return what the agent's own client reads."""
    return MetadataClient(service.endpoint, 30).fetch()


def test_ec2_metadata_reads_the_same(service: MetadataService, facts: Facts) -> None:
    """ec2-metadata finds the same instance, interface, VPC, region and user data."""
    theirs = ec2_metadata.EC2Metadata()
    theirs.service_url = service.endpoint + "/latest/"
    theirs.dynamic_url = theirs.service_url + "dynamic/"
    theirs.metadata_url = theirs.service_url + "meta-data/"
    theirs.userdata_url = theirs.service_url + "user-data/"
    interface = theirs.network_interfaces[theirs.mac]
    assert (
        Facts(
            instance_id=theirs.instance_id,
            mac=theirs.mac,
            vpc_cidrs_v4=tuple(interface.vpc_ipv4_cidr_blocks),
            vpc_cidrs_v6=tuple(block.replace(":0:0:0:0/", "::/") for block in interface.vpc_ipv6_cidr_blocks),
            region=theirs.region,
            domain=theirs.domain,
            partition=theirs.partition,
            account=theirs.account_id,
            user_data=theirs.user_data or b"",
        )
        == facts
    )
    assert theirs.account_id == service.instance.account
    assert set(theirs.network_interfaces) == {facts.mac} | {other.mac for other in service.instance.secondary}


@with_botocore
def test_botocore_reads_the_same(service: MetadataService, facts: Facts, botocore: Any) -> None:
    """botocore's IMDSFetcher, with version 1 disabled, reads the same values."""
    fetcher = botocore.utils.IMDSFetcher(base_url=service.endpoint, config={"ec2_metadata_v1_disabled": True})

    def read(path: str) -> str:
        token = fetcher._fetch_metadata_token()
        return str(fetcher._get_request("latest/meta-data/" + path, None, token=token).text)

    mac = read("mac")
    assert mac == facts.mac
    assert tuple(read(f"network/interfaces/macs/{mac}/vpc-ipv4-cidr-blocks").split("\n")) == facts.vpc_cidrs_v4
    assert read("instance-id") == facts.instance_id
    assert read("services/domain") == facts.domain
    assert mac + "/" in read("network/interfaces/macs/").split("\n")


@with_botocore
def test_botocore_finds_the_region(service: MetadataService, facts: Facts, botocore: Any) -> None:
    """botocore derives the region from the availability zone, whose path it ends with a slash."""
    fetcher = botocore.utils.InstanceMetadataRegionFetcher(base_url=service.endpoint)
    assert fetcher.retrieve_region() == facts.region


@with_botocore
def test_botocore_finds_the_role(service: MetadataService, botocore: Any) -> None:
    """The credentials of the instance role have the form that AWS clients expect."""
    fetcher = botocore.utils.InstanceMetadataFetcher(base_url=service.endpoint)
    assert fetcher.retrieve_iam_role_credentials()["role_name"] == service.instance.role


@with_botocore
def test_partitions_are_those_of_botocore(botocore: Any) -> None:
    """Partition and domain of each region that botocore knows are the same as botocore's."""
    text = (Path(botocore.__file__).parent / "data/endpoints.json").read_text(encoding="utf-8")
    regions = [
        (region, (partition["partition"], partition["dnsSuffix"]))
        for partition in json.loads(text)["partitions"]
        for region in partition["regions"]
    ]
    assert len(regions) > 30
    for region, expected in regions:
        document = {"instance_id": "i-0123456789abcdef0", "region": region, "vpc_cidrs_v4": ["10.0.0.0/16"]}
        facts = facts_from_json(json.dumps(document))
        assert (facts.partition, facts.domain) == expected, region
