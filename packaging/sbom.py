"""Print a CycloneDX 1.6 SBOM of the RPM for one Python, from its lock: `sbom.py LOCK VERSION`.

Each library has the hashes of all its files that the lock allows.  The same lock gives the same
text; SOURCE_DATE_EPOCH is its time.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import sys
import uuid
from pathlib import Path
from typing import Any

_NAME = "eks-proxy-agent"
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.M)


def components(lock: str) -> list[dict[str, Any]]:
    """Return the libraries of a lock, each with the hashes of its files."""
    pins = list(_PINNED.finditer(lock))
    ends = [pin.start() for pin in pins[1:]] + [len(lock)]
    return [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{pin[1].lower()}@{pin[2]}",
            "name": pin[1].lower(),
            "version": pin[2],
            "purl": f"pkg:pypi/{pin[1].lower()}@{pin[2]}",
            "hashes": [
                {"alg": "SHA-256", "content": digest}
                for digest in re.findall(r"--hash=sha256:([0-9a-f]{64})", lock[pin.start() : end])
            ],
        }
        for pin, end in zip(pins, ends)
    ]


def document(lock: str, version: str, seconds: int) -> dict[str, Any]:
    """Return the SBOM; `seconds` since 1970 are its time."""
    libraries = components(lock)
    agent = f"pkg:rpm/{_NAME}@{version}"
    time = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, agent + lock)}",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {"type": "application", "bom-ref": agent, "name": _NAME, "version": version, "purl": agent},
        },
        "components": libraries,
        "dependencies": [
            {"ref": agent, "dependsOn": [library["bom-ref"] for library in libraries]},
            *({"ref": library["bom-ref"]} for library in libraries),
        ],
    }


if __name__ == "__main__":
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    print(json.dumps(document(Path(sys.argv[1]).read_text(), sys.argv[2], seconds), indent=2))
