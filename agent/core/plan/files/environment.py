"""/etc/environment and node.env: lines NAME=VALUE that five readers understand alike.

/etc/environment is read by systemd (EnvironmentFile=), pam_env, sh, bash and `systemd --user`;
their quoting has nothing in common, so values are written without quotes and anything that would
need them is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from agent.core.plan.files.lines import counted, split_lines
from agent.core.plan.files.managed_file import ManagedFile
from agent.errors import FileError

ENVIRONMENT = "/etc/environment"
NODE_ENV = "/etc/eks-proxy-agent/node.env"

#: Every reader takes these literally.  `~` is left out although it is harmless in most places.
_PORTABLE = re.compile(r"[A-Za-z0-9!%*+,\-./:=?@\[\]^_{}]*")
NAMES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY")
_OURS = re.compile(
    rb"[ \t]*(?:export[ \t]+)?(?:http_proxy|HTTP_PROXY|https_proxy|HTTPS_PROXY|no_proxy|NO_PROXY)[ \t]*="
)

#: What a backslash at the end of the last line may take instead of ours.  systemd (before 254 after
#: a comment too) and the shells take the blank line; pam_env goes on to the next one with text,
#: which the others ignore.
_SWALLOWED = b"\n:\n"

Variables = Sequence[tuple[str, str]]


def render(variables: Variables) -> bytes:
    """The lines NAME=VALUE; raises FileError for a value that the readers would understand differently."""
    for name, value in variables:
        if not _PORTABLE.fullmatch(value):
            odd = next(char for char in value if not _PORTABLE.fullmatch(char))
            raise FileError(f"{name}: character {odd!a} is not allowed; sh, systemd and pam_env read it differently")
    return "".join("{}={}\n".format(*pair) for pair in variables).encode("ascii")


@attrs.frozen
class EnvironmentFile(ManagedFile):
    """The file with the six variables as its last lines, or with none of them, and all other lines as they were."""

    kind = "environment"
    own_lines = True

    variables: Variables | None
    path: str = ENVIRONMENT

    def merge(self, current: bytes | None) -> bytes | None:
        """Put ours last, because pam_env stops at an overlong line; None stays None where none are wanted.

        Raises FileError when systemd would reject the file anyway.
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
        """Give `current` without our variables, and with those that `before` had."""
        lines, _ = _split(current)
        _, theirs = _split(before or b"")
        text = b"".join(lines)
        if theirs and text and not text.endswith(b"\n"):
            text += b"\n"
        return text + b"".join(theirs)

    def note(self, before: bytes) -> str:
        """Say when the file had proxy variables of its own, as the shell recipe leaves them, each line perhaps twice."""
        _, theirs = _split(before)
        text = "/etc/environment: {n} line{s} of an earlier proxy setup {are} replaced"
        return counted(len(theirs), text) if theirs and self.variables is not None else ""


def assignments(content: bytes) -> dict[str, str]:
    """The variables that systemd takes from an EnvironmentFile= (systemd.exec(5)), the later line wins.

    None from a file that is not UTF-8.  Escapes inside of quotes stay as they are written: no proxy
    variable has any.
    """
    try:
        text = content.decode("utf-8").replace("\\\n", "")
    except UnicodeDecodeError:
        return {}
    found: dict[str, str] = {}
    for line in text.split("\n"):
        name, equals, value = (part.strip() for part in line.partition("="))
        if equals and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            quoted = len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]
            found[name] = value[1:-1] if quoted else value
    return found


def _split(text: bytes) -> tuple[list[bytes], list[bytes]]:
    """The lines that are not ours, and those that set one of the six variables."""
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
    """Whether the next line is a part of this one: it ends in a backslash that is not escaped itself."""
    text = line.rstrip(b"\n")
    return (len(text) - len(text.rstrip(b"\\"))) % 2 == 1
