"""DefaultEnvironment= of systemd, in force in each unit that does not override it.

Source: systemd-system.conf(5); nodeadm writes it for `spec.instance.environment.default`, and kops
too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from agent.core.plan.elsewhere.place import ProxyPlace, is_proxy_name

SYSTEM_CONF = "/etc/systemd/system.conf"
#: A file in an earlier directory masks those with the same name in later ones.
DIRECTORIES = tuple(f"{root}/systemd/system.conf.d" for root in ("/etc", "/run", "/usr/local/lib", "/usr/lib"))
_LINE = re.compile(rb"[ \t]*[#;][^\n]*(?:\n|\Z)|[^\n\\]*(?:\\[\s\S][^\n\\]*)*\\?(?:\n|\Z)")
_SETTING = re.compile(rb"[ \t]*DefaultEnvironment[ \t]*=([\s\S]*)")
_WORD = re.compile(rb"(?:\"[^\"\\]*(?:\\[\s\S][^\"\\]*)*\"|'[^'\\]*(?:\\[\s\S][^'\\]*)*'|\\[^\n]|[^\s\\\"'])+")


def default_environment(files: Iterable[tuple[str, bytes]]) -> Iterator[ProxyPlace]:
    """Yield the places that are in force, of paths and contents in the order of systemd.

    A later assignment wins, and an empty DefaultEnvironment= resets all.
    """
    values: dict[str, tuple[str, str]] = {}
    for path, content in files:
        for _, setting in _settings(content):
            words = _words(setting)
            values = values if words else {}
            values.update({name: (path, value) for name, value in map(_assignment, words)})
    for path in dict.fromkeys(path for path, _ in values.values()):
        proxies = {name: value for name, (source, value) in values.items() if source == path and is_proxy_name(name)}
        if proxies:
            remedy = f"delete it from {path}; systemctl daemon-reload; add units that need the proxy to node.units"
            yield ProxyPlace(path, "DefaultEnvironment=", "all units outside node.units", proxies, remedy)


def without_proxies(content: bytes) -> bytes:
    """Return a file without the proxies of DefaultEnvironment=; everything else stays."""
    parts = []
    for line, setting in _lines(content):
        words = _words(setting) if setting is not None else []
        kept = [word for word in words if not is_proxy_name(_assignment(word)[0])]
        if len(kept) == len(words):
            parts.append(line)
        elif kept:
            parts.append(b"DefaultEnvironment=" + b" ".join(kept) + b"\n")
    return b"".join(parts)


def _settings(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    for line, setting in _lines(content):
        if setting is not None:
            yield line, setting


def _lines(content: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield each line with those that continue it, and the value of DefaultEnvironment= in it."""
    section, position = b"", 0
    while position < len(content):
        match = _LINE.match(content, position)
        line = match[0] if match else content[position:]
        position += len(line)
        text = line.strip()
        if text.startswith(b"["):
            section = text
        setting = _SETTING.match(line) if section == b"[Manager]" else None
        yield line, setting[1] if setting else None


def _words(setting: bytes) -> list[bytes]:
    return _WORD.findall(setting)


def _assignment(word: bytes) -> tuple[str, str]:
    """Return name and value of a word, without quotes and escapes; `%%` is a percent sign."""
    plain = re.sub(rb"\\([\s\S])|[\"']", lambda match: match[1] or b"", word)
    name, _, value = plain.decode("utf-8", "replace").partition("=")
    return name, value.replace("%%", "%")
