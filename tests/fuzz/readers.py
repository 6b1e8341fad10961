"""The readers of bytes that others write.  Each returns, or raises AgentError."""

from __future__ import annotations

import contextlib
import io
import math
from http.client import HTTPException
from typing import Callable

from agent.checks.clock import judge as judge_clock
from agent.core.facts.cluster_hints import ClusterInfo, from_node_configs, from_scripts
from agent.core.facts.instance import facts_from_json, has_value, metadata_paths, parse_facts
from agent.core.intent.intent import compose
from agent.core.net.proxy_health import answered, with_certificate
from agent.core.net.proxy_url import Credentials, ProxyUrl
from agent.core.net.x509 import issuer
from agent.core.noproxy.dialects.java import non_proxy_hosts
from agent.core.noproxy.dialects.request import parse_request
from agent.core.noproxy.explain import Values, routes_of, should_explain_cidrs, variables
from agent.core.noproxy.explain_view import paragraph
from agent.core.noproxy.lint import advice, judge
from agent.core.redact import redact
from agent.core.settings.layers import flag_layer, merge, parse_toml
from agent.core.settings.toml_text import USER_DATA_LIMIT
from agent.core.settings.user_data import UserData, read_user_data
from agent.core.userdata.check import check
from agent.core.userdata.view import lines as report_lines
from agent.core.userdata.way import Way
from agent.edges.http_headers import BoundedResponse
from agent.edges.proxy_date import read_date
from agent.edges.proxy_tunnel import ProbeError, TunnelProbe
from agent.errors import AgentError

#: Longest line of an error, a warning or a problem, and the longest text (characters).
LONGEST_LINE, LONGEST = 4096, 17_000
ANSWERS: dict[str, bytes | None] = {
    "instance_id": b"i-0123456789abcdef0",
    "mac": b"06:1d:5a:3b:7c:9e",
    "vpc_cidrs_v4": b"10.0.0.0/16",
    "region": b"eu-central-1",
}
FACTS = parse_facts(ANSWERS)
PROXY = ProxyUrl("http", "proxy.corp", 3128)
TARGETS = ["https://example.com", "http://10.0.0.7", "https://[fd00::1]:8443", "a." * 126 + "a"]


def user_data(data: bytes) -> None:
    """Read user data, and what NodeConfigs and scripts in it say of the cluster."""
    parts = read_user_data(data)
    assert parts == UserData() or not any("\x00" in text for text in parts.settings + parts.node_configs)
    printable(*parts.problems)
    from_scripts(parts.scripts)
    node_config("\n---\n".join(parts.node_configs).encode())


def user_data_check(data: bytes) -> None:
    """Report on user data, for a way that rewrites it too."""
    for way in (None, Way.KARPENTER):
        printable(*report_lines(check(data, way)))


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
        has_value((field,), answers)
        has_value(("region", "account"), {"account": data})
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


def settings(data: bytes) -> None:
    """Read a text of settings as user data and as flags, and compose the Intent."""
    with contextlib.suppress(AgentError):
        flag_layer(data.decode("utf-8", "replace").split("\n"))
    layered = merge([parse_toml("user data", data, USER_DATA_LIMIT)])
    printable(*layered.warnings)
    composed = compose(layered.settings, FACTS, ClusterInfo())
    if composed:
        printable(*composed.warnings)
        assert advice(composed.no_proxy, FACTS.region) is not None


def lint(data: bytes) -> None:
    """Lint a list."""
    values = _values(data.decode("utf-8", "surrogateescape"))
    for finding in judge(values, region="eu-central-1", targets=map(parse_request, TARGETS)):
        assert finding.line.isprintable()


def explain(data: bytes) -> None:
    """Explain the routes to some entries of a list, and Java's option."""
    text = data.decode("utf-8", "surrogateescape")
    values = _values(text)
    for entry in [*text.split(",", 100)[:100], *TARGETS]:
        with contextlib.suppress(ValueError):  # that of a target is for people too
            target = parse_request(entry)
            routes = routes_of(target, values)
            assert all(line.isprintable() for line in paragraph(target, routes))
            should_explain_cidrs(target, routes, values)
    assert non_proxy_hosts(text.split(",")) is not None


def _values(no_proxy: str) -> Values:
    return Values(variables("http://p:1", "http://p:1", no_proxy))


def redacted(data: bytes) -> None:
    """Redact a text."""
    assert redact(data.decode("utf-8", "replace")) is not None


class _Peer:
    """A proxy that sends `data` and closes the connection."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def send(self, data: bytes) -> None:
        """Accept a request."""

    def receive(self, size: int = 16384) -> bytes:
        """Return what comes next."""
        return self._data.read(size)


def proxy_answer(data: bytes) -> None:
    """Read a response to CONNECT, a response with a Date, and a certificate."""
    probe = TunnelProbe(PROXY, "sts.corp", 443, Credentials("u", "p"), math.inf, tls=False, trust=None)
    try:
        verdict = answered(PROXY, "sts.corp:443", probe.request_tunnel(_Peer(data)), with_credentials=True)
    except ProbeError as failed:
        verdict = failed.verdict
    printable(verdict.text, verdict.hint)
    with contextlib.suppress(OSError, HTTPException, ValueError):
        printable(judge_clock(read_date(PROXY, _Peer(data)), 0.0, str(PROXY)).text)
    printable(with_certificate(verdict, "sts.amazonaws.com", issuer(data)).text)


def printable(*texts: str) -> None:
    """Check texts for people: short, and without control characters."""
    for text in texts:
        assert len(text) <= LONGEST
        assert max(map(len, text.split("\n"))) <= LONGEST_LINE
        assert text.replace("\n", "").isprintable(), ascii(text)


def only_agent_errors(read: Callable[[bytes], None], data: bytes) -> None:
    """Read `data`; an AgentError is as good as a value, if its text is fit for people."""
    try:
        read(data)
    except AgentError as error:
        printable(str(error), error.hint)
