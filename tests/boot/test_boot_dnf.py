"""dnf installs a package through Squid, by its configuration alone."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from tests.boot.harness.bed import Trial
from tests.boot.harness.packages import INSTALL, NAME, PACKAGE, Repository


def test_dnf_installs_a_package_that_only_the_proxy_can_reach(trial: Callable[[str], Trial]) -> None:
    """Real dnf takes the proxy from dnf.conf, which the agent reached through the link yum.conf, as
    root and as anybody.
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
    asked = [line for line in node.requests() if f"http://{NAME}/" in line and "libdnf" in line]
    assert sum("repodata/repomd.xml 200" in line for line in asked) == 2, node.requests()
    assert any(f"{PACKAGE}-1-1.noarch.rpm 200" in line for line in asked), node.requests()
    assert Path(node.root, "etc/yum.conf").is_symlink()
