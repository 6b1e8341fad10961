"""Metadata service that binds its port on request, and prints when it did."""

import argparse
import sys
import time
from pathlib import Path

from agent.demo.metadata_service import MetadataService


def main() -> None:
    """Wait for a line on stdin, then serve until stdin ends.

    Print the monotonic clock in microseconds when the port is open.
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
