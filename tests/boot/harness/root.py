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

#: Debian 12 stands for Amazon Linux 2023 and EL 9: systemd 252, dnf 4.14, cloud-init 22.4.  Debian
#: 13 has systemd 257, docker 26, containerd 1.7 and cloud-init 25.1.
BOOKWORM, TRIXIE = "bookworm", "trixie"
#: The Python of the suite that the host does not have as GUEST_PYTHON.
PYTHONS = {TRIXIE: "3.13"}
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

# The parts of the repository that `make install` reads.
SOURCES = ("agent", "packaging", "systemd", "Makefile", "pyproject.toml")


def cache() -> Path:
    """Return the directory that keeps roots (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "eks-proxy-agent" / "roots"


def base(suite: str = BOOKWORM) -> Path:
    """Return a Debian root with systemd, dockerd, containerd, dnf and cloud-init.

    About 90 s and 650 MB if it is not cached.
    """
    name = "base-" + hashlib.sha256(_recipe(suite).encode()).hexdigest()[:16]
    return cached(name, lambda root: _build_base(root, suite))


def agent(suite: str = BOOKWORM) -> Path:
    """Return what `make install` installs, as a layer above base(); rebuilt after a change."""
    return cached("agent-" + _source_hash(suite), lambda layer: _build_agent(layer, suite))


def missing(suite: str) -> str:
    """Return why no agent can be built for the suite on this machine; empty if it can."""
    version = PYTHONS.get(suite, "")
    return "" if not version or _python(version) else f"no Python {version}, which Debian's {suite} has"


def _recipe(suite: str) -> str:
    return "2 " + " ".join([suite, *INCLUDE, *MASKED])  # raise the number when _build_base changes


def _python(version: str) -> str:
    """Return the host's Python of a version: on the PATH, or of pyenv; empty if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [shutil.which(f"python{version}"), *map(str, pyenv.glob(f"versions/{version}.*/bin/python"))]
    return next((path for path in found if path and _is_version(path, version)), "")


def _is_version(path: str, version: str) -> bool:
    """Return True if this Python has that version; a shim of pyenv may have none."""
    done = run([path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], check=False)
    return done.stdout.strip() == version


def _build_base(root: Path, suite: str) -> None:
    _say(f"building a root of the boot tests (debootstrap {suite}, once, about 90 s) ...")
    run(["debootstrap", "--variant=minbase", f"--include={','.join(INCLUDE)}", suite, root], timeout=1200)
    unconfigured = run(["dpkg", f"--root={root}", "--audit"]).stdout
    if unconfigured:
        raise RuntimeError(f"debootstrap left packages unconfigured:\n{unconfigured}")
    run(["systemctl", f"--root={root}", "mask", *MASKED])
    (root / "etc/machine-id").write_text("")  # as EKS image builds leave it
    # init.d: Amazon Linux has no init scripts beside its units, for which `systemctl enable` would
    # reload once more.
    for waste in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "etc/init.d"):
        shutil.rmtree(root / waste, ignore_errors=True)


def _build_agent(layer: Path, suite: str) -> None:
    _say("installing the agent into a layer of the boot tests (make install) ...")
    layer.mkdir()
    # With the caller's environment: it may configure where pip and apt find packages.
    python = _python(PYTHONS[suite]) if suite in PYTHONS else GUEST_PYTHON
    install = ["make", "install", f"DESTDIR={layer}", f"PYTHON={python}"]
    run(install, cwd=REPOSITORY, timeout=900, env={**os.environ, "INTERPRETER": GUEST_PYTHON})


def _source_hash(suite: str) -> str:
    digest = hashlib.sha256(_recipe(suite).encode())
    for source in SOURCES:
        top = REPOSITORY / source
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(REPOSITORY)} {path.stat().st_mode & 0o111:o}\n".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cached(name: str, build: Callable[[Path], object]) -> Path:
    """Return the cached directory of that name; build it elsewhere and rename it if it is missing.

    So a killed build leaves nothing that looks complete.
    """
    target = cache() / name
    with _locked():
        if not target.is_dir():
            _delete(_is_abandoned)
            aside = target.with_name(f"{name}.building-{os.getpid()}")
            begin = time.monotonic()
            build(aside)
            aside.rename(target)
            _say(f"... done in {time.monotonic() - begin:.0f} s: {target}")
        os.utime(target)
        _delete(lambda path: path.stat().st_mtime < time.time() - UNUSED_AFTER and path.name.startswith("agent-"))
    return target


def _is_abandoned(path: Path) -> bool:
    """Return True for what a killed build left; another program may build here without the lock."""
    _, is_building, pid = path.name.rpartition(".building-")
    return bool(is_building) and not Path("/proc", pid).exists()


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
