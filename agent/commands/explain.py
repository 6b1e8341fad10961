"""`explain`: the route of each client to a host, and the entry behind it; or the lint of a list."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from typing import Optional

from agent.commands.proxy_variables import VariablesSource, values_of
from agent.core.noproxy import explain_view as view
from agent.core.noproxy.dialects.families import ALL_DIALECTS
from agent.core.noproxy.dialects.java import NonProxyHosts, non_proxy_hosts
from agent.core.noproxy.dialects.nodejs import SWITCH
from agent.core.noproxy.dialects.request import Request, parse_request
from agent.core.noproxy.explain import printable, routes_of, should_explain_cidrs
from agent.core.noproxy.lint import WARNING, judge
from agent.core.record import evolve
from agent.core.redact import redact
from agent.errors import UsageError

#: Exit codes for a bad target and for a warning of --lint.  A bad target has precedence, because it
#: was not checked.
BAD_TARGET, HAS_WARNINGS = 1, 3
#: Bytes. Longer than any URL; the rest of such a line is dropped.
_LINE = 16384

_LITERAL = (
    "note: a CIDR exempts literal addresses only; a name that resolves into one uses the proxy unless it is in the list"
)


def run(arguments: argparse.Namespace) -> int:
    """Run `explain` and return its exit code."""
    if arguments.matrix and (arguments.json or arguments.lint):
        raise UsageError("--matrix: not allowed with --json or --lint")
    sources = _sources(arguments)
    for note in dict.fromkeys(note for source in sources for note in source.notes):
        print("note: " + note, file=sys.stderr)
    reader = _Targets(arguments.targets, stdin=not arguments.lint)
    targets = reader if len(sources) == 1 else list(reader)  # one source: line by line, without a limit
    warnings = 0
    for source in sources:
        _print_subject(source, as_json=arguments.json)
        if arguments.lint:
            warnings += _lint(source, targets, as_json=arguments.json)
        elif arguments.json:
            _print_objects(source, targets)
        elif arguments.matrix:
            _print_matrix(source, targets)
        else:
            _print_paragraphs(source, targets)
    if arguments.lint and not warnings and not reader.bad:
        print("no warnings", file=sys.stderr)
    if not (reader.seen or arguments.targets or arguments.lint or arguments.pod):
        raise UsageError("TARGET: missing; give a URL, HOST, HOST:PORT or address, or - to read lines from stdin")
    return BAD_TARGET if reader.bad else HAS_WARNINGS if warnings else 0


def _sources(arguments: argparse.Namespace) -> list[VariablesSource]:
    """Return the values to explain: one source, or those of the containers of a pod."""
    if arguments.pod:
        from agent.commands.explain_pod import sources_of_pod

        return sources_of_pod(arguments)
    source = values_of(arguments)
    if arguments.all_clients:
        note = f"fetch and http of Node.js read the variables only with {SWITCH}=1"
        values = evolve(source.values, families=ALL_DIALECTS)
        source = evolve(source, values=values, notes=(*source.notes, note))
    return [source]


def _print_subject(source: VariablesSource, *, as_json: bool) -> None:
    if source.subject is not None:
        print(*([json.dumps(source.subject.table())] if as_json else map(redact, source.subject.lines())), sep="\n")


#: The text of a target with its Request, or with None and the error.
_Target = tuple[str, Optional[Request], str]


class _Targets:
    """The targets of the command line and stdin, one at a time.

    A bad target is reported on stderr and counted, and the next one is read.
    """

    def __init__(self, words: list[str], *, stdin: bool) -> None:
        piped = stdin and not words and sys.stdin is not None and not sys.stdin.isatty()
        self._words = ["-"] if piped else words
        self.seen = 0
        self.bad = 0

    def __iter__(self) -> Iterator[_Target]:
        """Yield the text of a target with its Request, or with None and the error."""
        for where, text in self._texts():
            self.seen += 1
            try:
                yield text, parse_request(text), ""
            except ValueError as error:
                self.bad += 1
                problem = redact(str(error))
                print(f"eks-proxy-agent: {where}{problem}", file=sys.stderr)
                yield text, None, problem

    def _texts(self) -> Iterator[tuple[str, str]]:
        for word in self._words:
            if word == "-":
                yield from _lines()
            else:
                yield "", word


def _lines() -> Iterator[tuple[str, str]]:
    """Yield the lines of stdin that are neither empty nor a comment, each with its position.

    Only the first _LINE bytes of a line are read into memory.
    """
    number = 0
    while sys.stdin is not None:
        sys.stdout.flush()  # the writer may wait for the output before it writes the next line
        line = sys.stdin.buffer.readline(_LINE)
        if not line:
            return
        number += 1
        rest = line
        while rest and not rest.endswith(b"\n") and len(rest) == _LINE:
            rest = sys.stdin.buffer.readline(_LINE)
        text = line.decode("utf-8", "backslashreplace").strip()
        if text and not text.startswith("#"):
            yield f"line {number}: ", text


def _print_objects(source: VariablesSource, targets: Iterable[_Target]) -> None:
    labels = source.subject.labels() if source.subject else {}
    has_output = False
    for text, target, error in targets:
        if target is None:
            print(json.dumps({**labels, **view.problem(redact(text), error)}))
            continue
        for item in view.objects(target, routes_of(target, source.values)):
            print(json.dumps({**labels, **item}))
        has_output = True
    if has_output and source.values.no_proxy:
        print(json.dumps({**labels, **view.java_object(_java(source))}))


def _print_matrix(source: VariablesSource, targets: Iterable[_Target]) -> None:
    colour = _colour()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    has_head = False
    for _, target, _ in targets:
        if target is not None:
            if not has_head:
                print(*view.matrix_head(source.values, colour=colour), sep="\n")
                has_head = True
            print(view.matrix_row(target, routes_of(target, source.values), colour=colour, width=width))


def _print_paragraphs(source: VariablesSource, targets: Iterable[_Target]) -> None:
    has_note = has_output = False
    setting = "the container's NO_PROXY" if source.subject else "proxy.no_proxy"
    for _, target, _ in targets:
        if target is None:
            continue
        routes = routes_of(target, source.values)
        print(*view.paragraph(target, routes, setting), sep="\n")
        has_output = True
        if not has_note and should_explain_cidrs(target, routes, source.values):
            print("  " + _LITERAL)  # once, not for each of many hosts
            has_note = True
    if has_output and source.values.no_proxy:
        java = _java(source)
        left_out = " ".join(map(printable, java.left_out))
        if java.option:
            print("Java does not read these variables; use: " + shlex.quote(java.option))
            if left_out:
                print("  which cannot express: " + left_out)
        elif left_out:
            print("Java does not read these variables, and -Dhttp.nonProxyHosts cannot express: " + left_out)


def _java(source: VariablesSource) -> NonProxyHosts:
    return non_proxy_hosts(entry for entry in source.values.no_proxy.split(",") if entry.strip())


def _lint(source: VariablesSource, targets: Iterable[_Target], *, as_json: bool) -> int:
    """Print the findings, and return the number of warnings."""
    labels = source.subject.labels() if source.subject else {}
    requests = (target for _, target, _ in targets if target is not None)
    warnings = 0
    for finding in judge(source.values, region=source.region, targets=requests):
        warnings += finding.severity == WARNING
        if as_json:
            fields = {name: getattr(finding, name) for name in ("severity", "kind", "reason", "text", "fix")}
            entry, clients = printable(finding.entry), list(finding.clients)
            print(json.dumps({**labels, **fields, "entry": entry, "clients": clients}))
        else:
            print(f"{finding.severity}: {finding.line}")
    return warnings


def _colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
