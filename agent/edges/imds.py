"""Client of the instance metadata service, version 2 only: a token, then one GET for each fact.

Source: "Use the Instance Metadata Service to access instance metadata" in the EC2 user guide.
Imports requests and tenacity (0.15 s): import this module where it is used, not at the top.
"""

from __future__ import annotations

import re
import time
from typing import Callable, NoReturn

import tenacity

from agent.core.facts.imds_values import USER_DATA_LIMIT, VALUE_LIMIT
from agent.core.facts.instance import MAC_PATH, USER_DATA_PATH, Facts, metadata_paths, parse_facts, parse_mac
from agent.core.net.proxy_url import quoted
from agent.edges.http import DirectSession, ExchangeError, exchange
from agent.errors import MetadataError

_TOKEN_PATH = "api/token"
_TOKEN_TTL = 21600  # seconds, the longest that is allowed
_TOKEN_MARGIN = 300  # seconds before its expiry in which a token is no longer used

#: Limit of one try (seconds); a healthy service answers within milliseconds.
_TRY = 2.0
#: At boot the network comes late.  For the first seconds tries are frequent and an address that
#: does not respond is given up quickly, so that the node waits at most _CONNECT_EAGER plus one
#: pause after the service is reachable.
_EAGER = 10.0
_CONNECT_EAGER, _CONNECT = 0.05, 1.0
_OFTEN, _SELDOM = tenacity.wait_random(0.01, 0.04), tenacity.wait_random(0.3, 1)
_WHILE_BUSY = tenacity.wait_random_exponential(multiplier=0.02, max=2)

_OTHER = "check that this is an instance metadata service of version 2"
_DISABLED = "the metadata service is disabled for this instance, or the request went through a proxy (X-Forwarded-For)"
_HOP_LIMIT = "in a container, set the instance's metadata hop limit to 2 or more; then check for a firewall that drops the answer"


class _TransientError(Exception):
    """Failure of one try; `busy` if the service itself refused for now."""

    def __init__(self, cause: str, *, busy: bool = False, hint: str = "") -> None:
        super().__init__(cause)
        self.busy = busy
        self.hint = hint


class MetadataClient:
    """Client of the service at `endpoint` (http://ADDRESS[:PORT]).

    Each `fetch` ends within `deadline` seconds.  `sleep` is called between tries; an exception that
    it raises ends the fetch.
    """

    def __init__(
        self,
        endpoint: str,
        deadline: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._base = endpoint.rstrip("/") + "/latest/"
        self._deadline = deadline
        self._clock = clock
        self._sleep = sleep
        self._started = self._try_deadline = self._token_expiry = clock()
        self._token = ""
        self._session = DirectSession(remaining=lambda: self._try_deadline - clock())

    def fetch(self) -> Facts:
        """Return all facts, each of them checked.  Raises MetadataError."""
        self._started = self._clock()
        try:
            mac = self._query(MAC_PATH)
            rest = {field: path for field, path in metadata_paths(parse_mac(mac)).items() if path != MAC_PATH}
            return parse_facts({"mac": mac, **{field: self._query(path) for field, path in rest.items()}})
        finally:
            self._session.close()  # the connection; token and session stay in use

    def _remaining(self) -> float:
        return self._started + self._deadline - self._clock()

    def _is_eager(self) -> bool:
        return self._clock() - self._started < _EAGER

    def _query(self, path: str) -> bytes | None:
        """Return the answer to `path`, None for a 404, after as many tries as it takes."""
        answer: bytes | None = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_TransientError),
            wait=self._pause,
            stop=lambda state: state.upcoming_sleep >= self._remaining(),
            sleep=self._sleep,
            retry_error_callback=self._fail,
        )(self._get, path)
        return answer

    def _pause(self, state: tenacity.RetryCallState) -> float:
        """Return the seconds until the next try; random, as the nodes of a group boot together."""
        if _failure(state).busy:
            return _WHILE_BUSY(state)
        return _OFTEN(state) if self._is_eager() else _SELDOM(state)

    def _fail(self, state: tenacity.RetryCallState) -> NoReturn:
        last = _failure(state)
        raise MetadataError(f"{last} (tried for {self._deadline:g} s)", hint=last.hint)

    def _get(self, path: str) -> bytes | None:
        if not self._token or self._clock() >= self._token_expiry:
            expiry = self._clock() + _TOKEN_TTL - _TOKEN_MARGIN
            answer = self._request("PUT", _TOKEN_PATH, {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_TTL)})
            token = (answer or b"").decode("latin-1").strip()
            if not re.fullmatch(r"[A-Za-z0-9+/=_.~-]{1,1024}", token):
                raise MetadataError(f"PUT {self._base}{_TOKEN_PATH}: the answer is not a token", hint=_OTHER)
            self._token, self._token_expiry = token, expiry
        return self._request("GET", path, {"X-aws-ec2-metadata-token": self._token})

    def _request(self, method: str, path: str, headers: dict[str, str]) -> bytes | None:
        """Return the body of one answer, None for a 404.

        Raises _TransientError, or MetadataError for what a retry cannot fix.
        """
        label = f"{method} {self._base}{path}"
        limit = USER_DATA_LIMIT if path == USER_DATA_PATH else VALUE_LIMIT
        remaining = min(self._remaining(), _TRY)
        if remaining <= 0:
            raise _TransientError(f"{label}: no time left to ask")
        self._try_deadline = self._clock() + remaining
        timeouts = (min(remaining, _CONNECT_EAGER if self._is_eager() else _CONNECT), remaining)
        try:
            answer = exchange(self._session, method, self._base + path, headers, timeouts, limit)
        except ExchangeError as error:
            silent = error.silent and method == "PUT"
            raise _TransientError(f"{label}: {error}", hint=_HOP_LIMIT if silent else "") from None
        except ValueError as error:
            raise MetadataError(f"{label}: {error}", hint="write http://ADDRESS or http://ADDRESS:PORT") from None
        report = f"{label}: answered {answer.status} {quoted(answer.body.decode('latin-1'))}"
        if answer.status == 401:
            self._token = ""
        if answer.status in (401, 429) or answer.status >= 500:
            raise _TransientError(report, busy=True)
        if answer.status not in (200, 404):
            raise MetadataError(report, hint=_DISABLED if answer.status == 403 else _OTHER)
        if len(answer.body) > limit:
            raise MetadataError(f"{label}: answered {answer.size} bytes; at most {limit} are allowed", hint=_OTHER)
        return answer.body if answer.status == 200 else None


def _failure(state: tenacity.RetryCallState) -> _TransientError:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, _TransientError) else _TransientError(str(error))
