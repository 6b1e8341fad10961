"""The metadata service, ready to go: it binds its port when told to, and says at which moment that
was.
"""

import argparse
import sys
import time
from pathlib import Path

from agent.demo.metadata_service import MetadataService


def main() -> None:
    """Wait for a line on stdin, listen, print the monotonic clock in microseconds, serve until
    stdin ends.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("instance", type=Path)
    options = parser.parse_args()
    print("waiting", flush=True)
    sys.stdin.readline()
    with MetadataService(host=options.address, port=80, file=options.instance):
        print(time.monotonic_ns() // 1000, flush=True)
        sys.stdin.read()


main()
