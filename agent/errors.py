"""Errors of the agent, each with its exit code (docs/settings.md lists the codes).

An error's text ends up in the journal, in status.json and on a terminal, and may have been caused
by hostile user data.  So AgentError bounds it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

#: The first problems are reported in full, the others are counted: at most so many problems, and so
#: many characters of a line and of all lines.
_MOST_PROBLEMS, _LONGEST_LINE, _LONGEST_TEXT = 20, 4_000, 16_000
#: Of an unexpected exception: characters of its text, and frames.
_LONGEST_EXCEPTION, _FRAMES = 300, 8


def shortlist(problems: Sequence[str]) -> list[str]:
    """Return the first problems (or warnings), and a last line that counts the others."""
    lines: list[str] = []
    room = _LONGEST_TEXT
    for problem in problems[:_MOST_PROBLEMS]:
        line = problem if len(problem) <= _LONGEST_LINE else _shortened(problem, _LONGEST_LINE)
        room -= len(line)
        if room < 0:
            break
        lines.append(line)
    more = len(problems) - len(lines)
    return [*lines, f"and {more:,} more"] if more else lines


def _shortened(text: str, length: int) -> str:
    """Return the beginning of a long text, redacted while its user info is still complete."""
    from agent.core.redact import redact  # rarely needed, and the supervisor does without

    return redact(text)[: length - 3] + "..."


class AgentError(Exception):
    """Failure that an operator can act on.

    The text names the object and its value, and never holds a credential; it may have a line for
    each of several problems, and only the first ones are kept.  `exit_code` is the exit code of the
    command.  `category` is the label of a failure in the metrics.  `hint`, if any, is the remedy.
    """

    exit_code = 1
    category = "other"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__("\n".join(shortlist(message.split("\n"))))
        self.hint = hint


class UsageError(AgentError):
    """Wrong usage of the command line."""

    exit_code = 2


class LockedError(AgentError):
    """Lock held by another run, which is changing the machine (EX_TEMPFAIL of sysexits.h)."""

    exit_code = 75


class SettingsError(AgentError):
    """Wrong settings (EX_CONFIG of sysexits.h).

    `problems` has a line for every mistake, so that those of several files can be put together.
    """

    exit_code = 78
    category = "settings"

    def __init__(self, problems: Iterable[str], *, hint: str = "") -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems), hint=hint)


class MetadataError(AgentError):
    """Missing or unusable response of the metadata service."""

    category = "metadata"


class FileError(AgentError):
    """Failure to read, parse or write a file, which is left unchanged."""

    category = "file"


class CorruptError(FileError):
    """Content of a state file that no version of the agent wrote."""


class NoRoomError(FileError):
    """Failure to write to a file system that takes nothing: it is full or read-only."""


class CommandError(AgentError):
    """Failure or timeout of a system program (systemctl, cfn-signal).

    `output`: what it printed on stderr, redacted.
    """

    category = "command"

    def __init__(self, message: str, *, hint: str = "", output: str = "") -> None:
        super().__init__(message, hint=hint)
        self.output = output


class CrashError(AgentError):
    """End of a worker process before it had reported a result."""

    category = "crash"


def as_agent_error(error: Exception) -> AgentError:
    """Return an error for people; an unexpected exception has its type, and its origin as hint."""
    if isinstance(error, AgentError):
        return error
    name, text = type(error).__name__, str(error).partition("\n")[0]
    text = text if len(text) <= _LONGEST_EXCEPTION else _shortened(text, _LONGEST_EXCEPTION)
    return AgentError(f"{name}: {text}" if text else name, hint=f"unexpected error; please report it: {_origin(error)}")


def combined(first: Exception | None, second: Exception) -> Exception:
    """Return one error for two problems of the same run, or the second if it is the only one.

    It has the category of the first, and its hint, without which the other may be of no use.
    """
    if first is None:
        return second
    problems = as_agent_error(first), as_agent_error(second)
    both = AgentError("\n".join(map(str, problems)), hint=problems[0].hint or problems[1].hint)
    both.category = problems[0].category
    return both


def _origin(error: Exception) -> str:
    """Return file and line of the calls that led to an exception, the innermost first."""
    frames, step = [], error.__traceback__
    while step is not None:
        frames.append(f"{os.path.basename(step.tb_frame.f_code.co_filename)}:{step.tb_lineno}")
        step = step.tb_next
    return " < ".join(frames[: -_FRAMES - 1 : -1])
