"""The services of a node, all real programs: Squid, a Docker registry, the metadata service."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .command import CLEAN_ENVIRONMENT, Argument, BedError, run
from .namespace import METADATA, PACKAGES, PROXY, REGISTRY, SECURE, Namespace
from .root import REPOSITORY
from .waiting import wait_for

PROXY_PORT = 3128
REGISTRY_PORT = 5000
# Only Squid's hosts_file has these names, so a connection to them went through the proxy.
REGISTRY_NAME = f"registry.example.test:{REGISTRY_PORT}"
IMAGE = f"{REGISTRY_NAME}/hello:v1"
HOSTS = f"{REGISTRY} registry.example.test\n{PACKAGES} packages.example.test\n{SECURE} secure.example.test\n"

LISTENER = Path(__file__).with_name("listener.py")

SQUID_CONF = """\
http_port {address}:{port} {port_options}
{more}
http_access allow all
cache deny all
hosts_file {directory}/hosts
dns_nameservers 127.0.0.1
dns_timeout 1 second
dns_retransmit_interval 100 milliseconds
pid_filename {directory}/squid.pid
cache_log {directory}/cache.log
logformat boot %rm %ru %>Hs "%{{User-Agent}}>h"
access_log stdio:{directory}/access.log logformat=boot
pinger_enable off
shutdown_lifetime 0 seconds
cache_effective_user proxy
"""
WITH_PASSWORD = """\
auth_param basic program /usr/lib/squid/basic_ncsa_auth {directory}/passwords
auth_param basic children 2 startup=1
acl known proxy_auth REQUIRED
http_access deny !known"""
REGISTRY_CONF = """\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {directory}/storage}}}}
http:
  addr: "{address}:{port}"
{more}
"""


class Service:
    """A program that listens inside a namespace; started once, stopped by its process id."""

    def __init__(self, namespace: Namespace, argv: Sequence[Argument], port: int, log: Path, cwd: Path | None = None):
        """Start it and wait until it listens.

        Raises BedError with its output if it ends instead.
        """
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [str(part) for part in namespace.inside(argv)],
                env=dict(CLEAN_ENVIRONMENT),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        wait_for(f"{argv[0]} to listen on port {port}", lambda: self._listens(port), limit=30)

    def _listens(self, port: int) -> bool:
        if self.process.poll() is not None:
            raise BedError(f"service ended with exit code {self.process.returncode}:\n{self.log.read_text()[-2000:]}")
        # /proc/net/tcp (proc(5)): local address as HEXADDRESS:HEXPORT, state (0A is LISTEN), ...,
        # inode of the socket.  The inode shows that this process listens, and not an earlier one.
        process = f"/proc/{self.process.pid}"
        with suppress(OSError):
            sockets = {os.readlink(link) for link in Path(process, "fd").iterdir()}
            for table in ("tcp", "tcp6"):
                for line in Path(process, "net", table).read_text().splitlines()[1:]:
                    field = line.split()
                    if field[1].endswith(f":{port:04X}") and field[3] == "0A" and f"socket:[{field[9]}]" in sockets:
                        return True
        return False

    def stop(self) -> None:
        """Stop it; does nothing if it has ended already."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


class Squid:
    """The company's proxy; only it can resolve the names of HOSTS."""

    url = f"http://proxy.example.test:{PROXY_PORT}"

    def __init__(
        self,
        namespace: Namespace,
        directory: Path,
        *,
        address: str = PROXY,
        port_options: str = "",
        more: str = "",
        hosts: str = HOSTS,
    ) -> None:
        """Start it with its files in a new directory.

        `more` are lines of squid.conf before all access rules; `hosts` are the names that it can
        resolve, as lines of hosts(5).
        """
        directory.mkdir(exist_ok=True)
        namespace.add(address)
        (directory / "hosts").write_text(hosts)
        conf = directory / "squid.conf"
        conf.write_text(
            SQUID_CONF.format(
                directory=directory, address=address, port=PROXY_PORT, port_options=port_options, more=more
            )
        )
        for path in (directory, *directory.iterdir()):
            shutil.chown(path, "proxy", "proxy")
        self._access_log = directory / "access.log"
        # The service name separates the shared memory of two Squids; letters and digits only.
        name = f"{namespace.name}{'' if address == PROXY else address}".replace("-", "").replace(".", "")
        self.service = Service(namespace, ["squid", "-N", "-n", name, "-f", conf], PROXY_PORT, directory / "output")

    def stop(self) -> None:
        """Stop it."""
        self.service.stop()

    def requests(self) -> list[str]:
        """Return every request so far: method, URL, status and user agent."""
        return self._access_log.read_text().splitlines() if self._access_log.exists() else []


