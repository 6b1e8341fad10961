"""What all workers share: they take the cases one by one, and say so to the listeners."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator

CONTROL = ("127.0.0.1", 7)


def urls() -> Iterator[str]:
    """The URL of each case; meanwhile the environment has the case's proxy variables and no
    others.
    """
    with open(sys.argv[-1]) as handle:
        cases = json.load(handle)
    for number, case in enumerate(cases):
        for name in list(os.environ):
            if name.lower().endswith("_proxy"):
                del os.environ[name]
        os.environ.update(case["environment"])
        with socket.create_connection(CONTROL) as control:
            control.sendall(b"%d\n" % number)
            if control.recv(16) != b"go on":
                raise SystemExit("the listeners do not answer")
        yield case["url"]
