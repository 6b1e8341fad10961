"""A repository with one RPM package, built from scratch, under a name that only Squid resolves."""

from __future__ import annotations

import sys
from pathlib import Path

from .command import Argument, run
from .namespace import PACKAGES, Namespace
from .services import Service

NAME = "packages.example.test"
PACKAGE = "eksproxy-hello"
# dnf reads the version from the release package of the distribution; Debian has none.
INSTALL = ("dnf", "--assumeyes", "--releasever=1", "install", PACKAGE)
SPEC = f"""\
Name: {PACKAGE}
Version: 1
Release: 1
Summary: A greeting
License: MIT
BuildArch: noarch
%description
A greeting from behind the proxy.
%files
"""


class Repository:
    """A directory made by rpmbuild and createrepo_c, served on port 80."""

    def __init__(self, namespace: Namespace, directory: Path) -> None:
        """Build it and start to serve."""
        served = directory / "served"
        served.mkdir(parents=True)
        spec = directory / "hello.spec"
        spec.write_text(SPEC)
        run(["rpmbuild", "-bb", f"--define=_topdir {directory}/build", f"--define=_rpmdir {served}", spec])
        run(["createrepo_c", "--quiet", served])
        argv: list[Argument] = [sys.executable, "-m", "http.server", "--bind", PACKAGES, "--directory", served, "80"]
        self.service = Service(namespace, argv, 80, directory / "output")

    def stop(self) -> None:
        """Stop it."""
        self.service.stop()
