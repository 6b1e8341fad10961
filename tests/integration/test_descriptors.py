"""Every command with few descriptors, with output that nothing takes; settings from pipes."""

import os
import resource
import subprocess
import sys
import sysconfig

import pytest

from agent.cli import parser
from agent.edges import local_file
from agent.errors import FileError
from tests.integration.command_line import PROXY, REPOSITORY, Node, environment, run

SETTINGS = f'[proxy]\nurl = "{PROXY}"\n'
#: Command lines by command; {root}, {facts} and {config} are paths.
LINES = {
    "apply": ["apply --root {root} --facts {facts}", "apply --bogus"],
    "plan": ["plan --root {root} --facts {facts}", "plan --json --root {root} --facts {facts}"],
    "status": ["status --root {root}", "status --json --root {root}"],
    "revert": ["revert --root {root}"],
    "bake": ["bake --root {root} --facts {facts}"],
    "clean": ["clean --root {root} --facts {facts}"],
    "config": ["config show --root {root} --facts {facts}", "config check --root {root} --facts {facts}"],
    "check": ["check --root {root} --facts {facts}"],
    "report": ["report --root {root} --facts {facts} --output -"],
    "explain": [
        "explain --matrix --root {root} --facts {facts} http://a/",
        "explain --lint --root {root} --facts {facts}",
    ],
    "cluster": [
        "cluster render --offline --facts {facts} --config {config}",
        "cluster plan --facts {facts} --config {config} --set=cluster.kubectl=no-such-kubectl",
    ],
    "user-data": [
        "user-data render --for karpenter --config {config}",
        "user-data check {config}",
    ],
    "demo": ["demo --keep {root}/demo", "demo --help"],
    "help": ["help", "help config show"],
    "version": ["version", "--version", ""],
    # Their work has its own tests: test_run.py, test_bootstrap.py.
    "run": ["run --help", "run --bogus"],
    "bootstrap": ["bootstrap --help", "bootstrap --bogus"],
}
EXIT_CODES = (0, 1, 2, 3, 75, 78)


@pytest.fixture
def node(tmp_path):
    """Return a node with settings."""
    node = Node(tmp_path)
    node.settings(SETTINGS)
    return node


@pytest.fixture
def agent(tmp_path):
    """Return the path of a command like an installed one, whose libraries are links."""
    library = tmp_path / "lib/eks-proxy-agent"
    library.mkdir(parents=True)
    (library / "agent").symlink_to(REPOSITORY / "agent")
    (library / "vendor").symlink_to(sysconfig.get_path("purelib"))
    command = tmp_path / "bin/eks-proxy-agent"
    command.parent.mkdir()
    launcher = (REPOSITORY / "packaging/launcher").read_text()
    command.write_text(launcher.replace("@PYTHON@", os.path.realpath(sys.executable)))
    command.chmod(0o755)
    return command


def lines(node):
    """Return all command lines as words."""
    paths = {"root": node.root, "facts": node.facts, "config": node.root / "etc/eks-proxy-agent/config.toml"}
    return [line.format(**paths).split() for row in LINES.values() for line in row]


def test_every_command_is_here():
    """A new command gets its line in this file."""
    assert set(LINES) == set(parser().commands.choices)


def outcome(argv, stdout, limit=None):
    """Run a command, and return its exit code and stderr."""
    limits = (resource.RLIMIT_NOFILE, (limit, limit))
    done = subprocess.run(
        argv,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
        timeout=30,
        preexec_fn=(lambda: resource.setrlimit(*limits)) if limit else None,
    )
    return done.returncode, done.stderr.decode()


def is_clean(code, err):
    """Return True for an exit code of the documentation and no output of Python itself."""
    return code in EXIT_CODES and not any(text in err for text in ("Traceback", "Exception ignored", "Fatal Python"))


@pytest.mark.parametrize("limit", [4, 5, 7, 10])
def test_few_descriptors_cause_an_error_at_most(node, agent, limit):
    """At any limit that Python itself starts with, a command works or reports what it lacks."""
    interpreter = [os.path.realpath(sys.executable), "-I", "-c", "pass"]
    if outcome(interpreter, subprocess.DEVNULL, limit) != (0, ""):
        assert limit == 4, "Python needs no more than this"
        return
    with open("/dev/full", "wb") as stdout:
        failures = [(words, *outcome([agent, *words], stdout, limit)) for words in lines(node)]
    assert [failure for failure in failures if not is_clean(*failure[1:])] == []
    assert limit == 10 or any("Too many open files" in err for _, _, err in failures)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_nothing_takes_is_an_error(node, agent, unbuffered):
    """With a full disk behind stdout, a command that prints exits with 1 and names the reason."""
    for line in ("--help", "plan --help", "help", "version", "--version", "plan", "status", "config show", "check"):
        words = line.split() if "help" in line or "version" in line else node.argv(line)[3:]
        with open("/dev/full", "wb") as full:
            code, err = outcome(["env", "PYTHONUNBUFFERED=" + unbuffered, agent, *words], full)
        assert is_clean(code, err), (words, code, err)
        assert code == 1, words
        assert "No space left on device" in err, words