def squid_with_password(namespace: Namespace, directory: Path, address: str, user: str, password: str) -> Squid:
    """Start a Squid that requires this user and password (basic_ncsa_auth(8))."""
    directory.mkdir()
    digest = run(["openssl", "passwd", "-6", "-stdin"], stdin=f"{password}\n").stdout
    (directory / "passwords").write_text(f"{user}:{digest}")
    return Squid(namespace, directory, address=address, more=WITH_PASSWORD.format(directory=directory))


class Registry:
    """A Docker registry with one image, built from scratch."""

    def __init__(
        self, namespace: Namespace, directory: Path, address: str = REGISTRY, port: int = REGISTRY_PORT, more: str = ""
    ) -> None:
        """Start it and push the image; `more` are lines of its configuration."""
        directory.mkdir()
        namespace.add(address)
        conf = directory / "config.yml"
        conf.write_text(REGISTRY_CONF.format(directory=directory, address=address, port=port, more=more))
        self.service = Service(namespace, ["docker-registry", "serve", conf], port, directory / "output")
        image = _image_from_nothing(directory)
        target = f"docker://{address}:{port}/hello:v1"
        copy: list[Argument] = ["skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false"]
        run(namespace.inside([*copy, f"oci:{image}:v1", target]))

    def stop(self) -> None:
        """Stop it."""
        self.service.stop()


def _image_from_nothing(directory: Path) -> Path:
    layout, bundle = directory / "oci", directory / "bundle"
    run(["umoci", "init", "--layout", layout])
    run(["umoci", "new", "--image", f"{layout}:v1"])
    run(["umoci", "unpack", "--image", f"{layout}:v1", bundle])
    (bundle / "rootfs" / "hello").write_text("hello from behind the proxy\n")
    run(["umoci", "repack", "--image", f"{layout}:v1", bundle])
    return layout


class Listener:
    """A port at an address of its own that accepts and logs the time.

    `silent`: it drops every SYN.  `mute`: it accepts but never responds.
    """

    def __init__(
        self, namespace: Namespace, log: Path, address: str, port: int, *, silent: bool = False, mute: bool = False
    ) -> None:
        """Add the address and listen."""
        namespace.add(address)
        mode = ["silent"] if silent else ["mute"] if mute else []
        argv: list[Argument] = [sys.executable, LISTENER, address, str(port), *mode]
        self.service = Service(namespace, argv, port, log)

    def accepted(self) -> list[int]:
        """Return the times of connections, in microseconds of the monotonic clock.

        Host and node share that clock.
        """
        return [int(line) for line in self.service.log.read_text().split()]

    def stop(self) -> None:
        """Stop it: the address refuses connections from then on."""
        self.service.stop()


class Metadata:
    """The metadata service of one instance: `eks-proxy-agent demo --serve`, at the real address."""

    def __init__(self, namespace: Namespace, directory: Path, instance: Path, user_data: bytes) -> None:
        """Serve the instance of a JSON file, with that user data; `directory` is for its files."""
        directory.mkdir()
        values = json.loads(instance.read_text())
        if user_data:
            values["user_data_base64"] = base64.b64encode(user_data).decode()
        served = directory / "instance.json"
        served.write_text(json.dumps(values))
        argv: list[Argument] = [
            sys.executable,
            "-m",
            "agent",
            "demo",
            "--serve",
            f"{METADATA}:80",
            "--instance",
            served,
        ]
        self.service = Service(namespace, argv, 80, directory / "output", cwd=REPOSITORY)

    def stop(self) -> None:
        """Stop it: the address refuses connections from then on."""
        self.service.stop()
