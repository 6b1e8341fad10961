"""Places outside the agent's files that set a proxy on this node; their files are only read."""

from __future__ import annotations

from collections.abc import Iterator

from agent.core.intent.inputs import Resolved
from agent.core.plan.elsewhere import cloudwatch, docker, manager, programs
from agent.core.plan.elsewhere.place import ProxyPlace
from agent.core.plan.overrides import ROOTS, service_settings
from agent.edges.files import FileSystem
from agent.errors import FileError
from agent.node.overrides import content_of, drop_in_directories, drop_ins_of_others, variables_in


def place_warnings(files: FileSystem, resolved: Resolved) -> tuple[str, ...]:
    """Return a warning for each setting of a unit's program that overrides its environment."""
    if resolved.intent is None:
        return ()
    desired, units = dict(resolved.intent.variables(secret=True)), resolved.settings.node.units
    places = ((place, place.text(desired)) for place in unit_places(files) if place.unit in units)
    return tuple(f"{place.path}: {text}; {place.remedy}" for place, text in places if text)


def unit_places(files: FileSystem) -> Iterator[ProxyPlace]:
    """Yield the settings of docker and the CloudWatch agent that override their environment."""
    common_config = cloudwatch.in_common_config(content_of(files, cloudwatch.COMMON_CONFIG) or b"")
    daemon_json = docker.in_daemon_json(content_of(files, docker.DAEMON_JSON) or b"")
    yield from filter(None, (common_config, daemon_json))
    settings: list[tuple[str, str, str]] = []
    for path, content in _unit_files(files, docker.DOCKER):
        settings += ((path, key, value) for key, value in service_settings(content))
    variables: dict[str, tuple[str, str]] = {}
    for path in (value for _, key, value in settings if key == "EnvironmentFile" and value):
        variables.update({name: (path, value) for name, value in variables_in(files, path).items()})
    yield from docker.in_command_line(settings, variables)


def other_places(files: FileSystem) -> Iterator[ProxyPlace]:
    """Yield the places that programs outside node.units read."""
    confs = [(path, content_of(files, path) or b"") for path in manager_confs(files)]
    yield from manager.default_environment(confs)
    profiles = (f"{programs.PROFILE_D}/{name}" for name in _names(files, programs.PROFILE_D) if name.endswith(".sh"))
    candidates = [
        *(programs.in_profile(path, content_of(files, path) or b"") for path in profiles),
        programs.in_wgetrc(content_of(files, programs.WGETRC) or b""),
        *(
            programs.in_docker_environment(path, content_of(files, path) or b"")
            for path in programs.DOCKER_ENVIRONMENTS
        ),
    ]
    yield from filter(None, candidates)


def manager_confs(files: FileSystem) -> tuple[str, ...]:
    """Return system.conf and the files of system.conf.d, in the order of systemd."""
    paths: dict[str, str] = {}
    for directory in manager.DIRECTORIES:
        for name in _names(files, directory):
            if name.endswith(".conf"):
                paths.setdefault(name, f"{directory}/{name}")
    return (manager.SYSTEM_CONF, *(paths[name] for name in sorted(paths)))


def _unit_files(files: FileSystem, unit: str) -> Iterator[tuple[str, bytes]]:
    """Yield the unit's file, of the first directory that has one, and the drop-ins of others."""
    for root in ROOTS:
        content = content_of(files, f"{root}/{unit}")
        if content is not None:
            yield f"{root}/{unit}", content
            break
    yield from drop_ins_of_others(files, unit, {}, drop_in_directories(files))


def _names(files: FileSystem, directory: str) -> list[str]:
    try:
        return files.names(directory)
    except FileError:
        return []
