"""JSON documents of a support report, without secrets and digests of secrets.  Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from agent.core.record import fields_dict
from agent.core.report import foreign
from agent.core.settings.mime import Part, Place, read_message
from agent.core.settings.schema import SECTIONS
from agent.core.settings.unpack import DamagedError, unpack
from agent.core.settings.user_data import LIMIT

#: Settings that are command lines of the operator: (section, key).
_COMMAND_LINES = (("proxy", "credentials_command"), ("bootstrap", "arguments"))
#: In place of a digest of files that hold the password: a guess of the password can be tried on it.
NO_DIGEST = "(digest left out)"
_TYPE = re.compile(r"[a-z0-9.+-]{1,80}/[a-z0-9.+-]{1,80}")
_MIME = re.compile(rb"(?im)^(?:content-type|mime-version):")
#: First bytes of user data that is not MIME, and what it is.
_KINDS = (
    (b"#!", "script"),
    (b"#cloud-boothook", "text/cloud-boothook"),
    (b"#cloud-config-archive", "text/cloud-config-archive"),
    (b"#cloud-config", "text/cloud-config"),
    (b"#include", "text/x-include-url"),
    (b"#part-handler", "text/part-handler"),
    (b"## template:", "template"),
)


def check(document: Any) -> Any:
    """Return the document of `check --json`, with the lines of others in its diffs masked."""
    findings = [
        {**finding, "text": _after_first_line(finding["text"])} if finding["group"] == "files" else finding
        for finding in document["findings"]
    ]
    return {**document, "findings": findings}


def plan(document: Any) -> Any:
    """Return the document of `plan --json`, with the lines of others in its diff masked."""
    return {**document, "diff": foreign.diff(document["diff"])}


def config(rows: Any) -> Any:
    """Return the rows of `config show --json`, of command lines only the programs and flags."""
    return [
        {**row, "value": _command_line(row["value"])} if (row["section"], row["key"]) in _COMMAND_LINES else row
        for row in rows
    ]


def _after_first_line(text: str) -> str:
    first, newline, rest = text.partition("\n")
    return first + newline + foreign.diff(rest)


def _command_line(value: Any) -> Any:
    """Return a list of arguments: the first, if it is a path, and the names of the flags."""
    if not isinstance(value, list):
        return foreign.NOT_SHOWN
    words = [str(word) for word in value]
    return [
        word if re.fullmatch(r"/[\w./-]+", word) and number == 0 else _flag(word) for number, word in enumerate(words)
    ]


def _flag(word: str) -> str:
    match = re.fullmatch(r"(--?[a-z][a-z0-9-]{0,40})(=.*)?", word, re.DOTALL)
    return "***" if match is None else match[1] + ("=***" if match[2] else "")


# --- the agent's state


def is_state_file(path: str) -> bool:
    """Return True for a file of the agent's state, by its name and its directory."""
    return _reader(path) is not None


def state_file(path: str, document: Any) -> Any:
    """Return the known keys of a state file, without secrets.

    Raises LookupError for a path that is not a state file; for a document of another form
    AttributeError, LookupError, TypeError or ValueError.
    """
    read = _reader(path)
    if read is None:
        raise LookupError(path)
    return read(document)


def _reader(path: str) -> Callable[[Any], Any] | None:
    directory, _, name = path.rpartition("/")
    return _STATE.get(("instance" if _INSTANCE.fullmatch(directory) else directory, name))


