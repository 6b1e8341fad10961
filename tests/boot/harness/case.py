"""A case directory: what to boot, and the expected result.

NAME/case.toml       see Case; every key has a default
NAME/config.toml     becomes /etc/eks-proxy-agent/config.toml
NAME/metadata.json   the instance of the metadata service (`demo --serve --instance`)
NAME/user-data       the user data, byte for byte
NAME/image/          is copied over the node's root before the first boot
NAME/expected/       files as they must be after every boot, byte for byte

metadata-2.json, user-data-2 and expected-2/ replace those of the same name from the second boot on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CASES = Path(__file__).resolve().parents[1] / "cases"


@dataclass(frozen=True)
class Case:
    """One case; the fields after `directory` are the keys of case.toml."""

    name: str
    directory: Path
    about: str = ""  # one sentence for people
    suite: str = "bookworm"  # the release of Debian
    agent: bool = True  # the agent is installed; otherwise the node is Debian with image/
    aws_cli: bool = False  # the AWS CLI is installed
    pods: bool = False  # containers can run on it
    cloud_init: bool = False  # cloud-init runs; it takes two seconds a boot
    user_data_encoding: tuple[str, ...] = ()  # "gzip", "base64", one after the other, before it is served
    enable: tuple[str, ...] = ()  # units enabled in the image, besides those of presets
    disable: tuple[str, ...] = ("docker.service",)  # as on an AMI, where bootstrap.sh enables docker
    modes: dict[str, str] = field(default_factory=dict)  # path: octal mode, for files of image/
    serve_after: float = 0  # seconds from power on until the metadata service starts; negative: never
    pull: str = ""  # "through": every boot pulls an image through the proxy; "fails": the pull must fail
    phase: str = "configured"  # in status.json; empty: without status.json
    active: tuple[str, ...] = ()  # services that must be active at the end
    inactive: tuple[str, ...] = ()  # services that must not be active
    failed: tuple[str, ...] = ()  # exactly the services that must have failed
    absent: tuple[str, ...] = ()  # paths that must not exist
    expected_modes: dict[str, str] = field(default_factory=dict)  # path: octal mode after the boot
    proxied: tuple[str, ...] = ()  # services whose environment must match the expected node.env

    def numbered(self, name: str, boot: int) -> Path | None:
        """Return the file or directory for a boot, counted from 1.

        That is NAME-N with the highest N <= boot, else NAME.
        """
        base = Path(name)
        names = [f"{base.stem}-{number}{base.suffix}" for number in range(boot, 1, -1)] + [name]
        return next((self.directory / n for n in names if (self.directory / n).exists()), None)

    def expected(self, boot: int) -> Iterator[tuple[str, bytes]]:
        """Yield each expected file of a boot: path relative to the root, and content.

        The content of a link is its target.
        """
        directory = self.numbered("expected", boot)
        for path in sorted(directory.rglob("*")) if directory else []:
            name = str(path.relative_to(directory or path))
            if path.is_symlink():
                yield name, os.fsencode(os.readlink(path))
            elif path.is_file():
                yield name, path.read_bytes()


def load(name: str, cases: Path = CASES) -> Case:
    """Read NAME/case.toml below `cases`.  Raises ValueError for an unknown key."""
    directory = cases / name
    with (directory / "case.toml").open("rb") as handle:
        values: dict[str, Any] = tomllib.load(handle)
    unknown = set(values) - {f.name for f in fields(Case)}
    if unknown:
        raise ValueError(f"{directory / 'case.toml'}: unknown keys {sorted(unknown)}")
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return Case(name=name, directory=directory, **{**values, **lists})
