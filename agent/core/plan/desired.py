"""Targets: which files a node has, and how each has to be, from Settings and Intent."""

from __future__ import annotations

from functools import partial
from typing import Callable

from agent.core.intent.intent import Intent
from agent.core.plan.files import environment, legacy_dropin, systemd_dropin, yum_conf
from agent.core.plan.plan import PRIVATE, Baseline, CaCertificates, Target
from agent.core.settings.schema import Settings

NODE_ENV = "/etc/eks-proxy-agent/node.env"
ENVIRONMENT = "/etc/environment"
YUM_CONF = "/etc/yum.conf"
#: What dnf reads.  yum.conf is a link to it; where that was replaced by a file, dnf must not lose its proxy.
DNF_CONF = "/etc/dnf/dnf.conf"


def static_targets(settings: Settings, ca: CaCertificates | None = None) -> tuple[Target, ...]:
    """Drop-ins and CA: they depend on the settings alone, so they can be written before the network is up."""
    targets = [
        _whole(systemd_dropin.environment_path(unit), systemd_dropin.environment_text())
        for unit in sorted(settings.node.units)
    ]
    if settings.failure.policy == "closed":
        targets += [
            _whole(systemd_dropin.closed_path(unit), systemd_dropin.closed_text())
            for unit in systemd_dropin.GATED_UNITS
        ]
    if ca is not None:
        targets.append(_whole(ca.path, ca.pem))
    return tuple(targets)


def image_targets(settings: Settings, ca: CaCertificates | None) -> tuple[Target, ...]:
    """The files that an image is baked with; the shell recipe's drop-ins are taken out of it."""
    return tuple(_left_by_recipe(unit) for unit in legacy_dropin.UNITS if unit in settings.node.units) + static_targets(
        settings, ca
    )


def targets(
    settings: Settings, intent: Intent | None, ca: CaCertificates | None = None, *, baked: bool = False
) -> tuple[Target, ...]:
    """All files of a configured node.  node.env comes first: docker's proxy hangs on it.

    Without an Intent there are none, but for the drop-ins of an image that was `baked`.
    """
    if intent is None:
        return static_targets(settings, ca) if baked else ()
    found = [_whole(NODE_ENV, environment.render(intent.variables(secret=True)), mode=PRIVATE)]
    variables = intent.variables(secret=False)
    if settings.node.environment:
        edit = partial(environment.edit, variables=variables)
        found.append(Target(ENVIRONMENT, "environment", edit, note=environment.leftovers))
    if settings.node.yum:
        secret = intent.credentials if settings.proxy.credentials_in_yum else None
        url, mode = intent.http_proxy.with_credentials(secret), (PRIVATE if secret else None)
        edit, note = partial(yum_conf.edit, url=url), partial(yum_conf.leftovers, url=url)
        found.append(Target(YUM_CONF, "yum", edit, mode, note))
        found.append(Target(DNF_CONF, "yum", partial(_if_there, edit), mode, note))
    return tuple(found) + image_targets(settings, ca)


def clean_targets(settings: Settings, ca: CaCertificates | None, baseline: Baseline) -> tuple[Target, ...]:
    """The files of an image before its snapshot: no proxy of the builder, whoever set it; the drop-ins if it was baked."""
    made = {path for path, record in baseline.files.items() if record.before is None}
    shared = (
        (ENVIRONMENT, "environment", environment.without),
        (YUM_CONF, "yum", yum_conf.without),
        (DNF_CONF, "yum", yum_conf.without),
    )
    found = [Target(path, kind, partial(_unless_empty, without, path in made)) for path, kind, without in shared]
    found += [_left_by_recipe(unit) for unit in legacy_dropin.UNITS]
    found.append(Target(NODE_ENV, "whole", lambda current: None))
    return tuple(found) + (static_targets(settings, ca) if baseline.baked else ())


def _whole(path: str, content: bytes, mode: int | None = None) -> Target:
    return Target(path, "whole", lambda current: content, mode)


def _left_by_recipe(unit: str) -> Target:
    return Target(
        legacy_dropin.path(unit), "whole", legacy_dropin.without, note=partial(legacy_dropin.leftovers, unit=unit)
    )


def _if_there(edit: Callable[[bytes | None], bytes | None], current: bytes | None) -> bytes | None:
    """An edit that makes no file."""
    return None if current is None else edit(current)


def _unless_empty(without: Callable[[bytes | None], bytes | None], made: bool, current: bytes | None) -> bytes | None:
    """Nothing left in a file that we made: no file."""
    return (without(current) or None) if made else without(current)
