"""TLS: CAs made for one test, a registry with https, and a Squid that inspects TLS."""

from __future__ import annotations

from pathlib import Path

from .command import Argument, run
from .namespace import SECURE, Namespace
from .services import HOSTS, Registry, Squid

NAME = "secure.example.test"
IMAGE = f"{NAME}/hello:v1"

# Squid's "Intercept HTTPS CONNECT messages with SSL-Bump": a certificate for each name, signed by
# the proxy's own CA.
PORT_OPTIONS = "ssl-bump tls-cert={ca.certificate} tls-key={ca.key} generate-host-certificates=on"
INSPECTING = """\
sslcrtd_program /usr/lib/squid/security_file_certgen -s {directory}/made -M 4MB
sslcrtd_children 1 startup=1
acl first_step at_step SslBump1
ssl_bump peek first_step
ssl_bump bump all
tls_outgoing_options cafile={trusted}"""


class Authority:
    """A certificate authority, and the certificates that it issues."""

    def __init__(self, directory: Path, name: str) -> None:
        """Create it in a new directory."""
        directory.mkdir(parents=True)
        self.directory = directory
        self.key, self.certificate = directory / "ca.key", directory / "ca.pem"
        new: list[Argument] = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        extension = "keyUsage=critical,keyCertSign,cRLSign"
        run([*new, "-subj", f"/CN={name}", "-addext", extension, "-keyout", self.key, "-out", self.certificate])

    def issue(self, name: str, *more: str) -> None:
        """Issue NAME.pem and NAME.key for a server, beside the CA's files.

        The certificate is valid for more names (or IP:ADDRESS) too.
        """
        key, request, extensions = (self.directory / f"{name}.{suffix}" for suffix in ("key", "csr", "ext"))
        names = [entry if entry.startswith("IP:") else f"DNS:{entry}" for entry in (name, *more)]
        extensions.write_text(f"subjectAltName={','.join(names)}\n")
        new: list[Argument] = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"]
        run([*new, "-keyout", key, "-out", request])
        sign: list[Argument] = ["openssl", "x509", "-req", "-days", "2", "-CA", self.certificate, "-CAkey", self.key]
        run([*sign, "-CAcreateserial", "-extfile", extensions, "-in", request, "-out", self.directory / f"{name}.pem"])


class Inspected:
    """A registry with https, behind a Squid that inspects TLS with certificates of its own CA."""

    def __init__(self, namespace: Namespace, directory: Path, address: str, other_name: str = NAME) -> None:
        """Start both; `address` is the proxy's, and the registry also has the name `other_name`."""
        world, self.authority = (
            Authority(directory / "world", "World CA"),
            Authority(directory / "corp", "Corp Proxy CA"),
        )
        self.world = world
        world.issue(NAME, other_name)
        certificate = f"  tls: {{certificate: {world.directory}/{NAME}.pem, key: {world.directory}/{NAME}.key}}"
        self._registry = Registry(namespace, directory / "registry", SECURE, 443, certificate)
        files = directory / "squid"
        files.mkdir()
        run(["/usr/lib/squid/security_file_certgen", "-c", "-s", files / "made", "-M", "4MB"])
        run(["chown", "-R", "proxy:proxy", files])
        more = INSPECTING.format(directory=files, trusted=world.certificate)
        options = PORT_OPTIONS.format(ca=self.authority)
        hosts = f"{HOSTS}{SECURE} {other_name}\n"
        self.squid = Squid(namespace, files, address=address, port_options=options, more=more, hosts=hosts)

    def stop(self) -> None:
        """Stop both."""
        self.squid.stop()
        self._registry.stop()
