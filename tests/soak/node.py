"""The node of the soak, its proxies and its metadata service, and what can be done to them."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.boot.harness import case as cases
from tests.boot.harness.bed import Bed
from tests.boot.harness.command import run
from tests.boot.harness.namespace import METADATA
from tests.boot.harness.root import REPOSITORY
from tests.boot.harness.services import Service, Squid
from tests.boot.harness.waiting import wait_for

from .world import ADDRESSES, CREDENTIALS, DNF, ENVIRONMENT, NODE_ENV, World, others_of

HERE = Path(__file__).resolve().parent
CLOCK = REPOSITORY / "tests/boot/harness/clock.c"
OBSERVE = "/usr/local/lib/eksproxy-soak/observe"
AGENT = "eks-proxy-agent"


class SoakNode:
    """A booted node with the installed agent as its daemon."""

    def __init__(self, bed: Bed, world: World, limit: float) -> None:
        """Start proxies, metadata service and node, and wait until the agent's boot has ended.

        `limit`: seconds after which the node is killed.
        """
        self.bed, self.world = bed, world
        self.trial = bed.trial(cases.load("case", HERE))
        self.directory = self.trial.node.directory
        self._squids: dict[str, Squid] = {}
        self._started = 0
        self._metadata: Service | None = None
        try:
            run(["gcc", "-shared", "-fPIC", "-o", self.trial.root / "usr/lib/clock.so", CLOCK])
            self._write_outside("clock-ahead", "0\n")
            for address in ADDRESSES:
                bed.namespace.add(address)
                self.start_proxy(address)
            self.save_instance()
            self.set_metadata(world.metadata)
            (self.trial.root / "etc/eks-proxy-agent").mkdir(exist_ok=True)
            config = self.trial.root / "etc/eks-proxy-agent/config.toml"
            config.write_text(world.config())
            credentials = self.trial.root / CREDENTIALS[1:]
            credentials.write_text(world.credentials())
            credentials.chmod(0o600)
            for path in (ENVIRONMENT, DNF):
                world.others[path] = others_of(path, (self.trial.root / path[1:]).read_bytes())
            world.secrets.add(world.password)
            self.running = self.trial.start(hold=True, limit=limit)
            self.running.wait_settled()
            wait_for("the end of the agent's boot", lambda: "next_pass" in (self.observe()["status"] or ""), 60, 0.3)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop and remove everything of the node."""
        for squid in self._squids.values():
            squid.stop()
        self._squids.clear()
        if self._metadata:
            self._metadata.stop()
        self.trial.close()

    # --- the node

    def sh(self, script: str, *arguments: str, timeout: float = 120) -> str:
        """Run a shell script in the node; return its output, both streams."""
        return self.running.run("sh", "-c", f"exec 2>&1; {script}", "sh", *arguments, timeout=timeout)

    def result(self, script: str) -> tuple[int, str]:
        """Run a command in the node; return its exit code and its output, both streams."""
        output = self.sh(f'({script}); echo "exit $?"', timeout=200)
        text, _, code = output.rpartition("exit ")
        return int(code), text

    def results(self, scripts: list[str]) -> list[tuple[int, str]]:
        """Run commands in the node at the same time."""
        with ThreadPoolExecutor(len(scripts)) as pool:
            return list(pool.map(self.result, scripts))

    def write(self, path: str, content: str, *, mode: int = 0o644, atomic: bool = True) -> None:
        """Write a file of the node as editors do: by a rename, or in place and in two steps."""
        if atomic:
            script = 'umask 077; printf %s "$2" > "$1.soak" && chmod "$3" "$1.soak" && mv "$1.soak" "$1"'
            self.sh(script, path, content, f"{mode:o}")
        else:
            half = len(content) // 2
            script = 'printf %s "$2" > "$1"; sleep 0.2; printf %s "$3" >> "$1"; chmod "$4" "$1"'
            self.sh(script, path, content[:half], content[half:], f"{mode:o}")

    def observe(self) -> dict[str, Any]:
        """Return the state of the node."""
        paths = [ENVIRONMENT, NODE_ENV, DNF]
        seen: dict[str, Any] = json.loads(self.running.run("python3", "-I", OBSERVE, *paths))
        return seen

    def journal(self, cursor: str) -> tuple[list[dict[str, Any]], str]:
        """Return the journal entries after a cursor, and the new cursor."""
        after = [f"--after-cursor={cursor}"] if cursor else []
        output = self.running.run("journalctl", "--quiet", "--all", "--output=json", *after, check=False)
        entries = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        return entries, entries[-1]["__CURSOR"] if entries else cursor

    def _write_outside(self, name: str, content: str) -> None:
        """Write a file of /etc while the node is off."""
        (self.trial.root / "etc" / name).write_text(content)

    # --- the instance and its services

    def save_instance(self) -> None:
        """Write the instance that the metadata service serves."""
        values = json.loads((HERE / "case/metadata.json").read_text())
        self._replace("instance.json", json.dumps({**values, "vpc_cidrs_v4": self.world.cidrs}))

    def set_metadata(self, mode: str) -> None:
        """Let the metadata service behave so; `off`: nothing listens at its address."""
        if mode == "off":
            if self._metadata:
                self._metadata.stop()
            self._metadata = None
            return
        self._replace("metadata-mode", mode)
        if self._metadata is None:
            files = [self.directory / "instance.json", self.directory / "metadata-mode"]
            argv = [sys.executable, "-m", "tests.soak.metadata", METADATA, *files]
            log = self.directory / "metadata.log"
            self._metadata = Service(self.bed.namespace, argv, 80, log, cwd=REPOSITORY)

    def _replace(self, name: str, content: str) -> None:
        fresh = self.directory / f"{name}.new"
        fresh.write_text(content)
        fresh.rename(self.directory / name)

    def start_proxy(self, address: str) -> None:
        """Start a Squid there."""
        self._started += 1
        self._squids[address] = Squid(self.bed.namespace, self.directory / f"squid-{self._started}", address=address)

    def stop_proxy(self, address: str) -> None:
        """Stop the Squid there; its address refuses connections."""
        self._squids.pop(address).stop()

    # --- the daemon

    def pid(self, unit: str = AGENT) -> str:
        """Return the main process of a unit."""
        return self.running.show(unit, "MainPID")

    def reload(self) -> None:
        """Let the daemon reconcile now, as an operator does; it may be busy or restarting."""
        self.running.run("systemctl", "kill", "--kill-whom=main", "--signal=HUP", AGENT, check=False)

    def kill_worker(self, number: str, delay: float) -> str:
        """Start a cycle, and send its worker a signal `delay` s later; return the result."""
        return self.sh(
            """main=$(systemctl show --value --property=MainPID eks-proxy-agent)
            for _ in $(seq 20); do
                kill -HUP "$main"
                for _ in $(seq 50); do
                    child=
                    for pid in $(cat "/proc/$main/task/$main/children"); do
                        grep -qx eks-proxy-facts "/proc/$pid/comm" || child=$pid
                    done
                    [ -z "$child" ] || break
                    sleep 0.02
                done
                sleep "$2"
                kill -"$1" "$child" 2>/dev/null && echo "pid $child" && exit 0
            done
            echo 'no worker lived so long'""",
            number,
            f"{delay:.2f}",
        ).strip()
