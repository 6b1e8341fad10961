"""The agent after boot, seen from the node: its journal, its status, and the units that run."""

from __future__ import annotations

import json
from typing import Any

from .bed import Trial
from .node import Running
from .waiting import wait_for

AGENT = "eks-proxy-agent"
ENVIRONMENT = "/etc/environment"


class RunningAgent:
    """A node that is up, and its agent."""

    def __init__(self, node: Trial, limit: float = 180) -> None:
        """Boot the node; wait until systemd has no job left and the agent's boot has ended."""
        self.node = node
        self.running: Running = node.start(hold=True, limit=limit)
        self.running.wait_settled()
        wait_for("the end of the agent's boot", lambda: "next_pass" in self.status())

    def events(self, name: str, *matches: str) -> list[dict[str, Any]]:
        """Return the journal entries of an event, with the matches an administrator would use."""
        self.running.run("journalctl", "--sync", check=False)  # a busy host may be behind
        command = ["journalctl", "--unit=" + AGENT, "--output=json", "--quiet", "EKS_PROXY_EVENT=" + name, *matches]
        return [json.loads(line) for line in self.running.run(*command, check=False).splitlines()]

    def wait_for_event(self, name: str, *matches: str, count: int = 1, limit: float = 45) -> list[dict[str, Any]]:
        """Wait until there are `count` entries of an event, and return them."""
        wait_for(f"{count} of the event {name}", lambda: len(self.events(name, *matches)) >= count, limit, 0.2)
        return self.events(name, *matches)

    def status(self) -> dict[str, Any]:
        """Return status.json."""
        document: dict[str, Any] = json.loads(self.running.run("cat", "/run/eks-proxy-agent/status.json"))
        return document

    def wait_for_status(self, event: str, **values: Any) -> dict[str, Any]:
        """Wait until status.json has these values, and return it."""
        wait_for(event, lambda: {**self.status(), **values} == self.status(), limit=60, interval=0.2)
        return self.status()

    def read(self, path: str = ENVIRONMENT) -> str:
        """Return a file of the node."""
        return self.running.run("cat", path)

    def pid(self, unit: str = AGENT) -> str:
        """Return the main process of a unit."""
        return self.running.show(unit, "MainPID")

    def pids(self) -> dict[str, str]:
        """Return the main processes that no test may affect."""
        return {unit: self.pid(unit) for unit in ("docker", "containerd", "kubelet")}

    def wait_for_another(self, pid: str, unit: str = AGENT) -> None:
        """Wait until a unit is active again with another main process.

        Both are read in one call, or they would be of two moments.
        """
        self.running.wait_until(f"{unit} to come back", "sh", "-c", f"""
            now=$(systemctl show --property=ActiveState --property=MainPID {unit})
            case "$now" in *MainPID={pid}|*MainPID={pid}[!0-9]*) exit 1;; *ActiveState=active*) ;; *) exit 1;; esac""", limit=60)  # fmt: skip

    def change_instance(self, **instance: Any) -> None:
        """Change what the metadata service returns."""
        self.node.change_instance(**instance)
