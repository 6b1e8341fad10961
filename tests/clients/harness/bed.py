"""Inside the namespace: make every address local, start the listeners, run one worker.

    unshare -n -m -- python3 bed.py CASES.json RESULT.json COMMAND ...

RESULT.json gets the port of the first connection of each case, null if there was none.  The network
namespace has no device but its loopback, so nothing leaves it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from listeners import NameServer, Switchboard

NETWORK = (
    "ip link set lo up",
    "ip route add local 0.0.0.0/0 dev lo",
    "ip -6 route add local ::/0 dev lo",
)
FILES = {
    "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
}


def main(cases: str, result: str, *command: str) -> int:
    """Run the worker and return its exit code."""
    for line in NETWORK:
        subprocess.run(line.split(), check=True)
    with tempfile.TemporaryDirectory() as directory:
        for number, (path, text) in enumerate(FILES.items()):
            source = Path(directory, str(number))
            source.write_text(text)
            subprocess.run(["mount", "--bind", str(source), os.path.realpath(path)], check=True)
        switchboard = Switchboard()
        NameServer()
        completed = subprocess.run([*command, cases], check=False)
        for path in FILES:
            subprocess.run(["umount", os.path.realpath(path)], check=True)
    first = dict(switchboard.first)
    Path(result).write_text(
        json.dumps([first.get(number) for number in range(len(json.loads(Path(cases).read_text())))])
    )
    return completed.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
