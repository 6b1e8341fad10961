"""yum.conf and dnf.conf: the one line `proxy=URL` in [main].

The value has no quotes: yum 3 keeps quotes and substitutes `$`.  Both read the key at column 0
(dnf.conf(5), yum.conf(5)).
"""

from __future__ import annotations

import re

import attrs

from agent.core.net.proxy_url import quoted
from agent.core.plan.files.lines import pluralize, split_lines
from agent.core.plan.files.managed_file import ManagedFile

YUM_CONF = "/etc/yum.conf"
#: The file that dnf reads.  yum.conf is a link to it.  Where a file has replaced that link, dnf
#: must not lose its proxy.
DNF_CONF = "/etc/dnf/dnf.conf"

_HEADER = re.compile(rb"\[([^]]*)\]")
_PROXY = re.compile(rb"proxy[ \t]*[=:]", re.IGNORECASE)


@attrs.frozen
class _Proxy:
    """One proxy setting: its section, the numbers of its lines, its value.

    The section is empty above the first header.
    """

    section: bytes
    numbers: list[int]
    value: str

    @property
    def is_main(self) -> bool:
        return self.section == b"main"


@attrs.frozen
class YumConf(ManagedFile):
    """The file with exactly one `proxy=` in [main], or, `url` None, without one."""

    kind = "yum"
    own_lines = True
    may_be_private = True
    needed_by_units = False

    url: str | None = attrs.field(repr=False)
    path: str = YUM_CONF

    def merge(self, current: bytes | None) -> bytes | None:
        """Put the proxy in place of the first one of [main], or right below the header.

        In other sections only a line with the same proxy is removed.  A section with its own proxy
        stays as it is, and so do other keys, also proxy_username and the like.  A missing [main] is
        added at the end.
        """
        if self.url is None:
            return None if current is None else self.restore(current, None)
        ours = b"proxy=" + self.url.encode("ascii") + b"\n"
        lines = split_lines(current or b"")
        lines[-1:] = map(_ended, lines[-1:])
        repeated = [proxy.numbers[0] for proxy in _repeated(_proxies(lines), self.url)]
        kept, position = _without_proxy([line for number, line in enumerate(lines) if number not in repeated])
        if position is None:
            position = _below_header(kept)
        if position is None:
            return b"".join(kept) + (b"\n" if kept else b"") + b"[main]\n" + ours
        return b"".join(kept[:position]) + ours + b"".join(kept[position:])

    @staticmethod
    def restore(current: bytes, before: bytes | None) -> bytes | None:
        """Return `current` with the proxy lines that `before` had in place of the agent's."""
        lines, old = split_lines(current), split_lines(before or b"")
        kept, position = _without_proxy(lines)
        if position is None:
            return b"".join(kept)
        originals = [old[number] for proxy in _proxies(old) if proxy.is_main for number in proxy.numbers]
        if kept[position:]:
            originals[-1:] = map(_ended, originals[-1:])
        restored = kept[:position] + originals + kept[position:]
        ours = next(proxy.value for proxy in _proxies(lines) if proxy.is_main)
        for proxy in _repeated(_proxies(old), ours):
            _append_to_section(restored, proxy.section, old[proxy.numbers[0]])
        return b"".join(restored if _header(old, b"main") is not None else _without_empty_main(restored))

    def note(self, before: bytes) -> str:
        """Return a note about earlier proxies: replaced, removed, and kept in other sections."""
        if self.url is None:
            return ""
        proxies = _proxies(split_lines(before))
        replaced = sum(proxy.is_main for proxy in proxies)
        repeated = _repeated(proxies, self.url)
        notes = []
        if replaced:
            notes.append(pluralize(replaced, "{n} earlier proxy line{s} in [main] {are} replaced"))
        if repeated:
            sections = ", ".join(dict.fromkeys(map(_shown, repeated)))
            text = "{n} line{s} with the same proxy in {sections} {are} removed"
            notes.append(pluralize(len(repeated), text, sections=sections))
        notes += [
            f"{_shown(proxy)} keeps its own proxy, {quoted(proxy.value)}"
            for proxy in proxies
            if not (proxy.is_main or proxy in repeated)
        ]
        return "yum.conf: " + "; ".join(notes) if notes else ""


@attrs.frozen
class DnfConf(YumConf):
    """dnf.conf with the same proxy; it is not created if it does not exist."""

    path: str = DNF_CONF

    def merge(self, current: bytes | None) -> bytes | None:
        return None if current is None else super().merge(current)


