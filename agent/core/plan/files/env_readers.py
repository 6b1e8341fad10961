"""Readers of environment files (systemd, the shells, pam_env), and how each divides one.

They agree on plain lines, and differ on quotes, comments and backslashes.  So a file can be cut
only where each of them is between two statements.

Sources: `parse_env_file_internal` of systemd 252 (src/basic/env-file.c), the shell grammar of
POSIX, and `_parse_env_file` of Linux-PAM 1.5 (modules/pam_env).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from agent.core.plan.files.lines import split_lines
from agent.core.record import record

_NEWLINE = re.compile(rb"\n")


class Reading(NamedTuple):
    """The statements of a file for one reader.

    `ends`: the offsets after a newline where it is between two statements.  `names`: the offsets
    and names of the variables that it sets; with a blank in it, a name stands for something else,
    such as `export NAME` without a value.
    """

    ends: frozenset[int]
    names: tuple[tuple[int, bytes], ...]


# --- systemd


@record
class Assignment:
    """One NAME=VALUE of systemd's parser, which accepts any name.

    `is_closed` is False if a quote of the value takes in the rest of the file.
    """

    start: int
    end: int
    name: bytes
    value: bytes
    is_closed: bool

    @property
    def is_text(self) -> bool:
        """Return True for what systemd accepts as UTF-8; anything else rejects the whole file."""
        try:
            return not _NONCHARACTER.search((self.name + b"\n" + self.value).decode("utf-8"))
        except UnicodeDecodeError:
            return False


_BLANKS = re.compile(rb"[ \t\r\n]*")
_VALUE = (
    rb"(?:[ \t]*(?:'[^']*'|\"[^\"\\]*(?:\\[\s\S][^\"\\]*)*\"))*[ \t]*"
    rb"(?:(?:[^ \t\r\n'\"\\]|\\[\s\S])[^\\\r\n]*(?:\\[\s\S][^\\\r\n]*)*)?\\?"
)
#: Before systemd 254, a backslash in a comment escapes the newline too.
_COMMENTS = (rb"[#;][^\\\r\n]*(?:\\[\s\S][^\\\r\n]*)*\\?", rb"[#;][^\r\n]*")
_ITEMS = tuple(re.compile(rb"%s|([^ \t\r\n#;][^=\r\n]*)(?:=(%s))?" % (comment, _VALUE)) for comment in _COMMENTS)
_QUOTED = re.compile(rb"[ \t]*(?:'([^']*)'?|\"([^\"\\]*(?:\\[\s\S][^\"\\]*)*)\\?\"?)")
#: systemd rejects the noncharacters of Unicode as well (`unichar_is_valid`).
_LAST_TWO = "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
_NONCHARACTER = re.compile(f"[\ufdd0-\ufdef{_LAST_TWO}]")


def systemd_items(text: bytes, *, since_254: bool = False) -> tuple[Reading, tuple[Assignment, ...]]:
    """Return how systemd reads a file, with the assignments in their order."""
    ends: list[int] = []
    assignments: list[Assignment] = []
    position = 0
    while position < len(text):
        start = _end_of(_BLANKS, text, position)
        ends += (newline.end() for newline in _NEWLINE.finditer(text, position, start))
        match = _ITEMS[since_254].match(text, start)
        if match is None:  # the end of the file
            break
        position = match.end()
        if match[2] is not None:
            is_closed = text[position : position + 1] in (b"", b"\r", b"\n")
            position = position if is_closed else len(text)
            name, value = match[1].rstrip(b" \t"), _value(text[match.start(2) : position])
            assignments.append(Assignment(start, position, name, value, is_closed))
    names = tuple((item.start, _without_export(item.name)) for item in assignments)
    return Reading(frozenset(ends), names), tuple(assignments)


def _end_of(pattern: re.Pattern[bytes], text: bytes, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position


def _without_export(name: bytes) -> bytes:
    return re.sub(rb"\Aexport[ \t]+", b"", name)


def _value(raw: bytes) -> bytes:
    """Return the value without its quotes and escapes."""
    value, position = b"", 0
    while match := _QUOTED.match(raw, position):
        value += match[1] if match[1] is not None else re.sub(rb"\\([\s\S])", _in_double_quotes, match[2])
        position = match.end()
    plain = raw[position:].lstrip(b" \t")
    stripped = plain.rstrip(b" \t")
    if (len(stripped) - len(stripped.rstrip(b"\\"))) % 2:  # it escapes the blank that follows
        stripped = plain[: len(stripped) + 1]
    return value + re.sub(rb"\\([\s\S]?)", lambda match: b"" if match[1] in (b"\n", b"\r") else match[1], stripped)


def _in_double_quotes(match: re.Match[bytes]) -> bytes:
    return match[1] if match[1] in b'"\\`$' else b"" if match[1] == b"\n" else match[0]


# --- the shells

_TOKEN = re.compile(
    rb"(?P<blank>(?:[ \t]|\\\n)+|\#[^\n]*)|(?P<operator>\n|[;&|()<>]+)|"
    rb"(?P<word>(?:[^ \t\n;&|()<>'\"`$\\]+|\\[\s\S]?|'[^']*'|\"[^\"\\]*(?:\\[\s\S][^\"\\]*)*\"|"
    rb"`[^`]*`|\$(?:\([^()]*\)|\{[^}]*\})?)+)"
)
_ASSIGNED = re.compile(rb"([A-Za-z_][A-Za-z0-9_]*)=")
_QUOTES = re.compile(rb"['\"\\]")
_IDENTIFIER = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
_OPENING = (b"if", b"case", b"for", b"while", b"until", b"{")
_CLOSING = (b"fi", b"esac", b"done", b"}")
_RESERVED = (*_OPENING, *_CLOSING, b"then", b"elif", b"else", b"do", b"!")

#: A word with its offset, quotes included.
Word = tuple[int, bytes]


def shell_commands(text: bytes) -> Iterator[tuple[list[Word], bytes, int]]:
    """Yield the simple commands of a shell: words, operator, and the offset after that.

    The operator may be a newline; the last one is empty.  Raises ValueError for a quote that is
    not closed.
    """
    words: list[Word] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError("unterminated quote")
        position = match.end()
        if match.lastgroup == "word":
            words.append((match.start(), match[0]))
        elif match.lastgroup == "operator":
            yield words, match[0], position
            words = []
    yield words, b"", position


def shell_reading(text: bytes) -> Reading | None:
    """Return how a shell reads a file; None if it stops with a syntax error.

    A command such as `if` ends with its `fi`.
    """
    ends: list[int] = []
    names: list[tuple[int, bytes]] = []
    depth, is_continued = 0, False
    try:
        for words, operator, end in shell_commands(text):
            while words and words[0][1] in _RESERVED:
                depth += (words[0][1] in _OPENING) - (words[0][1] in _CLOSING)
                names += [(words[0][0], b"command " + words[0][1])] * (words[0][1] in _OPENING)
                words = words[1:]
            names += _shell_names(words)
            is_continued = operator.endswith((b"&&", b"|")) or (is_continued and not words)
            if operator == b"\n" and depth == 0 and not is_continued:
                ends.append(end)
    except ValueError:
        return None
    return None if depth else Reading(frozenset(ends), tuple(names))


def _shell_names(words: list[Word]) -> Iterator[tuple[int, bytes]]:
    """Yield what a simple command sets; any command may set what looks like an assignment.

    A word that follows an assignment is part of its value for other readers.
    """
    command, has_assignment = b"", False
    for offset, word in words:
        name = assigned_name(word, is_export=bool(command))
        if name:
            has_assignment = True
            yield offset, name
        elif not command:
            command = word
            if is_exporting(word) == has_assignment:
                yield offset, b"command " + word
        elif is_exporting(command) and _IDENTIFIER.fullmatch(word):
            yield offset, b"export " + word


def shell_assignments(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield names and values of the assignments in a shell script, up to a syntax error.

    No command is run, so conditions and functions count as if they were.
    """
    try:
        for words, _, _ in shell_commands(text):
            command = b""
            for _, word in words:
                name = assigned_name(word, is_export=bool(command))
                if name and (not command or is_exporting(command)):
                    yield name, _QUOTES.sub(b"", word).partition(b"=")[2]
                elif not command and word not in _RESERVED:
                    command = word
    except ValueError:
        return


