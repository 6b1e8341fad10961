"""Scripts of user data that call bootstrap.sh: literal words are read, nothing is evaluated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.facts.bootstrap_script import literal_words
from agent.core.facts.cluster_hints import ClusterInfo, first_known, from_node_configs, from_scripts

URL = "https://ABC.gr7.eu-central-1.eks.amazonaws.com"
HOST = "abc.gr7.eu-central-1.eks.amazonaws.com"
#: As EKS writes it into the user data of a managed node group.
MANAGED = f"""#!/bin/bash
set -ex
B64_CLUSTER_CA=Zg==
API_SERVER_URL={URL}
K8S_CLUSTER_DNS_IP=10.100.0.10
/etc/eks/bootstrap.sh c --kubelet-extra-args '--node-labels=a=b --max-pods=17' --b64-cluster-ca $B64_CLUSTER_CA \
--apiserver-endpoint $API_SERVER_URL --dns-cluster-ip $K8S_CLUSTER_DNS_IP --use-max-pods false
"""


def test_script_of_a_managed_node_group() -> None:
    """API server and service CIDR are known from the two assignments."""
    assert from_scripts([MANAGED]) == ClusterInfo(
        endpoint=HOST,
        service_cidrs=("10.100.0.0/16",),
        source="bootstrap.sh in user data",
        dns_address="10.100.0.10",
    )


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (f"/etc/eks/bootstrap.sh c --apiserver-endpoint {URL}", {"endpoint": HOST}),
        (f"/etc/eks/bootstrap.sh c --apiserver-endpoint='{URL}'; echo", {"endpoint": HOST}),
        (f'export API_SERVER_URL="{URL}" && echo', {"endpoint": HOST}),
        (f"bootstrap.sh \\\n  --apiserver-endpoint \\\n  {URL} \\\n --dns-cluster-ip 172.20.0.10", {"endpoint": HOST, "dns": "172.20.0.10"}),
        ("bootstrap.sh --dns-cluster-ip fd30:1c53:5f8a::a", {"dns": "fd30:1c53:5f8a::a"}),
        ("bootstrap.sh --service-ipv4-cidr 10.96.1.0/12", {"cidr-v4": "10.96.0.0/12"}),
        ("bootstrap.sh --service-ipv6-cidr=fd12::/108", {"cidr-v6": "fd12::/108"}),
        (f"API_SERVER_URL={URL}\nbootstrap.sh --apiserver-endpoint {URL}", {"endpoint": HOST}),
        ("bootstrap.sh --apiserver-endpoint $API_SERVER_URL", {}),
        ("bootstrap.sh --apiserver-endpoint https://$HOST", {}),
        ("bootstrap.sh --apiserver-endpoint `cat url`", {}),
        ("bootstrap.sh --apiserver-endpoint https://a.corp\\ b", {}),
        ('API_SERVER_URL="https://a.corp$(reboot)"', {}),
        ("API_SERVER_URL=https://a.corp\nAPI_SERVER_URL=https://b.corp", {}),
        ("API_SERVER_URL=https://a.corp\nAPI_SERVER_URL=ftp://a.corp", {}),
        ("# API_SERVER_URL=https://a.corp", {}),
        ("echo API_SERVER_URL=https://a.corp", {}),
        ("MY_API_SERVER_URL=https://a.corp", {}),
        ("bootstrap.sh --x--apiserver-endpoint https://a.corp", {}),
        ("bootstrap.sh --service-ipv4-cidr 0.0.0.0/0", {}),
        ("bootstrap.sh --dns-cluster-ip 10.100.0.10.nip.io", {}),
        ("", {}),
    ],
)  # fmt: skip
def test_words(script: str, expected: dict[str, str]) -> None:
    """A literal word is read with or without quotes; anything else, and any doubt, is left out."""
    assert literal_words([script]) == expected


@pytest.mark.parametrize(
    ("address", "cidrs"),
    [("10.100.0.10", ("10.100.0.0/16",)), ("172.20.0.10", ("172.20.0.0/16",)), ("10.96.0.10", ()), ("fd00::a", ())],
)
def test_service_cidr_of_the_dns_address(address: str, cidrs: tuple[str, ...]) -> None:
    """Only the two addresses of EKS's own defaults show the CIDR."""
    info = from_scripts([f"/etc/eks/bootstrap.sh c --dns-cluster-ip {address}"])
    assert (info.service_cidrs, info.dns_address) == (cidrs, address)


def test_a_cidr_beats_the_dns_address() -> None:
    """--service-ipv4-cidr is the CIDR itself."""
    info = from_scripts(["bootstrap.sh --service-ipv4-cidr 10.96.0.0/12 --dns-cluster-ip 10.100.0.10"])
    assert info.service_cidrs == ("10.96.0.0/12",)


def test_no_script_says_nothing() -> None:
    """Nothing is known without a script."""
    assert from_scripts([]) == ClusterInfo(source="bootstrap.sh in user data")


def test_node_configs_come_before_scripts() -> None:
    """Field by field the NodeConfig counts, if it comes first."""
    config = from_node_configs(["kind: NodeConfig\nspec: {cluster: {cidr: 10.99.0.0/16}}"])
    info = first_known(config, from_scripts([MANAGED]))
    assert (info.endpoint, info.service_cidrs, info.source) == (HOST, ("10.99.0.0/16",), "NodeConfig")
    assert info.dns_address == "10.100.0.10"


@given(st.text(max_size=200) | st.lists(st.sampled_from(MANAGED.split(" ")), max_size=20).map(" ".join))
def test_any_script_gives_clean_words(script: str) -> None:
    """Whatever a script holds, the values are printable words."""
    for word in literal_words([script]).values():
        assert word.isprintable()
        assert " " not in word
