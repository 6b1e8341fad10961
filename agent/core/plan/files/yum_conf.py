"""yum.conf and dnf.conf: the one line `proxy=URL` in [main].

The value is bare: yum 3 keeps quotes and substitutes `$`; both read the key at column 0
(dnf.conf(5), yum.conf(5)).
"""

from __future__ import annotations

import re

import attrs

from agent.core.net.proxy_url import quoted
from agent.core.plan.files.lines import counted, split_lines
from agent.core.plan.files.managed_file import ManagedFile

YUM_CONF = "/etc/yum.conf"
#: What dnf reads.  yum.conf is a link to it; where that was replaced by a file, dnf must not lose
#: its proxy.
DNF_CONF = "/etc/dnf/dnf.conf"

_HEADER = re.compile(rb"\[([^]]*)\]")
_PROXY = re.compile(rb"proxy[ \t]*[=:]", re.IGNORECASE)


@attrs.frozen
class _Proxy:
    """A proxy setting: its section (empty above the first header), the numbers of its lines, the value."""

    section: bytes
    numbers: list[int]
    value: str

    @property
    def main(self) -> bool:
        return self.section == b"main"


@attrs.frozen
class YumConf(ManagedFile):
    """The file with exactly one `proxy=` in [main], or, `url` None, with none."""

    kind = "yum"
    own_lines = True
    may_be_private = True

    url: str | None = attrs.field(repr=False)
    path: str = YUM_CONF

    def merge(self, current: bytes | None) -> bytes | None:
        """Put ours where the first one stood, else right below the header.

        In other sections only a line that repeats ours goes.  What has a proxy of its own stays as
        it is, and so do other keys (proxy_username and its kind too); an absent [main] comes last.
        """
        if self.url is None:
            return None if current is None else self.restore(current, None)
        ours = b"proxy=" + self.url.encode("ascii") + b"\n"
        lines = split_lines(current or b"")
        lines[-1:] = map(_ended, lines[-1:])
        repeated = [proxy.numbers[0] for proxy in _repeated(_proxies(lines), self.url)]
        kept, at = _without_proxy([line for number, line in enumerate(lines) if number not in repeated])
        if at is None:
            at = _below_header(kept)
        if at is None:
            return b"".join(kept) + (b"\n" if kept else b"") + b"[main]\n" + ours
        return b"".join(kept[:at]) + ours + b"".join(kept[at:])

    @staticmethod
    def restore(current: bytes, before: bytes | None) -> bytes | None:
        """Give `current` with the proxy lines that `before` had instead of ours."""
        lines, old = split_lines(current), split_lines(before or b"")
        kept, at = _without_proxy(lines)
        if at is None:
            return b"".join(kept)
        theirs = [old[number] for proxy in _proxies(old) if proxy.main for number in proxy.numbers]
        if kept[at:]:
            theirs[-1:] = map(_ended, theirs[-1:])
        restored = kept[:at] + theirs + kept[at:]
        ours = next(proxy.value for proxy in _proxies(lines) if proxy.main)
        for proxy in _repeated(_proxies(old), ours):
            _put_back(restored, proxy.section, old[proxy.numbers[0]])
        return b"".join(restored if _header(old, b"main") is not None else _without_empty_main(restored))

    def note(self, before: bytes) -> str:
        """Say which proxies were there: replaced ones, removed ones, and those of other sections that stay."""
        if self.url is None:
            return ""
        proxies = _proxies(split_lines(before))
        replaced = sum(proxy.main for proxy in proxies)
        repeated = _repeated(proxies, self.url)
        said = []
        if replaced:
            said.append(counted(replaced, "{n} earlier proxy line{s} in [main] {are} replaced"))
        if repeated:
            where = ", ".join(dict.fromkeys(map(_shown, repeated)))
            said.append(counted(len(repeated), "{n} line{s} with the same proxy in {where} {are} removed", where=where))
        said += [
            f"{_shown(proxy)} keeps its own proxy, {quoted(proxy.value)}"
            for proxy in proxies
            if not (proxy.main or proxy in repeated)
        ]
        return "yum.conf: " + "; ".join(said) if said else ""


