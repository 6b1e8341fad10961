"""Hosts for health checks of the proxy.

They are the operator's, else the ones that a node needs and does not reach directly.
"""

from __future__ import annotations

from agent.core.facts.instance import Facts
from agent.core.intent.intent import Intent
from agent.core.net.aws_endpoints import fips_name
from agent.core.noproxy import entries
from agent.core.noproxy.dialects import go
from agent.core.noproxy.dialects.request import parse_request
from agent.core.settings.schema import Settings

#: Service and name, in the order in which a joining node requests them.  `{a}` is the account: a
#: registry has a name for each account only.
_NAMES = (
    ("eks", "eks.{r}.{d}"),
    ("ecr", "api.ecr.{r}.{d}"),
    ("ecr", "{a}.dkr.ecr.{r}.{d}"),
    ("s3", "s3.{r}.{d}"),
    ("sts", "sts.{r}.{d}"),
    ("ec2", "ec2.{r}.{d}"),
    ("cloudformation", "cloudformation.{r}.{d}"),
)
_PORT = 443


def endpoints(settings: Settings, facts: Facts, intent: Intent | None) -> tuple[tuple[str, int], ...]:
    """Return host and port of each of check.endpoints.

    "auto" excludes what the Intent exempts from the proxy by the rules of Go, which docker,
    containerd and kubelet follow.  On a FIPS kernel the names are those of the FIPS endpoints,
    where they exist.  The operator's own list is used unchanged.
    """
    if settings.check.endpoints is not None:
        return tuple(map(_split, settings.check.endpoints))
    bypass = entries.render(intent.no_proxy) if intent else ""
    names = (
        (fips_name(name, service, facts.region, facts.partition) if facts.fips else name).format(
            r=facts.region, d=facts.domain, a=facts.account
        )
        for service, name in _NAMES
        if facts.account or "{a}" not in name
    )
    return tuple((name, _PORT) for name in names if go.bypass(parse_request("https://" + name), bypass) is None)


def first_endpoint(settings: Settings, facts: Facts, intent: Intent | None) -> tuple[str, int]:
    """Return the endpoint with which proxies are checked; if all are direct, a direct one."""
    targets = endpoints(settings, facts, intent) or endpoints(settings, facts, None)
    return targets[0] if targets else (f"sts.{facts.region}.{facts.domain}", _PORT)


def _split(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
