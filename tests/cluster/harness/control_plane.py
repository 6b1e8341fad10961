"""Real control plane with RBAC, for one session.

It is etcd, kube-apiserver, kube-controller-manager and kube-scheduler.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.boot.harness.command import CLEAN_ENVIRONMENT, Argument, BedError, run
from tests.boot.harness.waiting import wait_for

from . import certificates
from .api import Api
from .process import Process

SERVICE_CIDR = "172.20.0.0/16"
API_PORT = 6443
SYSTEM_NODE = "system:node:ip-10-0-1-23.eu-west-1.compute.internal"
# user: groups. `operator` has the permissions that a test grants, `nobody` has none.
USERS: Mapping[str, Sequence[str]] = {
    "admin": ("system:masters",),
    "operator": (),
    "nobody": (),
    "system:kube-controller-manager": (),
    "system:kube-scheduler": (),
    SYSTEM_NODE: ("system:nodes",),
}
KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters:
- name: test
  cluster: {{server: "{server}", {authority}}}
users:
- name: "{user}"
  user: {{token: "{token}"}}
contexts:
- name: test
  context: {{cluster: test, user: "{user}"}}
current-context: test
"""


class ControlPlane:
    """Cluster without nodes."""

    def __init__(
        self,
        directory: Path,
        programs: Path,
        *,
        address: str = "",
        port: int = API_PORT,
        names: Sequence[str] = (),
        inside: Sequence[Argument] = (),
    ) -> None:
        """Start it, and wait until it is ready.

        All files are in `directory`.  It listens on `address` only, by default a loopback address
        of this process.  `names` are DNS names of its certificate, and `inside` is a command that
        enters its network.
        """
        self.directory = directory
        self.programs = programs
        self.address = address or _own_loopback_address()
        self.port = port
        self.server = f"https://{self.address}:{port}"
        self.inside = list(inside)
        self.processes: dict[str, Process] = {}
        self.tokens = {user: f"token-{number}-of-{user.rpartition(':')[2]}" for number, user in enumerate(USERS)}
        certificates.create(directory, self.address, names)
        rows = [f'{self.tokens[user]},{user},{user},"{",".join(groups)}"' for user, groups in USERS.items()]
        (directory / "tokens.csv").write_text("\n".join(rows) + "\n")
        (directory / "home").mkdir()
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the administrator."""
        return self.kubeconfig_for("admin")

    def kubeconfig_for(self, user: str, *, server: str = "", token: str = "", embedded: bool = False) -> Path:
        """Write a kubeconfig of one of USERS, perhaps with another server or token.

        With the CA embedded it can be moved to another machine.
        """
        path = self.directory / f"{user.replace(':', '-')}{'-other' if server or token else ''}.kubeconfig"
        authority = self.directory / "ca.crt"
        content = base64.b64encode(authority.read_bytes()).decode()
        text = KUBECONFIG.format(
            server=server or self.server,
            authority=f"certificate-authority-data: {content}" if embedded else f"certificate-authority: {authority}",
            user=user,
            token=token or self.tokens.get(user, "none"),
        )
        path.write_text(text)
        path.chmod(0o600)
        return path

    @property
    def environment(self) -> dict[str, str]:
        """Environment for a command that calls kubectl.

        It has nothing of the caller's, and finds the kubectl of the cluster's version first.
        """
        return {
            **CLEAN_ENVIRONMENT,
            "PATH": f"{self.programs}:{CLEAN_ENVIRONMENT['PATH']}",
            "HOME": str(self.directory / "home"),
        }

    def kubectl(self, *arguments: Argument, input: str | None = None, user: str = "admin") -> str:  # noqa: A002
        """Return the stdout of kubectl; raises BedError with its output if it fails."""
        done = self.try_kubectl(*arguments, input=input, user=user)
        if done.returncode != 0:
            raise BedError(
                f"kubectl {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def try_kubectl(
        self,
        *arguments: Argument,
        input: str | None = None,  # noqa: A002
        user: str = "admin",
    ) -> subprocess.CompletedProcess[str]:
        """Return the result of kubectl, whether it succeeds or fails."""
        argv = [*self.inside, self.programs / "kubectl", f"--kubeconfig={self.kubeconfig_for(user)}", *arguments]
        return run(argv, env=self.environment, stdin=input or "", check=False, timeout=180)

    def get(self, *arguments: str) -> Any:
        """Return the decoded output of `kubectl get ... -o json`."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def api(self, user: str = "admin") -> Api:
        """Return a connection without kubectl, which does not enter the network of `inside`."""
        return Api(self.address, self.port, self.directory / "ca.crt", self.tokens[user])

    def create_namespace(self, name: str) -> None:
        """Create a namespace, and wait until it admits pods: its service account has a token."""
        self.kubectl("create", "namespace", name)
        account = ["get", f"--namespace={name}", "serviceaccount", "default", "--output=jsonpath={.secrets[0].name}"]
        wait_for(f"the service account of {name}", lambda: self.try_kubectl(*account).stdout, limit=30)

    def wait_for_rollout(self, namespace: str, workload: str, limit: int = 120) -> None:
        """Wait until all pods of a workload (KIND/NAME) have its current template and are ready."""
        self.kubectl("rollout", "status", f"--namespace={namespace}", f"--timeout={limit}s", workload)

    def close(self) -> None:
        """Stop all programs in reverse order, and remove the directory.

        With CLUSTER_KEEP=DIRECTORY, copy the logs there first.
        """
        while self.processes:
            self.processes.popitem()[1].stop()
        if "CLUSTER_KEEP" in os.environ:
            target = Path(os.environ["CLUSTER_KEEP"])
            target.mkdir(parents=True, exist_ok=True)
            for log in self.directory.glob("*.log"):
                shutil.copy(log, target)
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- start
    # ---------------------------------------------------------------------------------------------

    def start(self, name: str, *flags: str, program: Argument = "") -> None:
        """Start one of the programs."""
        argv: list[Argument] = [program or self.programs / name, *flags]
        self.processes[name] = Process(argv, self.directory / f"{name}.log", self.inside)

    def _start(self) -> None:
        directory, client = self.directory, f"http://{self.address}:2379"
        peer = f"http://{self.address}:2380"
        self.start(
            "etcd",
            *(f"--data-dir={directory}/etcd", f"--listen-client-urls={client}"),
            *(f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}"),
            *(f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}"),
            program="etcd",
        )
        self.start(
            "kube-apiserver",
            *(f"--etcd-servers={client}", f"--bind-address={self.address}", f"--secure-port={self.port}"),
            # No pod could reach this address, so it need not be in Endpoints.
            *(f"--advertise-address={self.address}", "--endpoint-reconciler-type=none"),
            *("--tls-cert-file=apiserver.crt", "--tls-private-key-file=apiserver.key"),
            *(f"--service-cluster-ip-range={SERVICE_CIDR}", "--allow-privileged=true"),
            *("--token-auth-file=tokens.csv", "--authorization-mode=Node,RBAC"),
            *("--service-account-key-file=accounts.pub", "--service-account-signing-key-file=accounts.key"),
            *("--service-account-issuer=https://kubernetes.default", "--enable-admission-plugins=NodeRestriction"),
        )
        self._wait_until_served("kube-apiserver", "get", "--raw=/readyz")
        # The kubelets of these nodes are simulated and send no heartbeats: the long grace period
        # keeps the nodes Ready.
        quick = ("--leader-elect=false", "--port=0", "--secure-port=0", "--kube-api-qps=300", "--kube-api-burst=600")
        self.start(
            "kube-controller-manager",
            *quick,
            f"--kubeconfig={self.kubeconfig_for('system:kube-controller-manager')}",
            *(
                "--service-account-private-key-file=accounts.key",
                "--root-ca-file=ca.crt",
                "--use-service-account-credentials",
            ),
            "--node-monitor-grace-period=24h",
        )
        self.start("kube-scheduler", *quick, f"--kubeconfig={self.kubeconfig_for('system:kube-scheduler')}")
        # The controllers run when the namespace has its service account; without it, no pod is
        # admitted.
        self._wait_until_served(
            "kube-controller-manager", "get", "--namespace=kube-system", "serviceaccount", "default"
        )

    def _wait_until_served(self, program: str, *arguments: str) -> None:
        def served() -> bool:
            for process in self.processes.values():
                process.check()
            return self.try_kubectl(*arguments).returncode == 0

        wait_for(f"{program} to be ready", served, limit=90, interval=0.2)


def _own_loopback_address() -> str:
    """Return an address of 127.0.0.0/8 for our process id: its usual ports are free."""
    pid = os.getpid()
    return f"127.{128 + (pid >> 16) % 64}.{pid >> 8 & 255}.{pid & 255 or 1}"
