"""The shell part of late installation, run by sh with real curl and sha256sum.

What changes a machine is a stand-in that records its call.  tests/boot runs it in a node.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.settings.layers import merge, parse_toml
from agent.core.userdata.early import early_proxy
from agent.core.userdata.install_script import SETTINGS_FILE, Installation, install_script
from agent.core.userdata.package import read_package
from tests.integration.command_line import environment
from tests.integration.listening import Listener

RPM = b"the package"
SHA256 = hashlib.sha256(RPM).hexdigest()
URL = "http://repository.example.test/eks-proxy-agent.rpm"
NAME = "eks-proxy-agent-1.0.0-1.x86_64"
SECRET = 'al\\"ice:p@ss"w\\%41:or%d'

#: Each stand-in writes its name and arguments to $CALLS, and does what the test says in NAME.sh.
STAND_IN = """\
#!/bin/sh
echo "{name} $*" >>"$CALLS"
[ ! -e "$STUBS/{name}.sh" ] || . "$STUBS/{name}.sh"
"""
RPM_STAND_IN = f"""\
case "$1" in
    -qp) echo {NAME} ;;
    -q) case "$3" in {NAME}) [ -e "$STUBS/same" ] ;; *) [ -e "$STUBS/installed" ] ;; esac ;;
    -U) if [ -e "$STUBS/refuses" ]; then echo "error: Failed dependencies" >&2; exit 1; fi ;;
esac
"""


class Proxy:
    """A proxy that serves `content` for any URL, perhaps for a password only."""

    def __init__(self) -> None:
        self.content = RPM
        self.password = ""
        self.requests: list[str] = []
        self._listener = Listener(self._serve)
        self.url = f"http://127.0.0.1:{self._listener.port}"

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            head = connection.recv(65536).decode()
            self.requests.append(head.split("\r\n")[0])
            given = re.search(r"(?im)^proxy-authorization: basic (\S+)", head)
            if self.password and (not given or base64.b64decode(given[1]).decode() != self.password):
                connection.sendall(
                    b"HTTP/1.1 407 Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
                return
            size = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(self.content)
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + size + self.content)

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy on loopback."""
    server = Proxy()
    yield server
    server.close()


