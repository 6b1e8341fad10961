"""The common interface of the files that the agent manages."""

from __future__ import annotations

import abc
import enum
from typing import ClassVar

from agent.core.record import field, record

#: The mode of files that hold credentials.
PRIVATE = 0o600


class Effect(enum.Enum):
    """Action that must follow the change of a file."""

    NONE = "none"
    DAEMON_RELOAD = "reload systemd"
    TRUST_STORE = "rebuild the trust store"


@record
class ManagedFile(abc.ABC):
    """Desired state of one file; a class for each sort of file.

    `kind` is its name in the baseline: KINDS maps it to the class that can restore the file.
    `own_lines`: the agent owns some lines only, and edits by others stay.  `may_be_private`: the
    file gets mode PRIVATE while it holds credentials.  `replaced_by`: the path of a file that must
    be in place before this one is changed.  `needed_by_units`: without it, units of node.units
    start without the proxy.
    """

    kind: ClassVar[str]
    effect: ClassVar[Effect] = Effect.NONE
    own_lines: ClassVar[bool] = False
    may_be_private: ClassVar[bool] = False
    needed_by_units: ClassVar[bool] = True

    path: str
    mode: int | None = field(default=None, kw_only=True)
    replaced_by: str = field(default="", kw_only=True)

    @abc.abstractmethod
    def merge(self, current: bytes | None) -> bytes | None:
        """Return the desired content, None for no file, from the current content.

        Raises FileError.
        """

    @staticmethod
    def restore(current: bytes, before: bytes | None) -> bytes | None:
        """Return the original content, `before`.

        If the agent owns some lines only, edits by others stay.  Raises FileError.
        """
        return before

    def note(self, before: bytes) -> str:
        """Return a note for the operator about the original content, empty without one."""
        return ""


@record
class WholeFile(ManagedFile):
    """A file that belongs to the agent as a whole; `content` None: the file must not exist."""

    kind = "whole"

    content: bytes | None = field(repr=False)

    def merge(self, current: bytes | None) -> bytes | None:
        return self.content
