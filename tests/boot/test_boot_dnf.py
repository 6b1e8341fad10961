"""dnf installs a package through Squid, by its configuration alone."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from tests.boot.harness.bed import Trial
from tests.boot.harness.packages import INSTALL, NAME, PACKAGE, Repository


def test_dnf_installs_a_package_through_the_proxy(trial: Callable[[str], Trial]) -> None:
    """Real dnf reads the proxy from dnf.conf, which the agent edited through the link yum.conf.

    That holds for root and for any user.
    """
    node = trial("dnf-through-squid")
    repository = Repository(node.bed.namespace, node.node.directory / "repository")
    try:
        running = node.start(hold=True)
        running.wait_settled()
        assert "proxy" not in running.run("env")
        running.run(*INSTALL)
        running.run("setpriv", "--reuid=65534", "--clear-groups", "dnf", "--quiet", "--releasever=1", "list", PACKAGE)
        node.finish(running)
    finally:
        repository.stop()
    requests = [line for line in node.requests() if f"http://{NAME}/" in line and "libdnf" in line]
    assert sum("repodata/repomd.xml 200" in line for line in requests) == 2, node.requests()
    assert any(f"{PACKAGE}-1-1.noarch.rpm 200" in line for line in requests), node.requests()
    assert Path(node.root, "etc/yum.conf").is_symlink()
