"""Faults of scripts: those of the recipes that are copied from page to page, and the like.  Pure.

Scripts are searched and not parsed; docs/migration.md explains the faults.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.core.userdata.document import Fault
from agent.core.userdata.readers.cloud_init import BOOTHOOK, CONFIG, CloudInitPart, script_of

_VERSION_1 = re.compile(r"latest/(?:meta-data|dynamic|user-data)\b")
_TOKEN = re.compile(r"(?i)x-aws-ec2-metadata-token[\"']?\s*:")
_APPEND = re.compile(r"""(?:>>|\btee[ \t]+(?:-a|--append)\b[^|;&\n]{0,80}?)[ \t]*["']?(/etc/[^\s"';|&<>]+)""")
_SHARED = re.compile(r"/etc/(?:environment|yum\.conf|dnf/dnf\.conf|profile|bashrc)\Z")
_PACKAGES = re.compile(r"/etc/(?:yum\.conf|dnf/dnf\.conf)\Z")
_DROP_IN = re.compile(r"(?m)^(?=[^#\n]*(?:>|\btee\b))[^#\n]*?(/etc/systemd/system/[\w@.-]+\.d)/[\w.-]+")
_SIGNAL = re.compile(r"\bcfn-signal\b")
_PASSWORD = re.compile(r"""://[^\s/:@"'$<{]+:[^\s/@"'$<{]+@""")


def faults_of_script(part: CloudInitPart) -> Iterator[Fault]:
    """Yield the faults of one script; of a cloud-config those that its commands may have too."""
    text = part.content.decode("latin-1")
    if part.is_script and not script_of(part).startswith(b"#!"):
        kind = "boothook" if part.type == BOOTHOOK else "script"
        yield Fault(
            "no-shebang",
            f"the {kind} has no #!, so cloud-init cannot run it (Exec format error)",
            f"write #!/bin/bash as the first line of the {kind}",
            part.number,
            part.at(0),
        )
    if part.is_script or part.type == CONFIG:
        for rule, offset, problem, remedy in _faults(text, is_boothook=part.type == BOOTHOOK):
            yield Fault(rule, problem, remedy, part.number, part.at(offset))


def password_fault(part: CloudInitPart) -> Iterator[Fault]:
    """Yield a fault if the part holds a URL with a password."""
    match = _PASSWORD.search(part.content.decode("latin-1"))
    if match:
        yield Fault(
            "password",
            "holds a password, which everyone with ec2:DescribeInstanceAttribute can read",
            "read it on the node, from a file of the image or a secret store",
            part.number,
            part.at(match.start()),
        )


def _faults(text: str, *, is_boothook: bool) -> Iterator[tuple[str, int, str, str]]:
    """Yield rule, offset, problem and remedy of each fault."""
    request = _VERSION_1.search(text)
    if request and not _TOKEN.search(text):
        problem = "queries the metadata service without a token; where tokens are required, it gets an error page"
        yield (
            "metadata-v1",
            request.start(),
            problem,
            "request a token first (PUT /latest/api/token), and check the responses",
        )
    yield from _appends(text, is_boothook=is_boothook)
    offset = _cut_signal(text)
    if offset is not None:
        problem = "cfn-signal runs without its arguments: its line does not end with a backslash"
        yield "cfn-signal", offset, problem, "end the line with a backslash"
    yield from _directories(text)


def _cut_signal(text: str) -> int | None:
    """Return the offset of a cfn-signal whose arguments are on the next line, unconnected."""
    offset = 0
    lines = text.split("\n")
    for line, following in zip(lines, lines[1:]):
        is_call = not line.lstrip().startswith("#") and _SIGNAL.search(line)
        if is_call and not line.endswith("\\") and following.lstrip().startswith("-"):
            return offset
        offset += len(line) + 1
    return None


def _appends(text: str, *, is_boothook: bool) -> Iterator[tuple[str, int, str, str]]:
    seen = set()
    for match in _APPEND.finditer(text):
        path = match[1]
        if path in seen or not (is_boothook or _SHARED.match(path)):
            continue
        seen.add(path)
        when = "every boot adds the lines again" if is_boothook else "an image of the node gets the lines twice"
        yield "append", match.start(), f"appends to {path}: {when}", "replace the lines, or write a file of its own"
        if _PACKAGES.match(path):
            problem = f"appends to {path}: the lines land in its last section, which need not be [main]"
            yield "last-section", match.start(), problem, "write proxy= into [main]"


def _directories(text: str) -> Iterator[tuple[str, int, str, str]]:
    """Yield the directories of drop-ins that are not created; braces may name any."""
    made = (
        " ".join(re.findall(r"(?m)^.*\bmkdir\b.*(?:\\\n.*)*$", text))
        + " "
        + " ".join(re.findall(r"install -D.*", text))
    )
    seen = set()
    for match in _DROP_IN.finditer(text):
        path = match[1]
        if path not in seen and path not in made and "{" not in made and "$" not in made:
            seen.add(path)
            yield (
                "no-directory",
                match.start(1),
                f"writes into {path}, which it does not create",
                f"run mkdir -p {path} first",
            )