@attrs.frozen
class Machine:
    """A directory with stand-ins, and what they recorded."""

    directory: Path

    def run(self, installation: Installation, path: str = "") -> Any:
        """Run the script, perhaps with this PATH; its settings file is in the directory."""
        script = install_script(installation).replace(SETTINGS_FILE, str(self.settings))
        (self.directory / "script").write_text(script)
        (self.directory / "tmp").mkdir(exist_ok=True)
        variables = {
            "PATH": path or f"{self.directory}/bin:{os.environ['PATH']}",
            "CALLS": str(self.directory / "calls"),
            "STUBS": str(self.directory),
            "TMPDIR": str(self.directory / "tmp"),
        }
        done = subprocess.run(
            ["/bin/sh", self.directory / "script"],
            env=environment(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert list((self.directory / "tmp").iterdir()) == []
        return done

    @property
    def settings(self) -> Path:
        return self.directory / "80-user-data.toml"

    def calls(self, *names: str) -> list[str]:
        """Return the calls of these stand-ins, without temporary names."""
        path = self.directory / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [re.sub(r"\S*/tmp/\S*", "FILE", line) for line in lines if not names or line.split()[0] in names]

    def touch(self, name: str, text: str = "") -> None:
        """Write a file that a stand-in looks for."""
        (self.directory / name).write_text(text)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with curl, without aws."""
    (tmp_path / "bin").mkdir()
    for name in ("rpm", "systemctl", "eks-proxy-agent", "logger", "sleep"):
        path = tmp_path / "bin" / name
        path.write_text(STAND_IN.format(name=name))
        path.chmod(0o755)
    (tmp_path / "rpm.sh").write_text(RPM_STAND_IN)
    # Records the whole command line, as a process list shows it, and runs it.
    (tmp_path / "bin/timeout").write_text('#!/bin/sh\necho "timeout $*" >>"$CALLS"\nshift\nexec "$@"\n')
    (tmp_path / "bin/timeout").chmod(0o755)
    return Machine(tmp_path)


def installation(*proxies: str, url: str = URL, sha256: str = SHA256, **values: Any) -> Installation:
    """Return an installation through these proxies."""
    settings = merge([parse_toml("c", f"[proxy]\nurl = {list(proxies)!r}\n".encode())]).settings
    package = read_package(url, sha256, "eu-west-1")
    return Installation(package, early_proxy(settings, "eu-west-1", ClusterInfo()), **values)


def test_the_package_is_installed_and_the_agent_started(machine: Machine, proxy: Proxy) -> None:
    """Everything runs in this order; the settings are there before the agent starts."""
    machine.touch("systemctl.sh", f'cat "{machine.settings}" >>"$CALLS"\n')
    done = machine.run(installation(proxy.url, settings="[proxy]\n", with_bootstrap=True))
    assert done.returncode == 0, done.stderr
    assert proxy.requests == [f"GET {URL} HTTP/1.1"]
    assert machine.calls("rpm", "systemctl", "[proxy]", "eks-proxy-agent") == [
        "rpm -qp FILE",
        f"rpm -q --quiet {NAME}",
        "rpm -U FILE",
        "systemctl start eks-proxy-agent",
        "[proxy]",
        "systemctl start --no-block eks-proxy-agent-bootstrap",
        "[proxy]",
        "eks-proxy-agent apply --restart",
    ]
    assert done.stderr.splitlines()[-1] == "eks-proxy-agent: done"
    assert machine.calls("logger")[-1] == "logger -t eks-proxy-agent-install -- done"


def test_the_same_version_is_success(machine: Machine, proxy: Proxy) -> None:
    """A second run installs nothing, and ends the same way."""
    machine.touch("same")
    assert machine.run(installation(proxy.url)).returncode == 0
    assert [call for call in machine.calls("rpm") if "-U" in call] == []
    assert machine.calls("eks-proxy-agent") == ["eks-proxy-agent apply --restart"]


def test_another_content_is_not_installed(machine: Machine, proxy: Proxy) -> None:
    """A page of the proxy in place of the package: four attempts and a clear error."""
    proxy.content = b"<html>blocked by policy</html>"
    done = machine.run(installation(proxy.url, settings="[proxy]\n"))
    assert done.returncode == 1
    assert len(proxy.requests) == 4
    assert f"{URL} has another sha256 than {SHA256} (route: {proxy.url})" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("eks-proxy-agent: error: the package is not installed")
    assert "the node boots on" in done.stderr
    assert machine.calls("rpm", "systemctl", "eks-proxy-agent") == []
    assert machine.calls("sleep") == ["sleep 0", "sleep 5", "sleep 10", "sleep 20"]
    assert not machine.settings.exists()


def test_a_proxy_that_is_down_is_not_the_last(machine: Machine, proxy: Proxy) -> None:
    """The next proxy is tried in the same attempt."""
    done = machine.run(installation("http://127.0.0.1:9", proxy.url))
    assert done.returncode == 0
    assert "cannot be fetched (route: http://127.0.0.1:9)" in done.stderr


def test_rpm_refuses_a_package_of_another_python(machine: Machine, proxy: Proxy) -> None:
    """rpm's own error is in the log; no settings are written, and nothing starts."""
    machine.touch("refuses")
    done = machine.run(installation(proxy.url, settings="[proxy]\n"))
    assert done.returncode == 1
    assert "Failed dependencies" in done.stderr
    assert f"error: rpm refuses {NAME}, see above; the node boots on" in done.stderr
    assert machine.calls("systemctl", "eks-proxy-agent") == []
    assert not machine.settings.exists()


def test_an_installed_version_stays_if_rpm_refuses(machine: Machine, proxy: Proxy) -> None:
    """An image with a newer version, for example: the agent gets its settings and starts."""
    machine.touch("refuses")
    machine.touch("installed")
    done = machine.run(installation(proxy.url, settings="[proxy]\n"))
    assert done.returncode == 0
    assert "the installed version stays" in done.stderr
    assert machine.settings.read_text() == "[proxy]\n"


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("systemctl.sh", 1, "error: it is installed, but does not start"),
        ("eks-proxy-agent.sh", 0, "warning: apply --restart failed, see above"),
        ("logger.sh", 0, "done"),
    ],
)
def test_a_failure_after_the_installation(machine: Machine, proxy: Proxy, name: str, code: int, text: str) -> None:
    """It is in the log; a unit that is not restarted does not fail the rest."""
    machine.touch(name, "exit 3\n")
    done = machine.run(installation(proxy.url))
    assert (done.returncode, text in done.stderr) == (code, True)


