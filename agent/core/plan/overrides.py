"""Drop-ins of others that override the agent's, or that the agent's overrides.  Pure.

Only their text counts, as systemd.exec(5) and systemd.unit(5) describe it: of several
EnvironmentFile= the later one wins over the earlier one, and over every Environment=; an empty one
resets the list.  UnsetEnvironment= is applied last, in whatever drop-in it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Callable

from agent.core.plan.files.environment import ENVIRONMENT, NAMES, NODE_ENV
from agent.core.plan.files.systemd_dropin import EnvironmentDropin, FormerDropin
from agent.core.settings.unit_table import unset_names, variables_of

#: Paths and contents of a unit's drop-ins, in the order in which systemd reads them.
DropIns = Sequence[tuple[str, bytes]]
#: Returns the variables that a file of EnvironmentFile= sets.
Read = Callable[[str], Mapping[str, str]]

ROOTS = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
_DISTANCE = "to exempt the unit, take it out of node.units"


def directories(unit: str) -> tuple[str, ...]:
    """Return the directories of a unit's drop-ins; a file in an earlier one masks later ones.

    Besides its own, these are those of its template, of its dash prefixes, and of all services.
    """
    stem = unit[: -len(".service")]
    names = [unit]
    if "@" in stem:
        stem = stem.partition("@")[0] + "@"
        names.append(stem + ".service")
    dashes = [index for index, char in enumerate(stem) if char == "-" and index + 1 < len(stem)]
    names += [stem[: index + 1] + ".service" for index in reversed(dashes)]
    own = [f"{root}/{name}.d" for root in ROOTS for name in names]
    return (*own, *(f"{root}/service.d" for root in ROOTS))


def overriding(unit: str, drop_ins: DropIns, read: Read, variables: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a warning for each drop-in of others that sets or removes a variable of the agent.

    `variables` are those of the Intent.
    """
    desired = {name: value for name, value in variables_of(unit, variables) if value}
    later = [drop_in for drop_in in drop_ins if _name(drop_in[0]) > EnvironmentDropin.name]
    for path, file in _environment_files(later):
        if not file:
            yield f"{path} resets EnvironmentFile=, so {unit} gets no proxy of the agent"
        else:
            names = [name for name, value in read(file).items() if desired.get(name, value) != value]
            if names:
                yield f"EnvironmentFile={file} of {path} overrides {', '.join(names)} of {unit}"
    for path in _resets_of_unset(later) if unset_names(unit) else ():
        yield f"{path} resets UnsetEnvironment=, so {unit} gets {', '.join(unset_names(unit))}"
    for path, words in _unset(drop_ins):
        names = [name for name, value in desired.items() if name in words or f"{name}={value}" in words]
        if names:
            yield f"UnsetEnvironment= of {path} removes {', '.join(names)} of {unit}"


def overridden(unit: str, drop_ins: DropIns, read: Read, *, is_rename: bool) -> Iterator[str]:
    """Yield a note for each drop-in of others whose EnvironmentFile= loses to our new drop-in.

    With `is_rename`, ours had its former name before, and only what was read after that loses now.
    """
    for path, content in drop_ins:
        name = _name(path)
        if name > EnvironmentDropin.name or (is_rename and name < FormerDropin.name):
            continue
        for key, file in service_settings(content):
            if key != "EnvironmentFile" or file in (ENVIRONMENT, NODE_ENV):
                continue
            if not file and is_rename:
                yield f"{path}: its empty EnvironmentFile= no longer resets that of the agent, because {unit} reads {EnvironmentDropin.name} after it; {_DISTANCE}"
            elif file and set(read(file)) & set(NAMES):
                yield f"{path}: its EnvironmentFile={file} sets a proxy that {EnvironmentDropin.name} overrides; {_DISTANCE}"


def _environment_files(drop_ins: DropIns) -> list[tuple[str, str]]:
    """Return (drop-in, file) of each EnvironmentFile= in force after the agent's.

    A reset is (drop-in, "") and drops what comes before it; it does not count if node.env is read
    again after it.
    """
    files: list[tuple[str, str]] = []
    for path, content in drop_ins:
        for key, file in service_settings(content):
            if key == "EnvironmentFile":
                files = [(path, "")] if not file else [] if file == NODE_ENV else [*files, (path, file)]
    return files


def _unset(drop_ins: DropIns) -> list[tuple[str, list[str]]]:
    """Return (drop-in, words) of each UnsetEnvironment= in force; an empty one resets them."""
    unset: list[tuple[str, list[str]]] = []
    for path, content in drop_ins:
        for key, value in service_settings(content):
            if key == "UnsetEnvironment":
                unset = [*unset, (path, value.replace('"', " ").replace("'", " ").split())] if value else []
    return unset


def _resets_of_unset(drop_ins: DropIns) -> list[str]:
    return [path for path, content in drop_ins if ("UnsetEnvironment", "") in service_settings(content)]


def service_settings(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield (key, value) of section [Service], of EnvironmentFile= without its minus."""
    section = ""
    for line in content.decode("utf-8", "replace").replace("\\\n", " ").split("\n"):
        text = line.strip()
        if text.startswith("["):
            section = text
        elif section == "[Service]" and "=" in text and not text.startswith(("#", ";")):
            key, _, value = (part.strip() for part in text.partition("="))
            yield key, value[1:].strip() if key == "EnvironmentFile" and value.startswith("-") else value


def _name(path: str) -> str:
    return path.rpartition("/")[2]
