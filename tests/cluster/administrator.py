"""An administrator on a machine that is not a node.

It has settings and a kubeconfig, and runs `eks-proxy-agent cluster` as a process.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cluster.harness.control_plane import ControlPlane
from tests.integration.command_line import REPOSITORY, Outcome, environment, run

PROXY = "http://proxy.corp.example:3128"
API_HOST = "abc.gr7.eu-west-1.eks.amazonaws.com"
# No metadata service listens there: this machine may have one of its own.
SETTINGS = f"""\
[proxy]
url = "{PROXY}"
[vpc]
cidrs = ["10.42.0.0/16"]
[aws]
direct = ["ec2"]
[cluster]
endpoint = "https://{API_HOST}"
endpoint_access = "private"
[metadata]
endpoint = "http://127.0.0.1:9"
"""
CONFIG_MAP = ("configmap/proxy-environment-variables", "-n", "kube-system")
ADD_ONS = ("aws-node", "kube-proxy")


class Administrator:
    """User with a kubeconfig and the nodes' settings file."""

    def __init__(self, control_plane: ControlPlane, directory: Path, user: str = "admin") -> None:
        """Write the settings to a directory of the test."""
        self.control_plane = control_plane
        self.directory = directory
        self.config = directory / "config.toml"
        self.config.write_text(SETTINGS)
        self.kubeconfig: Path | None = control_plane.kubeconfig_for(user)

    def run(self, action: str, *flags: str, env: Mapping[str, str] | None = None) -> Outcome:
        """Run one action, and wait for it."""
        return run(self._argv(action, *flags), env={**self.control_plane.environment, **(env or {})})

    def start(self, action: str, *flags: str) -> subprocess.Popen[str]:
        """Start one action without waiting for it."""
        return subprocess.Popen(
            self._argv(action, *flags),
            cwd=REPOSITORY,
            env=environment(self.control_plane.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell starts background jobs with SIGINT ignored, and CI may be such a job.  On an
            # administrator's terminal it is not ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one system call, no lock
        )

    def _argv(self, action: str, *flags: str) -> list[str]:
        where = ["--config", str(self.config)] + ([f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else [])
        return [sys.executable, "-m", "agent", "cluster", action, *where, *flags]

    def apply(self, *flags: str) -> Outcome:
        """Run apply, which has to succeed."""
        done = self.run("apply", *flags)
        assert done.code == 0, done.both
        return done

    def password(self, text: str) -> str:
        """Return the flag that gives the proxy a password."""
        path = self.directory / "credentials"
        path.write_text(text)
        path.chmod(0o600)
        return f"--set=proxy.credentials_file={path}"

    def add_on(self, name: str) -> dict[str, Any]:
        """Return an add-on as it is in the cluster now."""
        return self.control_plane.get(f"daemonset/{name}", "-n", "kube-system")

    def versions(self) -> dict[str, str]:
        """Return the resourceVersion of every object that apply may write."""
        objects = {name: self.add_on(name) for name in ADD_ONS}
        objects["data"] = self.control_plane.get(*CONFIG_MAP)
        return {name: obj["metadata"]["resourceVersion"] for name, obj in objects.items()}

    def specs(self) -> str:
        """Return spec, annotations and labels of the add-ons, without the count of changes."""
        specs = {}
        for name in ADD_ONS:
            obj = self.add_on(name)
            obj["metadata"]["annotations"].pop("deprecated.daemonset.template.generation")
            specs[name] = (obj["spec"], obj["metadata"]["annotations"], obj["metadata"]["labels"])
        return json.dumps(specs, sort_keys=True)

    def set_env(self, *arguments: str, name: str = "aws-node") -> None:
        """Run `kubectl set env`, and wait for the rollout."""
        self.control_plane.kubectl("set", "env", "-n", "kube-system", f"daemonset/{name}", *arguments)
        self.control_plane.wait_for_rollout("kube-system", f"daemonset/{name}")

    def patch(self, kind: str, patch: object, name: str = "aws-node") -> None:
        """Run `kubectl patch`, and wait for the rollout."""
        self.control_plane.kubectl(
            "patch", "-n", "kube-system", f"daemonset/{name}", f"--type={kind}", "-p", json.dumps(patch)
        )
        self.control_plane.wait_for_rollout("kube-system", f"daemonset/{name}")


def all_containers(workload: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the containers and init containers of a workload by name."""
    spec = workload["spec"]["template"]["spec"]
    return {container["name"]: container for container in [*spec.get("initContainers", []), *spec["containers"]]}
