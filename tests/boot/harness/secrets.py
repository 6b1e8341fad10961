"""The search for the proxy's password in everything that a boot leaves, shows or sends.

Node.start and Running.finish run it, so no boot with a password goes without.  What the password is
comes from the node's credentials file and its node.env, before and after the boot; a test names one
that comes from elsewhere.
"""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from agent.core.settings.unit_table import DEFAULT_UNITS

from .command import CLEAN_ENVIRONMENT, BedError
from .namespace import Namespace
from .waiting import wait_for

CREDENTIALS, NODE_ENV = "etc/eks-proxy-agent/credentials", "etc/eks-proxy-agent/node.env"
#: USER:PASSWORD in the URL of a proxy.
_IN_URL = re.compile("://([^@\n]*)@")
#: Files that may hold the password, if only root can read them: the operator's, the one for
#: systemd, that of dnf with proxy.credentials_in_yum, and what the stand-ins of bootstrap.sh and
#: cfn-signal record of their environment.
ALLOWED_FILES = (
    CREDENTIALS,
    NODE_ENV,
    "etc/dnf/dnf.conf",
    "var/log/eks-bootstrap.log",
    "var/log/cfn-signal.jsonl",
)
#: Units whose processes get the password as environment: those of node.units, and bootstrap.sh.
ALLOWED_UNITS = (*DEFAULT_UNITS, "eks-proxy-agent-bootstrap.service")
#: Port of every proxy of the bed, the only destination of the password.
ALLOWED_PORT = 3128
SNIFFER = Path(__file__).with_name("sniffer.py")
#: Shorter parts of a password would be found by chance.
_PART = re.compile(r"[A-Za-z0-9]{6,}")


class Watch(Protocol):
    """What accompanies each boot of a node."""

    def know(self, credentials: str) -> None:
        """Search for this USER:PASSWORD too, which the node gets from elsewhere."""

    def start(self) -> None:
        """Begin before power on."""

    def finish(self, evidence: Path) -> None:
        """Judge the evidence of the boot; raise AssertionError."""

    def stop(self) -> None:
        """End, also after a boot without evidence."""


class SecretSearch:
    """The search in the boots of one node."""

    def __init__(self, root: Path, upper: Path, namespace: Namespace) -> None:
        """Take the node's root, the layer of it that the node wrote, and its network."""
        self._root, self._upper, self._namespace = root, upper, namespace
        self._known: tuple[str, ...] = ()
        self._secrets: tuple[str, ...] = ()
        self._sniffer: Sniffer | None = None

    def know(self, credentials: str) -> None:
        self._known += traces(credentials)

    def start(self) -> None:
        self.stop()
        self._secrets = tuple(dict.fromkeys((*self._known, *secrets_of(self._root))))
        if self._secrets:
            self._sniffer = Sniffer(self._namespace, self._secrets, self._upper.parent / "sniffer")

    def finish(self, evidence: Path) -> None:
        sent = self._sniffer.destinations() if self._sniffer else []
        self.stop()
        secrets = tuple(dict.fromkeys((*self._secrets, *secrets_of(self._root))))
        places = search(secrets, self._upper, evidence) + sent if secrets else []
        assert not places, "the proxy's password is in:\n" + "\n".join(places)

    def stop(self) -> None:
        if self._sniffer:
            self._sniffer.stop()
        self._sniffer = None


def secrets_of(root: Path) -> tuple[str, ...]:
    """Return the texts that give the password of a node away; none without a password."""
    path, found = root / CREDENTIALS, []
    if path.exists():
        found.append(path.read_text().rstrip("\n"))
    if (root / NODE_ENV).exists():
        found += map(unquote, _IN_URL.findall((root / NODE_ENV).read_text()))
    return tuple(dict.fromkeys(trace for credentials in found for trace in traces(credentials)))


def traces(credentials: str) -> tuple[str, ...]:
    """Return what USER:PASSWORD leaves in any encoding: a URL, a shell, JSON, a Basic header.

    Letters and digits are the same in all but the last, which is base64.
    """
    password = credentials.partition(":")[2]
    header = base64.b64encode(credentials.encode()).decode().rstrip("=")
    return (*(_PART.findall(password) or [password]), header)


