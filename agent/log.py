"""Logging: event names with dots plus key-values, never a credential; to the journal with fields, else to stderr.

`journalctl EKS_PROXY_EVENT=drift.repaired` finds an event, `FILE=`, `UNIT=`, `REASON=` and
`INSTANCE_ID=` what it is about.
"""

from __future__ import annotations

import re
import sys
from collections.abc import MutableMapping
from typing import Any

from agent import journal
from agent.core.redact import redact

#: sd-daemon(3): a line that starts so carries its level to the journal.
_LEVELS = {"debug": "<7>", "info": "<6>", "warning": "<4>", "error": "<3>", "critical": "<2>"}


#: Key of an event → field of the journal (systemd.journal-fields(7)); any other becomes
#: EKS_PROXY_KEY.
_FIELDS = {"file": "FILE", "unit": "UNIT", "units": "UNIT", "reason": "REASON", "instance_id": "INSTANCE_ID"}
#: Fields that every entry gets from now on.
_always: dict[str, str] = {}


def add_field(name: str, value: str) -> None:
    """Put a field of the journal onto every entry from now on."""
    _always[name] = value


def get_logger() -> Any:
    """The logger; the import of structlog waits until somebody logs."""
    import structlog

    if not structlog.is_configured():
        structlog.configure(
            processors=[_render],
            logger_factory=lambda *names: _Out(),
            cache_logger_on_first_use=False,
        )
    return structlog.get_logger()


class _Out:
    """Where lines go: to the journal itself, as long as stderr is the journal anyway; else to stderr."""

    def msg(self, level: str, text: str, fields: list[str]) -> None:
        journaled = journal.reached()
        if journaled and _send(level, text, fields):
            return
        print((_LEVELS.get(level, "") if journaled else level + ": ") + text, file=sys.stderr, flush=True)

    debug = info = warning = error = critical = msg


def _render(
    logger: Any, method: str, event: MutableMapping[str, Any]
) -> tuple[tuple[str, str, list[str]], dict[str, Any]]:
    name = event.pop("event")
    words = [name] + [f"{key}={_value(value)}" for key, value in event.items()]
    fields = ["EKS_PROXY_EVENT=" + name]
    for key, value in event.items():
        field = _FIELDS.get(key, "EKS_PROXY_" + key.upper())
        fields += [f"{field}={redact(str(item))}" for item in _items(value)]
    return (method, " ".join(words), fields), {}


def _send(level: str, text: str, fields: list[str]) -> bool:
    """Hand an entry to journald; whether it took it.

    Only for a command for which another stands after its end (`journal.send`).  A line on stderr is
    always known to be the unit's.
    """
    if "OBJECT_PID" not in _always:
        return False
    given = {field.partition("=")[0] for field in fields}
    always = ["{}={}".format(*pair) for pair in _always.items() if pair[0] not in given]
    head = ["MESSAGE=" + text, "PRIORITY=" + _LEVELS.get(level, "<6>")[1], "SYSLOG_IDENTIFIER=eks-proxy-agent"]
    return journal.send(*head, *fields, *always)


def _value(value: Any) -> str:
    """A value without credentials, in quotes where it needs them; always printable, and one word to a reader of lines."""
    text = ",".join(redact(str(item)) for item in _items(value))
    if text.isprintable() and re.fullmatch(r"[^\s\"=\\]+", text):
        return text
    return '"{}"'.format("".join(map(_escaped, text)))


def _items(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else ascii(char)[1:-1]
