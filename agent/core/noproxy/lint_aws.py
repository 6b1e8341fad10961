"""Judges AWS names in a NO_PROXY list: another region than the node's, S3 without its dual-stack name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Callable

_DOMAINS = "amazonaws.com amazonaws.com.cn amazonaws.eu api.aws on.aws api.amazonwebservices.com.cn".split()
_DOMAINS += "on.amazonwebservices.com.cn compute.internal c2s.ic.gov sc2s.sgov.gov".split()

#: A region's name as AWS forms it; loose words before the number would take buckets for regions.
_REGION = re.compile(
    r"(?:us|eu|ap|sa|ca|me|af|il|mx|cn|eusc)(?:-[a-z]+)?-(?:north|south|east|west|central)(?:east|west)?-[0-9]{1,2}"
)

#: kind, consequence, fix.
Judgement = tuple[str, str, str]


def judge_name(entry: str, region: str, is_direct: Callable[[str], bool]) -> Iterator[Judgement]:
    """What there is to say of a lower-case entry on a node in `region` ("" when unknown).

    `is_direct` tells of a host whether the whole list exempts it in every client.
    """
    name = entry.lstrip("*").lstrip(".")
    domain = next((domain for domain in _DOMAINS if name.endswith("." + domain)), "")
    if not domain:
        return
    theirs = region_of(name[: -len(domain) - 1])
    if region and theirs and theirs != region:
        text = f"it is a name of {theirs}, and the node is in {region}: what the node asks for is not exempt by it"
        yield "region", text, f"write {name.replace(theirs, region)}, or leave it out"
    if (
        theirs
        and theirs == (region or theirs)
        and re.fullmatch(rf"s3[.-]{re.escape(theirs)}", name[: -len(domain) - 1])
    ):
        dual = f"s3.dualstack.{theirs}.{domain}"
        if not is_direct("https://bucket." + dual):
            text = "the dual-stack names of S3 are not covered, and Amazon Linux 2023's repositories have such names"
            yield "dualstack", text, "add " + dual


def region_of(name: str) -> str:
    """The region in a name without its domain: of several labels that look like one the last."""
    labels = [label[3:] if label.startswith("s3-") else label for label in name.split(".")]
    return next((label for label in reversed(labels) if _REGION.fullmatch(label)), "")