def _selection(names: str) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function that keeps these keys of a document."""
    selected = frozenset(names.split())
    return lambda document: {key: value for key, value in document.items() if key in selected}


def _baseline(document: Any) -> Any:
    """Return the baseline with the size of each original in place of its content."""
    files = {
        path: {"kind": record["kind"], "mode": record["mode"], "bytes_before": _size(record.get("before"))}
        for path, record in document["files"].items()
    }
    return {**{key: document[key] for key in ("folders", "enabled", "baked")}, "files": files}


def _facts(document: Mapping[str, Any]) -> Any:
    """Return the facts; of the user data only its size, in either of its two forms."""
    encoded, plain = document.get("user_data_base64"), document.get("user_data")
    size = len(plain.encode("utf-8", "replace")) if plain and not encoded else _size(encoded)
    return {**_FACTS(document), "user_data_bytes": size}


def _flags(document: Mapping[str, Any]) -> Any:
    """Return the kept flags that are settings of the agent."""
    return {
        section: {
            key: _command_line(value) if (section, key) in _COMMAND_LINES else value
            for key, value in table.items()
            if key in fields_dict(SECTIONS[section])
        }
        for section, table in document.items()
        if section in SECTIONS
    }


def _kept(document: Mapping[str, Any]) -> Any:
    """Return the dates of the kept flags."""
    return {flag: _one(date, _DATE) for flag, date in document.items() if _FLAG.fullmatch(flag)}


def _direct(document: Mapping[str, Mapping[str, Any]]) -> Any:
    return {host: _DIRECT(result) for host, result in document.items()}


def _watch(document: Any) -> Any:
    desired = dict.fromkeys(document.get("desired") or (), NO_DIGEST)
    return {
        **_WATCH(document),
        "desired": desired,
        "credentials_source": NO_DIGEST if document.get("credentials_source") else "",
    }


def _restarts(document: Mapping[str, Any]) -> Any:
    return dict.fromkeys(document, NO_DIGEST)


def _one(text: str, form: re.Pattern[str]) -> str:
    """Return a text of this form, and of any other only that it is not shown."""
    return text if form.fullmatch(text) else foreign.NOT_SHOWN


_FACTS = _selection("instance_id mac vpc_cidrs_v4 vpc_cidrs_v6 region domain partition account fips")
_DIRECT = _selection("addresses direct")
_WATCH = _selection(
    "instance repairs total contested missing failures reported ca_changed_at accepted credentials_due facts_age"
)
_BOOTSTRAP = _selection("exit_code signalled time refused")
_FLAG = re.compile(r"[a-z_]{1,40}\.[a-z_]{1,40}")
_DATE = re.compile(r"[0-9T:Z.+-]{1,40}")
_RUN, _LIBRARY = "/run/eks-proxy-agent", "/var/lib/eks-proxy-agent"
_INSTANCE = re.compile(re.escape(_LIBRARY) + r"/instances/[^/]{1,255}")
#: The reader of each state file, by its directory and its name.  Other files are not read: the
#: operator may have put a secret there.
_STATE: Mapping[tuple[str, str], Callable[[Any], Any]] = {
    (_RUN, "status.json"): _selection(
        "schema phase error version since updated last_success next_pass instance_id region intent proxy no_proxy files "
        "warnings stale_units deferred_units repairs proxies preflight metrics kept_flags ca_not_after counters"
    ),
    (_RUN, "watch.json"): _watch,
    (_RUN, "proxies.json"): _selection("choice preflight"),
    (_LIBRARY, "baseline.json"): _baseline,
    (_LIBRARY, "prepared.json"): _selection("units enable policy"),
    ("instance", "facts.json"): _facts,
    ("instance", "flags.json"): _flags,
    ("instance", "kept.json"): _kept,
    ("instance", "direct.json"): _direct,
    ("instance", "restarts.json"): _restarts,
    ("instance", "bootstrap.json"): _BOOTSTRAP,
    ("instance", "signal.json"): _BOOTSTRAP,
}


def _size(content: Any) -> int | None:
    """Return the number of bytes that a text in base64 stands for; None without one."""
    if content is None:
        return None
    try:
        return len(base64.b64decode(content))
    except (binascii.Error, TypeError, ValueError):
        return -1


# --- user data


def user_data(raw: bytes) -> Any:
    """Return the parts of user data by type and size, without their content."""
    if not raw:
        return {"bytes": 0, "parts": []}
    try:
        text = unpack(raw, LIMIT)
    except DamagedError as error:
        return {"bytes": len(raw), "problem": f"{type(error).__name__}: damaged gzip or base64", "parts": []}
    except ValueError:
        return {"bytes": len(raw), "problem": f"longer than {LIMIT} bytes unpacked", "parts": []}
    wrapping = "none" if text == raw else "gzip" if raw.startswith(b"\x1f\x8b") else "base64"
    head = {"bytes": len(raw), "wrapping": wrapping, "unpacked_bytes": len(text)}
    if not _MIME.search(text[:4096]):
        return {**head, "parts": [{"type": _kind(text), "bytes": len(text)}]}
    try:
        return {**head, "parts": list(map(_part, _with_content(read_message(text))))}
    except ValueError as error:
        return {**head, "problem": str(error), "parts": []}


def _with_content(parts: Sequence[Part]) -> list[Part]:
    return [part for part in parts if part.place is Place.PART or part.body.strip()]


def _part(part: Part) -> dict[str, Any]:
    place = {} if part.place is Place.PART else {"place": part.place.value}
    encoding = (
        part.encoding if part.encoding in ("", "7bit", "8bit", "binary", "base64", "quoted-printable") else "other"
    )
    shown = part.declared if _TYPE.fullmatch(part.declared) else "other" if part.declared else "none"
    return {"type": shown, "begins_as": _kind(part.body), "encoding": encoding, "bytes": len(part.body), **place}


def _kind(text: bytes) -> str:
    """Return what a text is by its beginning."""
    begin = text[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if re.search(rb"(?m)^[{\s\"']*apiVersion[\"']?\s*:\s*[\"']?node\.eks\.aws/", begin):
        return "NodeConfig"
    return next((kind for prefix, kind in _KINDS if begin.startswith(prefix)), "unknown" if begin else "empty")
