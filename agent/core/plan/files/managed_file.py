"""What all files of ours have in common: how each has to be, and how it is taken back."""

from __future__ import annotations

import abc
import enum
from typing import ClassVar

import attrs

#: The mode of files that hold credentials.
PRIVATE = 0o600


class Effect(enum.Enum):
    """What the machine has to be told when a file changes."""

    NONE = "none"
    DAEMON_RELOAD = "reload systemd"
    TRUST_STORE = "rebuild the trust store"


@attrs.frozen
class ManagedFile(abc.ABC):
    """How one file has to be; each sort of file is a class of its own.

    `kind` is what the baseline calls it: by that name KINDS has the class that can take it back.
    `own_lines`: ours are some lines of it, other people's edits stay.  `may_be_private`: we make it
    so while there are credentials in it.
    """

    kind: ClassVar[str]
    effect: ClassVar[Effect] = Effect.NONE
    own_lines: ClassVar[bool] = False
    may_be_private: ClassVar[bool] = False

    path: str
    mode: int | None = attrs.field(default=None, kw_only=True)

    @abc.abstractmethod
    def merge(self, current: bytes | None) -> bytes | None:
        """Give the content wanted, None for no file, from the content there is.  Raises FileError."""

    @staticmethod
    def restore(current: bytes, before: bytes | None) -> bytes | None:
        """Give what was there `before` us, with other people's edits where only lines are ours.  Raises FileError."""
        return before

    def note(self, before: bytes) -> str:
        """Say, from the content there was before us, what else a person should know."""
        return ""


@attrs.frozen
class WholeFile(ManagedFile):
    """A file that is wholly ours; `content` None: there has to be none."""

    kind = "whole"

    content: bytes | None = attrs.field(repr=False)

    def merge(self, current: bytes | None) -> bytes | None:
        return self.content
