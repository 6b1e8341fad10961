"""Credentials in text, replaced by ***: for logs, errors, diffs and what people are shown."""

from __future__ import annotations

import re

#: Where a secret begins: the user info of a URL, with and without its scheme, and passwords in the
#: files that we show as diffs: yum's proxy_password and its kind, AWS_SECRET_ACCESS_KEY and its
#: kind in /etc/environment.  Rather too much than too little.  Lengths are bounded, so that a long
#: line of letters takes no minutes.  But the path before a message is no key, be it the credentials
#: file's own name: `/etc/proxy-password: is a directory`.
_SECRETS = re.compile(
    r"(?P<path>(?<!\S)/[^\s:=]{0,4096}(?=: ))"
    r"|(?P<key>(?i:pass(?:word|wd)?)[ \t]*[=:][ \t]*)\S[^\n]*"
    r"|(?P<url>[A-Za-z][A-Za-z0-9+.-]{0,63}://)"
    r"|(?P<bare>(?i:proxy)[ \t]*=[ \t]*[\"']?)"
    r"|(?P<name>\b[A-Z0-9_]{0,32}(?:SECRET|TOKEN|API_?KEY|ACCESS_KEY)[A-Z0-9_]{0,32}[ \t]*=[ \t]*)\S[^\n]*"
)

_MASKS = {"path": "", "url": "***@", "bare": "***@", "key": "***", "name": "***"}


def redact(text: str) -> str:
    """`text` with every user info and password replaced by ***."""
    at_of_word, at_of_phrase = _Last("@", r"\s", text), _Last("@", "[\n\"']", text)
    scheme_of_word = _Last("://", r"\s", text)
    parts: list[str] = []
    shown = start = 0
    while True:
        found = _SECRETS.search(text, start)
        if found is None:
            return "".join(parts) + text[shown:]
        kind = found.lastgroup or ""
        begin, end = found.end(kind), found.end()
        if kind == "url":
            end = at_of_word.after(begin) or at_of_phrase.after(begin)
        elif kind == "bare":
            end = 0 if scheme_of_word.after(begin) else at_of_word.after(begin)
        if not end:  # no user info; a key may begin in the middle of what looked like a scheme
            start = found.start() + 1
            continue
        parts += [text[shown:begin], _MASKS[kind]]
        shown = start = end


def redact_proxy(value: str) -> str:
    """The value of a proxy setting, which needs no scheme to hold a password."""
    name = "proxy="
    return redact(name + value)[len(name) :]


class _Last:
    """The last `needle` before the next `stop`, looked for once a stretch: a line of nothing but schemes is read once."""

    def __init__(self, needle: str, stop: str, text: str) -> None:
        self._needle, self._stop, self._text = needle, re.compile(stop), text
        self._last = self._stretch_ends = -1

    def after(self, position: int) -> int:
        """Where it ends, 0 when there is none; `position` never goes back."""
        if position > self._stretch_ends:
            stop = self._stop.search(self._text, position)
            self._stretch_ends = stop.start() if stop else len(self._text)
            self._last = self._text.rfind(self._needle, position, self._stretch_ends)
        return self._last + len(self._needle) if self._last >= position else 0
