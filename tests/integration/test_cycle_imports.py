"""What a cycle of the daemon with nothing to do imports; each node has one every ten minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.demo.metadata_service import MetadataService
from tests.integration.command_line import PROXY, Node
from tests.integration.test_boot_imports import LIBRARIES, loaded

#: Boots as `run` does, then runs cycles, each in a process as in the daemon, and prints the modules
#: of the last one.
CYCLES = """
import json, os, sys, time
from agent.cli import parser
from agent.commands import run
arguments = parser().parse_args(["run", "--root", sys.argv[1], "--set", "metadata.endpoint=" + sys.argv[2]])
for reason in sys.argv[3].split():
    child = os.fork()
    if child == 0:
        code = run._work(arguments, run.Reason(reason), time.monotonic(), lambda line: None)
        modules = json.dumps(sorted(sys.modules))
        os._exit(0 if code == 0 and os.write(1, modules.encode() + b"\\n") else 1)
    if os.waitpid(child, 0)[1]:
        sys.exit("failed: " + reason)
"""
#: The budget of a cycle that uses the cached facts: that of a boot, without parts of the standard
#: library whose name has an underscore, and the number of the agent's modules.  A cycle that
#: requests them, every third one, also imports requests.
MODULES = 140


@pytest.mark.parametrize(("cycles", "has_requests"), [("time", False), ("time time", False), ("time time time", True)])
def test_imports_of_an_empty_cycle_are_within_the_budget(tmp_path: Path, cycles: str, has_requests: bool) -> None:
    """No HTTP, TLS, logging, retries or diff for a node that is as planned."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[aws]\ndirect = []\n')
    with MetadataService() as service:
        modules = loaded(CYCLES, str(node.root), service.endpoint, "boot " + cycles)
    others = modules - loaded("import json, sys; print(json.dumps(sorted(sys.modules)))")
    ours = {module for module in others if module.partition(".")[0] == "agent"}
    names = {module.partition(".")[0] for module in others - ours if not module.startswith("_")}
    assert ("requests" in names) is has_requests
    if not has_requests:
        assert names - set(" ".join(LIBRARIES.values()).split()) == {"random"}, "the jitter of the next cycle"
        assert len(ours) <= MODULES
