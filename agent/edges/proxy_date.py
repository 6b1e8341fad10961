"""The time of day at a proxy: the Date header of any response."""

from __future__ import annotations

import http.client
import socket
import threading
import time

from agent import __version__
from agent.core.net.proxy_url import ProxyUrl
from agent.edges import threads
from agent.edges.http_headers import BoundedResponse
from agent.edges.streams import Reader, Stream, TcpStream, TlsStream, unverified_context
from agent.edges.tcp import connect_first

#: Limits in bytes: the header of the response, and everything received (certificates included).
_HEADER_LIMIT, _LIMIT = 65536, 262144


def request_date(proxy: ProxyUrl, *, timeout: float) -> str:
    """Return the Date header as received, or an empty string; no failure of the proxy raises.

    Takes at most `timeout` seconds, in a thread: the resolver of the C library has no time limit,
    and a thread that hangs in it is abandoned.
    """
    dates: list[str] = []
    request = threading.Thread(target=_request, args=(proxy, time.monotonic() + timeout, dates), daemon=True)
    for thread in threads.start([request]):
        thread.join(timeout)
    return dates[0] if dates else ""


def _request(proxy: ProxyUrl, deadline: float, dates: list[str]) -> None:
    """Append the Date header to `dates`.

    Certificates are not verified: with a wrong clock none is valid, and only the time is used.
    """
    try:
        addresses = socket.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
        with connect_first(addresses, deadline) as sock:
            stream: Stream = TcpStream(sock, deadline, _LIMIT)
            if proxy.scheme == "https":
                stream = TlsStream(stream, unverified_context(), proxy.host)
            dates.append(read_date(proxy, stream))
    except (OSError, ValueError, http.client.HTTPException):
        return


def read_date(proxy: ProxyUrl, stream: Stream) -> str:
    """Send a request to the proxy, and return the Date header of its response, or an empty string.

    Raises OSError, ValueError and http.client.HTTPException for a response that is not HTTP.
    """
    host = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
    lines = ["GET / HTTP/1.1", f"Host: {host}:{proxy.port}", "User-Agent: eks-proxy-agent/" + __version__]
    stream.send(("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode("ascii"))
    response = BoundedResponse(Reader(stream, _HEADER_LIMIT), method="GET")  # type: ignore[arg-type]
    response.begin()  # reads only the header
    return response.getheader("Date") or ""
