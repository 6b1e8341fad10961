"""Redaction of credentials as ***, for logs, errors, diffs and all other output."""

from __future__ import annotations

import re

#: The text before a secret: before the user info of a URL, with or without its scheme, and before
#: passwords in the files that we show as diffs (proxy_password and the like in yum.conf,
#: AWS_SECRET_ACCESS_KEY and the like in /etc/environment).  In doubt, it redacts.  Lengths are
#: bounded: a long line of letters would otherwise take minutes.  Two texts before a colon are not
#: keys of a secret: a path in an error (`/etc/proxy-password: is a directory`), and an unknown key
#: of the settings (`proxy.password: unknown key`).
_SECRETS = re.compile(
    r"(?P<path>(?<!\S)/[^\s:=]{0,4096}(?=: ))"
    r"|(?P<setting>(?<!\S)[A-Za-z0-9_.-]{1,80}(?=: unknown (?:key|section)\b))"
    r"|(?P<key>(?i:pass(?:word|wd)?)[ \t]*[=:][ \t]*)\S[^\n]*"
    r"|(?P<url>[A-Za-z][A-Za-z0-9+.-]{0,63}://)"
    r"|(?P<bare>(?i:proxy)[ \t]*=[ \t]*[\"']?)"
    r"|(?P<name>\b[A-Z0-9_]{0,32}(?:SECRET|TOKEN|API_?KEY|ACCESS_KEY)[A-Z0-9_]{0,32}[ \t]*=[ \t]*)\S[^\n]*"
)

#: The rest of a URL without `@` that has no number after its first colon: what is mistyped may be
#: the `@` behind a password.  HOST:PORT in a message is not one, nor is an IPv6 address without
#: brackets.  A quote ends the URL only if something like the end of a value follows.
_NO_PORT = re.compile(
    r"[^\s/:@\"'\[\],]{1,255}:(?!//|:|PORT\b|\*\*\*|[0-9]{1,5}(?![\w%$!~*&+-]))"
    r"(?:[^\s\"']+|[\"'](?![\s,;:\])}.]|\Z))+"  # a run at a time: each single one would take a KiB
)

_MASKS = {"path": "", "setting": "", "url": "***@", "bare": "***@", "key": "***", "name": "***"}


def redact(text: str) -> str:
    """Return `text` with every user info and password replaced by ***."""
    at_of_word, at_of_phrase = _Last("@", r"\s", text), _Last("@", "[\n\"']", text)
    first_at, first_scheme = _First("@", text), _First("://", text)
    parts: list[str] = []
    shown = start = 0
    while True:
        match = _SECRETS.search(text, start)
        if match is None:
            return "".join(parts) + text[shown:]
        kind = match.lastgroup or ""
        begin, end = match.end(kind), match.end()
        if kind == "bare" and first_scheme.after(begin) < first_at.after(begin):
            end = 0  # the scheme is a match of its own
        elif kind in ("url", "bare"):
            end = at_of_word.after(begin) or at_of_phrase.after(begin)
            end = max(end, at_of_word.after(end) if end else 0)  # a quote ends the phrase, but not the word
        if not end and text[max(0, match.start() - 3) : match.start()].lower() != "no_":
            mistyped = _NO_PORT.match(text, begin)
            end, kind = (mistyped.end(), "key") if mistyped else (0, kind)
        if not end:  # no user info; a key may begin in the middle of what looked like a scheme
            start = match.start() + 1
            continue
        parts += [text[shown:begin], _MASKS[kind]]
        shown = start = end


def redact_proxy(value: str) -> str:
    """Return the value of a proxy setting, redacted.

    Such a value may hold a password without a scheme.
    """
    name = "proxy="
    return redact(name + value)[len(name) :]


class _First:
    """Search for the first `needle`; each stretch is searched once, as by `_Last`."""

    def __init__(self, needle: str, text: str) -> None:
        self._needle, self._text, self._first = needle, text, -1

    def after(self, position: int) -> int:
        """Return the first needle from `position` on, or the length of the text."""
        if position > self._first:
            self._first = self._text.find(self._needle, position)
            self._first = len(self._text) if self._first < 0 else self._first
        return self._first


class _Last:
    """Search for the last `needle` before the next `stop`.

    Each stretch up to a `stop` is searched once, so that a line of schemes only takes linear time.
    """

    def __init__(self, needle: str, stop: str, text: str) -> None:
        self._needle, self._stop, self._text = needle, re.compile(stop), text
        self._last = self._stretch_end = -1

    def after(self, position: int) -> int:
        """Return the end of the last needle after `position`, or 0.

        `position` must not decrease from call to call.
        """
        if position > self._stretch_end:
            stop = self._stop.search(self._text, position)
            self._stretch_end = stop.start() if stop else len(self._text)
            self._last = self._text.rfind(self._needle, position, self._stretch_end)
        return self._last + len(self._needle) if self._last >= position else 0
