"""One HTTP exchange that ends in time, whatever the other side does, and obeys nothing from the environment.

The time-outs of requests are per read: an answer that drips a byte a second never ends.  Here each
read of the socket, headers included, may only take what is left of the whole, without threads or
signals.  For urllib3 1.26 and 2.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import Any, Callable

import attrs
import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from agent import __version__
from agent.core.net.proxy_url import quoted

_WRONG_URL = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema)


class ExchangeError(Exception):
    """No whole answer came; another try may do better.  `silent`: connected, but nothing came back in time."""

    def __init__(self, cause: str, *, silent: bool = False) -> None:
        super().__init__(cause)
        self.silent = silent


@attrs.frozen
class HttpResponse:
    """At most `limit` + 1 bytes of body, which tells that there was more; `size` is what the other side announced."""

    status: int
    body: bytes
    size: str


def exchange(
    session: DirectSession, method: str, url: str, headers: Mapping[str, str], timeouts: tuple[float, float], limit: int
) -> HttpResponse:
    """Ask once.  `timeouts` are seconds to connect and for each read.  Raises ExchangeError; ValueError for a wrong URL."""
    try:
        with session.request(
            method, url, headers=dict(headers), timeout=timeouts, stream=True, allow_redirects=False
        ) as response:
            body = bytes(response.raw.read(limit + 1, decode_content=False))
    except _WRONG_URL:  # of requests; these are OSErrors too
        raise
    except (OSError, urllib3.exceptions.HTTPError) as error:
        cause = "no complete answer in time" if _timed_out(error) else _bottom(error)
        raise ExchangeError(cause, silent=isinstance(error, requests.ReadTimeout)) from None
    announced = re.fullmatch("[0-9]{1,18}", response.headers.get("Content-Length", ""))
    if announced and len(body) < min(int(announced.group()), limit):  # urllib3 1.26 does not look
        raise ExchangeError(f"the answer ended after {len(body)} of {announced.group()} bytes")
    size = announced.group() if announced else f"more than {limit}"
    return HttpResponse(response.status_code, body, size)


def _timed_out(error: BaseException) -> bool:
    timeouts = (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError)
    return isinstance(error, timeouts) or any(isinstance(argument, timeouts) for argument in error.args)


def _bottom(error: BaseException) -> str:
    """What lies below the errors of requests and urllib3, in a few words."""
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    while type(error).__module__.startswith(("requests.", "urllib3.")) and error.__context__ is not None:
        error = error.__context__
    return getattr(error, "strerror", None) or f"{type(error).__name__} {quoted(str(error))}"


class DirectSession(requests.Session):
    """Plain HTTP, never through a proxy, never redirected, one keep-alive connection.

    `left` tells how many seconds the answer that is being read may still take.
    """

    def __init__(self, left: Callable[[], float]) -> None:
        super().__init__()
        self.trust_env = False  # no proxy variables, no .netrc
        self.headers.update({"Accept-Encoding": "identity", "User-Agent": "eks-proxy-agent/" + __version__})
        self.adapters.clear()
        self.mount("http://", _Adapter(left))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """No answer is a redirect; requests would read its body, however long, even if told not to follow."""


class _Adapter(HTTPAdapter):
    def __init__(self, left: Callable[[], float]) -> None:
        self._left = left
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        left = self._left

        class Connection(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return _Socket(super()._new_conn(), left)

        class Pool(HTTPConnectionPool):
            ConnectionCls = Connection

        self.poolmanager.pool_classes_by_scheme = {"http": Pool}


class _Socket(socket.socket):
    """Takes over a connected socket; http.client reads everything through `recv_into`."""

    def __init__(self, connected: socket.socket, left: Callable[[], float]) -> None:
        timeout = connected.gettimeout()
        super().__init__(connected.family, connected.type, connected.proto, fileno=connected.detach())
        self.settimeout(timeout)
        self._left = left

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        left = self._left()
        if left <= 0:
            raise socket.timeout("the answer took too long")
        self.settimeout(left)
        return super().recv_into(*args, **kwargs)
