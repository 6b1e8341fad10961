"""Lint of AWS names in a NO_PROXY list: wrong region, or S3 without its dual-stack name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Callable

_DOMAINS = "amazonaws.com amazonaws.com.cn amazonaws.eu api.aws on.aws api.amazonwebservices.com.cn".split()
_DOMAINS += "on.amazonwebservices.com.cn compute.internal c2s.ic.gov sc2s.sgov.gov".split()
_SUFFIXES = tuple("." + domain for domain in _DOMAINS)

#: The form of AWS region names. A looser pattern would match names of buckets.
_REGION = re.compile(
    r"(?:us|eu|ap|sa|ca|me|af|il|mx|cn|eusc)(?:-[a-z]+)?-(?:north|south|east|west|central)(?:east|west)?-[0-9]{1,2}"
)

#: kind, consequence, fix.
Judgement = tuple[str, str, str]


def judge_name(entry: str, region: str, is_direct: Callable[[str], bool]) -> Iterator[Judgement]:
    """Yield the problems of a lower-case entry on a node in `region` ("" if unknown).

    `is_direct` returns True if the complete list exempts a URL in every client.
    """
    name = entry.lstrip("*").lstrip(".")
    if not name.endswith(_SUFFIXES) or not re.fullmatch(r"[!-?A-~ ]*", name):  # user info must not be repeated
        return
    domain = next(domain for domain in _DOMAINS if name.endswith("." + domain))
    service = name[: -len(domain) - 1]
    named_region = region_of(service)
    if region and named_region and named_region != region:
        text = f"it exempts names of {named_region}, but the node is in {region}"
        yield "region", text, f"write {name.replace(named_region, region)}, or remove it"
    if (
        named_region
        and named_region == (region or named_region)
        and service in ("s3." + named_region, "s3-" + named_region)
    ):
        dual_stack = f"s3.dualstack.{named_region}.{domain}"
        if not is_direct("https://bucket." + dual_stack):
            text = "it does not cover S3's dual-stack names, which Amazon Linux 2023's repositories have"
            yield "dualstack", text, "add " + dual_stack


def region_of(name: str) -> str:
    """Return the region in a name without its domain: the last label that has the form of one.

    Empty if there is none.
    """
    labels = [label[3:] if label.startswith("s3-") else label for label in name.split(".")]
    return next((label for label in reversed(labels) if _REGION.fullmatch(label)), "")
