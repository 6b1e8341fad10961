"""AWS endpoints behind a proxy, and proxies with one fault each, at addresses of their own."""

from __future__ import annotations

from pathlib import Path

from .command import run
from .namespace import Namespace
from .services import Listener, Registry, Squid, squid_with_password
from .tls import INSPECTING, PORT_OPTIONS, Authority

API_SERVER = "10.0.7.1"
AWS = "192.0.2.40"
# Endpoints that a node in eu-west-1 needs; the account is that of the metadata service.
NAMES = tuple(
    f"{service}.eu-west-1.amazonaws.com"
    for service in ("eks", "api.ecr", "111122223333.dkr.ecr", "s3", "sts", "ec2", "cloudformation")
)
API_NAME = "0123456789abcdef0123456789abcdef.gr7.eu-west-1.eks.amazonaws.com"
HOSTS = "".join(f"{AWS} {name}\n" for name in NAMES) + f"{API_SERVER} {API_NAME}\n"

HEALTHY, DOWN, FORBIDS, ASKS, INSPECTS, MUTE, LATE = (f"192.0.2.{number}" for number in range(30, 37))
# A proxy whose clock stands still: squid.conf replaces a header that it denies.
STILL = "reply_header_access Date deny all\nreply_header_replace Date Sat, 01 Jan 2000 00:00:00 GMT"


class Proxies:
    """AWS endpoints (one server with TLS), a private API server, and the proxies."""

    def __init__(self, namespace: Namespace, directory: Path) -> None:
        """Start them all; at DOWN nothing listens."""
        self.world = Authority(directory / "world", "Amazon Root CA of this test")
        self.world.issue(NAMES[0], *NAMES[1:])
        pair = f"{{certificate: {self.world.directory}/{NAMES[0]}.pem, key: {self.world.directory}/{NAMES[0]}.key}}"
        self._services: list[Registry | Squid | Listener] = [
            Registry(namespace, directory / "aws", AWS, 443, f"  tls: {pair}"),
            Listener(namespace, directory / "api", API_SERVER, 443),
            Squid(namespace, directory / "healthy", address=HEALTHY, hosts=HOSTS),
            Squid(namespace, directory / "forbids", address=FORBIDS, hosts=HOSTS, more="http_access deny CONNECT"),
            squid_with_password(namespace, directory / "asks", ASKS, "node", "secret"),
            self._inspecting(namespace, directory),
            Listener(namespace, directory / "mute", MUTE, 3128, mute=True),
            Squid(namespace, directory / "late", address=LATE, hosts=HOSTS, more=STILL),
        ]
        namespace.add(DOWN)

    def _inspecting(self, namespace: Namespace, directory: Path) -> Squid:
        authority = Authority(directory / "corp", "Corp Proxy CA")
        files = directory / "inspects"
        files.mkdir()
        run(["/usr/lib/squid/security_file_certgen", "-c", "-s", files / "made", "-M", "4MB"])
        run(["chown", "-R", "proxy:proxy", files])
        more = INSPECTING.format(directory=files, trusted=self.world.certificate)
        options = PORT_OPTIONS.format(ca=authority)
        return Squid(namespace, files, address=INSPECTS, port_options=options, more=more, hosts=HOSTS)

    def stop(self) -> None:
        """Stop them all."""
        for service in self._services:
            service.stop()