def search(secrets: Sequence[str], upper: Path, evidence: Path) -> list[str]:
    """Return the places that hold a secret and must not."""
    return [
        *_in_tree(secrets, upper, "", ("var/log/journal",)),
        *_in_tree(secrets, evidence / "memory", "", ("run/log/journal",)),
        *_in_processes(secrets, json.loads((evidence / "processes.json").read_text())),
        *_in_journal(secrets, (evidence / "journal.jsonl").read_text(errors="replace")),
        *_in_tree(secrets, evidence, "evidence: ", ("memory", "processes.json", "environ.json", "journal.jsonl")),
    ]


def _in_tree(secrets: Sequence[str], top: Path, label: str, excluded: Sequence[str]) -> Iterator[str]:
    """Search content, name, target and extended attributes of everything below a directory.

    The journal is `excluded`: it is compressed, and searched as journalctl prints it.
    """
    for directory, names, files in os.walk(top):
        relative = Path(directory).relative_to(top)
        names[:] = [name for name in names if str(relative / name) not in excluded]
        for name in (*names, *files):
            path, shown = Path(directory, name), str(relative / name)
            status = path.lstat()
            is_file = stat.S_ISREG(status.st_mode)
            if shown in excluded or (shown in ALLOWED_FILES and is_file and not status.st_mode & 0o077):
                continue
            texts = [os.fsencode(name), path.read_bytes() if is_file else b""]
            texts += [os.fsencode(os.readlink(path))] if path.is_symlink() else []
            texts += [
                os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)
            ]
            yield from _found(secrets, f"{label}/{shown} (mode {stat.S_IMODE(status.st_mode):04o})", texts)
            if is_file and name.endswith(".tar.gz"):
                yield from in_archive(secrets, path, f"{label}/{shown}")


def in_archive(secrets: Sequence[str], path: Path, label: str = "") -> Iterator[str]:
    """Search name, target and unpacked content of each member of a compressed archive."""
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            texts = [os.fsencode(member.name), os.fsencode(member.linkname), file.read() if file else b""]
            yield from _found(secrets, f"{label}, member {member.name}", texts)


def _in_processes(secrets: Sequence[str], processes: Iterable[dict[str, Any]]) -> Iterator[str]:
    for process in processes:
        name = f"process {process['pid']} of {process['unit'] or 'no unit'}"
        yield from _found(secrets, f"argv of {name}", [process["argv"].encode()])
        if process["unit"] not in ALLOWED_UNITS:
            yield from _found(secrets, f"environ of {name}", [process["environ"].encode()])


def _in_journal(secrets: Sequence[str], lines: str) -> Iterator[str]:
    """Search all fields; journalctl prints a value that is not plain text as a list of bytes."""
    for line in lines.splitlines():
        for key, value in json.loads(line).items():
            values = value if isinstance(value, list) and not all(isinstance(item, int) for item in value) else [value]
            texts = [bytes(item) if isinstance(item, list) else str(item).encode() for item in values]
            yield from _found(secrets, f"journal, field {key}", texts)


def _found(secrets: Sequence[str], place: str, texts: Iterable[bytes]) -> Iterator[str]:
    for text in texts:
        yield from (f"{place}: {secret!r}" for secret in secrets if secret.encode() in text)


class Sniffer:
    """A program in the network of the nodes that reports where packets with a secret go."""

    def __init__(self, namespace: Namespace, secrets: Sequence[str], log: Path) -> None:
        """Start it, and wait until it receives packets."""
        self._log = log
        argv = namespace.inside([sys.executable, SNIFFER])
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [str(part) for part in argv],
                env=dict(CLEAN_ENVIRONMENT),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
        assert self._process.stdin is not None
        with self._process.stdin as stdin:
            stdin.write("\n".join(secrets).encode())
        wait_for("the sniffer", lambda: "ready" in log.read_text())

    def destinations(self) -> list[str]:
        """Return the destinations of packets with a secret, besides proxies."""
        if self._process.poll() is not None:
            raise BedError(f"the sniffer has ended: {self._log.read_text()}")
        lines = dict.fromkeys(self._log.read_text().splitlines()[1:])
        return [f"network: {line}" for line in lines if int(line.split()[0].rpartition(":")[2]) != ALLOWED_PORT]

    def stop(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait(10)
