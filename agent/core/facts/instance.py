"""Facts: what this instance is, from the metadata service or a --facts file.  Pure.

Every value is checked.  Source of the paths: "Instance metadata categories" in the EC2 user guide.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from agent.core.facts import imds_values as values
from agent.core.net.proxy_url import quoted
from agent.core.record import asdict, evolve, field, fields_dict, record
from agent.errors import MetadataError

MAC_PATH = "meta-data/mac"
USER_DATA_PATH = "user-data"

#: Region prefix → partition and its DNS domain, for a service that responds with 404; the first
#: match wins.  Source: endpoints.json of botocore; a test compares them.
_PARTITIONS = (
    ("cn-", "aws-cn", "amazonaws.com.cn"),
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("us-iso-", "aws-iso", "c2s.ic.gov"),
    ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    ("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"),
    ("us-isof-", "aws-iso-f", "csp.hci.ic.gov"),
    ("eusc-", "aws-eusc", "amazonaws.eu"),
    ("", "aws", "amazonaws.com"),
)
_LISTS = ("vpc_cidrs_v4", "vpc_cidrs_v6")
_MINIMUM = {"instance_id": "i-0123456789abcdef0", "region": "eu-central-1", "vpc_cidrs_v4": ["10.0.0.0/16"]}


@record
class Facts:
    """One instance.

    CIDRs are canonical, sorted by number and unique; `user_data` is raw, b"" if there is none.
    `fips`: its kernel is in FIPS mode, so that clients use the names of FIPS endpoints.
    `warnings` say what of the responses was not usable and not needed.
    """

    instance_id: str
    mac: str
    vpc_cidrs_v4: tuple[str, ...]
    vpc_cidrs_v6: tuple[str, ...]
    region: str
    domain: str
    partition: str
    account: str = ""
    user_data: bytes = field(default=b"", repr=False)
    warnings: tuple[str, ...] = field(default=(), eq=False)
    fips: bool = False


def metadata_paths(mac: str) -> dict[str, str]:
    """Return the path below /latest/ of each field of Facts, for the interface `mac`."""
    interface = f"meta-data/network/interfaces/macs/{mac}/"
    return {
        "instance_id": "meta-data/instance-id",
        "mac": MAC_PATH,
        "vpc_cidrs_v4": interface + "vpc-ipv4-cidr-blocks",
        "vpc_cidrs_v6": interface + "vpc-ipv6-cidr-blocks",
        "region": "meta-data/placement/region",
        "domain": "meta-data/services/domain",
        "partition": "meta-data/services/partition",
        "account": "dynamic/instance-identity/document",
        "user_data": USER_DATA_PATH,
    }


#: Besides the MAC, at least one field of each group has to have a value.  At boot EC2 responds with
#: 404 for a second or two for what exists (amazon-eks-ami issues 1970 and 2419), so it is requested
#: again. The identity document (`account`) holds the region too.
REQUIRED = (("instance_id",), ("vpc_cidrs_v4", "vpc_cidrs_v6"), ("region", "account"))


def has_value(group: Sequence[str], responses: Mapping[str, bytes | None]) -> bool:
    """Return True if these responses hold a value for a group of REQUIRED."""
    if "region" in group:
        responses = {**responses, "account": values.region_of_document(responses.get("account"))}
    return not all(values.is_blank(responses.get(field)) for field in group)


def parse_mac(answer: bytes | None) -> str:
    """Return the MAC in the answer to MAC_PATH, the first request because other paths hold it.

    Raises MetadataError.
    """
    return values.single_value("mac", "/latest/" + MAC_PATH, answer.strip().rstrip(b"/") if answer else answer)


def parse_facts(responses: Mapping[str, bytes | None]) -> Facts:
    """Return Facts from the responses to `metadata_paths`, by field; None is a 404.

    Raises MetadataError for the first wrong one.
    """
    mac = parse_mac(responses.get("mac"))
    paths = metadata_paths(mac)
    return _facts({**responses, "mac": mac.encode()}, lambda field: "/latest/" + paths[field])


def facts_to_json(facts: Facts) -> str:
    """Return the JSON that `facts_from_json` reads.

    User data may hold secrets: keep it in a file of mode 0600.
    """
    document = asdict(facts)
    del document["warnings"]
    if not facts.fips:  # earlier versions do not know the key
        del document["fips"]
    document["user_data_base64"] = base64.b64encode(document.pop("user_data")).decode("ascii")
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def facts_from_json(text: str, source: str = "facts") -> Facts:
    """Return Facts from JSON as `facts_to_json` writes it.

    `user_data` may also hold user data as plain text.  Only instance_id, region and vpc_cidrs_v4
    are required.  `source` names the text in errors. Raises MetadataError.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MetadataError(f"{source}: invalid JSON: {error}", hint=_minimum()) from None
    if not isinstance(document, dict):
        raise MetadataError(f"{source}: not a JSON object", hint=_minimum())
    fields = set(fields_dict(Facts)) - {"warnings"} | {"user_data_base64"}
    problems = [f"{key} is missing" for key in _MINIMUM if document.get(key) is None]
    problems += [f"unknown key {quoted(key)}" for key in sorted(document) if key not in fields]
    if problems:
        raise MetadataError("{}: {}".format(source, "; ".join(problems)), hint=_minimum())
    fips = document.pop("fips", False)
    if not isinstance(fips, bool):
        raise MetadataError(f"{source}: fips: not true or false")
    responses = {key: _bytes(f"{source}: {key}", key, document[key]) for key in document if document[key] is not None}
    responses["user_data"] = responses.pop("user_data_base64", b"") or responses.get("user_data", b"")
    return evolve(_facts(responses, lambda field: f"{source}: {field}"), fips=fips)