def effective(current: bytes) -> dict[str, str]:
    """Return the proxy in effect by section: both yum and dnf use the last of several."""
    return {_shown(proxy)[1:-1]: proxy.value for proxy in _proxies(split_lines(current))}


def _ended(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n"


def _shown(proxy: _Proxy) -> str:
    section = quoted(proxy.section.decode("utf-8", "replace"))[1:-1]
    return f"[{section}]"


def _section(line: bytes) -> bytes | None:
    match = _HEADER.match(line)
    return match.group(1) if match else None


def _header(lines: list[bytes], section: bytes) -> int | None:
    """Return the number of the line `[section]`."""
    return next((number for number, line in enumerate(lines) if _section(line) == section), None)


def _end(lines: list[bytes], header: int) -> int:
    """Return the number of the first line after the section with this header."""
    following = range(header + 1, len(lines))
    return next((number for number in following if _section(lines[number]) is not None), len(lines))


def _is_blank(line: bytes) -> bool:
    """Return True for a blank line or a comment.

    It does not end a value: a continuation line may follow it (Python's configparser).
    """
    return line.strip()[:1] in (b"", b"#", b";")


def _is_indented(line: bytes) -> bool:
    return line[:1] in (b" ", b"\t") and not _is_blank(line)


def _proxies(lines: list[bytes]) -> list[_Proxy]:
    """Return every proxy setting of the file, with its continuation lines."""
    settings: list[tuple[bytes, list[int]]] = []
    section, inside = b"", False
    for number, line in enumerate(lines):
        if _is_blank(line):
            continue
        header = _section(line)
        section = section if header is None else header
        if not _is_indented(line):
            inside = bool(_PROXY.match(line))
            settings += [(section, [])] if inside else []
        if inside:
            settings[-1][1].append(number)
    return [_Proxy(section, numbers, _value([lines[number] for number in numbers])) for section, numbers in settings]


def _repeated(proxies: list[_Proxy], url: str) -> list[_Proxy]:
    """Return the settings of other sections that repeat the proxy of [main].

    The shell recipe appends its line to the last section, whichever that is.  A section that also
    has another proxy is left out: there the last line wins, so the repeated one has an effect.
    """
    others = [proxy for proxy in proxies if not proxy.is_main]
    own = [proxy.section for proxy in others if len(proxy.numbers) > 1 or proxy.value not in (url, url + "/")]
    return [proxy for proxy in others if proxy.section not in own]


def _value(lines: list[bytes]) -> str:
    text = b" ".join(line.strip() for line in lines)
    return _PROXY.sub(b"", text, count=1).strip().decode("utf-8", "backslashreplace")


def _without_proxy(lines: list[bytes]) -> tuple[list[bytes], int | None]:
    """Return the lines without the proxy settings of [main], and the position of the first."""
    ours = [number for proxy in _proxies(lines) if proxy.is_main for number in proxy.numbers]
    return [line for number, line in enumerate(lines) if number not in ours], min(ours, default=None)


def _below_header(lines: list[bytes]) -> int | None:
    """Return the position of a first line in [main]; None without a [main].

    It is below indented lines, which would otherwise continue it.
    """
    header = _header(lines, b"main")
    if header is None:
        return None
    position = number = header + 1
    while number < len(lines) and (_is_blank(lines[number]) or _is_indented(lines[number])):
        number += 1
        position = number if _is_indented(lines[number - 1]) else position
    return position


def _append_to_section(lines: list[bytes], section: bytes, line: bytes) -> None:
    """Insert `line` as the last line with text of its section, if the section still exists.

    There it continues no other line, and no other line continues it.
    """
    header = _header(lines, section) if section else -1
    if header is None:
        return
    position = _end(lines, header)
    while position > header + 1 and _is_blank(lines[position - 1]):
        position -= 1
    lines[position - 1 : position] = map(_ended, lines[position - 1 : position])
    lines.insert(position, line if position == len(lines) else _ended(line))


def _without_empty_main(lines: list[bytes]) -> list[bytes]:
    """Return the lines without the `[main]` that `merge` added, and the blank line above it.

    If others have put settings into it since, it stays.
    """
    start = _header(lines, b"main") or 0
    end = _end(lines, start)
    if b"".join(lines[start + 1 : end]).strip():
        return lines
    return lines[: max(0, start - 1)] + lines[start + 1 :]
