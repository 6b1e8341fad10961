"""The content of the disk: Debian with a kernel, the agent, and a case of the boot tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tests.boot.harness import root, tree
from tests.boot.harness.case import Case
from tests.boot.harness.command import run
from tests.boot.harness.prepare import prepare

SIZE = "2G"
GUEST = Path(__file__).with_name("image")
# The kernel's version is not pinned: a cached layer stays until the recipe changes.
PACKAGES = "initramfs-tools linux-image-cloud-amd64 policycoreutils selinux-policy-default"
# All in a mount namespace, which disappears with the shell.
INSTALL = f"""
set -e
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" powercut "$2/root"
cd "$2/root"
mount -t proc proc proc
cp /etc/resolv.conf etc/resolv.conf
mkdir -p etc/initramfs-tools/conf.d
echo MODULES=list > etc/initramfs-tools/conf.d/powercut
printf '%s\\n' virtio_pci virtio_blk ext4 > etc/initramfs-tools/modules
export DEBIAN_FRONTEND=noninteractive
chroot . apt-get update -q
chroot . apt-get install -y -q --no-install-recommends -o Dpkg::Options::=--force-confold {PACKAGES}
rm -rf var/cache/apt/archives var/lib/apt/lists usr/share/doc usr/share/man
"""


@dataclass(frozen=True)
class Layers:
    """Directories of the root, the topmost first, and what boots it."""

    paths: tuple[Path, ...]
    kernel: Path
    initrd: Path


def layers() -> Layers:
    """Return Debian, its kernel (30 s if it is not cached) and the agent."""
    base = root.base()
    name = "kernel-" + sha256(f"{base.name} {INSTALL}".encode()).hexdigest()[:16]
    kernel = root.cached(name, lambda layer: _install_kernel(layer, base)) / "upper"
    (vmlinuz,) = (kernel / "boot").glob("vmlinuz-*")
    (initrd,) = (kernel / "boot").glob("initrd.img-*")
    return Layers((root.agent(), kernel, base), vmlinuz, initrd)


def _install_kernel(layer: Path, base: Path) -> None:
    for part in ("upper", "work", "root"):
        (layer / part).mkdir(parents=True)
    # With the caller's environment: it may configure where apt finds packages.
    run(["unshare", "--mount", "sh", "-c", INSTALL, "sh", base, layer], timeout=600, env=os.environ)


@contextmanager
def workspace() -> Iterator[Path]:
    """Yield a directory on a tmpfs, which spares the disk; about 5 GB are used."""
    directory = Path(tempfile.mkdtemp(prefix="eksproxy-powercut-", dir="/var/tmp"))
    run(["mount", "-t", "tmpfs", "-o", "size=9g", "powercut", directory])
    try:
        yield directory
    finally:
        run(["umount", directory])
        directory.rmdir()


def create(image: Path, case: Case, parts: Layers, *, sync: bool = True) -> None:
    """Write the image of a node that has never booted.

    Without `sync` the agent's fsync(2) does nothing: a run that must find faults.
    """
    directory = image.with_suffix(".tree")
    for part in ("upper", "work", "root"):
        (directory / part).mkdir(parents=True)
    options = f"lowerdir={':'.join(map(str, parts.paths))},upperdir={directory}/upper,workdir={directory}/work"
    node = directory / "root"
    run(["mount", "-t", "overlay", "-o", options, "powercut", node])
    try:
        prepare(case, node)
        tree.install(GUEST, node)
        (node / "probe").mkdir()
        tree.place(case.directory / "metadata.json", node / "opt/metadata.json")
        if not sync:
            _disable_sync(node)
        # Without lazy initialization, for which the kernel would write to the disk for minutes.
        lazy = "lazy_itable_init=0,lazy_journal_init=0"
        run(["mkfs.ext4", "-q", "-F", "-E", lazy, "-d", node, image, SIZE], timeout=300)
    finally:
        run(["umount", node])
        shutil.rmtree(directory)


def _disable_sync(node: Path) -> None:
    (module,) = node.glob("usr/**/agent/edges/directory.py")
    text = module.read_text()
    assert "os.fsync(descriptor)" in text
    module.write_text(text.replace("os.fsync(descriptor)", "os.fstat(descriptor)"))
    shutil.rmtree(module.parent / "__pycache__", ignore_errors=True)


def copy(source: Path, target: Path) -> None:
    """Copy an image with its holes."""
    run(["cp", "--sparse=always", source, target], timeout=300)


@contextmanager
def mounted(image: Path, *, writable: bool = False) -> Iterator[Path]:
    """Mount an image that no machine uses; a read-only mount leaves it untouched."""
    directory = image.with_suffix(".mount")
    directory.mkdir()
    run(["mount", "-o", "loop" if writable else "loop,ro,noload", image, directory])
    try:
        yield directory
    finally:
        run(["umount", directory])
        directory.rmdir()