@attrs.frozen
class DnfConf(YumConf):
    """The same of a file that is not made where there is none."""

    path: str = DNF_CONF

    def merge(self, current: bytes | None) -> bytes | None:
        return None if current is None else super().merge(current)


def effective(current: bytes) -> dict[str, str]:
    """The proxy that counts, by section: the last of several, which both yum and dnf take."""
    return {_shown(proxy)[1:-1]: proxy.value for proxy in _proxies(split_lines(current))}


def _ended(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n"


def _shown(proxy: _Proxy) -> str:
    return "[{}]".format(quoted(proxy.section.decode("utf-8", "replace"))[1:-1])


def _section(line: bytes) -> bytes | None:
    match = _HEADER.match(line)
    return match.group(1) if match else None


def _header(lines: list[bytes], section: bytes) -> int | None:
    """The number of the line `[section]`."""
    return next((number for number, line in enumerate(lines) if _section(line) == section), None)


def _end(lines: list[bytes], header: int) -> int:
    """The number of the line after the section that this header begins."""
    return next((at for at in range(header + 1, len(lines)) if _section(lines[at]) is not None), len(lines))


def _nothing(line: bytes) -> bool:
    """Blank or a comment: it ends no value, a continuation line may come after it (Python's configparser)."""
    return line.strip()[:1] in (b"", b"#", b";")


def _indented(line: bytes) -> bool:
    return line[:1] in (b" ", b"\t") and not _nothing(line)


def _proxies(lines: list[bytes]) -> list[_Proxy]:
    """Every proxy setting of the file, continuation lines included."""
    found: list[tuple[bytes, list[int]]] = []
    section, inside = b"", False
    for number, line in enumerate(lines):
        if _nothing(line):
            continue
        header = _section(line)
        section = section if header is None else header
        if not _indented(line):
            inside = bool(_PROXY.match(line))
            found += [(section, [])] if inside else []
        if inside:
            found[-1][1].append(number)
    return [_Proxy(section, numbers, _value([lines[number] for number in numbers])) for section, numbers in found]


def _repeated(proxies: list[_Proxy], url: str) -> list[_Proxy]:
    """What other sections say that [main] says: the shell recipe appends to whatever section comes last.

    Not where a section says something else too: there the last one wins, and ours is not for
    nothing.
    """
    others = [proxy for proxy in proxies if not proxy.main]
    own = [proxy.section for proxy in others if len(proxy.numbers) > 1 or proxy.value not in (url, url + "/")]
    return [proxy for proxy in others if proxy.section not in own]


def _value(lines: list[bytes]) -> str:
    text = b" ".join(line.strip() for line in lines)
    return _PROXY.sub(b"", text, count=1).strip().decode("utf-8", "backslashreplace")


def _without_proxy(lines: list[bytes]) -> tuple[list[bytes], int | None]:
    """The lines without [main]'s proxy settings, and where the first of these stood."""
    ours = [number for proxy in _proxies(lines) if proxy.main for number in proxy.numbers]
    return [line for number, line in enumerate(lines) if number not in ours], min(ours, default=None)


def _below_header(lines: list[bytes]) -> int | None:
    """Where a first line of [main] goes: below indented lines, which would else continue it."""
    header = _header(lines, b"main")
    if header is None:
        return None
    at = number = header + 1
    while number < len(lines) and (_nothing(lines[number]) or _indented(lines[number])):
        number += 1
        at = number if _indented(lines[number - 1]) else at
    return at


def _put_back(lines: list[bytes], section: bytes, line: bytes) -> None:
    """Make `line` the last one with text of its section, if that is still there (it continues nothing and nothing it)."""
    header = _header(lines, section) if section else -1
    if header is None:
        return
    at = _end(lines, header)
    while at > header + 1 and _nothing(lines[at - 1]):
        at -= 1
    lines[at - 1 : at] = map(_ended, lines[at - 1 : at])
    lines.insert(at, line if at == len(lines) else _ended(line))


def _without_empty_main(lines: list[bytes]) -> list[bytes]:
    """The lines without the `[main]` that `edit` added, and the blank line above it; somebody may use it by now."""
    start = _header(lines, b"main") or 0
    end = _end(lines, start)
    if b"".join(lines[start + 1 : end]).strip():
        return lines
    return lines[: max(0, start - 1)] + lines[start + 1 :]
