"""An administrator at a machine that is no node: settings, kubeconfig, and `eks-proxy-agent
cluster` as a process.
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
# The metadata service is nobody: this machine may have one of its own.
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
    """Somebody with a kubeconfig and the nodes' settings file."""

    def __init__(self, control_plane: ControlPlane, directory: Path, user: str = "admin") -> None:
        """Write the settings into a directory of the test."""
        self.control_plane = control_plane
        self.directory = directory
        self.config = directory / "config.toml"
        self.config.write_text(SETTINGS)
        self.kubeconfig: Path | None = control_plane.kubeconfig_for(user)

    def run(self, action: str, *flags: str, env: Mapping[str, str] | None = None) -> Outcome:
        """One action to its end."""
        return run(self._argv(action, *flags), env={**self.control_plane.environment, **(env or {})})

    def start(self, action: str, *flags: str) -> subprocess.Popen[str]:
        """One action, not waited for."""
        return subprocess.Popen(
            self._argv(action, *flags),
            cwd=REPOSITORY,
            env=environment(self.control_plane.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell gives its background jobs an ignored SIGINT, and CI may be one; an
            # administrator's terminal does not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one system call, no lock
        )

    def _argv(self, action: str, *flags: str) -> list[str]:
        where = ["--config", str(self.config)] + ([f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else [])
        return [sys.executable, "-m", "agent", "cluster", action, *where, *flags]

    def apply(self, *flags: str) -> Outcome:
        """`apply` that has to succeed."""
        done = self.run("apply", *flags)
        assert done.code == 0, done.both
        return done

    def password(self, text: str) -> str:
        """The flag that gives the proxy a password."""
        path = self.directory / "credentials"
        path.write_text(text)
        path.chmod(0o600)
        return f"--set=proxy.credentials_file={path}"

    def add_on(self, name: str) -> dict[str, Any]:
        """An add-on as the cluster has it now."""
        return self.control_plane.get(f"daemonset/{name}", "-n", "kube-system")

    def versions(self) -> dict[str, str]:
        """The resourceVersion of all that apply may write."""
        found = {name: self.add_on(name) for name in ADD_ONS}
        found["data"] = self.control_plane.get(*CONFIG_MAP)
        return {name: one["metadata"]["resourceVersion"] for name, one in found.items()}

    def specs(self) -> str:
        """What the add-ons' owner wrote: spec and annotations, but for the count of changes."""
        found = {}
        for name in ADD_ONS:
            one = self.add_on(name)
            one["metadata"]["annotations"].pop("deprecated.daemonset.template.generation")
            found[name] = (one["spec"], one["metadata"]["annotations"], one["metadata"]["labels"])
        return json.dumps(found, sort_keys=True)

    def set_env(self, *arguments: str, name: str = "aws-node") -> None:
        """What administrators type: `kubectl set env`."""
        self.control_plane.kubectl("set", "env", "-n", "kube-system", f"daemonset/{name}", *arguments)
        self.control_plane.rolled_out("kube-system", f"daemonset/{name}")

    def patch(self, kind: str, patch: object, name: str = "aws-node") -> None:
        """`kubectl patch`, and the rollout that follows."""
        self.control_plane.kubectl(
            "patch", "-n", "kube-system", f"daemonset/{name}", f"--type={kind}", "-p", json.dumps(patch)
        )
        self.control_plane.rolled_out("kube-system", f"daemonset/{name}")


def all_containers(workload: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Containers and init containers of a workload, by name."""
    spec = workload["spec"]["template"]["spec"]
    return {one["name"]: one for one in [*spec.get("initContainers", []), *spec["containers"]]}
