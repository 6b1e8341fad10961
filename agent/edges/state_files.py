"""The readers of the agent's state files: each reads its file whole, or refuses it."""

from __future__ import annotations

import functools
import json
import posixpath
from collections.abc import Mapping
from typing import Any, Callable

from agent.core.facts.instance import facts_from_json
from agent.core.intent.reachability import results_from_json
from agent.core.plan.baseline import Baseline
from agent.core.plan.drift import memory_from_json
from agent.core.status.document import StatusDocument
from agent.core.status.proxy_memory import ProxyMemory
from agent.core.status.records import BootstrapStatus, is_sane
from agent.errors import AgentError, CorruptError

#: What is lost with a corrupt file, by its name.
_LOSSES = {
    "baseline.json": "revert cannot restore the original files without it",
    "flags.json": "the flags kept by apply are lost with it",
    "kept.json": "the dates of the flags kept by apply are lost with it",
    "bootstrap.json": "bootstrap.sh runs again on this instance without it",
    "signal.json": "CloudFormation is signalled once more for this instance without it",
    "facts.json": "the metadata service is queried for them again",
    "direct.json": "the endpoints are probed again",
    "restarts.json": "a unit may be restarted once more than needed",
    "prepared.json": "the next boot may reload systemd twice more",
    "proxies.json": "the proxies are checked and selected again",
    "watch.json": "drift since the last cycle is not recognized",
    "status.json": "apply writes it again, and the counters of the metrics start at 0",
}
#: The tables of an instance.
TABLES = ("flags.json", "kept.json", "facts.json", "direct.json", "restarts.json", "bootstrap.json", "signal.json")


Table = dict[str, Any]


def _flags(data: Table) -> Table:
    """Return a layer of settings: tables of values by section."""
    if not all(isinstance(table, dict) for table in data.values()):
        raise ValueError("not a table")
    return data


def _bootstrap(data: Table) -> Table:
    BootstrapStatus.from_json(data)
    return data


def _restarts(data: Table) -> Table:
    if not all(isinstance(text, str) for text in data.values()):
        raise ValueError("not a digest")
    return data


def _facts(data: Table) -> Table:
    facts_from_json(json.dumps(data))
    return data


def _kept(data: Table) -> Table:
    if not all(isinstance(date, str) for date in data.values()):
        raise ValueError("not a date")
    return data


def _direct(data: Table) -> Table:
    results_from_json(data)
    return data


def _prepared(data: Table) -> Table:
    units, enable = data["units"], data["enable"]
    names = (units, [] if enable is None else enable)  # None is "auto"
    if not isinstance(data["image"], dict) or not all(isinstance(part, list) for part in names):
        raise ValueError("not the settings of units")
    if not all(isinstance(text, str) for text in (data["machine"], data["policy"], *names[0], *names[1])):
        raise ValueError("not the settings of units")
    return data


def _proxies(data: Table) -> ProxyMemory:
    memory = ProxyMemory.from_json(data)
    if not memory.is_all_of(data):
        raise ValueError("not a choice or not a preflight")
    return memory


#: The reader of each file, by its name; it raises an error for a corrupt one.
_READERS: Mapping[str, Callable[[Table], Any]] = {
    "baseline.json": Baseline.from_json,
    "flags.json": _flags,
    "kept.json": _kept,
    "bootstrap.json": _bootstrap,
    "signal.json": _bootstrap,
    "facts.json": _facts,
    "direct.json": _direct,
    "restarts.json": _restarts,
    "prepared.json": _prepared,
    "proxies.json": _proxies,
    "watch.json": memory_from_json,
    "status.json": StatusDocument.from_json,
}


def parse(path: str, content: bytes) -> Table:
    """Return the JSON object of a state file.  Raises CorruptError."""
    try:
        data = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise _corrupt(path) from None
    if not isinstance(data, dict) or not is_sane(data):
        raise _corrupt(path)
    return data


def read(path: str, content: bytes) -> Any:
    """Return what the reader of a state file makes of its content.  Raises CorruptError."""
    data = parse(path, content)
    try:
        return _READERS[posixpath.basename(path)](data)
    except (AgentError, KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise _corrupt(path) from None


@functools.lru_cache(maxsize=4)
def read_record(path: str, content: bytes) -> Any:
    """Return the same for a file whose reader makes a record of it, which no caller changes.

    A cycle reads its memory a dozen times.
    """
    return read(path, content)


def loss(path: str) -> str:
    """Return what is lost with a corrupt file."""
    return _LOSSES[posixpath.basename(path)]


def _corrupt(path: str) -> CorruptError:
    """Return the error for a corrupt file, with a hint that names the loss."""
    hint = "inspect it, then move it away; " + loss(path)
    if posixpath.basename(path) == "status.json":
        hint = "to rewrite it: eks-proxy-agent apply"
    return CorruptError(f"{path}: corrupt, or written by another version", hint=hint)
