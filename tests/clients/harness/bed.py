"""Inside the namespace: makes every address local, starts the listeners, runs one worker over the
cases.

    unshare -n -m -- python3 bed.py CASES.json RESULT.json COMMAND ...

RESULT.json gets the port of the first connection of each case, null where none came.  Safe by
construction: the network namespace has no device but its own loopback.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ways import NameServer, Switchboard

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
    """Run the worker; its exit code is ours."""
    for line in NETWORK:
        subprocess.run(line.split(), check=True)
    with tempfile.TemporaryDirectory() as directory:
        for number, (path, text) in enumerate(FILES.items()):
            ours = Path(directory, str(number))
            ours.write_text(text)
            subprocess.run(["mount", "--bind", str(ours), os.path.realpath(path)], check=True)
        switchboard = Switchboard()
        NameServer()
        done = subprocess.run([*command, cases], check=False)
        for path in FILES:
            subprocess.run(["umount", os.path.realpath(path)], check=True)
    first = dict(switchboard.first)
    Path(result).write_text(
        json.dumps([first.get(number) for number in range(len(json.loads(Path(cases).read_text())))])
    )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
