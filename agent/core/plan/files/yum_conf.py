"""yum.conf and dnf.conf: the one line `proxy=URL` in [main].

The value has no quotes: yum 3 keeps quotes and substitutes `$`.  Both read the key at column 0
(dnf.conf(5), yum.conf(5)).
"""

from __future__ import annotations

from agent.core.net.proxy_url import quoted_proxy
from agent.core.plan.files.lines import pluralize, split_lines
from agent.core.plan.files.managed_file import ManagedFile
from agent.core.plan.files.yum_settings import Setting, find_header, is_blank, is_indented, section_end, settings_in
from agent.core.record import field, record

YUM_CONF = "/etc/yum.conf"
#: The file that dnf reads.  yum.conf is a link to it.  Where a file has replaced that link, dnf
#: must not lose its proxy.
DNF_CONF = "/etc/dnf/dnf.conf"

_PROXY = b"proxy"
#: yum and dnf send these to the proxy, whichever it is (dnf.conf(5)).
_USER = (b"proxy_username", b"proxy_password")


@record
class YumConf(ManagedFile):
    """The file with exactly one `proxy=` in [main], or, `url` None, without one."""

    kind = "yum"
    own_lines = True
    may_be_private = True
    needed_by_units = False

    url: str | None = field(repr=False)
    path: str = YUM_CONF
    is_created: bool = True

    def merge(self, current: bytes | None) -> bytes | None:
        """Put the proxy in place of the first one of [main], or right below the header.

        User and password of another proxy in [main] are removed.  In other sections only a line
        with the same proxy is removed; a section with its own proxy stays as it is, and so do other
        keys.  A missing [main] is added at the end.  Unless it `is_created`, a missing file stays
        missing.
        """
        if current is None and not (self.is_created and self.url):
            return None
        lines = split_lines(current or b"")
        users = [number for setting in _users(lines) for number in setting.numbers]
        if self.url is None:
            return self.restore(b"".join(_without(lines, users)), None)
        ours = b"proxy=" + self.url.encode("ascii") + b"\n"
        lines[-1:] = map(_ended, lines[-1:])
        repeated = [setting.numbers[0] for setting in _repeated(_proxies(lines), self.url)]
        kept, position = _without_proxy(_without(lines, users + repeated))
        if position is None:
            position = _below_header(kept)
        if position is None:
            return b"".join(kept) + (b"\n" if kept else b"") + b"[main]\n" + ours
        return b"".join(kept[:position]) + ours + b"".join(kept[position:])

    @staticmethod
    def restore(current: bytes, before: bytes | None) -> bytes | None:
        """Return `current` with the lines that `before` had in place of the agent's.

        They are proxy, user and password of [main].
        """
        lines, old = split_lines(current), split_lines(before or b"")
        kept, position = _without_proxy(lines)
        if position is None:
            return b"".join(kept)
        about_proxy = [setting for setting in (*_proxies(old), *_users(old)) if setting.is_main]
        originals = [old[number] for number in sorted(number for setting in about_proxy for number in setting.numbers)]
        if kept[position:]:
            originals[-1:] = map(_ended, originals[-1:])
        restored = kept[:position] + originals + kept[position:]
        ours = next(setting.value for setting in _proxies(lines) if setting.is_main)
        for setting in _repeated(_proxies(old), ours):
            _append_to_section(restored, setting.section, old[setting.numbers[0]])
        return b"".join(restored if find_header(old, b"main") is not None else _without_empty_main(restored))

    def note(self, before: bytes) -> str:
        """Return a note about earlier proxies: replaced, removed, and kept in other sections."""
        if self.url is None:
            return ""
        lines = split_lines(before)
        proxies, users = _proxies(lines), _users(lines)
        replaced = sum(proxy.is_main for proxy in proxies)
        repeated = _repeated(proxies, self.url)
        notes = []
        if replaced:
            notes.append(pluralize(replaced, "{n} earlier proxy line{s} in [main] {are} replaced"))
        if users:
            keys = ", ".join(dict.fromkeys(setting.key.decode("ascii") for setting in users))
            notes.append(f"user and password of an earlier proxy in [main] ({keys}) are removed")
        if repeated:
            sections = ", ".join(dict.fromkeys(proxy.shown_section for proxy in repeated))
            text = "{n} line{s} with the same proxy in {sections} {are} removed"
            notes.append(pluralize(len(repeated), text, sections=sections))
        notes += [
            f"{proxy.shown_section} keeps its own proxy, {quoted_proxy(proxy.value)}"
            for proxy in proxies
            if not (proxy.is_main or proxy in repeated)
        ]
        return "yum.conf: " + "; ".join(notes) if notes else ""