@pytest.mark.parametrize("redirection", [">&- 2>&- <&-", ">/dev/full 2>&1"])
def test_closed_and_full_streams_cause_no_other_exit_code(node, agent, redirection):
    """There is no exit code 120, whatever the standard streams are."""
    for words in lines(node):
        code, _ = outcome(["sh", "-c", f'exec "$@" {redirection}', "sh", agent, *words], subprocess.DEVNULL)
        assert code in EXIT_CODES, words


def test_incomplete_installation_is_an_error(tmp_path, agent):
    """Without the agent's files, the command says so in a line."""
    (tmp_path / "lib/eks-proxy-agent/agent").unlink()
    code, err = outcome([agent, "version"], subprocess.DEVNULL)
    assert (code, err) == (1, "eks-proxy-agent: cannot be loaded: No module named 'agent'\n")


def test_missing_library_is_an_error(tmp_path, agent, node):
    """Libraries are loaded when they are needed: one that is missing is named."""
    (tmp_path / "lib/eks-proxy-agent/vendor").unlink()
    (tmp_path / "lib/eks-proxy-agent/vendor").mkdir()
    (tmp_path / "lib/eks-proxy-agent/vendor/requests.py").write_text("import no_such_module\n")
    code, err = outcome(
        [agent, "plan", "--root", node.root, "--set", "metadata.endpoint=http://127.0.0.1:1"], subprocess.DEVNULL
    )
    assert code == 1
    assert err.startswith("eks-proxy-agent: cannot load a part of the agent: No module named 'no_such_module'")
    assert "reinstall the package" in err


# --- settings from pipes


def from_pipe(words, config, expression='<(cat "$CONFIG")'):
    """Run a command in bash with `--config <(...)`."""
    script = f'exec "$@" --config {expression}'
    argv = [sys.executable, "-m", "agent", *words]
    return run(["bash", "-c", script, "bash", *argv], env={"CONFIG": str(config)})


@pytest.mark.parametrize("command", ["apply --once", "plan", "config show", "explain http://a/"])
def test_settings_may_come_from_a_pipe_of_the_shell(node, tmp_path, command):
    """`--config <(command)` is the same as the file: a command may read settings repeatedly."""
    config = tmp_path / "other.toml"
    config.write_text('[proxy]\nurl = "http://other.corp:8080"\n')
    words = node.argv(command)[3:]
    from_file = run([sys.executable, "-m", "agent", *words, "--config", str(config)])
    assert node.run("revert").code == 0
    piped = from_pipe(words, config)
    assert (piped.code, piped.out.replace("/dev/fd/63", str(config))) == (from_file.code, from_file.out)
    assert "other.corp" in piped.out + node.read("etc/environment")


def test_cluster_reads_settings_from_a_pipe(node):
    """`cluster` needs the settings before and after its questions to the cluster."""
    config = node.root / "etc/eks-proxy-agent/config.toml"
    done = from_pipe(["cluster", "render", "--offline", "--facts", str(node.facts)], config)
    assert done.code == 0, done.err
    assert PROXY in done.out


@pytest.mark.long
@pytest.mark.parametrize("content", ["", SETTINGS])
def test_fifo_that_is_not_closed_is_an_error(node, tmp_path, content):
    """A FIFO is read for a few seconds only, whether it has a writer or not."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = os.open(fifo, os.O_RDWR) if content else None
    if writer is not None:
        os.write(writer, content.encode())
    for command in ("plan", "config check"):
        done = node.run(command, "--config", str(fifo))
        assert done.code == 1, done.both
        assert f"{fifo}: no end of its content within 5 s; if it is a FIFO, write to it and close it" in done.err
    if writer is not None:
        os.close(writer)


def test_fifo_whose_writer_comes_later_is_read_to_its_end(node, tmp_path):
    """The beginning without a writer, and a pause of the writer, are not the end."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    argv = [*node.argv("config show"), "--config", str(fifo)]
    with subprocess.Popen(argv, cwd=REPOSITORY, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        writer = os.open(fifo, os.O_WRONLY)  # waits for the reader
        for part in (SETTINGS[:9], SETTINGS[9:]):
            os.write(writer, part.encode())
        os.close(writer)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert PROXY in out


def test_other_files_are_errors(tmp_path):
    """A directory, a file that does not exist, and one without end are reported by name."""
    for path, problem in (
        (str(tmp_path), "cannot be read: Is a directory"),
        (str(tmp_path / "none"), "cannot be read: No such file or directory"),
        ("/dev/zero", "is larger than 10 bytes"),
    ):
        with pytest.raises(FileError, match=f"{path}: {problem}"):
            local_file.read(path, 10)
    assert local_file.read(os.devnull, 10) == b""
    (tmp_path / "file").write_bytes(b"0123456789")
    assert local_file.read(str(tmp_path / "file"), 10) == b"0123456789"
