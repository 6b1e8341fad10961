"""The files that a node needs and their desired content, from Settings and Intent."""

from __future__ import annotations

from collections.abc import Iterable

from agent.core.intent.intent import Intent
from agent.core.net.ca_certificates import CaCertificates
from agent.core.plan.files import environment, legacy_dropin
from agent.core.plan.files.ca_anchor import CaAnchor
from agent.core.plan.files.environment import NODE_ENV, EnvironmentFile
from agent.core.plan.files.legacy_dropin import legacy_dropins
from agent.core.plan.files.managed_file import PRIVATE, ManagedFile, WholeFile
from agent.core.plan.files.manager_conf import ManagerConf
from agent.core.plan.files.systemd_dropin import GATED_UNITS, ClosedGate, EnvironmentDropin, FormerDropin
from agent.core.plan.files.yum_conf import DnfConf, YumConf
from agent.core.settings.schema import Settings

Files = tuple[ManagedFile, ...]


def desired_files(
    settings: Settings,
    intent: Intent | None,
    ca: CaCertificates | None = None,
    *,
    baked: bool = False,
    needs_yum_conf: bool = True,
) -> Files:
    """Return all files of a configured node.

    node.env comes first: docker's proxy depends on it.  Without an Intent the result is empty,
    except for the drop-ins of an image that was `baked`.  Unless the node `needs_yum_conf`, that
    is edited and not created.
    """
    if intent is None:
        return static_files(settings, ca) if baked else ()
    files: list[ManagedFile] = [
        WholeFile(NODE_ENV, environment.render(intent.variables(secret=True)), mode=PRIVATE),
    ]
    if settings.node.environment:
        files.append(EnvironmentFile(intent.variables(secret=False)))
    if settings.node.yum:
        url = package_proxy(settings, intent)
        mode = PRIVATE if settings.proxy.credentials_in_yum and intent.credentials else None
        files += [YumConf(url, is_created=needs_yum_conf, mode=mode), DnfConf(url, mode=mode)]
    return (*files, *image_files(settings, ca))


def package_proxy(settings: Settings, intent: Intent) -> str:
    """Return the one proxy that yum and dnf have, for all repositories.

    It is that of https:// URLs, as those of Amazon Linux 2023 are.
    """
    return intent.https_proxy.with_credentials(intent.credentials if settings.proxy.credentials_in_yum else None)


def image_files(settings: Settings, ca: CaCertificates | None) -> Files:
    """Return the files that `bake` writes to an image.

    They include the removal of the drop-ins that the shell recipe left.
    """
    legacy = (
        file
        for unit in sorted(settings.node.units)
        for file in legacy_dropins(unit, replaced_by=EnvironmentDropin.path_of(unit))
    )
    return (*static_files(settings, ca), *legacy)


def static_files(settings: Settings, ca: CaCertificates | None = None) -> Files:
    """Return the drop-ins and the CA.

    They depend on the settings alone, so they can be written before the network is up.  A drop-in
    of an earlier version goes when the new one is in place.
    """
    units = sorted(settings.node.units)
    files: list[ManagedFile] = [EnvironmentDropin(unit) for unit in units]
    files += [FormerDropin(unit, replaced_by=EnvironmentDropin.path_of(unit)) for unit in units]
    if settings.failure.policy == "closed":
        files += [ClosedGate(unit) for unit in GATED_UNITS]
    if ca is not None:
        files.append(CaAnchor(ca.path, ca.pem))
    return tuple(files)


def clean_files(
    settings: Settings, ca: CaCertificates | None, manager_confs: Iterable[str] = (), *, baked: bool
) -> Files:
    """Return the files of an image before its snapshot.

    The proxy of the builder is removed, no matter who set it, also from systemd's `manager_confs`.
    The drop-ins stay if the image was `baked`.
    """
    return (
        EnvironmentFile(None),
        YumConf(None),
        DnfConf(None),
        *map(ManagerConf, manager_confs),
        *(file for unit in legacy_dropin.UNITS for file in legacy_dropins(unit)),
        WholeFile(NODE_ENV, None),
        *(static_files(settings, ca) if baked else ()),
    )
