"""What can go wrong, and the exit code that says so (the codes are documented in docs/settings.md)."""

from __future__ import annotations

from collections.abc import Sequence


class AgentError(Exception):
    """Something failed that a person can do something about.

    `exit_code` is what the command ends with; `hint`, if any, is the way out.
    The text names the thing and its value and never holds a credential.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(AgentError):
    """The command line makes no sense."""

    exit_code = 2


class LockedError(AgentError):
    """Another run is changing the machine (EX_TEMPFAIL of sysexits.h)."""

    exit_code = 75


class SettingsError(AgentError):
    """The settings are wrong (EX_CONFIG of sysexits.h); `problems` holds one line for each mistake, all of them."""

    exit_code = 78

    def __init__(self, problems: Sequence[str], *, hint: str = "") -> None:
        super().__init__("\n".join(problems), hint=hint)
        self.problems = tuple(problems)


class MetadataError(AgentError):
    """The metadata service did not answer, or what it answered is not what was asked."""


class FileError(AgentError):
    """A file cannot be read, understood or written; it is left as it was."""


class CommandError(AgentError):
    """A program of the system (systemctl, cfn-signal) failed or took too long."""
