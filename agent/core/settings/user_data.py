"""User data: raw bytes in, the agent's parts out.  Pure; the rest belongs to cloud-init.

Forms: cloud-init's "User data formats" page (gzip, MIME multipart) and nodeadm's documentation
(NodeConfig, alone or as a part).  A plain `[proxy]` without a MIME header is not recognised:
cloud-init would not know what it is either.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

import attrs

from agent.errors import SettingsError

if TYPE_CHECKING:
    from email.message import Message

SETTINGS_TYPE = "application/x-eks-proxy-agent"
NODE_CONFIG_TYPE = "application/node.eks.aws"

#: Size of unpacked user data, all parts together (bytes).
LIMIT = 1024 * 1024
#: Where cloud-init searches for a MIME header (bytes from the start).
_HEADER = 4096
#: gzip files may be concatenated; a longer row is an attack.
_MEMBERS = 16

#: First words of user data that is cloud-init's, whatever follows (a shell script may well hold a
#: NodeConfig).
_FOREIGN = re.compile(rb"#!|#cloud-|#include|#part-handler|#upstart-job|## template:")
_CONTENT_TYPE = re.compile(rb"(?im)^content-type:")
_NODE_CONFIG = re.compile(rb"""(?m)(?:^|[{,])[{ \t\r\f\v]{0,64}["']?apiVersion["']?\s*:\s*["']?node\.eks\.aws/""")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@attrs.frozen(repr=False)
class UserData:
    """The agent's parts, in their order: TOML texts of SETTINGS_TYPE, YAML texts of NodeConfigs."""

    settings: tuple[str, ...] = ()
    node_configs: tuple[str, ...] = ()


def read_user_data(raw: bytes) -> UserData:
    """Return the agent's parts of `raw`.  Raises SettingsError for a damaged one, and names it."""
    data = _unpack("user data", raw, LIMIT, ours=False).lstrip(b"\xef\xbb\xbf \t\r\n")
    if _FOREIGN.match(data):
        return UserData()
    if _CONTENT_TYPE.search(data[:_HEADER]):
        return _read_mime(data)
    if _NODE_CONFIG.search(data):
        return UserData(node_configs=(_text("user data (NodeConfig)", data),))
    return UserData()


def _read_mime(data: bytes) -> UserData:
    import email  # 20 ms, and most nodes have no MIME user data

    try:
        parts = [part for part in email.message_from_bytes(data).walk() if not part.is_multipart()]
    except RecursionError:
        raise SettingsError(["user data: MIME parts nested too deeply"]) from None
    texts: dict[str, list[str]] = {SETTINGS_TYPE: [], NODE_CONFIG_TYPE: []}
    remaining = LIMIT
    for number, part in enumerate(parts, 1):
        kind = part.get_content_type()
        if kind in texts:
            where = f"user data, part {number} ({kind})"
            content = _unpack(where, _payload(where, part), remaining, ours=True)
            remaining -= len(content)
            texts[kind].append(_text(where, content))
    return UserData(tuple(texts[SETTINGS_TYPE]), tuple(texts[NODE_CONFIG_TYPE]))


def _payload(where: str, part: Message) -> bytes:
    content = part.get_payload(decode=True)
    defects = [type(defect).__name__ for defect in part.defects if "Base64" in type(defect).__name__]
    if defects or not isinstance(content, bytes):
        raise SettingsError([f"{where}: cannot be decoded ({', '.join(defects) or 'no content'})"])
    return content


def _unpack(where: str, data: bytes, limit: int, *, ours: bool) -> bytes:
    """Return `data`, unpacked if it is gzip, at most `limit` bytes.

    Damaged gzip is an error only if it is `ours`.
    """
    unpacked, rest = b"", data
    for _ in range(_MEMBERS):
        if not rest.startswith(b"\x1f\x8b"):
            return _bounded(where, unpacked if rest is not data else data, limit)
        member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            unpacked = _bounded(where, unpacked + member.decompress(rest, limit + 1 - len(unpacked)), limit)
        except zlib.error:
            break
        if not member.eof:
            break
        rest = member.unused_data
    if ours:
        raise SettingsError([f"{where}: damaged or truncated gzip"])
    return data


def _bounded(where: str, data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise SettingsError([f"{where}: longer than {LIMIT // 1024} KiB unpacked"])
    return data


def _text(where: str, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError([f"{where}: not UTF-8 (line {line})"]) from None
    control = _CONTROL.search(text)
    if control is not None:
        line = text.count("\n", 0, control.start()) + 1
        raise SettingsError([f"{where}: control character {control.group()!a} (line {line})"])
    return text
