"""`explain`: which way each client goes to a host, and because of which entry; or what is wrong with the entries."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator

from agent.commands.proxy_variables import VariablesSource, values_of
from agent.core.noproxy import explain_view as view
from agent.core.noproxy.dialects.java import NonProxyHosts, non_proxy_hosts
from agent.core.noproxy.dialects.request import Request, parse_request
from agent.core.noproxy.explain import needs_literal, printable, ways
from agent.core.noproxy.lint import WARNING, judge
from agent.core.redact import redact
from agent.errors import UsageError

#: What a bad target, and what a warning of --lint ends with; a bad target counts more, for it was
#: not judged.
BAD_TARGET, FOUND = 1, 3
#: Longer than any URL; the rest of such a line is thrown away, not kept.
_LINE = 16384

_LITERAL = (
    "note: a CIDR exempts literal addresses only: a name that resolves into one takes the proxy until it is in the list"
)


def run(arguments: argparse.Namespace) -> int:
    if arguments.matrix and (arguments.json or arguments.lint):
        raise UsageError("--matrix is a table for people: leave out --json and --lint")
    source = values_of(arguments)
    for note in source.notes:
        print("note: " + note, file=sys.stderr)
    reader = _Targets(arguments.targets, stdin=not arguments.lint)
    if arguments.lint:
        return _lint(source, reader, as_json=arguments.json)
    if arguments.json:
        _print_objects(source, reader)
    elif arguments.matrix:
        _print_matrix(source, reader)
    else:
        _print_paragraphs(source, reader)
    if not (reader.seen or arguments.targets):
        raise UsageError("no TARGET: name a URL, HOST, HOST:PORT or address, or - for lines on stdin")
    return BAD_TARGET if reader.bad else 0


class _Targets:
    """The targets that were asked for, one at a time; what is none is told and counted, and the next one comes."""

    def __init__(self, words: list[str], *, stdin: bool) -> None:
        piped = stdin and not words and sys.stdin is not None and not sys.stdin.isatty()
        self._words = ["-"] if piped else words
        self.seen = 0
        self.bad = 0

    def __iter__(self) -> Iterator[tuple[str, Request | None, str]]:
        """What was asked, and the Target, or None and what is wrong with it."""
        for where, text in self._texts():
            self.seen += 1
            try:
                yield text, parse_request(text), ""
            except ValueError as error:
                self.bad += 1
                print(f"eks-proxy-agent: {where}{error}", file=sys.stderr)
                yield text, None, str(error)

    def _texts(self) -> Iterator[tuple[str, str]]:
        for word in self._words:
            if word == "-":
                yield from _lines()
            else:
                yield "", word


def _lines() -> Iterator[tuple[str, str]]:
    """Lines of stdin that are neither empty nor a comment, each with its place; never more of a line than _LINE bytes."""
    number = 0
    while sys.stdin is not None:
        sys.stdout.flush()  # who writes a line at a time may wait for the answer
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


def _print_objects(source: VariablesSource, targets: _Targets) -> None:
    shown = False
    for text, target, error in targets:
        if target is None:
            print(json.dumps(view.problem(redact(text), error)))
            continue
        for found in view.objects(target, ways(target, source.values)):
            print(json.dumps(found))
        shown = True
    if shown and source.values.no_proxy:
        print(json.dumps(view.java_object(_java(source))))


def _print_matrix(source: VariablesSource, targets: _Targets) -> None:
    colour = _colour()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    head = False
    for _, target, _ in targets:
        if target is not None:
            if not head:
                print(*view.matrix_head(source.values, colour=colour), sep="\n")
                head = True
            print(view.matrix_row(target, ways(target, source.values), colour=colour, width=width))


def _print_paragraphs(source: VariablesSource, targets: _Targets) -> None:
    told = shown = False
    for _, target, _ in targets:
        if target is None:
            continue
        found = ways(target, source.values)
        print(*view.paragraph(target, found), sep="\n")
        shown = True
        if not told and needs_literal(target, found, source.values):
            print("  " + _LITERAL)  # once; a list of hosts would drown in it
            told = True
    if shown and source.values.no_proxy:
        java = _java(source)
        left_out = " ".join(map(printable, java.left_out))
        if java.option:
            print("Java reads no such variable: " + shlex.quote(java.option))
            if left_out:
                print("  which cannot say: " + left_out)
        elif left_out:
            print("Java reads no such variable, and -Dhttp.nonProxyHosts cannot say: " + left_out)


def _java(source: VariablesSource) -> NonProxyHosts:
    return non_proxy_hosts(entry for entry in source.values.no_proxy.split(",") if entry.strip())


def _lint(source: VariablesSource, targets: _Targets, *, as_json: bool) -> int:
    asked = (target for _, target, _ in targets if target is not None)
    warnings = 0
    for one in judge(source.values, region=source.region, targets=asked):
        warnings += one.severity == WARNING
        if as_json:
            fields = ("severity", "kind", "reason", "text", "fix")
            told = {name: getattr(one, name) for name in fields}
            print(json.dumps({**told, "entry": printable(one.entry), "clients": list(one.clients)}))
        else:
            print(f"{one.severity}: {one.line}")
    if not warnings:
        print("nothing to warn of", file=sys.stderr)
    return BAD_TARGET if targets.bad else FOUND if warnings else 0


def _colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
