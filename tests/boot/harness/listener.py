"""A port that accepts and logs the time, or never responds.

Usage: python listener.py ADDRESS PORT [silent|mute].  silent: its queue is full, so it drops every
SYN.  mute: it accepts but never responds.  Standard output gets the time of each connection in
microseconds of the monotonic clock, which host and node share.
"""

from __future__ import annotations

import socket
import sys
import time


def main(address: str, port: str, mode: str = "") -> None:
    """Listen until the process is stopped."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    filling = []
    with socket.socket(family) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, int(port)))
        listening.listen(0 if mode == "silent" else 64)
        for _ in range(4 if mode == "silent" else 0):  # one or two fit into the queue, and stay there
            filling.append(socket.socket(family))
            filling[-1].setblocking(False)
            filling[-1].connect_ex((address, int(port)))
        while True:
            if mode:
                time.sleep(3600)
            listening.accept()[0].close()
            print(time.monotonic_ns() // 1000, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
