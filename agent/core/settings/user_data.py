"""User data: raw bytes in, the agent's parts out.  Pure; the rest belongs to cloud-init.

Forms: cloud-init's "User data formats" page (gzip, MIME multipart) and nodeadm's documentation
(NodeConfig, alone or as a part).  cloud-init of Amazon Linux and nodeadm also undo base64 of the
whole, and nodeadm that of a part without Content-Transfer-Encoding, which Karpenter drops.
docs/user-data.md lists every shape and its result.
"""

from __future__ import annotations

import re

from agent.core.net.proxy_url import quoted
from agent.core.record import field, record
from agent.core.settings.mime import Part, Place, decoded, read_message
from agent.core.settings.misplaced import SETTINGS_TYPE, bare_settings, misplaced_types, plain_settings, wrong_type
from agent.core.settings.unpack import DamagedError, is_cut_base64, unpack
from agent.errors import SettingsError

#: cloud-init's make-mime can only make text/*.
SETTINGS_TYPES = (SETTINGS_TYPE, "text/x-eks-proxy-agent")
NODE_CONFIG_TYPE = "application/node.eks.aws"

#: Size of unpacked user data, all parts together (bytes), and of a list of problems.
LIMIT = 256 * 1024
_PROBLEMS = 20
#: Where cloud-init searches for a MIME header (bytes from the start).
_HEADER = 4096

#: First words of user data that is cloud-init's, whatever follows.
_FOREIGN = re.compile(rb"#!|#cloud-|#include|#part-handler|#upstart-job|## template:")
#: First words of a script, below a line for the template engine: what follows is for an
#: interpreter, and may well hold a NodeConfig or the agent's settings.
_SCRIPT = re.compile(rb"(?:## template:[^\n]*\n)?(?:#!|#cloud-boothook|#part-handler|#upstart-job)")
_SCRIPT_TYPES = ("text/x-shellscript", "text/cloud-boothook", "text/part-handler", "text/upstart-job")
_LEADING = b"\xef\xbb\xbf \t\r\n"  # a byte order mark, and blanks of templates
_CONTENT_TYPE = re.compile(rb"(?im)^content-type:")
_API_VERSION = re.compile(rb"""apiVersion["']?\s*:\s*["']?node\.eks\.aws/""")
_BEFORE_KEY = re.compile(rb"""(?m)(?:^|[{,])[{ \t\r\f\v]*["']?\Z""")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_BOOTSTRAP = b"/etc/eks/bootstrap.sh"


@record
class UserData:
    """The agent's parts, in their order: TOML texts of SETTINGS_TYPES, YAML texts of NodeConfigs.

    `scripts` are those that call bootstrap.sh.  `problems` are what is meant for the agent and
    cannot be used: a line each, with what was found and what to write.
    """

    settings: tuple[str, ...] = field(default=(), repr=False)
    node_configs: tuple[str, ...] = field(default=(), repr=False)
    scripts: tuple[str, ...] = field(default=(), repr=False)
    problems: tuple[str, ...] = ()


def read_user_data(raw: bytes, source: str = "user data") -> UserData:
    """Return the agent's parts of `raw`, which `source` names in errors.

    Raises SettingsError for a damaged part, and for more than the limits allow.
    """
    try:
        data = unpack(raw, LIMIT)
    except DamagedError:
        data = raw  # it need not be the agent's
    except ValueError:
        raise SettingsError([_too_long(source)]) from None
    text = data.lstrip(_LEADING)
    if _SCRIPT.match(text):
        return UserData(scripts=_bootstrap_scripts([text]))
    if not _FOREIGN.match(text):
        if _CONTENT_TYPE.search(text[:_HEADER]):
            return _MessageReader(source, data).read(len(data) - len(text))
        if _is_node_config(text):
            return UserData(node_configs=(_text(f"{source} (NodeConfig)", text),))
    problems = list(misplaced_types(source, data, 1, None))
    if not (problems or _FOREIGN.match(text)):
        problems += filter(None, [bare_settings(source, text)])
    return UserData(problems=_limited(problems))


