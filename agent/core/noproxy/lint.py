"""Lint of a NO_PROXY list.

It reports entries that clients read differently, that another entry makes redundant, or that exempt
too much, and what is missing.  The lint has no rules of its own about clients: it tests the
dialects with targets that an entry is intended for.
"""

from __future__ import annotations

import functools
from collections.abc import Container, Iterable, Iterator, Sequence

from agent.core.noproxy import lint_aws, lint_forms
from agent.core.noproxy.dialects.dialect import Dialect
from agent.core.noproxy.dialects.families import DIALECTS
from agent.core.noproxy.dialects.request import PORTS, Request, parse_request
from agent.core.noproxy.entries import Entry, spellings
from agent.core.noproxy.explain import Route, Values, disagree, of_entries, printable, routes_of, titles
from agent.core.noproxy.lint_shadow import Candidates
from agent.core.record import record

WARNING, NOTE = "warning", "note"

#: Reasons of entries that the agent composes: they have no better form, and the operator cannot
#: change them.
_COMPOSED = set(
    "loopback metadata credentials internal cluster-domain vpc pod-cidr service-cidr service-address api-endpoint".split()
)

#: What every node must reach directly.  Without these it has no credentials, or connects to itself
#: through the proxy.
_NEEDED = ("http://169.254.169.254", "http://localhost", "http://127.0.0.1")


@record
class LintFinding:
    """One finding about an entry.

    `text` is the consequence, `clients` are the affected ones (empty: all), `fix` is the remedy.
    A WARNING is about requests with another route than the list suggests.  A NOTE does no harm, or
    has no remedy.
    """

    severity: str
    kind: str
    entry: str
    reason: str
    clients: tuple[str, ...]
    text: str
    fix: str = ""

    @property
    def line(self) -> str:
        """Return the finding as one line of text."""
        entry = printable(self.entry) or '""'
        subject = f"{entry} ({self.reason}): " if self.reason else ""
        return subject + self.text + ("; " + self.fix if self.fix else "")


def judge(
    values: Values, *, region: str = "", targets: Iterable[Request] = (), among: Container[str] | None = None
) -> Iterator[LintFinding]:
    """Yield the findings about the list, in its order, then the targets on which clients disagree.

    `targets` are read one at a time.  `region` is the node's; without it, names of other regions
    are not reported.  `among` has the entries to judge; None means all.
    """
    yield from _variables(values)
    entries = [entry for entry in values.no_proxy.split(",") if entry.strip()]
    wide = {entry: lint_forms.breadth(entry) for entry in entries if not is_composed(values.reason(entry))}
    for entry in entries:
        if wide.get(entry):
            fix = "write the intended hosts or networks"
            yield LintFinding(WARNING, "wide", entry, values.reason(entry), (), wide[entry], fix)
    yield from _List(values, region, [entry for entry in entries if not wide.get(entry)]).findings(among)
    for target in targets:
        yield from disagreement(target, routes_of(target, values))


def advice(entries: Iterable[Entry], region: str) -> tuple[str, ...]:
    """Return the findings that `plan` and `config check` print about a composed list.

    These are findings about the operator's entries that have a remedy.  A port is not repeated: the
    parser of the entry warns about it.
    """
    listed = tuple(entries)
    operator = {entry.value for entry in listed if not is_composed(entry.reason)}
    return tuple(
        f"{finding.severity}: proxy.no_proxy: {finding.line}"
        for finding in judge(of_entries(listed), region=region, among=operator)
        if finding.fix and finding.kind != "port"
    )


def is_composed(reason: str) -> bool:
    """Return True if `reason` is that of an entry which the agent composes."""
    return reason in _COMPOSED or reason.startswith(("aws:", "direct:"))


def disagreement(target: Request, routes: Sequence[Route]) -> Iterator[LintFinding]:
    """Yield a finding if some clients reach the target directly and others through the proxy."""
    if disagree(routes):
        through = tuple(route.dialect for route in routes if route.proxy is not None)
        text = "clients disagree: it uses the proxy in " + titles(through, [route.dialect for route in routes])
        fix = f"to make it direct for all, add {' and '.join(spellings(target.host))} to proxy.no_proxy"
        yield LintFinding(WARNING, "disagree", target.spelled, "asked", _names(through), text, fix)