def _facts(responses: Mapping[str, bytes | None], label: Callable[[str], str]) -> Facts:
    def optional(field: str, default: str) -> str:
        return values.single_value(field, label(field), responses[field]) if responses.get(field) else default

    region = _region(responses, label)
    account, warning = values.account(label("account"), responses.get("account"))
    partition, domain = next((row[1], row[2]) for row in _PARTITIONS if region.startswith(row[0]))
    facts = Facts(
        instance_id=values.single_value("instance_id", label("instance_id"), responses.get("instance_id")),
        mac=optional("mac", default=""),
        vpc_cidrs_v4=values.cidrs(4, label("vpc_cidrs_v4"), responses.get("vpc_cidrs_v4")),
        vpc_cidrs_v6=values.cidrs(6, label("vpc_cidrs_v6"), responses.get("vpc_cidrs_v6")),
        region=region,
        domain=optional("domain", default=domain),
        partition=optional("partition", default=partition),
        account=account,
        user_data=values.bounded(label("user_data"), responses.get("user_data") or b"", values.USER_DATA_LIMIT),
        warnings=(warning,) if warning else (),
    )
    if not facts.vpc_cidrs_v4 + facts.vpc_cidrs_v6:
        raise MetadataError(f"{label('vpc_cidrs_v4')}: empty, and so is vpc_cidrs_v6; every VPC has a CIDR")
    return facts


def _region(responses: Mapping[str, bytes | None], label: Callable[[str], str]) -> str:
    """Return the region of its path, else that of the identity document.  Raises MetadataError."""
    answer = responses.get("region")
    in_document = values.region_of_document(responses.get("account")) if values.is_blank(answer) else None
    if in_document is not None:
        return values.single_value("region", label("account"), in_document)
    return values.single_value("region", label("region"), answer)


def _bytes(label: str, key: str, value: Any) -> bytes:
    """Return a value of a --facts file in the form that the metadata service would have sent."""
    lines = value if key in _LISTS else [value]
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise MetadataError(f"{label}: not {'a list of strings' if key in _LISTS else 'a string'}")
    raw = "\n".join(lines).encode("utf-8", "replace")
    try:
        return base64.b64decode(raw, validate=True) if key == "user_data_base64" else raw
    except ValueError:
        raise MetadataError(f"{label}: invalid base64") from None


def _minimum() -> str:
    return "required at least: " + json.dumps(_MINIMUM)
