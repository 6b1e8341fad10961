"""Judges a NO_PROXY list: what some client reads differently, what shadows what, what exempts too much or too little.

The dialects themselves are asked, with targets that an entry evidently means, so that no second
opinion on the clients' rules can drift from the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs

from agent.core.noproxy import lint_aws, lint_forms
from agent.core.noproxy.dialects.dialect import Dialect
from agent.core.noproxy.dialects.request import Request, parse_request
from agent.core.noproxy.entries import Entry, spellings
from agent.core.noproxy.explain import Values, Way, disagree, of_entries, printable, titles, ways

WARNING, NOTE = "warning", "note"

#: Reasons of entries that the agent composes itself: they have no better form, and nobody can
#: change them.
_COMPOSED = set("loopback metadata credentials internal cluster-domain vpc service-cidr api-endpoint".split())

#: What every node has to reach directly; without these it has no credentials, or talks to itself
#: through the proxy.
_NEEDED = ("http://169.254.169.254", "http://localhost", "http://127.0.0.1")


@attrs.frozen
class LintFinding:
    """One thing to know about an entry: `text` is the consequence, for which clients (none: for all), `fix` the way out.

    A WARNING is about requests that go another way than the list seems to say.  A NOTE does no
    harm, or has no way out.
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
        """The finding as a sentence."""
        about = "{} ({}): ".format(printable(self.entry) or '""', self.reason) if self.reason else ""
        return about + self.text + ("; " + self.fix if self.fix else "")


def judge(values: Values, *, region: str = "", targets: Iterable[Request] = ()) -> Iterator[LintFinding]:
    """Everything there is to say of the list, in its order; then, one at a time, of which `targets` clients disagree.

    `region` is the node's; without it names of other regions are not looked for.
    """
    yield from _variables(values)
    entries = [entry for entry in values.no_proxy.split(",") if entry.strip()]
    wide = {entry: lint_forms.breadth(entry) for entry in entries if not is_composed(values.reason(entry))}
    rest = [entry for entry in entries if not wide.get(entry)]
    sane = values.with_list(",".join(rest))
    for entry in entries:
        if wide.get(entry):
            fix = "write the hosts or networks that are meant"
            yield LintFinding(WARNING, "wide", entry, values.reason(entry), (), wide[entry], fix)
    for at, entry in enumerate(rest):
        yield from _judge_entry(entry, at, rest, sane, region)
    yield from _missing(sane)
    for target in targets:
        yield from disagreement(target, ways(target, values))


def advice(entries: Iterable[Entry], region: str) -> tuple[str, ...]:
    """What `plan` and `config check` tell of a composed list: the owner's entries, if something can be done about them.

    A port is warned of where the entry is read, before anything is composed.
    """
    found = judge(of_entries(entries), region=region)
    own = (one for one in found if one.fix and one.kind != "port" and not is_composed(one.reason))
    return tuple(f"{one.severity}: proxy.no_proxy: {one.line}" for one in own)


def is_composed(reason: str) -> bool:
    """Whether an entry is the agent's own, by its reason."""
    return reason in _COMPOSED or reason.startswith(("aws:", "direct:"))


def disagreement(target: Request, found: Sequence[Way]) -> Iterator[LintFinding]:
    """A target that some clients reach directly and others through the proxy."""
    if disagree(found):
        through = tuple(way.dialect for way in found if way.proxy is not None)
        text = "clients disagree: it takes the proxy in " + titles(through)
        fix = "to have it direct for all, add {} to proxy.no_proxy".format(" and ".join(spellings(target.host)))
        yield LintFinding(WARNING, "disagree", target.spelled, "asked", _names(through), text, fix)


def _judge_entry(entry: str, at: int, entries: Sequence[str], values: Values, region: str) -> Iterator[LintFinding]:
    reason = values.reason(entry)
    form = lint_forms.form_of(entry)
    if is_composed(reason) and form.kind == "suffix":
        return  # what our suffixes cover is below them
    yield from _understood(form, entry, values)
    if not is_composed(reason):
        yield from _shadowed(form, entry, at, entries, values)
        name = entry.strip().lower()
        for kind, text, fix in lint_aws.judge_name(name, region, lambda host: not _proxied(host, values)):
            yield LintFinding(WARNING, kind, entry, reason, (), text, fix)


def _understood(form: lint_forms.Form, entry: str, values: Values) -> Iterator[LintFinding]:
    """Whether all clients treat as direct what the entry means; the whole list counts, another entry may help out."""
    reason = values.reason(entry)
    if not form.meant:
        yield LintFinding(
            WARNING, form.kind, entry, reason, (), "it is no host name, .suffix, address or CIDR", form.fix
        )
    alone = values.with_list(entry)
    for text in form.meant:
        missed = _proxied(text, values) if _proxied(text, alone) else ()  # the whole list takes longer to ask
        if missed:
            severity = WARNING if form.fix else NOTE
            said = form.text.format(titles(missed)).replace("nothing to every client", "nothing to any client")
            yield LintFinding(severity, form.kind, entry, reason, _names(missed), said, form.fix)
            return


def _shadowed(
    form: lint_forms.Form, entry: str, at: int, entries: Sequence[str], values: Values
) -> Iterator[LintFinding]:
    """Whether another entry does by itself whatever this one does, in every client; of two alike the first may stay."""
    for other_at, other in enumerate(entries):
        if other_at == at or not _does_all(other, form, entry, values):
            continue
        if other_at > at and _does_all(entry, lint_forms.form_of(other), other, values):
            continue
        text = f"{printable(other)} ({values.reason(other)}) does the same in every client"
        text = "it stands there twice" if other == entry else text
        yield LintFinding(NOTE, "shadowed", entry, values.reason(entry), (), text, "leave it out")
        return


def _does_all(wide: str, form: lint_forms.Form, narrow: str, values: Values) -> bool:
    """Whether the entry `wide` by itself makes direct what `narrow`, of that form, does, in each client that it does it for."""
    if not (form.meant and lint_forms.may_cover(wide, narrow)):
        return False
    that, this = values.with_list(wide), values.with_list(narrow)
    return all(set(_proxied(text, that)) <= set(_proxied(text, this)) for text in form.meant)


def _variables(values: Values) -> Iterator[LintFinding]:
    """Clients read upper and lower case in different order."""
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        lower, upper = (values.environment.get(key) for key in (name, name.upper()))
        if lower != upper:
            text = f"{name} and {name.upper()} are not the same, and no two clients prefer the same one"
            yield LintFinding(WARNING, "variables", "", "", (), text, "give both the same value")


def _missing(values: Values) -> Iterator[LintFinding]:
    for text in _NEEDED:
        missed = _proxied(text, values)
        if missed:
            host = text[len("http://") :]
            said = "it is not in the list by itself, and takes the proxy in " + titles(missed)
            yield LintFinding(WARNING, "missing", host, "missing", _names(missed), said, "add " + host)


def _proxied(text: str, values: Values) -> tuple[Dialect, ...]:
    """The families that reach it through the proxy."""
    try:
        target = parse_request(text)
    except ValueError:
        return ()
    return tuple(way.dialect for way in ways(target, values) if way.proxy is not None)


def _names(families: Iterable[Dialect]) -> tuple[str, ...]:
    return tuple(family.name for family in families)
