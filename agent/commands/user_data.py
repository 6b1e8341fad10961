"""`user-data render` and `user-data check`."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys

from agent.core.net.proxy_url import quoted
from agent.core.userdata import view
from agent.core.userdata.check import check
from agent.core.userdata.node_class import user_data_of
from agent.core.userdata.package import Package, check_lead, read_package, read_region
from agent.core.userdata.render import RenderRequest, render
from agent.core.userdata.way import Way
from agent.edges import local_file
from agent.errors import FileError, UsageError
from agent.node.host import host_of
from agent.node.sources import read_local_file, sources_of, static_settings

#: Bytes of an RPM that --rpm-file names; the agent's own has about three million.
_RPM_SIZE = 64 * 1024 * 1024
#: Bytes of user data: the limit of what is unpacked, and its base64.
_USER_DATA_SIZE = 512 * 1024
#: Exit code of a check that has a warning.
HAS_WARNINGS = 3


def run(arguments: argparse.Namespace) -> int:
    """Run one action of `user-data`, and return its exit code."""
    return _check(arguments) if arguments.action == "check" else _render(arguments)


def _render(arguments: argparse.Namespace) -> int:
    """Print the user data; nothing is printed if any of it cannot be made."""
    region = read_region(arguments.region)
    if not re.fullmatch(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?", arguments.name):
        raise UsageError(f"--name {quoted(arguments.name)}: not a valid name of a Kubernetes object")
    request = RenderRequest(
        Way(arguments.way),
        static_settings(host_of(arguments).files, sources_of(arguments)).layered,
        _package(arguments, region),
        region,
        tuple((path, _text(path)) for path in arguments.node_config),
        arguments.certificate_authority,
        arguments.name,
    )
    rendered = render(request)
    for warning in rendered.warnings:
        print("warning: " + warning, file=sys.stderr)
    sys.stdout.write(rendered.text)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    """Print what each reader does with the file, and return HAS_WARNINGS if it has a fault."""
    path = arguments.file[0]
    content = local_file.read("/dev/stdin" if path == "-" else path, _USER_DATA_SIZE)
    way = Way(arguments.way) if arguments.way else None
    manifest = user_data_of(content)
    if manifest is not None:
        content, way = manifest, way or Way.KARPENTER
    report = check(content, way)
    if arguments.json:
        print(json.dumps(view.document(report), indent=2))
    else:
        print(*view.lines(report), sep="\n")
    return HAS_WARNINGS if report.faults else 0


def _package(arguments: argparse.Namespace, region: str) -> Package | None:
    if not arguments.rpm:
        for flag in ("rpm_file", "sha256"):
            if getattr(arguments, flag):
                raise UsageError(f"--{flag.replace('_', '-')}: requires --rpm URL, where the nodes fetch the package")
        return None
    digest = ""
    if arguments.rpm_file:
        content = local_file.read(arguments.rpm_file, _RPM_SIZE)
        check_lead(arguments.rpm_file, content)
        digest = hashlib.sha256(content).hexdigest()
    return read_package(arguments.rpm, arguments.sha256, region, digest)


def _text(path: str) -> str:
    """Return a NodeConfig as text, without the encodings of user data.  Raises FileError."""
    content = read_local_file(path)
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError:
        raise FileError(f"--node-config {path}: contains non-ASCII characters, which not all readers keep") from None
    return text if text.endswith("\n") else text + "\n"