@record
class DnfConf(YumConf):
    """dnf.conf with the same proxy; it is not created if it does not exist."""

    path: str = DNF_CONF
    is_created: bool = False


def effective(current: bytes) -> dict[str, str]:
    """Return the proxy in effect by section: both yum and dnf use the last of several."""
    return {setting.shown_section[1:-1]: setting.value for setting in _proxies(split_lines(current))}


def _proxies(lines: list[bytes]) -> list[Setting]:
    return [setting for setting in settings_in(lines) if setting.key == _PROXY]


def _users(lines: list[bytes]) -> list[Setting]:
    """Return user and password of [main], which yum and dnf send to the proxy of [main]."""
    return [setting for setting in settings_in(lines) if setting.key in _USER and setting.is_main]


def _without(lines: list[bytes], numbers: list[int]) -> list[bytes]:
    dropped = set(numbers)
    return [line for number, line in enumerate(lines) if number not in dropped]


def _ended(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n"


def _repeated(proxies: list[Setting], url: str) -> list[Setting]:
    """Return the settings of other sections that repeat the proxy of [main].

    The shell recipe appends its line to the last section, whichever that is.  A section that also
    has another proxy is left out: there the last line wins, so the repeated one has an effect.
    """
    others = [proxy for proxy in proxies if not proxy.is_main]
    own = [proxy.section for proxy in others if len(proxy.numbers) > 1 or proxy.value not in (url, url + "/")]
    return [proxy for proxy in others if proxy.section not in own]


def _without_proxy(lines: list[bytes]) -> tuple[list[bytes], int | None]:
    """Return the lines without the proxy settings of [main], and the position of the first."""
    ours = [number for proxy in _proxies(lines) if proxy.is_main for number in proxy.numbers]
    return _without(lines, ours), min(ours, default=None)


def _below_header(lines: list[bytes]) -> int | None:
    """Return the position of a first line in [main]; None without a [main].

    It is below indented lines, which would otherwise continue it.
    """
    header = find_header(lines, b"main")
    if header is None:
        return None
    position = number = header + 1
    while number < len(lines) and (is_blank(lines[number]) or is_indented(lines[number])):
        number += 1
        position = number if is_indented(lines[number - 1]) else position
    return position


def _append_to_section(lines: list[bytes], section: bytes, line: bytes) -> None:
    """Insert `line` as the last line with text of its section, if the section still exists.

    There it continues no other line, and no other line continues it.
    """
    header = find_header(lines, section) if section else -1
    if header is None:
        return
    position = section_end(lines, header)
    while position > header + 1 and is_blank(lines[position - 1]):
        position -= 1
    lines[position - 1 : position] = map(_ended, lines[position - 1 : position])
    lines.insert(position, line if position == len(lines) else _ended(line))


def _without_empty_main(lines: list[bytes]) -> list[bytes]:
    """Return the lines without the `[main]` that `merge` added, and the blank line above it.

    If others have put settings into it since, it stays.
    """
    start = find_header(lines, b"main") or 0
    end = section_end(lines, start)
    if b"".join(lines[start + 1 : end]).strip():
        return lines
    above = lines[:start]
    return (above[:-1] if above and not above[-1].strip() else above) + lines[start + 1 :]
