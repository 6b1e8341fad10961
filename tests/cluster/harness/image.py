"""Image for pods with one static program, in the registry that only the proxy can resolve."""

from __future__ import annotations

from pathlib import Path

from tests.boot.harness.bed import Bed
from tests.boot.harness.command import run
from tests.boot.harness.namespace import REGISTRY
from tests.boot.harness.services import REGISTRY_NAME, REGISTRY_PORT

SOURCE = Path(__file__).with_name("wait.c")
NAME = "wait:v1"
IMAGE = f"{REGISTRY_NAME}/{NAME}"


def push(bed: Bed) -> None:
    """Compile wait.c, and push it to the bed's registry as an image."""
    directory = bed.session.work / "image"
    layout, bundle = directory / "oci", directory / "bundle"
    directory.mkdir()
    run(["umoci", "init", "--layout", layout])
    run(["umoci", "new", "--image", f"{layout}:v1"])
    run(["umoci", "unpack", "--image", f"{layout}:v1", bundle])
    run(["gcc", "-static", "-Os", "-o", bundle / "rootfs/wait", SOURCE])
    run(["umoci", "repack", "--image", f"{layout}:v1", bundle])
    run(["umoci", "config", "--image", f"{layout}:v1", "--config.entrypoint", "/wait"])
    copy = ["skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", f"oci:{layout}:v1"]
    run(bed.namespace.inside([*copy, f"docker://{REGISTRY}:{REGISTRY_PORT}/{NAME}"]))