def is_exporting(word: bytes) -> bool:
    """Return True for the name of a command that takes assignments."""
    return _QUOTES.sub(b"", word) in (b"export", b"readonly", b"declare", b"typeset")


def assigned_name(word: bytes, *, is_export: bool) -> bytes:
    """Return the name that a word assigns, or nothing; `export` takes quoted assignments too."""
    match = _ASSIGNED.match(_QUOTES.sub(b"", word) if is_export else word)
    return match[1] if match else b""


# --- pam_env


def pam_reading(text: bytes) -> Reading:
    """Return how pam_env reads a file.

    It knows no quotes.  A backslash at the end of a line, escaped or not, joins the next line that
    is neither blank nor a comment.
    """
    ends: list[int] = []
    names: list[tuple[int, bytes]] = []
    start = end = 0
    joined: bytes | None = None
    for line in split_lines(text):
        start = start if joined is not None else end
        end += len(line)
        body = line.lstrip(b" \t\n")
        if body[:1] not in (b"", b"#"):
            content, comment, _ = body.partition(b"#")
            content = (joined or b"") + content.rstrip(b" \t\n")
            joined = content[:-1] if content.endswith(b"\\") and not comment else None
            key = re.match(rb"(?:export )?([A-Za-z0-9_]+)=", content)
            names += [(start, key[1])] if key and joined is None else []
        if joined is None and line.endswith(b"\n"):
            ends.append(end)
    return Reading(frozenset(ends), tuple(names))
