"""What turns a root with Debian and the agent into the node of a case."""

from __future__ import annotations

from pathlib import Path

from . import tree
from .case import Case
from .command import run

BOOT_TESTS = Path(__file__).resolve().parents[1]
# The unit answers a refused system call with EPERM, which a program may ignore.
SANDBOX = "usr/lib/systemd/system/eks-proxy-agent.service.d/50-boot-test.conf"
UNITS = ("eks-proxy-agent.service", "eks-proxy-agent-bootstrap.service")


def prepare(case: Case, root: Path) -> None:
    """Copy the files of the image and of the case over `root`, and enable its units."""
    tree.install(BOOT_TESTS / "image", root)
    tree.install(BOOT_TESTS / "suites" / case.suite, root)
    if (case.directory / "config.toml").exists():
        directory = root / "etc/eks-proxy-agent"
        directory.mkdir(exist_ok=True)
        tree.place(case.directory / "config.toml", directory / "config.toml")
    if (case.directory / "image").is_dir():
        tree.install(case.directory / "image", root)
    for path, mode in case.modes.items():
        (root / path).chmod(int(mode, 8))
    if not case.cloud_init:
        (root / "etc/cloud/cloud-init.disabled").touch()
    offline = ["systemctl", f"--root={root}"]
    if case.agent:
        run([*offline, "preset", *UNITS])
        (root / SANDBOX).parent.mkdir()
        (root / SANDBOX).write_text("[Service]\nSystemCallErrorNumber=kill\n")
    for verb, units in (("disable", case.disable), ("enable", case.enable)):
        if units:
            run([*offline, verb, *units])
