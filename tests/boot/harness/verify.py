"""Checks of every boot of every case; assertions of a single case are in the test files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from .boot import Boot
from .case import Case
from .services import IMAGE, REGISTRY_NAME

# A service that is reloading, as a degraded agent may be, counts as active, as it does for systemd.
RUNNING = ("active", "reloading")
# Texts of the agent's unit when its sandbox refuses something: the errno, and the ends by SIGSYS.
REFUSED = ("Operation not permitted", "status=31/SYS", "signal 31", "SIGSYS", "Bad system call")
# Texts that no boot may print.
FORBIDDEN = ("ordering cycle", "Traceback (most recent call last)", "Unknown key name", "Unknown section")
NODE_ENV = "etc/eks-proxy-agent/node.env"


def verify(case: Case, boot: Boot, root: Path, requests: Sequence[str]) -> None:
    """Raise AssertionError with everything that differs from the case.

    With BOOT_ACCEPT=1 expected files that differ are rewritten too, to be reviewed before a commit.
    `root` is the node's root after the boot; `requests` are the lines that the boot added to
    Squid's access log.
    """
    problems = [
        *_files(case, boot, root),
        *_units(case, boot),
        *_environments(case, boot),
        *_journal(boot),
    ]
    if case.pull == "through":
        problems += _pulled(boot, requests)
    if case.pull == "fails" and (boot.text("pull.out").endswith("exit 0\n") or requests):
        problems.append(f"docker pull did not fail: {boot.text('pull.out')}{list(requests)}")
    if problems:
        log = "\n".join(boot.messages("eks-proxy-agent")[-40:])
        text = "\n".join(problems)
        raise AssertionError(f"case {case.name}, boot {boot.number}:\n{text}\n--- the agent's journal ---\n{log}")


def _files(case: Case, boot: Boot, root: Path) -> Iterator[str]:
    for name, content in case.expected(boot.number):
        actual = _content(root / name)
        if actual == content:
            continue
        if os.environ.get("BOOT_ACCEPT") and actual is not None:
            expected = case.numbered("expected", boot.number) or case.directory
            (expected / name).write_bytes(actual)
        yield f"/{name}: {'missing' if actual is None else 'differs; it is now'}\n{(actual or b'').decode(errors='replace')}"
    for name in case.absent:
        if (root / name).exists():
            yield f"/{name}: must not exist"
    for name, mode in case.expected_modes.items():
        actual_mode = f"{(root / name).stat().st_mode & 0o7777:04o}" if (root / name).exists() else "missing"
        if actual_mode != mode:
            yield f"/{name}: mode {actual_mode}, not {mode}"


def _content(path: Path) -> bytes | None:
    """Return the content of a file, the target of a link, or None."""
    if path.is_symlink():
        return os.fsencode(os.readlink(path))
    return path.read_bytes() if path.is_file() else None


def _units(case: Case, boot: Boot) -> Iterator[str]:
    for name in case.active:
        if boot.unit(name)["ActiveState"] not in RUNNING:
            yield f"{name}: {dict(boot.unit(name))}"
    for name in case.inactive:
        if boot.unit(name)["ActiveState"] in RUNNING:
            yield f"{name}: is active and must not be"
    failed = {name for name, unit in boot.units.items() if unit.get("ActiveState") == "failed"}
    if failed != {f"{name}.service" for name in case.failed}:
        yield f"failed units: {sorted(failed)}, expected {sorted(case.failed)}"
    if case.phase and boot.status().get("phase") != case.phase:
        yield f"phase is not {case.phase}: {json.dumps(boot.status())}"


def _environments(case: Case, boot: Boot) -> Iterator[str]:
    """Compare the proxy variables of running services with the expected node.env."""
    expected: dict[str, str] = {}
    for name, content in case.expected(boot.number):
        if name == NODE_ENV:
            lines = [line for line in content.decode().splitlines() if line and not line.startswith("#")]
            expected = dict(line.split("=", 1) for line in lines)
    for name in case.proxied:
        environment = boot.environment(name) or {}
        proxies = {key: value for key, value in environment.items() if key.lower().endswith("_proxy")}
        if not expected or proxies != expected:
            yield f"{name} runs with {proxies}, expected {expected}"


def _journal(boot: Boot) -> Iterator[str]:
    # A cycle is detected before journald starts: in a container only the console shows it.
    for message in [*boot.messages(), *boot.text("console.log").splitlines()]:
        if any(text in message for text in FORBIDDEN):
            yield f"must not be printed: {message}"
    for message in boot.messages("eks-proxy-agent"):
        if any(text in message for text in REFUSED):
            yield f"the sandbox refused something: {message}"


def _pulled(boot: Boot, requests: Sequence[str]) -> list[str]:
    output = boot.text("pull.out")
    problems = []
    if not output.endswith("exit 0\n"):
        problems.append(f"docker pull {IMAGE}: {output}")
    url = f"http://{REGISTRY_NAME}/v2/"
    if not any(url in line and "docker/" in line for line in requests):
        problems.append(f"no request of dockerd for {url} in Squid's log: {list(requests)}")
    return problems
