"""Client of the instance metadata service, version 2 only: a token, then one GET for each fact.

Source: "Use the Instance Metadata Service to access instance metadata" in the EC2 user guide.
Imports requests (0.1 s): import this module where it is used, not at the top.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable, NoReturn, TypeVar

from agent.core.facts.imds_values import USER_DATA_LIMIT, VALUE_LIMIT
from agent.core.facts.instance import (
    MAC_PATH,
    REQUIRED,
    USER_DATA_PATH,
    Facts,
    has_value,
    metadata_paths,
    parse_facts,
    parse_mac,
)
from agent.core.net.proxy_url import quoted
from agent.core.record import evolve
from agent.edges.http import DirectSession, ExchangeError, HttpResponse, exchange
from agent.edges.kernel import is_fips
from agent.errors import MetadataError

if TYPE_CHECKING:
    import tenacity

T = TypeVar("T")

_TOKEN_PATH = "api/token"
_TOKEN_TTL = 21600  # seconds, the longest that is allowed
_TOKEN_MARGIN = 300  # seconds before its expiry in which a token is no longer used

#: Limit of one try (seconds); a healthy service responds within milliseconds.  With less than
#: _LEAST_TRY remaining there is no further try: its timeout would hide the cause of the last one.
_TRY, _LEAST_TRY = 2.0, 0.05
#: At boot the network comes late.  For the first seconds tries are frequent and an address that
#: does not respond is given up quickly, so that the node waits at most _CONNECT_EAGER plus one
#: pause after the service is reachable.
_EAGER = 10.0
_CONNECT_EAGER, _CONNECT = 0.05, 1.0
#: Ranges of the pauses (seconds) after no answer: in that time, and later.
_OFTEN, _SELDOM = (0.01, 0.04), (0.3, 1.0)
#: Longest pauses (seconds) while the service is busy, and while a value is not set.
_WHILE_BUSY, _WHILE_NOT_SET = 2.0, 0.5

_OTHER = "check that this is an instance metadata service of version 2"
_DISABLED = "the metadata service is disabled for this instance, or the request went through a proxy (X-Forwarded-For)"
_HOP_LIMIT = "in a container, set the instance's metadata hop limit to 2 or more; then check for a firewall that drops the answer"
_ELSEWHERE = "on an EC2 instance, check that its metadata service is enabled, and metadata.endpoint; elsewhere, pass --facts FILE or try `make demo`"


class _TransientError(Exception):
    """Failure of one try.

    `longest_pause`: up to so many seconds the pauses after such failures grow; None after no
    answer.
    """

    def __init__(self, problem: str, *, hint: str = "", longest_pause: float | None = None) -> None:
        super().__init__(problem)
        self.hint = hint
        self.longest_pause = longest_pause


def fetch_facts(endpoint: str, deadline: float, **options: Any) -> Facts:
    """Return the facts of this instance, with the mode of its kernel.

    Arguments are those of MetadataClient.  Raises MetadataError.
    """
    return evolve(MetadataClient(endpoint, deadline, **options).fetch(), fips=is_fips())


class MetadataClient:
    """Client of the service at `endpoint` (http://ADDRESS[:PORT]).

    Each `fetch` ends within `deadline` seconds, and within `unreachable_deadline` seconds if no
    HTTP answer has come by then, whatever its status.  `waiting` is called before each pause with
    the problem and the seconds that remain.  `sleep` is called between tries; an exception that it
    raises ends the fetch.
    """

    def __init__(
        self,
        endpoint: str,
        deadline: float,
        *,
        unreachable_deadline: float = math.inf,
        waiting: Callable[[str, float], None] = lambda problem, remaining: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._service = f"instance metadata service at {endpoint.rstrip('/')}"
        self._base = endpoint.rstrip("/") + "/latest/"
        self._deadline, self._unreachable_deadline = deadline, unreachable_deadline
        self._waiting = waiting
        self._clock = clock
        self._sleep = sleep
        self._started = self._try_deadline = self._token_expiry = clock()
        self._is_reachable = False
        self._last: _TransientError | None = None
        self._token = ""
        self._session = DirectSession(remaining=lambda: self._try_deadline - clock())

    def fetch(self) -> Facts:
        """Return all facts, each of them checked.

        What every instance has is requested again while it is not set (404).  Raises MetadataError.
        """
        self._started, self._is_reachable, self._last = self._clock(), False, None
        try:
            responses = self._require({"mac": MAC_PATH})
            paths = metadata_paths(self._checked(lambda: parse_mac(responses["mac"])))
            for group in REQUIRED:
                responses.update(self._require({field: paths[field] for field in group}))
            responses.update({field: self._query(path) for field, path in paths.items() if field not in responses})
            return self._checked(lambda: parse_facts(responses))
        finally:
            self._session.close()  # the connection; token and session stay in use

    def _checked(self, parse: Callable[[], T]) -> T:
        try:
            return parse()
        except MetadataError as error:
            raise MetadataError(f"{self._service}: {error}", hint=error.hint) from None

    def _limit(self) -> float:
        """Return the seconds that this fetch may take, as far as is known by now."""
        return self._deadline if self._is_reachable else min(self._deadline, self._unreachable_deadline)

    def _remaining(self) -> float:
        return self._started + self._limit() - self._clock()

    def _is_eager(self) -> bool:
        return self._clock() - self._started < _EAGER

    def _query(self, path: str) -> bytes | None:
        """Return the answer to `path`, None for a 404, after as many tries as it takes."""
        return self._retry(lambda: self._get(path))

    def _require(self, paths: Mapping[str, str]) -> dict[str, bytes | None]:
        """Return the responses by field once one of them is set, after any number of tries."""

        def get() -> dict[str, bytes | None]:
            responses = {field: self._get(path) for field, path in paths.items()}
            if not has_value(tuple(paths), responses):
                labels = " and ".join("/latest/" + path for path in paths.values())
                raise _TransientError(
                    f"{self._service}: {labels}: not set (404)", hint=_OTHER, longest_pause=_WHILE_NOT_SET
                )
            return responses

        return self._retry(get)

    def _retry(self, get: Callable[[], T]) -> T:
        try:
            return get()
        except _TransientError as error:
            return self._retry_after(error, get)

    def _retry_after(self, failure: _TransientError, get: Callable[[], T]) -> T:
        import tenacity  # only here: it is a tenth of the imports of a boot that needs no retry

        first = [failure]

        def get_again() -> T:
            if first:
                raise first.pop()
            return get()

        answer: T = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_TransientError),
            wait=self._pause,
            stop=lambda state: state.upcoming_sleep + _LEAST_TRY >= self._remaining(),
            before_sleep=lambda state: self._waiting(str(_failure(state)), self._remaining()),
            sleep=self._sleep,
            retry_error_callback=self._fail,
        )(get_again)
        self._last = None
        return answer

    def _pause(self, state: tenacity.RetryCallState) -> float:
        """Return the seconds until the next try; random, as the nodes of a group boot together."""
        from tenacity import wait_random, wait_random_exponential

        self._last = _failure(state)
        if self._last.longest_pause is not None:
            return wait_random_exponential(multiplier=0.02, max=self._last.longest_pause)(state)
        return wait_random(*(_OFTEN if self._is_eager() else _SELDOM))(state)

    def _fail(self, state: tenacity.RetryCallState) -> NoReturn:
        last = _failure(state)
        raise MetadataError(f"{last} (tried for {round(self._limit(), 1):g} s)", hint=last.hint)

    def _get(self, path: str) -> bytes | None:
        if not self._token or self._clock() >= self._token_expiry:
            expiry = self._clock() + _TOKEN_TTL - _TOKEN_MARGIN
            answer = self._request("PUT", _TOKEN_PATH, {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_TTL)})
            token = (answer or b"").decode("latin-1").strip()
            if not re.fullmatch(r"[A-Za-z0-9+/=_.~-]{1,1024}", token):
                raise MetadataError(
                    f"{self._service}: PUT /latest/{_TOKEN_PATH}: the answer is not a token", hint=_OTHER
                )
            self._token, self._token_expiry = token, expiry
        return self._request("GET", path, {"X-aws-ec2-metadata-token": self._token})

    def _request(self, method: str, path: str, headers: dict[str, str]) -> bytes | None:
        """Return the body of one answer, None for a 404.

        Raises _TransientError, or MetadataError for what a retry cannot fix.
        """
        label = f"{self._service}: {method} /latest/{path}"
        limit = USER_DATA_LIMIT if path == USER_DATA_PATH else VALUE_LIMIT
        answer = self._exchange(label, method, path, headers, limit)
        self._is_reachable = True
        report = f"{label}: answered {answer.status} {quoted(answer.body.decode('latin-1'))}"
        if answer.status == 401:
            self._token = ""
        if answer.status in (401, 408, 429) or answer.status >= 500:
            raise _TransientError(report, longest_pause=_WHILE_BUSY)
        if answer.status not in (200, 404):
            raise MetadataError(report, hint=_DISABLED if answer.status == 403 else _OTHER)
        if len(answer.body) > limit:
            raise MetadataError(f"{label}: answered {answer.size} bytes; at most {limit} are allowed", hint=_OTHER)
        return answer.body if answer.status == 200 else None

    def _exchange(self, label: str, method: str, path: str, headers: dict[str, str], limit: int) -> HttpResponse:
        remaining = min(self._remaining(), _TRY)
        if remaining <= 0:
            elapsed = self._clock() - self._started
            raise self._last or _TransientError(f"{label}: not sent; the requests before it took {elapsed:.3g} s")
        self._try_deadline = self._clock() + remaining
        timeouts = (min(remaining, _CONNECT_EAGER if self._is_eager() else _CONNECT), remaining)
        try:
            return exchange(self._session, method, self._base + path, headers, timeouts, limit)
        except ExchangeError as error:
            if not error.is_connected:
                raise _TransientError(f"{self._service} did not answer: {error}", hint=_ELSEWHERE) from None
            is_dropped = error.is_silent and method == "PUT"
            raise _TransientError(f"{label}: {error}", hint=_HOP_LIMIT if is_dropped else "") from None
        except ValueError as error:
            hint = "write http://ADDRESS or http://ADDRESS:PORT"
            raise MetadataError(f"{self._service}: {error}", hint=hint) from None


def _failure(state: tenacity.RetryCallState) -> _TransientError:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, _TransientError) else _TransientError(str(error))
