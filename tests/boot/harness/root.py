"""Root file systems: Debian, and the agent on top.

Each is built once into a cache directory that is named by the hash of its recipe.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

from .command import run

REPOSITORY = Path(__file__).resolve().parents[3]
GUEST_PYTHON = "/usr/bin/python3"  # Debian 12 on both sides, so what the host's Python builds runs in the guest
UNUSED_AFTER = 24 * 3600  # seconds until a layer of an older source tree is deleted

MINIMAL = ("debootstrap", "--variant=minbase")
SUITE = "bookworm"
# python3-cffi-backend: debootstrap does not resolve the virtual packages that python3-cryptography
# depends on.
INCLUDE = (
    "systemd systemd-sysv dbus iproute2 curl ca-certificates docker.io containerd "
    "python3 python3-cffi-backend cloud-init strace procps dnf"
).split()
# Units that Debian would start by itself while a node boots.
MASKED = (
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service "
    "fstrim.timer getty@tty1.service console-getty.service"
).split()
RECIPE = "2 " + " ".join([SUITE, *INCLUDE, *MASKED])  # raise the number when _build_base changes

# The parts of the repository that `make install` reads.
SOURCES = ("agent", "packaging", "systemd", "Makefile", "pyproject.toml")


def cache() -> Path:
    """Return the directory that keeps roots (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "eks-proxy-agent" / "roots"


def base() -> Path:
    """Return a Debian root with systemd, dockerd, containerd, dnf and cloud-init.

    About 90 s and 650 MB if it is not cached.
    """
    return _cached("base-" + hashlib.sha256(RECIPE.encode()).hexdigest()[:16], _build_base)


def newer_systemd() -> Path:
    """Return a root with the systemd of Debian 13, 257, and little else.

    About 60 s and 300 MB if it is not cached.
    """
    return _cached("systemd-257", lambda root: run([*MINIMAL, "--include=systemd", "trixie", root], timeout=1200))


def agent() -> Path:
    """Return what `make install` installs, as a layer above base(); rebuilt after a change."""
    return _cached("agent-" + _source_hash(), _build_agent)


def _build_base(root: Path) -> None:
    _say(f"building the base root of the boot tests (debootstrap {SUITE}, once, about 90 s) ...")
    run([*MINIMAL, f"--include={','.join(INCLUDE)}", SUITE, root], timeout=1200)
    unconfigured = run(["dpkg", f"--root={root}", "--audit"]).stdout
    if unconfigured:
        raise RuntimeError(f"debootstrap left packages unconfigured:\n{unconfigured}")
    run(["systemctl", f"--root={root}", "mask", *MASKED])
    (root / "etc/machine-id").write_text("")  # as EKS image builds leave it
    # init.d: Amazon Linux has no init scripts beside its units, for which `systemctl enable` would
    # reload once more.
    for waste in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "etc/init.d"):
        shutil.rmtree(root / waste, ignore_errors=True)


def _build_agent(layer: Path) -> None:
    _say("installing the agent into a layer of the boot tests (make install) ...")
    layer.mkdir()
    # With the caller's environment: it may configure where pip and apt find packages.
    install = ["make", "install", f"DESTDIR={layer}", f"PYTHON={GUEST_PYTHON}"]
    run(install, cwd=REPOSITORY, timeout=900, env=dict(os.environ))


def _source_hash() -> str:
    digest = hashlib.sha256(RECIPE.encode())
    for source in SOURCES:
        top = REPOSITORY / source
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(REPOSITORY)} {path.stat().st_mode & 0o111:o}\n".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _cached(name: str, build: Callable[[Path], object]) -> Path:
    """Return the directory of that name; build it elsewhere and rename it if it is missing.

    So a killed build leaves nothing that looks complete.
    """
    target = cache() / name
    with _locked():
        if not target.is_dir():
            _delete(lambda path: ".building-" in path.name)
            aside = target.with_name(f"{name}.building-{os.getpid()}")
            begin = time.monotonic()
            build(aside)
            aside.rename(target)
            _say(f"... done in {time.monotonic() - begin:.0f} s: {target}")
        os.utime(target)
        _delete(lambda path: path.stat().st_mtime < time.time() - UNUSED_AFTER and path.name.startswith("agent-"))
    return target


def _delete(condition: Callable[[Path], bool]) -> None:
    for path in cache().iterdir():
        if path.is_dir() and condition(path):
            shutil.rmtree(path)


@contextmanager
def _locked() -> Iterator[None]:
    """Allow one builder at a time; the kernel releases the lock of a builder that dies."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":  # `python -m tests.boot.harness.root` fills the cache before the tests
    print(base())
    print(agent())
