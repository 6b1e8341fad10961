"""Which hosts the proxy is tried with: what the owner names, else what a node's life needs and does not reach directly."""

from __future__ import annotations

from agent.core.facts.instance import Facts
from agent.core.intent.intent import Intent
from agent.core.noproxy import entries
from agent.core.noproxy.dialects import go
from agent.core.noproxy.dialects.request import parse_request
from agent.core.settings.schema import Settings

#: In the order in which a joining node asks them.  `{a}` is the account: registries answer under
#: its name only.
_NAMES = (
    "eks.{r}.{d}",
    "api.ecr.{r}.{d}",
    "{a}.dkr.ecr.{r}.{d}",
    "s3.{r}.{d}",
    "sts.{r}.{d}",
    "ec2.{r}.{d}",
    "cloudformation.{r}.{d}",
)
_PORT = 443


def endpoints(settings: Settings, facts: Facts, intent: Intent | None) -> tuple[tuple[str, int], ...]:
    """Host and port of each of check.endpoints; "auto" leaves out what the Intent exempts from the proxy.

    By the rules of Go, which docker, containerd and kubelet follow.  The owner's own list is taken
    as it is.
    """
    if settings.check.endpoints is not None:
        return tuple(map(_split, settings.check.endpoints))
    bypass = entries.render(intent.no_proxy) if intent else ""
    names = (
        name.format(r=facts.region, d=facts.domain, a=facts.account)
        for name in _NAMES
        if facts.account or "{a}" not in name
    )
    return tuple((name, _PORT) for name in names if go.bypass(parse_request("https://" + name), bypass) is None)


def first_endpoint(settings: Settings, facts: Facts, intent: Intent | None) -> tuple[str, int]:
    """The one that tells a proxy that serves from one that does not; when all is direct, one that is direct."""
    found = endpoints(settings, facts, intent) or endpoints(settings, facts, None)
    return found[0] if found else (f"sts.{facts.region}.{facts.domain}", _PORT)


def _split(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
