"""What the worker of a boot has imported at READY=1: each import delays docker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.demo.metadata_service import MetadataService
from tests.integration.command_line import PROXY, REPOSITORY, Node, environment

#: Boots as `run` does, and prints the modules at READY=1.
BOOT = """
import json, sys, time
from agent.cli import parser
from agent.commands import run
from agent.daemon.facts_process import FactsProcess
arguments = parser(only_run=True).parse_args(["run", "--root", sys.argv[1], "--set", "metadata.endpoint=" + sys.argv[2]])

def write_line(line):
    if json.loads(line)["type"] == "Ready":
        print(json.dumps(sorted(sys.modules)), flush=True)

with FactsProcess() as arguments.facts_process:
    run._work(arguments, run.Reason.BOOT, time.monotonic(), write_line)
"""
#: The budget, besides what a bare interpreter loads: libraries, and parts of the standard library
#: without those whose name has an underscore; and the number of the agent's modules.
LIBRARIES = {
    "settings, command line": "tomllib tomli argparse gettext typing datetime locale math string",
    "files, systemctl, inotify, signals": "base64 binascii bisect collections ctypes fcntl hashlib select selectors shlex"
    " signal struct subprocess threading",
    "another tree than /": "shutil bz2 lzma zlib",
}
MODULES = 139


def loaded(code: str, *arguments: str) -> set[str]:
    """Return the modules that a program prints as JSON, in its last line."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=REPOSITORY,
        env=environment(),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=60,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("boot", ["first", "second"])
def test_imports_at_ready_are_within_the_budget(tmp_path: Path, boot: str) -> None:
    """Logging, retries, requests and probes are imported later, or by another process."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[aws]\ndirect = []\n')
    with MetadataService() as service:
        for _ in range(1 + (boot == "second")):
            modules = loaded(BOOT, str(node.root), service.endpoint)
    others = modules - loaded("import json, sys; print(json.dumps(sorted(sys.modules)))")
    ours = {module for module in others if module.partition(".")[0] == "agent"}
    names = {module.partition(".")[0] for module in others - ours if not module.startswith("_")}
    assert names - set(" ".join(LIBRARIES.values()).split()) == set()
    assert len(ours) <= MODULES
