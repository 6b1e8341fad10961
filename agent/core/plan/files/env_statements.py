"""The statements of an environment file: parts that can be kept or removed one by one."""

from __future__ import annotations

import bisect

from agent.core.plan.files.env_readers import (
    Assignment,
    Reading,
    assigned_name,
    is_exporting,
    pam_reading,
    shell_commands,
    shell_reading,
    systemd_items,
)
from agent.core.plan.files.lines import split_lines
from agent.core.record import record
from agent.errors import FileError

#: The variables of a proxy that every client reads.
NAMES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY")
_NAMES = frozenset(name.encode("ascii") for name in NAMES)


@record
class Statement:
    """A part of the file that begins and ends with a line for every reader.

    `names`: what it sets for any of them (see Reading).  `line`: the number of its first line.
    `problem`: why systemd does not read what follows it, or the whole file.
    """

    line: int
    text: bytes
    names: frozenset[bytes]
    problem: str = ""

    @property
    def ours(self) -> tuple[str, ...]:
        """Return the proxy variables that it sets."""
        return tuple(sorted(name.decode("ascii") for name in self.names & _NAMES))

    @property
    def rest(self) -> tuple[str, ...]:
        """Return what else it does."""
        names = (name for name in self.names if name.rpartition(b" ")[2] not in _NAMES)
        return tuple(sorted(ascii(name.decode("utf-8", "backslashreplace"))[1:-1] for name in names))

    @property
    def mixture(self) -> str:
        """Return what it does, in words, for a statement that sets other variables too."""
        return f"sets {', '.join(self.ours)} together with {', '.join(self.rest)}"

    @property
    def is_ours(self) -> bool:
        """Return True if it sets proxy variables and does nothing else."""
        is_cut_short = bool(self.problem) and len(split_lines(self.text)) > 1
        return bool(self.ours) and not self.rest and not is_cut_short


def statements(text: bytes) -> list[Statement]:
    """Divide a file; the texts joined give the file again."""
    readings, assignments = _readings(text)
    bounds = sorted(frozenset.intersection(*(reading.ends for reading in readings)) | {len(text)})
    names: list[set[bytes]] = [set() for _ in bounds]
    problems = [""] * len(bounds)
    for reading in readings:
        for offset, name in reading.names:
            names[bisect.bisect_right(bounds, offset)].add(name)
    for assignment in reversed(assignments):
        number = bisect.bisect_right(bounds, assignment.start)
        problems[number] = _problem(text, assignment) or problems[number]
    parts = list(zip([0, *bounds], bounds, names, problems))
    line = 1
    result = []
    for start, end, found, problem in parts:
        result.append(Statement(line, text[start:end], frozenset(found), problem))
        line += text.count(b"\n", start, end)
    return result


def editable_statements(text: bytes) -> list[Statement]:
    """Divide a file that can be edited.

    Raises FileError if systemd would not read the agent's lines in it.
    """
    if b"\0" in text:
        raise FileError(f"line {_line(text, text.index(0))}: NUL byte; remove it")
    parts = statements(text)
    for statement in parts:
        if statement.problem and not statement.is_ours:
            raise FileError(statement.problem)
    return parts


def is_complete(text: bytes) -> bool:
    """Return True if every reader takes the next line for a new statement."""
    return all(len(text) in reading.ends for reading in _readings(text)[0]) if text else True


def without_proxies(statement: Statement) -> bytes:
    """Return the text of a statement without the proxy variables.

    Raises FileError if they cannot be separated from the rest.
    """
    if not statement.ours:
        return statement.text
    if statement.is_ours:
        return b""
    edited = _edited(statement.text)
    if edited is not None and (is_complete(edited) or not edited.endswith(b"\n")):
        return edited
    raise FileError(f"line {statement.line}: {statement.mixture}; remove {', '.join(statement.ours)} there")


def _edited(text: bytes) -> bytes | None:
    """Return a line of assignments without ours; None if it has anything else.

    Several lines are several statements for some readers.
    """
    try:
        commands = [words for words, _, _ in shell_commands(text) if words]
    except ValueError:
        return None
    if len(commands) != 1 or len(split_lines(text)) > 1:
        return None
    words = commands[0]
    is_export = is_exporting(words[0][1])
    names = [assigned_name(word, is_export=is_export) for _, word in words[is_export:]]
    if not all(names) or _NAMES.issuperset(names) or _NAMES.isdisjoint(names):
        return None
    kept = [word for (_, word), name in zip(words, [b""] * is_export + names) if name not in _NAMES]
    end = words[-1][0] + len(words[-1][1])
    return text[: words[0][0]] + b" ".join(kept) + text[end:]


def _readings(text: bytes) -> tuple[list[Reading], list[Assignment]]:
    """Return how all readers read a file, and the assignments of systemd.

    A shell that stops with a syntax error reads nothing that could change.
    """
    before_254, assignments = systemd_items(text)
    since_254, more = systemd_items(text, since_254=True)
    shell = shell_reading(text)
    return [before_254, since_254, pam_reading(text), *([shell] if shell else [])], [*assignments, *more]


def _problem(text: bytes, assignment: Assignment) -> str:
    if not assignment.is_closed:
        line = _line(text, assignment.start)
        return f"line {line}: the quote of its value is not closed, so systemd takes all further lines for a part of it; close it"
    if assignment.is_text:
        return ""
    part = text[assignment.start : assignment.end]
    try:
        part.decode("utf-8")
        offset = 0  # a noncharacter
    except UnicodeDecodeError as error:
        offset = error.start
    line = _line(text, assignment.start + offset)
    return f"line {line}: invalid UTF-8, so systemd ignores the whole file; correct this line"


def _line(text: bytes, offset: int) -> int:
    return text.count(b"\n", 0, offset) + 1
