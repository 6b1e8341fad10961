"""One HTTP exchange with an end in time, whatever the server does, that ignores the environment.

The timeouts of requests are per read: an answer that drips a byte a second never ends.  Here each
read of the socket, headers included, may only take what remains of the whole, without threads or
signals.  For urllib3 1.26 and 2.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import Any, Callable

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from agent import __version__
from agent.core.net.proxy_url import quoted
from agent.core.record import record
from agent.edges.http_headers import BoundedResponse

_WRONG_URL = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema)


class ExchangeError(Exception):
    """An exchange without a complete answer; another try may succeed.

    `is_connected`: the server accepted the connection.  `is_silent`: and sent nothing in time.
    """

    def __init__(self, cause: str, *, is_connected: bool = True, is_silent: bool = False) -> None:
        super().__init__(cause)
        self.is_connected = is_connected
        self.is_silent = is_silent


@record
class HttpResponse:
    """Status and body of an answer.

    `body` has at most `limit` + 1 bytes, which shows that there was more; `size` is what the server
    announced.
    """

    status: int
    body: bytes
    size: str


def exchange(
    session: DirectSession, method: str, url: str, headers: Mapping[str, str], timeouts: tuple[float, float], limit: int
) -> HttpResponse:
    """Send one request and read the answer.

    `timeouts` are seconds to connect and for each read.  Raises ExchangeError; ValueError for a
    wrong URL.
    """
    try:
        with session.request(
            method, url, headers=dict(headers), timeout=timeouts, stream=True, allow_redirects=False
        ) as response:
            body = bytes(response.raw.read(limit + 1, decode_content=False))
    except _WRONG_URL:  # of requests; these are OSErrors too
        raise
    except (OSError, urllib3.exceptions.HTTPError) as error:
        cause = "no complete answer in time" if _timed_out(error) else _innermost(error)
        raise ExchangeError(
            cause, is_connected=not _refused(error), is_silent=isinstance(error, requests.ReadTimeout)
        ) from None
    announced = re.fullmatch("[0-9]{1,18}", response.headers.get("Content-Length", ""))
    if announced and len(body) < min(int(announced.group()), limit):  # urllib3 1.26 does not check
        raise ExchangeError(f"the answer ended after {len(body)} of {announced.group()} bytes")
    size = announced.group() if announced else f"more than {limit}"
    return HttpResponse(response.status_code, body, size)


def _timed_out(error: BaseException) -> bool:
    timeouts = (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError)
    return isinstance(error, timeouts) or any(isinstance(argument, timeouts) for argument in error.args)


def _refused(error: BaseException) -> bool:
    """Return True if no connection came about; requests wraps urllib3's error as the `reason`."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError))


def _innermost(error: BaseException) -> str:
    """Return in a few words what lies below the errors of requests and urllib3."""
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    while type(error).__module__.startswith(("requests.", "urllib3.")) and error.__context__ is not None:
        error = error.__context__
    words = getattr(error, "strerror", None) or ""
    return words[:1].lower() + words[1:] if words else f"{type(error).__name__} {quoted(str(error))}"


class DirectSession(requests.Session):
    """Plain HTTP, never through a proxy, never redirected, one keep-alive connection.

    `remaining` returns how many seconds the answer that is being read may still take.
    """

    def __init__(self, remaining: Callable[[], float]) -> None:
        super().__init__()
        self.trust_env = False  # no proxy variables, no .netrc
        self.headers.update({"Accept-Encoding": "identity", "User-Agent": "eks-proxy-agent/" + __version__})
        self.adapters.clear()
        self.mount("http://", _Adapter(remaining))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: no answer is a redirect.

        requests would read its body, however long, even with allow_redirects=False.
        """


class _FramedResponse(BoundedResponse):
    """An answer of which only the headers that delimit its body are read, and no cookie."""

    kept = frozenset((b"content-length", b"transfer-encoding", b"connection"))


class _Adapter(HTTPAdapter):
    def __init__(self, remaining: Callable[[], float]) -> None:
        self._remaining = remaining
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        remaining = self._remaining

        class Connection(HTTPConnection):
            response_class = _FramedResponse

            def _new_conn(self) -> socket.socket:
                return _Socket(super()._new_conn(), remaining)

        class Pool(HTTPConnectionPool):
            ConnectionCls = Connection

        self.poolmanager.pool_classes_by_scheme = {"http": Pool}


class _Socket(socket.socket):
    """Takes over a connected socket; http.client reads everything through `recv_into`."""

    def __init__(self, connected: socket.socket, remaining: Callable[[], float]) -> None:
        timeout = connected.gettimeout()
        super().__init__(connected.family, connected.type, connected.proto, fileno=connected.detach())
        self.settimeout(timeout)
        self._remaining = remaining

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        remaining = self._remaining()
        if remaining <= 0:
            raise socket.timeout("the answer took too long")
        self.settimeout(remaining)
        return super().recv_into(*args, **kwargs)
