"""Reports the destinations of packets that hold one of the texts on standard input.

Usage: python sniffer.py < TEXTS.  Standard output gets `ready`, then `ADDRESS:PORT TEXT` for each
packet.  Only TCP and UDP have a port; other packets are reported with port 0.
"""

from __future__ import annotations

import socket
import sys

_ALL = 0x0003  # ETH_P_ALL of linux/if_ether.h
_HEADER = 14  # of Ethernet, also on loopback
_WITH_PORTS = (socket.IPPROTO_TCP, socket.IPPROTO_UDP)


def destination(packet: bytes) -> str:
    """Return the destination of an IP packet."""
    if packet[0] >> 4 == 4:
        size, protocol, address = (packet[0] & 15) * 4, packet[9], socket.inet_ntop(socket.AF_INET, packet[16:20])
    else:
        size, protocol, address = 40, packet[6], socket.inet_ntop(socket.AF_INET6, packet[24:40])
    port = int.from_bytes(packet[size + 2 : size + 4], "big") if protocol in _WITH_PORTS else 0
    return f"{address}:{port}"


def main() -> None:
    """Listen until the process is stopped."""
    texts = sys.stdin.buffer.read().split(b"\n")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL)) as packets:
        packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
        print("ready", flush=True)
        while True:
            frame = packets.recv(1 << 17)
            for text in texts:
                if text in frame:
                    print(destination(frame[_HEADER:]), text.decode(), flush=True)


if __name__ == "__main__":
    main()
