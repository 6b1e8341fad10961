"""The real AWS CLI for nodes, and Secrets Manager and the Parameter Store by VPC endpoint."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from . import root
from .command import Argument, run
from .namespace import Namespace
from .services import Service
from .tls import Authority

ADDRESS = "192.0.2.41"
#: Pinned, so that its error texts are those that agent/core/net/aws_cli_errors.py knows.
VERSION = "1.46.3"
#: The Python of the nodes (Debian 12).
PYTHON = "3.11"
SERVICES = ("secretsmanager", "ssm")
SCRIPT = Path(__file__).with_name("aws_service.py")
CA = "etc/ssl/certs/vpc-endpoint-ca.pem"
#: With -I: of the environment it reads only what the CLI itself does.
LAUNCHER = """#!/usr/bin/python3 -I
import sys
sys.path.insert(0, "/opt/aws-cli")
from awscli.clidriver import main
sys.exit(main())
"""


def cli() -> Path:
    """Return the CLI of PyPI as a layer: opt/aws-cli, usr/local/bin/aws.

    About 60 s and 180 MB if it is not cached.
    """
    return root.cached(f"aws-cli-{VERSION}-{PYTHON}", _build)


def _build(target: Path) -> None:
    library = target / "opt/aws-cli"
    install: list[Argument] = [sys.executable, "-m", "pip", "install", "--quiet", "--target", library]
    install += ["--python-version", PYTHON, "--only-binary=:all:", f"awscli=={VERSION}"]
    run(install, timeout=600, env=dict(os.environ))  # it may configure where pip finds packages
    run([root.GUEST_PYTHON, "-m", "compileall", "-q", "-s", target, "-p", "/", library], check=False, timeout=300)
    launcher = target / "usr/local/bin/aws"
    launcher.parent.mkdir(parents=True)
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)


class VpcEndpoint:
    """Both services at one address, with a certificate that the node's CLI trusts."""

    def __init__(self, namespace: Namespace, directory: Path, region: str, secret: str) -> None:
        """Start it with its files in a new directory; it gives away `secret`."""
        self._names = [f"{service}.{region}.amazonaws.com" for service in SERVICES]
        self._authority = Authority(directory, "VPC endpoint CA")
        self._authority.issue(self._names[0], *self._names[1:])
        self._answer = directory / "answer.json"
        self.answer(secret)
        namespace.add(ADDRESS)
        pair = [directory / f"{self._names[0]}.{suffix}" for suffix in ("pem", "key")]
        argv: list[Argument] = [sys.executable, SCRIPT, ADDRESS, *pair, self._answer]
        self.service = Service(namespace, argv, 443, directory / "output")

    def answer(self, secret: str, error: str = "") -> None:
        """Respond with the secret, or an error, from now on."""
        fresh = self._answer.with_suffix(".new")
        fresh.write_text(json.dumps({"secret": secret, "error": error}))
        fresh.rename(self._answer)

    def requests(self) -> list[str]:
        """Return operation, region, route and status of each request."""
        return self.service.log.read_text().splitlines()

    def introduce(self, node: Path) -> None:
        """Let the CLI in the root of a node find and trust the endpoint."""
        shutil.copy(self._authority.certificate, node / CA)
        settings = node / "root/.aws/config"
        settings.parent.mkdir(mode=0o700)
        settings.write_text(f"[default]\nca_bundle = /{CA}\n")
        with (node / "etc/hosts").open("a") as hosts:
            hosts.write(f"{ADDRESS} {' '.join(self._names)}\n")

    def stop(self) -> None:
        """Stop it."""
        self.service.stop()
