"""Single values of the metadata service: canonical, or a MetadataError that quotes them.  Pure."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any

from agent.core.net.proxy_url import quoted
from agent.core.noproxy.entries import canonical_cidr
from agent.errors import MetadataError

#: Limits of one answer (bytes); EC2 itself allows 16 KiB of user data.
VALUE_LIMIT = 16 * 1024
USER_DATA_LIMIT = 128 * 1024

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
#: Field of Facts → its pattern, and the words that say what is allowed.
_PATTERNS = {
    "instance_id": ("i-[0-9a-f]{8,17}", "an instance id such as i-0123456789abcdef0"),
    "mac": ("[0-9a-f]{2}(:[0-9a-f]{2}){5}", "a MAC address such as 06:1d:5a:3b:7c:9e"),
    "region": ("[a-z]{2,10}(-[a-z]{1,20}){1,4}-[0-9]{1,2}", "a region such as eu-central-1"),
    "domain": (f"(?=.{{1,253}}$)(?:{_LABEL}[.])+[a-z]{{2,63}}", "a DNS domain such as amazonaws.com"),
    "partition": ("aws(-[a-z]{1,20}){0,3}", "a partition such as aws or aws-cn"),
}
#: IP version → the shortest prefix that a VPC can have, generously, and an example.  0.0.0.0/0 in
#: NO_PROXY would send everything past the proxy.  Source: "VPC CIDR blocks" in the VPC user guide
#: (/16 and /44 there).
_VPC = {4: (8, "10.0.0.0/16"), 6: (16, "2600:1f16:67f:f200::/56")}


def single_value(field: str, label: str, answer: bytes | None) -> str:
    """Return the one word in `answer` (None: 404) for `field`; `label` names the request in errors.

    Raises MetadataError.
    """
    pattern, expected = _PATTERNS[field]
    if answer is None:
        raise MetadataError(f"{label}: not set (404); expected {expected}")
    bounded(label, answer, VALUE_LIMIT)
    text = answer.decode("latin-1").strip(" \r\n")
    if not re.fullmatch(pattern, text):
        raise MetadataError(f"{label}: {quoted(text)} is not {expected}")
    return text


def cidrs(version: int, label: str, answer: bytes | None) -> tuple[str, ...]:
    """Return the CIDRs of IP `version` in `answer`, one a line.

    They are canonical, sorted by number and unique.  None stands for a 404, which means no CIDRs.
    Raises MetadataError.
    """
    shortest, example = _VPC[version]
    bounded(label, answer or b"", VALUE_LIMIT)
    networks = set()
    for line in (answer or b"").decode("latin-1").split("\n"):
        text = line.strip(" \r")
        if not text:
            continue
        try:
            network = ipaddress.ip_network(canonical_cidr(text))
        except ValueError:
            raise MetadataError(f"{label}: {quoted(text)} is not a CIDR such as {example}") from None
        if network.version != version or network.prefixlen < shortest:
            raise MetadataError(f"{label}: {quoted(text)} is not an IPv{version} CIDR of a VPC such as {example}")
        networks.add((int(network.network_address), network.prefixlen, str(network)))
    return tuple(text for _, _, text in sorted(networks))


def account(label: str, answer: bytes | None) -> tuple[str, str]:
    """Return the account id in `answer`, and a warning or "".

    An account id is twelve digits, alone or as accountId of an identity document.  Anything else is
    unknown, which is "": nothing that the node needs depends on it.  None (404) and an empty answer
    are unknown without a warning.
    """
    if is_blank(answer):
        return "", ""
    text = bounded(label, answer or b"", VALUE_LIMIT).decode("latin-1").strip()
    account_id = _identity_document(text).get("accountId") if text.startswith("{") else text
    if isinstance(account_id, str) and re.fullmatch("[0-9]{12}", account_id):
        return account_id, ""
    value = f"{quoted(account_id)} is not" if isinstance(account_id, str) else "holds no"
    return "", f"{label}: {value} an account id of 12 digits; the account is unknown"


def region_of_document(answer: bytes | None) -> bytes | None:
    """Return the region in an identity document, unchecked; None if there is none."""
    region = _identity_document((answer or b"")[:VALUE_LIMIT].decode("latin-1")).get("region")
    return region.encode("utf-8", "replace") if isinstance(region, str) else None


def _identity_document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def is_blank(answer: bytes | None) -> bool:
    """Return True for a 404 (None) and for an answer without a word."""
    return not (answer or b"").strip()


def bounded(label: str, answer: bytes, limit: int) -> bytes:
    """Return `answer`; raises MetadataError if it is longer than `limit` bytes."""
    if len(answer) > limit:
        raise MetadataError(f"{label}: {len(answer)} bytes long; at most {limit} are allowed")
    return answer
