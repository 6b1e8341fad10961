"""User data: raw bytes in, the parts that are ours out.  Pure; everything else in it belongs to cloud-init.

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

#: Everything that user data may unpack to, all parts together (bytes).
LIMIT = 1024 * 1024
#: Where cloud-init looks for a MIME header (bytes from the start).
_HEADER = 4096
#: gzip files may be concatenated; nobody does it this often.
_MEMBERS = 16

#: First words that make user data cloud-init's, whatever follows (a shell script may well hold a
#: NodeConfig).
_FOREIGN = re.compile(rb"#!|#cloud-|#include|#part-handler|#upstart-job|## template:")
_CONTENT_TYPE = re.compile(rb"(?im)^content-type:")
_NODE_CONFIG = re.compile(rb"""(?m)(?:^|[{,])[{ \t\r\f\v]{0,64}["']?apiVersion["']?\s*:\s*["']?node\.eks\.aws/""")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@attrs.frozen(repr=False)
class UserData:
    """Our parts, in their order: TOML texts of our type, YAML texts of NodeConfigs."""

    settings: tuple[str, ...] = ()
    node_configs: tuple[str, ...] = ()


def read_user_data(raw: bytes) -> UserData:
    """The parts of `raw` that are ours.  Raises SettingsError for one that is ours but broken, naming it."""
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
        raise SettingsError(["user data: MIME parts are nested too deeply"]) from None
    found: dict[str, list[str]] = {SETTINGS_TYPE: [], NODE_CONFIG_TYPE: []}
    left = LIMIT
    for number, part in enumerate(parts, 1):
        kind = part.get_content_type()
        if kind in found:
            where = f"user data, part {number} ({kind})"
            content = _unpack(where, _payload(where, part), left, ours=True)
            left -= len(content)
            found[kind].append(_text(where, content))
    return UserData(tuple(found[SETTINGS_TYPE]), tuple(found[NODE_CONFIG_TYPE]))


def _payload(where: str, part: Message) -> bytes:
    content = part.get_payload(decode=True)
    broken = [type(defect).__name__ for defect in part.defects if "Base64" in type(defect).__name__]
    if broken or not isinstance(content, bytes):
        raise SettingsError(["{}: cannot be decoded ({})".format(where, ", ".join(broken) or "no content")])
    return content


def _unpack(where: str, data: bytes, limit: int, *, ours: bool) -> bytes:
    """`data`, gunzipped if it is gzip, at most `limit` bytes.  Damaged gzip that need not be ours stays as it is."""
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
        raise SettingsError([f"{where}: is gzip, but damaged or cut off"])
    return data


def _bounded(where: str, data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise SettingsError([f"{where}: is longer than {LIMIT // 1024} KiB unpacked"])
    return data


def _text(where: str, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError([f"{where}: is not UTF-8 (line {line})"]) from None
    bad = _CONTROL.search(text)
    if bad is not None:
        line = text.count("\n", 0, bad.start()) + 1
        raise SettingsError([f"{where}: has the control character {bad.group()!a} (line {line})"])
    return text
