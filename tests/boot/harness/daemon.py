"""The agent's life after boot, seen from the node: its journal by fields, its status, what runs and
since when.
"""

from __future__ import annotations

import json
from typing import Any

from .bed import Trial
from .node import Running
from .waiting import wait_for

AGENT = "eks-proxy-agent"
ENVIRONMENT = "/etc/environment"


class Life:
    """A node that is up, with its agent."""

    def __init__(self, node: Trial, limit: float = 180) -> None:
        """Boot it and wait until nothing is left to be started, and the agent's boot has come to
        its end after that.
        """
        self.node = node
        self.running: Running = node.start(hold=True, limit=limit)
        self.running.wait_settled()
        wait_for("the end of the agent's boot", lambda: "next_pass" in self.status())

    def events(self, name: str, *matches: str) -> list[dict[str, Any]]:
        """The entries of an event, found as an administrator would."""
        command = ["journalctl", "--unit=" + AGENT, "--output=json", "--quiet", "EKS_PROXY_EVENT=" + name, *matches]
        return [json.loads(line) for line in self.running.run(*command, check=False).splitlines()]

    def wait_for_event(self, name: str, *matches: str, count: int = 1, limit: float = 45) -> list[dict[str, Any]]:
        """The entries, as soon as there are as many."""
        wait_for(f"{count} of the event {name}", lambda: len(self.events(name, *matches)) >= count, limit, 0.2)
        return self.events(name, *matches)

    def status(self) -> dict[str, Any]:
        """status.json now."""
        found: dict[str, Any] = json.loads(self.running.run("cat", "/run/eks-proxy-agent/status.json"))
        return found

    def wait_for_status(self, what: str, **wanted: Any) -> dict[str, Any]:
        """status.json, as soon as it says this."""
        wait_for(what, lambda: {**self.status(), **wanted} == self.status(), limit=60, interval=0.2)
        return self.status()

    def read(self, path: str = ENVIRONMENT) -> str:
        """A file of the node."""
        return self.running.run("cat", path)

    def pid(self, unit: str = AGENT) -> str:
        """The main process of a unit."""
        return self.running.show(unit, "MainPID")

    def pids(self) -> dict[str, str]:
        """The main processes that nothing here may touch."""
        return {unit: self.pid(unit) for unit in ("docker", "containerd", "kubelet")}

    def wait_for_another(self, pid: str, unit: str = AGENT) -> None:
        """Until a unit is up again with another main process; both in one question, or they are of
        two moments.
        """
        self.running.wait_until(f"{unit} to come back", "sh", "-c", f"""
            now=$(systemctl show --property=ActiveState --property=MainPID {unit})
            case "$now" in *MainPID={pid}|*MainPID={pid}[!0-9]*) exit 1;; *ActiveState=active*) ;; *) exit 1;; esac""", limit=60)  # fmt: skip

    def be(self, **instance: Any) -> None:
        """Change what the metadata service says."""
        self.node.change_instance(**instance)
