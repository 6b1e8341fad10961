"""/etc/environment and node.env: lines NAME=VALUE that five readers parse alike.

/etc/environment is read by systemd (EnvironmentFile=), pam_env, sh, bash and `systemd --user`.
Their quoting rules differ, so values are written without quotes, and a value that needs quotes is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from agent.core.plan.files.lines import pluralize, split_lines
from agent.core.plan.files.managed_file import ManagedFile
from agent.errors import FileError

ENVIRONMENT = "/etc/environment"
NODE_ENV = "/etc/eks-proxy-agent/node.env"

#: Every reader takes these literally.  `~` is not included, although it is harmless in most places.
_PORTABLE = re.compile(r"[A-Za-z0-9!%*+,\-./:=?@\[\]^_{}]*")
NAMES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY")
_OURS = re.compile(
    rb"[ \t]*(?:export[ \t]+)?(?:http_proxy|HTTP_PROXY|https_proxy|HTTPS_PROXY|no_proxy|NO_PROXY)[ \t]*="
)

#: A backslash at the end of the last line joins the next line to it; these lines come in between,
#: so that it is none of ours.  systemd (before 254 after a comment too) and the shells join the
#: empty line.  pam_env joins the next line with text, the `:`, which the others ignore.
_SWALLOWED = b"\n:\n"

Variables = Sequence[tuple[str, str]]


def render(variables: Variables) -> bytes:
    """Return the lines NAME=VALUE.

    Raises FileError for a value that the readers parse differently.
    """
    for name, value in variables:
        if not _PORTABLE.fullmatch(value):
            odd = next(char for char in value if not _PORTABLE.fullmatch(char))
            raise FileError(f"{name}: character {odd!a} is not allowed; sh, systemd and pam_env read it differently")
    return "".join(f"{name}={value}\n" for name, value in variables).encode("ascii")


@attrs.frozen
class EnvironmentFile(ManagedFile):
    """The file with the six variables as its last lines, or, `variables` None, without them.

    All other lines stay as they are.
    """

    kind = "environment"
    own_lines = True

    variables: Variables | None
    path: str = ENVIRONMENT

    def merge(self, current: bytes | None) -> bytes | None:
        """Return the file with the variables at the end, because pam_env stops at an overlong line.

        Without variables an absent file stays absent.  Raises FileError if systemd would reject the
        file anyway.
        """
        if self.variables is None:
            return None if current is None else b"".join(_split(current)[0])
        lines, _ = _split(current or b"")
        kept = b"".join(lines)
        if kept and not kept.endswith(b"\n"):
            kept += b"\n"
        if lines and lines[-1].rstrip(b"\r\n").endswith(b"\\"):
            kept += _SWALLOWED
        return kept + render(self.variables)

    @staticmethod
    def restore(current: bytes, before: bytes | None) -> bytes | None:
        """Return `current` without the agent's variables, and with those that `before` had."""
        lines, _ = _split(current)
        _, originals = _split(before or b"")
        text = b"".join(lines)
        if originals and text and not text.endswith(b"\n"):
            text += b"\n"
        return text + b"".join(originals)

    def note(self, before: bytes) -> str:
        """Return a note if the file had proxy variables before.

        The shell recipe leaves them, sometimes each line twice.
        """
        _, originals = _split(before)
        text = "/etc/environment: {n} line{s} of an earlier proxy setup {are} replaced"
        return pluralize(len(originals), text) if originals and self.variables is not None else ""


def assignments(content: bytes) -> dict[str, str]:
    """Return the variables that systemd reads from an EnvironmentFile= (systemd.exec(5)).

    The later line wins.  A file that is not UTF-8 gives no variables.  Escapes inside quotes stay
    as they are written: no proxy variable has any.
    """
    try:
        text = content.decode("utf-8").replace("\\\n", "")
    except UnicodeDecodeError:
        return {}
    variables: dict[str, str] = {}
    for line in text.split("\n"):
        name, equals, value = (part.strip() for part in line.partition("="))
        if equals and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            quoted = len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]
            variables[name] = value[1:-1] if quoted else value
    return variables


def _split(text: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return the other lines, and the lines that set one of the six variables.

    Raises FileError for a byte that makes systemd ignore the file.
    """
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        number = text[: error.start].count(b"\n") + 1
        raise FileError(f"line {number}: invalid UTF-8, so systemd ignores the whole file; correct this line") from None
    if b"\0" in text:
        number = text[: text.index(b"\0")].count(b"\n") + 1
        raise FileError(f"line {number}: NUL byte; remove it")
    kept: list[bytes] = []
    ours: list[bytes] = []
    part, continued = kept, False
    for line in split_lines(text):
        if not continued:
            part = ours if _OURS.match(line) else kept
        part.append(line)
        continued = _continues(line)
    return kept, ours


def _continues(line: bytes) -> bool:
    """Return True if the next line continues this one, which ends in an unescaped backslash."""
    text = line.rstrip(b"\n")
    return (len(text) - len(text.rstrip(b"\\"))) % 2 == 1
