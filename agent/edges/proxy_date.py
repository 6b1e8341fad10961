"""What time is it at a proxy?  Its Date header, of whatever it answers."""

from __future__ import annotations

import http.client
import socket
import threading
import time

from agent import __version__
from agent.core.net.proxy_url import ProxyUrl
from agent.edges.streams import Reader, Stream, TcpStream, TlsStream, trusting
from agent.edges.tcp import first_to_accept

#: Bytes that the header of the answer may have, and all that may come (certificates too).
_HEADER_LIMIT, _LIMIT = 65536, 262144


def ask_date(proxy: ProxyUrl, *, timeout: float) -> str:
    """The header as it came, empty when there is none; raises nothing for what the other side does.

    Takes `timeout` seconds at the most, in a thread, because the resolver of the C library cannot
    be given a time limit: one that hangs is left behind.
    """
    dates: list[str] = []
    asking = threading.Thread(target=_ask, args=(proxy, time.monotonic() + timeout, dates), daemon=True)
    asking.start()
    asking.join(timeout)
    return dates[0] if dates else ""


def _ask(proxy: ProxyUrl, ends: float, dates: list[str]) -> None:
    """Any certificate will do: to a clock that is wrong none is valid, and nothing is believed but the time."""
    host = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
    lines = ["GET / HTTP/1.1", f"Host: {host}:{proxy.port}", "User-Agent: eks-proxy-agent/" + __version__]
    try:
        addresses = socket.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
        with first_to_accept(addresses, ends) as sock:
            stream: Stream = TcpStream(sock, ends, _LIMIT)
            if proxy.scheme == "https":
                stream = TlsStream(stream, trusting(), proxy.host)
            stream.send(("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode("ascii"))
            answer = http.client.HTTPResponse(Reader(stream, _HEADER_LIMIT), method="GET")  # type: ignore[arg-type]
            answer.begin()  # reads the header alone
            dates.append(answer.getheader("Date") or "")
    except (OSError, ValueError, http.client.HTTPException):
        return
