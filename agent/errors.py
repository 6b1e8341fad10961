"""Errors of the agent, each with its exit code (docs/settings.md lists the codes)."""

from __future__ import annotations

from collections.abc import Sequence


class AgentError(Exception):
    """Failure that an operator can act on.

    The text names the object and its value, and never holds a credential.  `exit_code` is the exit
    code of the command.  `hint`, if any, is the remedy.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(AgentError):
    """Wrong usage of the command line."""

    exit_code = 2


class LockedError(AgentError):
    """The lock is held: another run is changing the machine (EX_TEMPFAIL of sysexits.h)."""

    exit_code = 75


class SettingsError(AgentError):
    """Wrong settings (EX_CONFIG of sysexits.h).

    `problems` holds one line for each mistake, and all mistakes.
    """

    exit_code = 78

    def __init__(self, problems: Sequence[str], *, hint: str = "") -> None:
        super().__init__("\n".join(problems), hint=hint)
        self.problems = tuple(problems)


class MetadataError(AgentError):
    """The metadata service did not respond, or its response is not usable."""


class FileError(AgentError):
    """A file cannot be read, parsed or written; it is left unchanged."""


class CommandError(AgentError):
    """A program of the system (systemctl, cfn-signal) failed or timed out."""
