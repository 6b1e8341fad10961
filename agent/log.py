"""Logging: structlog to stderr, event names with dots plus key-values, never a credential."""

from __future__ import annotations

import os
import re
import sys
from typing import Any, MutableMapping

#: User info of a URL, with and without its scheme, and passwords in the files that we show as diffs (yum's
#: proxy_password and its kind).  Rather too much than too little: everything up to the last @ of a word.
_SECRETS = re.compile(
    r"(?P<url>[A-Za-z][A-Za-z0-9+.-]*://)(?:\S*@|[^\n\"']*@)"
    r"|(?P<bare>(?i:proxy)[ \t]*=[ \t]*[\"']?)(?!\S*://)\S*@"
    r"|(?P<key>(?i:pass(?:word|wd)?)[ \t]*[=:][ \t]*)\S[^\n]*"
)

_MASKS = {"url": "***@", "bare": "***@", "key": "***"}

#: sd-daemon(3): a line that starts so carries its level to the journal.
_LEVELS = {"debug": "<7>", "info": "<6>", "warning": "<4>", "error": "<3>", "critical": "<2>"}


def redact(text: str) -> str:
    """`text` with every user info and password replaced by ***."""
    return _SECRETS.sub(lambda match: match.group(match.lastgroup or 0) + _MASKS[match.lastgroup or ""], text)


def get_logger() -> Any:
    """The logger; the import of structlog waits until somebody logs."""
    import structlog

    if not structlog.is_configured():
        structlog.configure(
            processors=[structlog.processors.add_log_level, _render],
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
            cache_logger_on_first_use=False,
        )
    return structlog.get_logger()


def _render(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
    level = event.pop("level", "info")
    words = [event.pop("event")] + ["%s=%s" % (key, _value(value)) for key, value in event.items()]
    prefix = _LEVELS.get(level, "") if _to_journal() else level + ": "
    return prefix + " ".join(words)


def _to_journal() -> bool:
    """Whether stderr itself is the journal, and not only an ancestor's was (systemd.exec(5), $JOURNAL_STREAM)."""
    stream = os.environ.get("JOURNAL_STREAM")
    if not stream:
        return False
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return stream == "%d:%d" % (status.st_dev, status.st_ino)


def _value(value: Any) -> str:
    """A value without credentials, in quotes where it needs them; always printable, and one word to a reader of lines."""
    items = value if isinstance(value, (tuple, list)) else (value,)
    text = ",".join(redact(str(item)) for item in items)
    if text.isprintable() and re.fullmatch(r"[^\s\"=\\]+", text):
        return text
    return '"%s"' % "".join(map(_escaped, text))


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else ascii(char)[1:-1]
