"""The readers of bytes that others write.  Each returns, or raises AgentError."""

from __future__ import annotations

import io
from http.client import HTTPException
from typing import Callable

from agent.core.facts.cluster_hints import from_node_configs, from_scripts
from agent.core.facts.instance import facts_from_json, is_answered, metadata_paths, parse_facts
from agent.core.settings.user_data import UserData, read_user_data
from agent.edges.http_headers import BoundedResponse
from agent.errors import AgentError

#: Longest text of an error, a warning or a problem (characters).
LONGEST = 4096
ANSWERS: dict[str, bytes | None] = {
    "instance_id": b"i-0123456789abcdef0",
    "mac": b"06:1d:5a:3b:7c:9e",
    "vpc_cidrs_v4": b"10.0.0.0/16",
    "region": b"eu-central-1",
}


def user_data(data: bytes) -> None:
    """Read user data, and what NodeConfigs and scripts in it say of the cluster."""
    parts = read_user_data(data)
    assert parts == UserData() or not any("\x00" in text for text in parts.settings + parts.node_configs)
    printable(*parts.problems)
    from_scripts(parts.scripts)
    node_config("\n---\n".join(parts.node_configs).encode())


def node_config(data: bytes) -> None:
    """Read a NodeConfig."""
    info = from_node_configs([data.decode("utf-8", "replace")])
    printable(info.name, info.endpoint, *info.service_cidrs, *info.warnings, *info.problems)


def script(data: bytes) -> None:
    """Read a script that calls bootstrap.sh."""
    info = from_scripts([data.decode("utf-8", "replace")])
    printable(info.endpoint, info.dns_address, *info.service_cidrs)


def metadata_value(data: bytes) -> None:
    """Read `data` as the answer to each request to the metadata service."""
    errors = []
    for field in metadata_paths("06:1d:5a:3b:7c:9e"):
        answers = {**ANSWERS, field: data}
        is_answered((field,), answers)
        is_answered(("region", "account"), {"account": data})
        try:
            facts = parse_facts(answers)
            printable(*facts.warnings, facts.region, facts.domain, facts.account, *facts.vpc_cidrs_v4)
        except AgentError as error:
            errors.append(error)
    for error in errors:
        printable(str(error))


def facts_file(data: bytes) -> None:
    """Read a file of --facts."""
    facts_from_json(data.decode("utf-8", "replace"))


class _Connection:
    """What http.client needs of a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        """Return the answer as a file."""
        return io.BytesIO(self._data)


def http_answer(data: bytes) -> None:
    """Read an HTTP answer; a broken one is one of the errors that edges turn into AgentError."""
    response = BoundedResponse(_Connection(data), method="GET")  # type: ignore[arg-type]
    try:
        response.begin()
        response.read(1 << 17)
    except (OSError, HTTPException, ValueError):
        pass
    finally:
        response.close()


def printable(*texts: str) -> None:
    """Check texts for people: short, and without control characters."""
    for text in texts:
        assert len(text) <= LONGEST
        assert text.replace("\n", "").isprintable(), ascii(text)


def only_agent_errors(read: Callable[[bytes], None], data: bytes) -> None:
    """Read `data`; an AgentError is as good as a value, if its text is fit for people."""
    try:
        read(data)
    except AgentError as error:
        printable(str(error), error.hint)
