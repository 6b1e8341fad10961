"""The bed itself, with the well-known shell recipe in the place of the agent: what it lets through
is really real.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from tests.boot.harness import tree
from tests.boot.harness.bed import BOOT_TESTS, Trial
from tests.boot.harness.command import run


def test_node_with_the_shell_recipe_pulls_through_squid(trial: Callable[[str], Trial]) -> None:
    """A node that the shell recipe set up pulls an image whose registry only Squid can find."""
    node = trial("shell-recipe")
    tree.install(BOOT_TESTS / "recipe/tree", node.root)
    run(["systemctl", f"--root={node.root}", "enable", "eks-proxy-recipe.service"])
    boot = node.boot()
    assert (boot.environment("docker") or {})["HTTP_PROXY"] == node.bed.squid.url


def test_node_without_any_proxy_setting_cannot_pull(trial: Callable[[str], Trial]) -> None:
    """A node without proxy settings reaches no registry, so that a pull proves the settings and
    nothing else.
    """
    node = trial("bare-debian")
    assert node.boot().text("pull.out").endswith("exit 1\n")


def test_copy_on_write_leaves_the_cached_root_alone(trial: Callable[[str], Trial]) -> None:
    """What a node writes stays in its own layer: the cached root has no machine id after any
    boot.
    """
    node = trial("bare-debian")
    (node.root / "etc/machine-id").write_text("0" * 32)
    assert Path(node.bed.base, "etc/machine-id").read_text() == ""
