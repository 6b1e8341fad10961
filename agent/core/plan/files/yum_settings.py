"""Reader of yum.conf, dnf.conf and the files of repositories: settings with their lines.

A key is at column 0; indented lines continue its value, also across blank lines and comments
(Python's configparser, on which yum 3 is built; dnf.conf(5)).
"""

from __future__ import annotations

import re

from agent.core.net.proxy_url import quoted
from agent.core.plan.files.lines import split_lines
from agent.core.record import record

_HEADER = re.compile(rb"\[([^]]*)\]")
_KEY = re.compile(rb"([^\s=:\[#;][^=:]*?)[ \t]*[=:]")


@record
class Setting:
    """One setting: its section, its key in lower case, the numbers of its lines, its value.

    The section is empty above the first header.
    """

    section: bytes
    key: bytes
    numbers: list[int]
    value: str

    @property
    def is_main(self) -> bool:
        return self.section == b"main"

    @property
    def shown_section(self) -> str:
        """Return the section with its brackets, safe to print."""
        return f"[{quoted(self.section.decode('utf-8', 'replace'))[1:-1]}]"


def settings_in(lines: list[bytes]) -> list[Setting]:
    """Return every setting of a file, with its continuation lines."""
    settings: list[tuple[bytes, bytes, list[int]]] = []
    section, is_inside = b"", False
    for number, line in enumerate(lines):
        if is_blank(line):
            continue
        header = section_of(line)
        section = section if header is None else header
        if not is_indented(line):
            key = _KEY.match(line) if header is None else None
            is_inside = key is not None
            settings += [(section, key[1].lower(), [])] if key else []
        if is_inside:
            settings[-1][2].append(number)
    return [
        Setting(section, key, numbers, _value([lines[number] for number in numbers]))
        for section, key, numbers in settings
    ]


def values_in(content: bytes) -> dict[str, dict[str, str]]:
    """Return the values by section and key: both yum and dnf use the last of several."""
    values: dict[str, dict[str, str]] = {}
    for setting in settings_in(split_lines(content)):
        section = values.setdefault(setting.shown_section[1:-1], {})
        section[setting.key.decode("utf-8", "backslashreplace")] = setting.value
    return values


def section_of(line: bytes) -> bytes | None:
    """Return the name in a header, None for other lines."""
    match = _HEADER.match(line)
    return match.group(1) if match else None


def find_header(lines: list[bytes], section: bytes) -> int | None:
    """Return the number of the line `[section]`."""
    return next((number for number, line in enumerate(lines) if section_of(line) == section), None)


def section_end(lines: list[bytes], header: int) -> int:
    """Return the number of the first line after the section with this header."""
    following = range(header + 1, len(lines))
    return next((number for number in following if section_of(lines[number]) is not None), len(lines))


def is_blank(line: bytes) -> bool:
    """Return True for a blank line or a comment; it does not end a value."""
    return line.strip()[:1] in (b"", b"#", b";")


def is_indented(line: bytes) -> bool:
    return line[:1] in (b" ", b"\t") and not is_blank(line)


def _value(lines: list[bytes]) -> str:
    text = b" ".join(line.strip() for line in lines)
    return _KEY.sub(b"", text, count=1).strip().decode("utf-8", "backslashreplace")
