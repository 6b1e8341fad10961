"""Reader of cloud-init: the type of each part, and what becomes of it.  Pure.

Source: cloud-init 22.2 to 25.1, cloudinit/user_data.py (UserDataProcessor, convert_string) and
cloudinit/handlers (type_from_starts_with, boot_hook.py, shell_script.py).  It reads a message with
Python's email package, if the first 4096 bytes contain "mime-version:"; a test compares.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from agent.core.record import record
from agent.core.settings.mime import Part, Place, decoded, read_message
from agent.core.settings.misplaced import SETTINGS_TYPE
from agent.core.settings.unpack import unpack
from agent.core.settings.user_data import LIMIT, NODE_CONFIG_TYPE, SETTINGS_TYPES
from agent.core.userdata.document import Document, Treatment, line_at

NAME = "cloud-init"
SCRIPT, BOOTHOOK, CONFIG = "text/x-shellscript", "text/cloud-boothook", "text/cloud-config"
_PLAIN, BARE = "text/plain", "text/x-not-multipart"

_INDENTED = re.compile(rb"(?:[ \t][^\n]*\n)+")
#: First words → type; the longest match wins (handlers.INCLUSION_TYPES_MAP).
_FIRST_WORDS = {
    b"#include": "text/x-include-url",
    b"#include-once": "text/x-include-once-url",
    b"#!": SCRIPT,
    b"#cloud-config": CONFIG,
    b"#cloud-config-archive": "text/cloud-config-archive",
    b"#cloud-config-jsonp": "text/cloud-config-jsonp",
    b"#cloud-boothook": BOOTHOOK,
    b"#part-handler": "text/part-handler",
    b"#upstart-job": "text/upstart-job",
    b"## template: jinja": "text/jinja2",
}
_ACTIONS = {
    SCRIPT: "run once per instance, at the end of cloud-init and before nodeadm-run",
    BOOTHOOK: "run on every boot, after nodeadm-config and before the network is online",
    CONFIG: "read as cloud-config",
    "text/cloud-config-archive": "read as a cloud-config archive",
    "text/cloud-config-jsonp": "read as a JSON patch of cloud-config",
    "text/x-include-url": "downloaded on every boot, and read as user data",
    "text/x-include-once-url": "downloaded once, and read as user data",
    "text/part-handler": "run as a handler of other parts",
    "text/jinja2": "rendered, then read by its second line",
    "text/x-shellscript-per-boot": "run on every boot, at the end of cloud-init",
    "text/x-shellscript-per-instance": "run once per instance, at the end of cloud-init",
    "text/x-shellscript-per-once": "run once, at the end of cloud-init",
}
#: Types that other programs read; cloud-init warns of an "Unhandled unknown content-type".
_OF_OTHERS = {NODE_CONFIG_TYPE: "nodeadm", **dict.fromkeys(SETTINGS_TYPES, "the agent")}


@record
class CloudInitPart:
    """A part as cloud-init takes it: `type` after a look at its first words, `content` decoded.

    `line` is the first line of its content; 0 if that was encoded.
    """

    number: int
    declared: str
    type: str
    content: bytes
    line: int
    encoding: str = ""

    @property
    def is_script(self) -> bool:
        return self.type in (SCRIPT, BOOTHOOK) or self.type.startswith("text/x-shellscript-")

    def at(self, offset: int) -> int:
        """Return the line of byte `offset` of its content, 0 if that is not known."""
        return self.line + line_at(self.content, offset) - 1 if self.line else 0


def parts_of(document: Document) -> tuple[CloudInitPart, ...]:
    """Return the parts.  Raises ValueError for a message beyond the limits of the agent."""
    text = document.text
    if b"mime-version:" not in text[:4096].lower():
        return (CloudInitPart(1, BARE, _type(BARE, text), text, 1),) if text.strip() else ()
    # The email package skips indented lines at the top: continuations of no header.
    start = _INDENTED.match(text)
    parts: list[CloudInitPart] = []
    for part in read_message(text, start.end() if start else 0):
        if part.place is not Place.PART:
            continue
        content = _decoded(part)
        line = line_at(text, part.offset) if content == part.body else 0
        declared = part.type
        if declared in ("application/gzip", "application/x-gzip"):
            declared, content, line = _PLAIN, unpack(content, LIMIT), 0
        parts.append(CloudInitPart(len(parts) + 1, part.type, _type(declared, content), content, line, part.encoding))
    return tuple(parts)


def read(document: Document) -> Iterator[Treatment]:
    """Yield what becomes of each part.  Raises ValueError."""
    parts = parts_of(document)
    for part in parts:
        shown = part.type if part.type != BARE else "of an unknown type"
        yield Treatment(NAME, _action(part), part.number, shown)
    if not parts:
        yield Treatment(NAME, "nothing to do")


def _decoded(part: Part) -> bytes:
    """Return the content as the email package decodes it: of bad base64 what remains."""
    try:
        return decoded(part)
    except ValueError:
        if part.encoding != "base64":
            return part.body
        text = re.sub(rb"[^A-Za-z0-9+/]", b"", part.body.partition(b"=")[0])
        if len(text) % 4 == 1:
            return b"".join(part.body.splitlines())
        return base64.b64decode(text + b"=" * (-len(text) % 4))


def _action(part: CloudInitPart) -> str:
    if part.type in _OF_OTHERS:
        return f"left to {_OF_OTHERS[part.type]}"
    if SETTINGS_TYPE.partition("/x-")[2] in part.type:
        return "ignored"
    return _ACTIONS.get(part.type, "ignored, as an unknown type")


def _type(declared: str, content: bytes) -> str:
    if declared not in (_PLAIN, BARE, SCRIPT):
        return declared
    start = content.lstrip().lower()
    found = [words for words in _FIRST_WORDS if start.startswith(words)]
    return _FIRST_WORDS[max(found, key=len)] if found else declared


def script_of(part: CloudInitPart) -> bytes:
    """Return what cloud-init executes: a boothook without its first words, and without blanks."""
    if part.type != BOOTHOOK:
        return part.content
    return re.sub(rb"\A\s*#cloud-boothook", b"", part.content, flags=re.IGNORECASE).lstrip()
