"""Settings in user data that nothing reads, found by their words, with the remedy.  Pure.

A person who wrote "eks-proxy-agent" into a Content-Type, or a [proxy] table with url, meant the
agent.  The texts are searched, not parsed: one pass over each, line by line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.core.net.proxy_url import quoted
from agent.core.settings.mime import Part, Place

#: The type that people are told to write.
SETTINGS_TYPE = "application/x-eks-proxy-agent"
#: What a Content-Type that is meant for the agent contains, in lower case.
NAME = "eks-proxy-agent"

_LINE = re.compile(rb"(?im)^.*?eks-proxy-agent")
_HEADER = re.compile(rb"(?i)([ \t]*)content-type[ \t]*:[^;]*")
#: A key `type` of a cloud-config archive, in YAML or JSON; anchored to the end of what is searched.
_ARCHIVE_TYPE = re.compile(rb"""(?i)(?<![-\w])type["']?[ \t]*:[ \t]*["']?[\w/+.-]*\Z""")
_VALUE = re.compile(rb"""[^\s;,"'}]*""")
_REACH = 160  # bytes before the name that are searched for `type:`

_TOML = re.compile(
    rb"""(?m)^[ \t]*(?:\[(?P<table>[^\]\n]*)\]|["']?url["']?[ \t]*(?P<url>=)"""
    rb"""|["']?proxy["']?[ \t]*(?:\.[ \t]*["']?url["']?[ \t]*=|=[ \t]*\{[^}\n]*\burl\b)(?P<dotted>))"""
)


def wrong_type(where: str, part: Part) -> str:
    """Return the problem of a part whose Content-Type is almost the agent's, else ""."""
    if NAME not in part.declared:
        return ""
    return f"{where}: Content-Type {quoted(part.declared)} is not read; write Content-Type: {SETTINGS_TYPE}"


def plain_settings(where: str, text: bytes) -> str:
    """Return the problem of TOML with a [proxy] table and url in a part of text/plain, else ""."""
    if not _has_proxy_url(text):
        return ""
    return f"{where}: [proxy] with url is not read in a part of this type; write Content-Type: {SETTINGS_TYPE}"


def bare_settings(where: str, text: bytes) -> str:
    """Return the problem of TOML with a [proxy] table and url without any MIME header, else ""."""
    if not _has_proxy_url(text):
        return ""
    return (
        f"{where}: [proxy] with url is not read without a MIME header; "
        f'write "MIME-Version: 1.0", "Content-Type: {SETTINGS_TYPE}" and an empty line above it'
    )


def _has_proxy_url(text: bytes) -> bool:
    is_proxy = False
    for match in _TOML.finditer(text):
        if match["table"] is not None:
            is_proxy = match["table"].strip(b" \t\"'") == b"proxy"
        elif match["dotted"] is not None or is_proxy:
            return True
    return False


def misplaced_types(source: str, text: bytes, line: int, part: Part | None) -> Iterator[str]:
    """Yield a problem for each Content-Type or `type:` that is meant for the agent.

    They are not read, as they are in the text of a message and not in a header.  `text` begins at
    `line` of `source`; it stands in `part`, None without any MIME header.
    """
    position = 0
    for match in _LINE.finditer(text):
        line, position = line + text.count(b"\n", position, match.start()), match.start()
        before = match.group()[: -len(NAME)]
        header = _HEADER.fullmatch(before)
        if header:
            value = before.partition(b":")[2].strip()
        else:
            key = _ARCHIVE_TYPE.search(before[-_REACH:])
            if key is None:
                continue
            value = key.group().partition(b":")[2].strip(b" \t\"'")
        rest = _VALUE.match(text, match.end() - len(NAME))
        declared = quoted((value + (rest.group() if rest else b"")).decode("latin-1"))
        where = f"{source}, line {line}"
        if header is None:
            yield f"{where}: type: {declared} is not read in a cloud-config archive; write a MIME part of type {SETTINGS_TYPE}"
        else:
            yield f"{where}: Content-Type: {declared} {_remedy(part, is_indented=bool(header[1]))}"


def _remedy(part: Part | None, *, is_indented: bool) -> str:
    if is_indented:
        return "is indented, so it is not a header; remove the indentation of all lines"
    if part is None:
        return "stands below other text; move it to the first lines"
    boundary = quoted(f"--{part.boundary}")
    if part.place is Place.EPILOGUE:
        return f"stands after the closing line {quoted(f'--{part.boundary}--')}; move that line to the end"
    if part.place is Place.PREAMBLE:
        return f"stands before the first line {boundary}; write that line above it"
    if part.place is Place.UNDIVIDED and part.boundary:
        return f"is not read, as no line is {boundary}; write that line, the boundary of the header, above each part"
    if part.place is Place.UNDIVIDED:
        return 'is not read, as the header above has no boundary; write Content-Type: multipart/mixed; boundary="B"'
    return "stands inside a part, not in its header; write a boundary line above it"