class _List:
    """A list without its wide entries, as the families of clients that have a proxy read it."""

    def __init__(self, values: Values, region: str, entries: Sequence[str]) -> None:
        self._reason, self._region, self._entries = values.reason, region, entries
        self._text = ",".join(entries)
        self._candidates = Candidates(entries)
        self._families = {
            scheme: [dialect for dialect in DIALECTS if dialect.variables.proxy(values.environment, scheme) is not None]
            for scheme in PORTS
        }
        self._order = {scheme: list(families) for scheme, families in self._families.items()}

    def findings(self, among: Container[str] | None) -> Iterator[LintFinding]:
        """Yield the findings about each entry, then what is missing."""
        for index, entry in enumerate(self._entries):
            if among is None or entry in among:
                yield from self._judge(index, entry)
        yield from self._missing()

    def _judge(self, index: int, entry: str) -> Iterator[LintFinding]:
        reason = self._reason(entry)
        form = lint_forms.form_of(entry)
        if is_composed(reason) and form.kind == "suffix":
            return  # the agent's suffixes are meant for subdomains only
        yield from self._misread(form, entry)
        if not is_composed(reason):
            yield from self._shadowed(form, index, entry)
            name = entry.strip().lower()
            for kind, text, fix in lint_aws.judge_name(name, self._region, lambda host: not self._proxied(host)):
                yield LintFinding(WARNING, kind, entry, reason, (), text, fix)

    def _misread(self, form: lint_forms.Form, entry: str) -> Iterator[LintFinding]:
        """Yield a finding if a client sends a target of the entry to the proxy.

        The complete list counts, because another entry may cover the target.
        """
        reason = self._reason(entry)
        if not form.targets:
            text = "it is not a host name, .suffix, address or CIDR"
            yield LintFinding(WARNING, form.kind, entry, reason, (), text, form.fix)
        for target in form.targets:
            missed = self._proxied(target)
            if any(self._missed(target, entry, missed)):
                severity = WARNING if form.fix else NOTE
                text = form.text.format(titles(missed))
                yield LintFinding(severity, form.kind, entry, reason, _names(missed), text, form.fix)
                return

    def _shadowed(self, form: lint_forms.Form, index: int, entry: str) -> Iterator[LintFinding]:
        """Yield a finding if another entry covers this one in every client.

        Of two entries that cover each other, only the later one is reported.
        """
        for other_index, other in self._candidates.of(entry):
            if other_index == index or not self._covers(other, form, entry):
                continue
            if other_index > index and self._covers(entry, lint_forms.form_of(other), other):
                continue
            text = f"{printable(other)} ({self._reason(other)}) covers it in every client"
            text = "it is a duplicate" if other == entry else text
            yield LintFinding(NOTE, "shadowed", entry, self._reason(entry), (), text, "remove it")
            return

    def _covers(self, wide: str, form: lint_forms.Form, narrow: str) -> bool:
        """Return True if entry `wide` alone exempts the targets of `narrow` wherever that does.

        `form` is the form of `narrow`.
        """
        if not (form.targets and lint_forms.may_cover(wide, narrow)):
            return False
        if wide == narrow:
            return True
        for target in filter(None, map(_request, form.targets)):
            order = self._order[target.scheme]
            for dialect in order:
                if dialect.bypass(target, wide) is None and dialect.bypass(target, narrow) is not None:
                    order.remove(dialect)  # what decides one pair decides most: curl below 7.86 reads no CIDR
                    order.insert(0, dialect)
                    return False
        return True

    def _missing(self) -> Iterator[LintFinding]:
        """Yield a finding for each target of _NEEDED that is not direct in every client."""
        for text in _NEEDED:
            missed = self._proxied(text)
            if missed:
                host = text[len("http://") :]
                consequence = "it uses the proxy in " + titles(missed)
                yield LintFinding(WARNING, "missing", host, "missing", _names(missed), consequence, "add " + host)

    def _proxied(self, text: str) -> list[Dialect]:
        """Return the families that use the proxy for a target with the list."""
        target = _request(text)
        return list(self._missed(text, self._text, self._families[target.scheme])) if target else []

    def _missed(self, text: str, no_proxy: str, families: Iterable[Dialect]) -> Iterator[Dialect]:
        """Yield those of the families that use the proxy for a target with this NO_PROXY."""
        target = _request(text)
        if target:
            yield from (dialect for dialect in families if dialect.bypass(target, no_proxy) is None)


def _variables(values: Values) -> Iterator[LintFinding]:
    """Yield a finding for each variable whose spellings differ: clients prefer different ones."""
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        lower, upper = (values.environment.get(key) for key in (name, name.upper()))
        if lower != upper:
            text = f"{name} and {name.upper()} differ, and not all clients prefer the same one"
            yield LintFinding(WARNING, "variables", "", "", (), text, "set both to the same value")


@functools.lru_cache(maxsize=64)
def _request(text: str) -> Request | None:
    try:
        return parse_request(text)
    except ValueError:
        return None


def _names(families: Iterable[Dialect]) -> tuple[str, ...]:
    return tuple(family.name for family in families)
