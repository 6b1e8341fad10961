"""The Go program that runs policies: Debian's k8s.io/apiserver, compiled once into the cache.

The .deb files are downloaded by apt with sources of their own and only unpacked: the machine's
packages do not change.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.boot.harness.command import run
from tests.clients.harness.libraries import GO, go_toolchain

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "main.go"
#: The Debian suite and package with the API server's library; sid moves, so the result names it.
SUITE, PACKAGE = "sid", "golang-k8s-apiserver-dev"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def missing() -> str:
    """Return why this machine cannot compile the program, or ""."""
    if not Path("/etc/debian_version").exists():
        return "not a Debian system"
    return "" if Path(_KEYRING).exists() else f"no {_KEYRING}"


def policy_program() -> Path:
    """Return the program; the first call takes some minutes and 3 GB of disk temporarily."""
    key = hashlib.sha256(SOURCE.read_bytes() + f"{SUITE} {PACKAGE} {GO}".encode()).hexdigest()[:12]
    directory = _cache() / key
    with (_cache() / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not directory.is_dir():
            aside = directory.with_name(key + ".building")
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            _compile(aside)
            aside.rename(directory)
    return directory / "policy"


def admit(worlds: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the program's results of each world; raises BedError if it fails."""
    done = run([policy_program()], stdin=json.dumps(worlds), timeout=600)
    results: list[list[dict[str, Any]]] = json.loads(done.stdout)
    return results


def library_version() -> str:
    """Return the version of the package that the cached program was compiled with."""
    return (policy_program().parent / "version").read_text().strip()


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(home) / "eks-proxy-agent" / "policy"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _compile(directory: Path) -> None:
    work = directory / "work"
    work.mkdir()
    _say("downloading Debian's Go packages (230 MB)")
    tree, version = _unpacked(work)
    _say("installing Go")
    go = go_toolchain(work / "toolchain")
    _say("compiling (about 5 minutes on 2 cores)")
    settings = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GO111MODULE": "off"}
    paths = {"GOPATH": str(tree / "usr/share/gocode"), "GOCACHE": str(work / "cache")}
    run([go, "build", "-o", directory / "policy", SOURCE], timeout=3600, env={**settings, **paths})
    (directory / "version").write_text(version + "\n")
    shutil.rmtree(work)


def _unpacked(work: Path) -> tuple[Path, str]:
    """Return the directory of the unpacked packages, and the version of PACKAGE."""
    for name in ("lists/partial", "archives/partial", "sources", "debs", "tree"):
        (work / name).mkdir(parents=True)
    (work / "status").touch()  # no package is installed: apt resolves all of them
    mirror = _mirror()
    (work / "sources/sid.sources").write_text(
        f"Types: deb\nURIs: {mirror}\nSuites: {SUITE}\nComponents: main\nSigned-By: {_KEYRING}\n"
    )
    options = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": work / "sources",
        "Dir::State::lists": work / "lists",
        "Dir::State::status": work / "status",
        "Dir::Cache": work,
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
    }
    apt = ["apt-get", "-q", *(f"-o{key}={value}" for key, value in options.items())]
    environment = dict(os.environ)  # it may say how apt reaches the mirror
    run([*apt, "update"], timeout=600, env=environment)
    plan = run([*apt, "install", "--simulate", "--no-install-recommends", "-y", PACKAGE], timeout=600).stdout
    installs = [line.split() for line in plan.splitlines() if line.startswith("Inst golang-")]
    names = [words[1] for words in installs if words[1].endswith("-dev")]
    run([*apt, "download", *names], timeout=1800, env=environment, cwd=work / "debs")
    for package in sorted((work / "debs").glob("*.deb")):
        run(["dpkg-deb", "--extract", package, work / "tree"], timeout=300)
    return work / "tree", next(words[2].lstrip("(") for words in installs if words[1] == PACKAGE)


def _mirror() -> str:
    """Return the machine's own mirror of Debian."""
    texts = [path.read_text() for path in Path("/etc/apt").glob("sources.list*") if path.is_file()]
    texts += [path.read_text() for path in Path("/etc/apt/sources.list.d").glob("*")]
    words = [word for text in texts for line in text.splitlines() if not line.startswith("#") for word in line.split()]
    return next(word.rstrip("/") for word in words if "://" in word and word.rstrip("/").endswith("/debian"))


def _say(text: str) -> None:
    print(f"policy-test: {text} ...", file=sys.stderr, flush=True)