class _MessageReader:
    """Reader of a MIME message, and what remains of the limit."""

    def __init__(self, source: str, data: bytes) -> None:
        self._source, self._data = source, data
        self._remaining = LIMIT
        self._texts: dict[str, list[str]] = {SETTINGS_TYPE: [], NODE_CONFIG_TYPE: []}
        self._scripts: list[bytes] = []
        self._problems: list[str] = []

    def read(self, start: int) -> UserData:
        """Return the agent's parts of the message from byte `start` on.  Raises SettingsError."""
        try:
            parts = read_message(self._data, start)
        except ValueError as error:
            raise SettingsError([f"{self._source}: {error}"]) from None
        number = 0
        for part in parts:
            number += part.place in (Place.PART, Place.UNDIVIDED)
            where = f"{self._source}, part {number} ({quoted(part.type)[1:-1]})"
            if part.place is not Place.PART:
                self._read_outside(part)
            elif part.type in (*SETTINGS_TYPES, NODE_CONFIG_TYPE):
                kind = SETTINGS_TYPE if part.type in SETTINGS_TYPES else NODE_CONFIG_TYPE
                self._texts[kind].append(self._read_own(where, part))
            else:
                self._read_other(where, part)
        return UserData(
            tuple(self._texts[SETTINGS_TYPE]),
            tuple(self._texts[NODE_CONFIG_TYPE]),
            _bootstrap_scripts(self._scripts),
            _limited(self._problems),
        )

    def _read_own(self, where: str, part: Part) -> str:
        try:
            content = decoded(part)
        except ValueError as error:
            raise SettingsError([f"{where}: {error}"]) from None
        try:
            content = unpack(content, self._remaining)
        except DamagedError as error:
            raise SettingsError([f"{where}: {error}"]) from None
        except ValueError:
            raise SettingsError([_too_long(where)]) from None
        if is_cut_base64(content):
            raise SettingsError([f"{where}: incomplete base64"])
        self._remaining -= len(content)
        return _text(where, content)

    def _read_other(self, where: str, part: Part) -> None:
        problem = wrong_type(where, part)
        if problem:
            self._problems.append(problem)
            return
        try:
            content = unpack(decoded(part), self._remaining)
            self._remaining -= len(content)
        except ValueError:
            content = part.body  # what is wrong with it is for cloud-init to say
        text = content.lstrip(_LEADING)
        if part.type.startswith(_SCRIPT_TYPES) or _SCRIPT.match(text):
            self._scripts.append(text)
            return
        self._problems += misplaced_types(where, content, 1, part)
        if part.type == "text/plain" and not _FOREIGN.match(text):
            self._problems += filter(None, [plain_settings(where, content)])

    def _read_outside(self, part: Part) -> None:
        line = self._data.count(b"\n", 0, part.offset) + 1
        self._problems += [f"{self._source}: {part.problem}"] if part.problem else []
        self._problems += misplaced_types(self._source, part.body, line, part)


def _is_node_config(text: bytes) -> bool:
    """Return True for YAML or JSON with the apiVersion of nodeadm at the place of a key."""
    return any(
        _BEFORE_KEY.search(text[max(0, match.start() - 80) : match.start()]) for match in _API_VERSION.finditer(text)
    )


def _bootstrap_scripts(texts: list[bytes]) -> tuple[str, ...]:
    return tuple(text.decode("utf-8", "replace") for text in texts if _BOOTSTRAP in text)


def _limited(problems: list[str]) -> tuple[str, ...]:
    more = len(problems) - _PROBLEMS
    return (*problems[:_PROBLEMS], *([f"{more} more problems of this kind"] if more > 0 else []))


def _too_long(where: str) -> str:
    return f"{where}: longer than {LIMIT // 1024} KiB unpacked"


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
