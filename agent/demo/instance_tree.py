"""Paths and values of the embedded metadata service for one instance.  Pure.

Source: "Instance metadata categories" and "Instance identity documents" in the EC2 user guide.
"""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from agent.demo.instance import Instance, Interface

VERSIONS = ("1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2019-10-01", "2021-03-23", "2021-07-15", "latest")


def tree(instance: Instance) -> dict[str, str]:
    """Return path below /latest/ → value.

    Values that are not set have no path.  Lists end without a newline, as on EC2.
    """
    zone = instance.region + "a"
    image, kind = "ami-0123456789abcdef0", "m5.large"
    address = _address(instance.vpc_cidrs_v4)
    internal = "ec2.internal" if instance.region == "us-east-1" else instance.region + ".compute.internal"
    host = "ip-{}.{}".format(address.replace(".", "-"), internal)
    values = {
        "ami-id": image,
        "hostname": host,
        "iam/security-credentials/" + instance.role: _json(_credentials()),
        "instance-id": instance.instance_id,
        "instance-type": kind,
        "local-hostname": host,
        "local-ipv4": address,
        "mac": instance.mac,
        "placement/availability-zone": zone,
        "placement/region": instance.region,
        "security-groups": "eks-node",
        "services/domain": instance.domain,
        "services/partition": instance.partition,
    }
    own = Interface(instance.mac, instance.vpc_cidrs_v4, instance.vpc_cidrs_v6)
    for number, interface in enumerate((own, *instance.secondary)):
        for key, value in _interface(number, interface).items():
            values[f"network/interfaces/macs/{interface.mac}/{key}"] = value
    document = {
        "accountId": instance.account,
        "architecture": "x86_64",
        "availabilityZone": zone,
        "imageId": image,
        "instanceId": instance.instance_id,
        "instanceType": kind,
        "pendingTime": "2024-01-01T00:00:00Z",
        "privateIp": address,
        "region": instance.region,
        "version": "2017-09-30",
    }
    metadata = {"meta-data/" + path: value for path, value in values.items() if value}
    return {**metadata, "dynamic/instance-identity/document": _json(document)}


def listing(paths: list[str], directory: str) -> list[str]:
    """Return the sorted names in `directory` (empty, or with a trailing `/`).

    Subdirectories end in `/`, as on EC2.
    """
    below = [path[len(directory) :] for path in paths if path.startswith(directory)]
    return sorted({name.partition("/")[0] + ("/" if "/" in name else "") for name in below})


def read_path(instance: Instance, path: str) -> bytes | None:
    """Return the body for a GET of `path` (`/latest/...`, or a dated version), or None for a 404.

    The path of a value may end in `/`: botocore requests it so.
    """
    version, _, rest = path.strip("/").partition("/")
    if not version:
        return "\n".join(sorted(VERSIONS)).encode()
    if version not in VERSIONS or "//" in path:
        return None
    if rest == "user-data":
        return instance.user_data or None
    values = tree(instance)
    if rest in values:
        return values[rest].encode()
    names = listing(list(values), rest + "/" if rest else "")
    if not rest:
        names = [name.rstrip("/") for name in names] + (["user-data"] if instance.user_data else [])
    return "\n".join(names).encode() or None


def _interface(number: int, interface: Interface) -> dict[str, str]:
    first = interface.vpc_cidrs_v4[:1]
    values = {
        "device-number": str(number),
        "interface-id": f"eni-{0x0A1B2C3D4E5F60718 + number:017x}",
        "local-ipv4s": _address(first),
        "mac": interface.mac,
        "subnet-id": "subnet-0123456789abcdef0",
        "vpc-id": "vpc-0123456789abcdef0",
        "vpc-ipv4-cidr-block": "".join(first),
        "vpc-ipv4-cidr-blocks": "\n".join(interface.vpc_cidrs_v4),
        "vpc-ipv6-cidr-blocks": "\n".join(interface.vpc_cidrs_v6),
    }
    return {key: value for key, value in values.items() if value}


def _address(cidrs: tuple[str, ...]) -> str:
    try:
        return str(ipaddress.ip_network(cidrs[0], strict=False)[10]) if cidrs else ""
    except (ValueError, IndexError):
        return "10.0.0.10"  # a test serves invalid CIDRs


def _credentials() -> dict[str, Any]:
    """Return the example key of the AWS documentation: valid in form, and of no use."""
    return {
        "Code": "Success",
        "Type": "AWS-HMAC",
        "LastUpdated": "2024-01-01T00:00:00Z",
        "AccessKeyId": "ASIAIOSFODNN7EXAMPLE",
        "SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "Token": "example-session-token",
        "Expiration": "2099-01-01T00:00:00Z",
    }


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2)
