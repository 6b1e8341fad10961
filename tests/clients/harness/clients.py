"""The real clients, with their dialects and commands."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Callable
from urllib.parse import urlsplit

from agent.core.noproxy.dialects import go
from agent.core.noproxy.dialects.dialect import Dialect
from agent.core.noproxy.dialects.families import ALL_DIALECTS
from agent.core.noproxy.dialects.request import parse_request
from agent.core.record import asdict, evolve, record
from tests.boot.harness.command import run
from tests.clients import cases
from tests.clients.cases import Case
from tests.clients.harness import libraries
from tests.clients.harness.libraries import PYTHON
from tests.clients.harness.listeners import PROXY

DIRECTORY = Path(__file__).parents[1]
BY_NAME: dict[str, Dialect] = {dialect.name: dialect for dialect in ALL_DIALECTS}

#: Go before 1.24 differs in one unusual kind of entry, so it has no column of its own.
GO_1_23 = evolve(BY_NAME["go"], name="go-1.23", bypass=go.bypass_1_23)


@record
class Client:
    """A program or a library: the command that requests a file of cases, and these cases."""

    name: str
    dialect: Dialect
    command: Callable[[], list[str]]
    cases: Callable[[], list[Case]]
    library: Callable[[], Path | None] = lambda: None
    environment: tuple[tuple[str, str], ...] = ()

    def run(self) -> list[int | None]:
        """Return the port of the first connection for each case, None if there was none."""
        path = self.library()
        paths = {"PYTHONPATH": str(path), "NODE_PATH": str(path)} if path else {}
        environment = {"PYTHONDONTWRITEBYTECODE": "1", **paths, **dict(self.environment)}
        with tempfile.TemporaryDirectory() as directory:
            requested, result = Path(directory, "cases"), Path(directory, "result")
            requested.write_text(json.dumps([asdict(case) for case in self.cases()]))
            bed = ["unshare", "-n", "-m", "--", PYTHON]
            run([*bed, DIRECTORY / "harness/bed.py", requested, result, *self.command()], timeout=600, env=environment)
            return json.loads(result.read_text())


def expected_route(dialect: Dialect, case: Case) -> str:
    """Return the route of a case in a dialect: "proxy" or "direct"."""
    target = parse_request(case.url)
    if dialect.variables.proxy(case.environment, target.scheme) is None:
        return "direct"
    return "proxy" if dialect.bypass(target, dialect.variables.exceptions(case.environment)) is None else "direct"


def actual_route(port: int | None) -> str:
    """Return the route of the first connection: "proxy", "direct", or "neither" without one."""
    return "neither" if port is None else "proxy" if port == PROXY else "direct"


def _program(*words: str) -> Callable[[], list[str]]:
    return lambda: [PYTHON, str(DIRECTORY / "workers/program.py"), *words]


def _worker(name: str, python: str = PYTHON) -> Callable[[], list[str]]:
    return lambda: [python, str(DIRECTORY / "workers" / name)]


def _go() -> list[str]:
    return [
        PYTHON,
        str(DIRECTORY / "workers/program.py"),
        str(libraries.go_program(DIRECTORY / "workers/go/main.go")),
        "{}",
    ]


def _node(name: str) -> Callable[[], list[str]]:
    return lambda: [str(libraries.node()), str(DIRECTORY / "workers" / name)]


def _axios(version: str, dialect: str) -> Client:
    return Client(
        name=f"axios {version}",
        dialect=BY_NAME[dialect],
        command=_node("axios_get.js"),
        cases=_everything,
        library=lambda: libraries.npm_packages(f"axios@{version}", "proxy-from-env@2.1.0"),
    )


def _everything() -> list[Case]:
    return cases.exceptions() + cases.namings()


def _part(first: int, step: int, *, naming: bool = False) -> Callable[[], list[Case]]:
    """Return a part of the cases, for slow clients that share one libcurl.

    Together they request most of the cases.
    """
    return lambda: cases.exceptions()[first::step] + (cases.namings() if naming else [])


def _botocore() -> list[Case]:
    """Return the cases without underscores in names, which botocore rejects."""
    return [case for case in _everything() if "_" not in urlsplit(case.url).netloc]


def _registries() -> list[Case]:
    """Return the cases for skopeo.

    It uses https, and a registry is a name with a dot or a port, or an IPv4 address.
    """
    named = [(urlsplit(case.url).netloc, case) for case in cases.exceptions()]
    valid = [(netloc, case) for netloc, case in named if re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+(:[0-9]+)?", netloc)]
    return [evolve(case, url=f"https://{netloc}/") for netloc, case in valid][::5]


def _pycurl(version: str, dialect: str) -> Client:
    return Client(
        name=f"libcurl of pycurl {version}",
        dialect=BY_NAME[dialect],
        command=_worker("libcurl.py"),
        cases=_everything,
        library=lambda: libraries.library(f"pycurl=={version}"),
    )


def _requests(version: str, dialect: str) -> Client:
    return Client(
        name=f"requests {version}",
        dialect=BY_NAME[dialect],
        command=_worker("requests_get.py"),
        cases=_everything,
        library=lambda: libraries.library(f"requests=={version}"),
    )


#: Node.js installs its dispatcher for fetch only if one of the proxies is set at the start.
_USE_ENV_PROXY = (("NODE_USE_ENV_PROXY", "1"), ("http_proxy", cases.PROXY))

CLIENTS: Sequence[Client] = (
    Client("curl", BY_NAME["curl"], _program("curl", "-qgs", "-m", "10", "{}"), _part(0, 2, naming=True)),
    Client("dnf", BY_NAME["curl"], _worker("dnf_load.py"), _part(1, 4)),
    Client(
        "wget",
        BY_NAME["wget"],
        _program(*"wget --no-config -q -O /dev/null --tries=1 --timeout=10 {}".split()),
        _everything,
    ),
    Client("git", BY_NAME["curl"], _program("git", "ls-remote", "{}"), _part(3, 4)),
    Client("urllib", BY_NAME["urllib"], _worker("urllib_open.py"), _everything),
    Client("botocore", BY_NAME["urllib"], _worker("botocore_send.py", sys.executable), _botocore),
    Client(
        "skopeo", GO_1_23, _program(*"skopeo inspect --tls-verify=false docker://{netloc}/any".split()), _registries
    ),
    Client("Go 1.27", BY_NAME["go"], _go, _everything),
    _pycurl("7.45.3", "curl-old"),  # libcurl 7.61.1
    _pycurl("7.45.7", "curl-8.9"),  # libcurl 8.16.0
    _pycurl("7.49.0", "curl-8.18"),  # libcurl 8.23.0
    _requests("2.32.5", "requests-old"),
    _requests("2.34.2", "requests"),
    Client("Node.js fetch", BY_NAME["node-fetch"], _node("node_fetch.js"), _everything, environment=_USE_ENV_PROXY),
    Client("Node.js http", BY_NAME["node-http"], _node("node_http.js"), _everything),
    _axios("1.14.0", "axios-old"),
    _axios("1.21.1", "axios"),
)
