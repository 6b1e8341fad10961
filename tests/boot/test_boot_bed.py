"""The bed itself, with the well-known shell recipe in the place of the agent.

So a test that passes in the bed proves something about real parts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from tests.boot.harness import tree
from tests.boot.harness.bed import Trial
from tests.boot.harness.command import run
from tests.boot.harness.prepare import BOOT_TESTS


def test_node_with_the_shell_recipe_pulls_through_squid(trial: Callable[[str], Trial]) -> None:
    """A node set up by the shell recipe pulls an image whose registry only Squid resolves."""
    node = trial("shell-recipe")
    tree.install(BOOT_TESTS / "recipe/tree", node.root)
    run(["systemctl", f"--root={node.root}", "enable", "eks-proxy-recipe.service"])
    boot = node.boot()
    assert (boot.environment("docker") or {})["HTTP_PROXY"] == node.bed.squid.url


def test_node_without_proxy_settings_cannot_pull(trial: Callable[[str], Trial]) -> None:
    """Without proxy settings no registry is reachable, so a pull proves that the settings work."""
    node = trial("bare-debian")
    assert node.boot().text("pull.out").endswith("exit 1\n")


def test_copy_on_write_does_not_change_the_cached_root(trial: Callable[[str], Trial]) -> None:
    """A node writes to its own layer: the cached root has no machine id after any boot."""
    node = trial("bare-debian")
    (node.root / "etc/machine-id").write_text("0" * 32)
    assert Path(node.bed.base, "etc/machine-id").read_text() == ""
