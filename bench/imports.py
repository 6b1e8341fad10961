"""`make bench ARGS=imports`: CPU time of what a boot imports, beside `import requests` alone.

The agent is installed below a temporary directory as the RPM installs it: byte-compiled, and
started with `-IS`.  `--python 3.9` measures that of Amazon Linux 2023, if it is here.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = "usr/lib/eks-proxy-agent"
#: The processes of a boot until READY=1 → what each imports in all.
_ENTRY = "import agent.__main__, agent.daemon.facts_process"
_DAEMON = f"{_ENTRY}, agent.cli, agent.commands.run; agent.cli.parser(only_run=True)"
PROCESSES = {
    "a bare interpreter": "pass",
    "import requests": "import requests",
    "the daemon, which waits": _DAEMON,
    "the worker at READY=1": f"{_DAEMON}; import agent.daemon.worker",
    "the process that requests the facts": f"{_ENTRY}, agent.edges.imds, agent.core.facts.instance",
    "the worker after READY=1": f"{_DAEMON}; import agent.daemon.worker, agent.daemon.cycle, structlog; from systemd import journal",
}


def main(argv: list[str]) -> None:
    """Install the agent, measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=imports", description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=f"{sys.version_info[0]}.{sys.version_info[1]}", help="version, such as 3.9")
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args(argv)
    found = [ROOT / "packaging/setup.sh", "find", options.python]
    python = subprocess.check_output(found, text=True).strip()
    # Not a wrapper of pyenv, which takes longer than the interpreter.
    python = subprocess.check_output([python, "-c", "import sys; print(sys.executable)"], text=True).strip()
    with tempfile.TemporaryDirectory() as directory:
        environment = {**os.environ, "DESTDIR": directory, "PYTHON": python}
        subprocess.run([ROOT / "packaging/install.sh"], env=environment, check=True, stdout=subprocess.DEVNULL)
        library = Path(directory) / LIBRARY
        path = f"import sys; sys.path[:0] = [{str(library)!r}, {str(library / 'vendor')!r}]; "
        rows = {name: _cpu([python, "-IS", "-c", path + code], options.runs) for name, code in PROCESSES.items()}
    bare, requests = rows["a bare interpreter"], rows["import requests"] - rows["a bare interpreter"]
    print(
        f"Python {options.python}: CPU time of a process, least of {options.runs}; beyond the interpreter, to requests\n"
    )
    for name, milliseconds in rows.items():
        print(f"{name:<36} {milliseconds:6.1f} ms {(milliseconds - bare) / requests:6.2f}")


def _cpu(command: list[str], runs: int) -> float:
    """Return the least CPU time of a command in milliseconds."""
    times = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, cwd="/")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times) * 1000
