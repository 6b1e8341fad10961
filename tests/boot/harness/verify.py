"""What every boot of every case is checked for; a case's own asserts are in the test files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, Iterator, List, Sequence

from .boot import Boot
from .case import Case
from .services import IMAGE, REGISTRY_NAME

NODE_ENV = "etc/eks-proxy-agent/node.env"
# Places that people and log collectors read, besides the journal: a credential must be in none of them.
OPEN_PLACES = ("etc/environment", "etc/dnf/dnf.conf", "var/log/cloud-init.log", "var/log/cloud-init-output.log")


def verify(case: Case, boot: Boot, root: Path, requests: Sequence[str]) -> None:
    """Raise AssertionError with everything that is not as the case says.

    root is the node's root after the boot; requests are the lines of Squid's access log that the boot added.
    """
    problems = [
        *_files(case, boot, root),
        *_units(case, boot),
        *_environments(case, boot),
        *_journal(boot),
        *_secrets(case, boot, root),
    ]
    if case.pull == "through":
        problems += _pull(boot, requests)
    if problems:
        own = "\n".join(boot.messages("eks-proxy-agent")[-40:])
        said = "\n".join(problems)
        raise AssertionError(f"case {case.name}, boot {boot.number}:\n{said}\n--- the agent's journal ---\n{own}")


def _files(case: Case, boot: Boot, root: Path) -> Iterator[str]:
    for name, content in case.expected(boot.number):
        if not (root / name).is_file():
            yield f"/{name}: missing"
        elif (root / name).read_bytes() != content:
            yield f"/{name}: differs; it is now\n{(root / name).read_text(errors='replace')}"
    for name in case.absent:
        if (root / name).exists():
            yield f"/{name}: must not exist"
    for name, mode in case.expected_modes.items():
        found = f"{(root / name).stat().st_mode & 0o7777:04o}" if (root / name).exists() else "missing"
        if found != mode:
            yield f"/{name}: mode {found}, not {mode}"


def _units(case: Case, boot: Boot) -> Iterator[str]:
    for name in case.active:
        if boot.unit(name)["ActiveState"] != "active":
            yield f"{name}: {boot.unit(name)}"
    for name in case.inactive:
        if boot.unit(name)["ActiveState"] == "active":
            yield f"{name}: is active and must not be"
    failed = {name for name, unit in boot.units.items() if unit.get("ActiveState") == "failed"}
    if failed != {f"{name}.service" for name in case.failed}:
        yield f"failed units: {sorted(failed)}, expected {sorted(case.failed)}"
    if case.phase and boot.status().get("phase") != case.phase:
        yield f"phase is not {case.phase}: {json.dumps(boot.status())}"


def _environments(case: Case, boot: Boot) -> Iterator[str]:
    """The proxy variables of running services, against the expected node.env."""
    expected: Dict[str, str] = {}
    for name, content in case.expected(boot.number):
        if name == NODE_ENV:
            lines = [line for line in content.decode().splitlines() if line and not line.startswith("#")]
            expected = dict(line.split("=", 1) for line in lines)
    for name in case.proxied:
        found = boot.environment(name) or {}
        proxies = {key: value for key, value in found.items() if key.lower().endswith("_proxy")}
        if not expected or proxies != expected:
            yield f"{name} runs with {proxies}, expected {expected}"


def _journal(boot: Boot) -> Iterator[str]:
    for message in boot.messages():
        if "ordering cycle" in message or message.startswith("Traceback (most recent call last)"):
            yield f"journal: {message}"


def _pull(boot: Boot, requests: Sequence[str]) -> List[str]:
    said = boot.text("pull.out")
    problems = []
    if not said.endswith("exit 0\n"):
        problems.append(f"docker pull {IMAGE}: {said}")
    wanted = f"http://{REGISTRY_NAME}/v2/"
    if not any(wanted in line and "docker/" in line for line in requests):
        problems.append(f"no request of dockerd for {wanted} in Squid's log: {list(requests)}")
    return problems


def _secrets(case: Case, boot: Boot, root: Path) -> Iterator[str]:
    places = {"the journal": boot.text("journal.jsonl"), "the process list": boot.text("ps.txt")}
    for path in sorted((boot.folder / "run").rglob("*")) if (boot.folder / "run").exists() else []:
        if path.is_file():
            places[f"/run/eks-proxy-agent/{path.name}"] = path.read_text(errors="replace")
    places["the journal, decoded"] = "\n".join(boot.messages())
    for name in OPEN_PLACES:
        if (root / name).exists():
            places[f"/{name}"] = (root / name).read_text(errors="replace")
    for secret in case.secrets:
        yield from (f"{place} holds {secret!r}" for place, text in places.items() if secret in text)
