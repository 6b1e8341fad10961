"""The sandbox of `make mutants`: code that is wrong on purpose runs in it as root."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SANDBOX = Path(__file__).parents[1] / "mutants/sandbox.sh"

pytestmark = pytest.mark.needs_root("unshare(1)")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A directory in the place of a copy."""
    (tmp_path / "scratch").mkdir()
    return tmp_path


def inside(copy: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the shell in the sandbox."""
    return subprocess.run(
        [SANDBOX, copy, "sh", "-c", script], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_only_scratch_outlives_the_sandbox(copy: Path) -> None:
    """The copy, /etc and the like are read-only; /tmp and /run are others than outside."""
    script = (
        "echo 1 >scratch/file; for d in . /etc /usr /var/lib /root; do echo 1 >$d/mutant; done; echo 1 >/run/mutant"
    )
    done = inside(copy, script + "; echo 1 >/tmp/mutant && ls -A /tmp")
    assert done.stdout.count("Read-only file system") == 5, done.stdout
    assert done.stdout.endswith("\nmutant\n")
    assert [path.name for path in copy.rglob("*") if path.is_file()] == ["file"]
    assert not any(Path(name, "mutant").exists() for name in ("/etc", "/tmp", "/run"))


def test_there_is_no_network_and_no_other_process(copy: Path) -> None:
    """Neither a metadata service nor a daemon of this machine can be reached."""
    done = inside(copy, "cat /proc/net/dev | grep -c :; cat /proc/net/route | wc -l; ls /proc | grep -c '^[0-9]'")
    devices, routes, processes = map(int, done.stdout.split())
    assert (devices, routes) == (1, 1)
    assert processes < 6


def test_processes_end_with_the_sandbox(copy: Path) -> None:
    """Also one in a session of its own that ignores signals."""
    script = "trap '' HUP TERM; setsid sh -c 'trap \"\" HUP TERM; exec 9>scratch/fifo; sleep 1000' & sleep 1000"
    fifo = copy / "scratch/fifo"
    subprocess.run(["mkfifo", fifo], check=True)
    with subprocess.Popen([SANDBOX, copy, "sh", "-c", script]) as process, fifo.open("rb") as file:
        process.kill()
        assert file.read() == b""  # at the end of the child, the only writer
