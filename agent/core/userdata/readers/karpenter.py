"""Reader of Karpenter: spec.userData of an EC2NodeClass (AL2023), merged.  Pure.

Source: karpenter-provider-aws, pkg/providers/amifamily/bootstrap (nodeadm.go, mime/mime.go,
compress.go).  It puts its own NodeConfig first, and keeps of each part Content-Type and content.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.core.facts.node_config_yaml import documents
from agent.core.record import record
from agent.core.settings.user_data import NODE_CONFIG_TYPE
from agent.core.userdata.document import Document, Fault, Treatment
from agent.core.userdata.multipart import SCRIPT_TYPE
from agent.core.userdata.readers.go_mime import GoPart, NoBoundaryError, multipart_of
from agent.errors import AgentError

NAME = "Karpenter"
_HEAD = b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="//"\n\n'
_HEADERS = (b"MIME-Version:", b"Content-Type:")


@record
class KarpenterReading:
    """The result, the user data of the node without Karpenter's own part, and the faults.

    `new_lines`: lines that Karpenter writes above a text without MIME header.
    """

    treatment: Treatment
    merged: bytes = b""
    faults: tuple[Fault, ...] = ()
    new_lines: int = 0


def read(document: Document) -> KarpenterReading:
    """Return what Karpenter makes of the text; a file with base64 is read as it stands."""
    text = document.raw
    if not text.strip().startswith(_HEADERS):
        return _bare(text)
    try:
        parts = multipart_of(text)
    except NoBoundaryError:
        fault = Fault("karpenter", "Karpenter finds no part, and starts nodes without any of them")
        return KarpenterReading(
            Treatment(NAME, "drops everything: no line is the boundary of the header"), b"", (fault,)
        )
    except ValueError as error:
        remedy = "write a multipart, such as user-data render --for karpenter does"
        fault = Fault("karpenter", f"Karpenter refuses it, and starts no node: {error}", remedy)
        return KarpenterReading(Treatment(NAME, f"refuses it, and starts no node: {error}"), b"", (fault,))
    count = f"{len(parts)} part{'s' * (len(parts) != 1)}"
    return KarpenterReading(
        Treatment(NAME, f"adds its NodeConfig before {count}"), _merged(parts), tuple(_faults(parts))
    )


def _bare(text: bytes) -> KarpenterReading:
    """Return the reading of text without MIME header: YAML of a mapping, or else a script."""
    kind = NODE_CONFIG_TYPE if _is_mapping(text) else SCRIPT_TYPE
    result = Treatment(
        NAME, "adds its NodeConfig, and takes the text for a " + ("script" if kind == SCRIPT_TYPE else "NodeConfig")
    )
    faults: tuple[Fault, ...] = ()
    if kind == NODE_CONFIG_TYPE and b"NodeConfig" not in text:
        text_ = "Karpenter takes it for a NodeConfig, as it is YAML; nodeadm-config fails"
        faults = (Fault("karpenter", text_, "write it as a part of a multipart"),)
    elif kind == SCRIPT_TYPE and not text.lstrip().startswith(b"#!"):
        faults = (Fault("karpenter", "Karpenter takes it for a shell script", "write it as a part of a multipart"),)
    merged = _merged([GoPart(kind, "", text, 0)])
    return KarpenterReading(result, merged, faults, _HEAD.count(b"\n") + 3)


def _is_mapping(text: bytes) -> bool:
    try:
        return all(isinstance(document, dict) for _, document in documents([("", text.decode("utf-8"))]))
    except (AgentError, UnicodeDecodeError):
        return False


def _merged(parts: list[GoPart] | tuple[GoPart, ...]) -> bytes:
    """Return the message that Karpenter writes, without its own part."""
    body = b"".join(
        b"--//\nContent-Type: "
        + part.content_type.encode("latin-1")
        + b"\n\n"
        + part.content.replace(b"\r", b"")
        + b"\n"
        for part in parts
    )
    return _HEAD + body + b"--//--\n"


def _faults(parts: tuple[GoPart, ...]) -> Iterator[Fault]:
    for number, part in enumerate(parts, 1):
        if (
            part.encoding == "base64"
            and part.media_type != NODE_CONFIG_TYPE
            and "eks-proxy-agent" not in part.media_type
        ):
            text = "Karpenter drops Content-Transfer-Encoding, so cloud-init gets the text in base64"
            yield Fault("dropped-encoding", text, "write the part as plain text", number)
        if not part.content_type:
            yield Fault("karpenter", "Karpenter writes an empty Content-Type", "write a Content-Type", number)
