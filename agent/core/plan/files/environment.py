"""/etc/environment and node.env: lines NAME=VALUE that five readers parse alike.

/etc/environment is read by systemd (EnvironmentFile=), pam_env, sh, bash and `systemd --user`.
Their quoting rules differ, so values are written without quotes, and a value that needs quotes is
refused.  The statements of others stay byte for byte, whatever they are for each reader.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.core.plan.files import env_statements
from agent.core.plan.files.env_readers import systemd_items
from agent.core.plan.files.env_statements import editable_statements, is_complete, statements, without_proxies
from agent.core.plan.files.lines import pluralize, split_lines
from agent.core.plan.files.managed_file import ManagedFile
from agent.core.record import record
from agent.errors import FileError

ENVIRONMENT = "/etc/environment"
NODE_ENV = "/etc/eks-proxy-agent/node.env"
NAMES = env_statements.NAMES

#: Every reader takes these literally.  `~` is not included, although it is harmless in most places.
_PORTABLE = re.compile(r"[A-Za-z0-9!%*+,\-./:=?@\[\]^_{}]*")

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


@record
class EnvironmentFile(ManagedFile):
    """The file with the six variables as its last lines, or, `variables` None, without them.

    All other statements stay as they are.
    """

    kind = "environment"
    own_lines = True
    needed_by_units = False

    variables: Variables | None
    path: str = ENVIRONMENT

    def merge(self, current: bytes | None) -> bytes | None:
        """Return the file with the variables at the end, because pam_env stops at an overlong line.

        A statement that sets other variables too stays: the agent's lines come later and win.
        Without variables an absent file stays absent, and only the other variables of such a
        statement stay.  Raises FileError for a file that cannot be edited safely.
        """
        if self.variables is None:
            return None if current is None else b"".join(map(without_proxies, editable_statements(current)))
        kept = b"".join(statement.text for statement in editable_statements(current or b"") if not statement.is_ours)
        if kept and not kept.endswith(b"\n"):
            kept += b"\n"
        if not is_complete(kept):
            kept += _SWALLOWED
        return kept + render(self.variables)

    @staticmethod
    def restore(current: bytes, before: bytes | None) -> bytes | None:
        """Return `current` without the agent's variables, and with those that `before` had."""
        text = b"".join(statement.text for statement in editable_statements(current) if not statement.is_ours)
        originals = b"".join(statement.text for statement in statements(before or b"") if statement.is_ours)
        if originals and text and not text.endswith(b"\n"):
            text += b"\n"
        return text + originals

    def note(self, before: bytes) -> str:
        """Return a note if the file had proxy variables before.

        The shell recipe leaves them, sometimes each line twice.
        """
        if self.variables is None:
            return ""
        proxies = [statement for statement in statements(before) if statement.ours]
        replaced = sum(len(split_lines(statement.text)) for statement in proxies if statement.is_ours)
        notes = [pluralize(replaced, "{n} line{s} of an earlier proxy setup {are} replaced")] if replaced else []
        notes += [
            f"line {statement.line} {statement.mixture}, so it stays; the agent's lines below it win"
            for statement in proxies
            if not statement.is_ours
        ]
        return "/etc/environment: " + "; ".join(notes) if notes else ""


def assignments(content: bytes) -> dict[str, str]:
    """Return the variables that systemd reads from an EnvironmentFile= (systemd.exec(5)).

    The later one wins.  A file with a NUL byte, or with invalid UTF-8 in a value, gives none.
    """
    _, items = systemd_items(content)
    if b"\0" in content or not all(item.is_text for item in items):
        return {}
    pairs = {item.name.decode("utf-8"): item.value.decode("utf-8") for item in items}
    return {name: value for name, value in pairs.items() if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)}
