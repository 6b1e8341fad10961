"""Log of events: dotted names with key-values, never a credential; to the journal, else to stderr.

In the journal each entry has fields: `journalctl EKS_PROXY_EVENT=drift.repaired` finds an event,
and `FILE=`, `UNIT=`, `REASON=` and `INSTANCE_ID=` narrow it down.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, MutableMapping
from typing import Any, Callable

from agent import journal
from agent.core.redact import redact

#: Prefixes of a line that set its level in the journal, sd-daemon(3).
_LEVELS = {"debug": "<7>", "info": "<6>", "warning": "<4>", "error": "<3>", "critical": "<2>"}

#: Key of an event → field of the journal (systemd.journal-fields(7)); any other key becomes
#: EKS_PROXY_KEY.
_FIELDS = {"file": "FILE", "unit": "UNIT", "units": "UNIT", "reason": "REASON", "instance_id": "INSTANCE_ID"}
#: Fields of every entry.
_always: dict[str, str] = {}


def add_field(name: str, value: str) -> None:
    """Add a journal field to every entry from now on."""
    _always[name] = value


class _Holder:
    """Logger that holds events back; each is its level, name and values.

    `events` is None while nothing is held back.
    """

    events: list[tuple[str, str, dict[str, Any]]] | None = None

    def __getattr__(self, level: str) -> Callable[..., None]:
        def log(name: str, **values: Any) -> None:
            if self.events is None:
                getattr(get_logger(), level)(name, **values)
            else:
                self.events.append((level, name, values))

        return log


_holder = _Holder()


@contextlib.contextmanager
def deferred_log() -> Iterator[None]:
    """Log the events of the block at its end, or at the next `flush_log`, whichever comes first.

    Until READY=1 each millisecond counts, and the import of structlog takes 20.
    """
    _holder.events = []
    try:
        yield
    finally:
        flush_log()


def flush_log() -> None:
    """Log the events that `deferred_log` holds back; from now on events are logged at once."""
    events, _holder.events = _holder.events, None
    for level, name, values in events or ():
        getattr(get_logger(), level)(name, **values)


def get_logger() -> Any:
    """Return the logger; structlog is imported only when the first event is logged."""
    if _holder.events is not None:
        return _holder
    import structlog

    if not structlog.is_configured():
        structlog.configure(
            processors=[_render],
            logger_factory=lambda *names: _Output(),
            cache_logger_on_first_use=False,
        )
    return structlog.get_logger()


class _Output:
    """Destination of events: the journal itself if stderr is the journal, else stderr."""

    def msg(self, level: str, text: str, fields: list[str]) -> None:
        is_journal = journal.is_stderr_connected()
        if is_journal and _send(level, text, fields):
            return
        journal.print_line((_LEVELS.get(level, "") if is_journal else level + ": ") + text)

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
    """Send an entry to journald; return False if stderr has to do.

    Only for a process that names another one with OBJECT_PID= (`journal.send`).  A line on stderr
    always belongs to the unit.
    """
    if "OBJECT_PID" not in _always:
        return False
    names = {field.partition("=")[0] for field in fields}
    always = [f"{name}={value}" for name, value in _always.items() if name not in names]
    head = ["MESSAGE=" + text, "PRIORITY=" + _LEVELS.get(level, "<6>")[1], "SYSLOG_IDENTIFIER=eks-proxy-agent"]
    return journal.send(*head, *fields, *always)


def _value(value: Any) -> str:
    """Return a value as one printable word without credentials, quoted where needed."""
    text = ",".join(redact(str(item)) for item in _items(value))
    if text.isprintable() and re.fullmatch(r"[^\s\"=\\]+", text):
        return text
    escaped = "".join(map(_escaped, text))
    return f'"{escaped}"'


def _items(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else ascii(char)[1:-1]
