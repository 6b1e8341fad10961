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
    """Lock held by another run, which is changing the machine (EX_TEMPFAIL of sysexits.h)."""

    exit_code = 75


class SettingsError(AgentError):
    """Wrong settings (EX_CONFIG of sysexits.h).

    `problems` has a line for every mistake.
    """

    exit_code = 78

    def __init__(self, problems: Sequence[str], *, hint: str = "") -> None:
        super().__init__("\n".join(problems), hint=hint)
        self.problems = tuple(problems)


class MetadataError(AgentError):
    """Missing or unusable response of the metadata service."""


class FileError(AgentError):
    """Failure to read, parse or write a file, which is left unchanged."""


class CommandError(AgentError):
    """Failure or timeout of a system program (systemctl, cfn-signal)."""