def test_settings_that_cannot_be_written(machine: Machine, proxy: Proxy) -> None:
    """The agent is not started without its settings."""
    machine.settings.with_name("80-user-data.toml.new").mkdir()
    done = machine.run(installation(proxy.url, settings="[proxy]\n"))
    assert done.returncode == 1
    assert "cannot be written; the node boots on" in done.stderr
    assert machine.calls("systemctl") == []


def test_the_password_of_the_proxy_is_on_no_command_line(machine: Machine, proxy: Proxy) -> None:
    """curl reads it from a pipe, with all its special characters."""
    proxy.password = SECRET
    machine.touch("credentials", SECRET + "\n")
    values = {"credentials_file": str(machine.directory / "credentials")}
    done = machine.run(installation(proxy.url, **values))
    assert done.returncode == 0, done.stderr
    assert [line for line in [*machine.calls(), *done.stderr.splitlines()] if "p@ss" in line or "%25" in line] == []
    (machine.directory / "credentials").unlink()
    done = machine.run(installation(proxy.url, **values))
    assert done.returncode == 1
    assert "407" in done.stderr


# --- S3
# -------------------------------------------------------------------------------------------------

S3 = "s3://bucket/dir/eks-proxy-agent.rpm"
AWS = """\
#!/bin/sh
echo "aws $* [$https_proxy] [$AWS_MAX_ATTEMPTS]" >>"$CALLS"
case ",$no_proxy," in *,169.254.169.254,*) ;; *) exit 9 ;; esac
[ -n "$https_proxy" ] || exit 1
for last; do :; done
printf 'the package' >"$last"
"""


def test_a_bucket_is_read_directly_then_through_the_proxy(machine: Machine, proxy: Proxy) -> None:
    """`aws` gets the region, bounded time-outs and one attempt; it has no proxy at first."""
    (machine.directory / "bin/aws").write_text(AWS)
    (machine.directory / "bin/aws").chmod(0o755)
    done = machine.run(installation(proxy.url, url=S3))
    assert done.returncode == 0, done.stderr
    flags = "--region eu-west-1 --only-show-errors --cli-connect-timeout 10 --cli-read-timeout 30"
    assert machine.calls("aws") == [f"aws s3 cp {flags} {S3} FILE [{route}] [1]" for route in ("", proxy.url)]
    assert f"{S3} cannot be fetched (route: direct)" in done.stderr


def test_without_aws_curl_reads_the_bucket_by_its_path(machine: Machine) -> None:
    """The URL has the host of the region, and the bucket in its path."""
    for name in ("env", "timeout", "sh", "mktemp", "rm", "sha256sum", "cat", "mv"):
        path = machine.directory / "bin" / name
        if not path.exists():
            path.symlink_to(shutil.which(name) or "")
    curl = machine.directory / "bin/curl"
    curl.write_text(STAND_IN.format(name="curl") + 'printf "the package" >"$5"\n')
    curl.chmod(0o755)
    done = machine.run(installation("http://proxy:3128", url=S3), path=f"{machine.directory}/bin")
    assert done.returncode == 0, done.stderr
    url = "https://s3.eu-west-1.amazonaws.com/bucket/dir/eks-proxy-agent.rpm"
    assert machine.calls("curl") == [f"curl -fsSL --connect-timeout 10 -o FILE {url}"]
