"""Composition of MIME multiparts that cloud-init, nodeadm, Karpenter and EKS read alike.  Pure.

Every part is ASCII, so none needs a Content-Transfer-Encoding: Karpenter drops that header, and
nodeadm does not read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.core.record import record
from agent.core.settings.misplaced import SETTINGS_TYPE
from agent.core.settings.user_data import NODE_CONFIG_TYPE

SCRIPT_TYPE = 'text/x-shellscript; charset="us-ascii"'


@record
class TextPart:
    """One part: `label` is for people, `text` ends with a newline."""

    label: str
    content_type: str
    text: str


def node_config_part(text: str, label: str = "NodeConfig") -> TextPart:
    return TextPart(label, NODE_CONFIG_TYPE, text)


def settings_part(text: str, *, has_certificates: bool) -> TextPart:
    return TextPart("settings" + " with node.ca_bundle" * has_certificates, SETTINGS_TYPE, text)


def script_part(text: str) -> TextPart:
    return TextPart("installation script", SCRIPT_TYPE, text)


def multipart(parts: Sequence[TextPart]) -> str:
    """Return the message; a boundary that occurs in no part divides it."""
    boundary = unused("BOUNDARY", (part.text for part in parts))
    head = f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="{boundary}"\n\n'
    body = "".join(f"--{boundary}\nContent-Type: {part.content_type}\n\n{part.text}\n" for part in parts)
    return f"{head}{body}--{boundary}--\n"


def unused(word: str, texts: Iterable[str]) -> str:
    """Return `word`, with a number if one of the texts contains it."""
    texts = list(texts)
    candidate, number = word, 1
    while any(candidate in text for text in texts):
        number += 1
        candidate = f"{word}{number}"
    return candidate
