"""The project's own files agree with each other, and with the rules for what may be committed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import agent

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.allows("subprocess")

# Directories and hosts of the machines that this was written on; in pieces, so that this file holds
# none of them.
FOREIGN = re.compile(
    "|".join(
        [
            "/" + "work/",
            r"(?<![\w.])" + "shared/(design|facts|testbed|style)",
            "/root/" + r"\.",
            "/home/" + r"(?!core|ec2-user|\$)\w",
            "/tmp/" + "plan",
            r"pypi\." + "org",
            r"files\." + "pythonhosted",
            r"deb\." + "debian",
            r"registry\." + "npmjs",
        ]
    )
)


def committed():
    """The files that git knows; in a source archive, all that lie in the directories that are
    ours.
    """
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if done.returncode == 0:
        names = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    else:
        directories = ("agent", "bench", "packaging", "systemd", "tests")
        names = [*ROOT.glob("*"), *(path for directory in directories for path in (ROOT / directory).rglob("*"))]
    return [path for path in names if path.is_file() and path.suffix != ".pyc"]


def run(*arguments):
    """Run the command line as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "agent", *arguments], cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True
    )


def test_the_version_stands_in_one_place():
    """agent.__version__ is the version; pyproject.toml and --version read it from there."""
    project = (ROOT / "pyproject.toml").read_text()
    assert 'version = { attr = "agent.__version__" }' in project
    assert agent.__version__ in run("--version").stdout
    ours = [path for path in committed() if "tests" not in path.relative_to(ROOT).parts and path.suffix != ".md"]
    assert [path for path in ours if f'"{agent.__version__}"' in readable(path)] == [ROOT / "agent/__init__.py"]


def test_help_names_every_command():
    """`--help` names each command of this version, so that none is found by chance only."""
    text = run("--help").stdout
    commands = "run apply plan status revert bootstrap config demo".split()
    assert [name for name in commands if not re.search(rf"^ +{name}\b", text, re.MULTILINE)] == []


def test_help_of_a_command_is_quick_to_find():
    """`COMMAND --help` ends with 0 for each command that the parser knows."""
    text = run("--help").stdout
    commands = re.findall(r"^    ([a-z]+)\b", text, re.MULTILINE)
    assert commands
    assert [name for name in commands if run(name, "--help").returncode != 0] == []


def test_make_help_names_every_target():
    """Each target of the Makefile has its line in `make help`."""
    makefile = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE).group(1).split()
    done = subprocess.run(["make", "help"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    assert [name for name in targets if not re.search(rf"make {name} ", done.stdout)] == []


def test_no_file_names_a_machine():
    """No committed file names a directory or a registry of the machines that this was written
    on.
    """
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in committed()
        for match in FOREIGN.finditer(readable(path))
    ]
    assert found == []


def test_every_link_leads_somewhere_that_is_installed():
    """What README, CHANGELOG and docs/ link to is one of them: the package installs these side by
    side, and no other page.
    """
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*")]
    links = {
        (page.name, target): (page.parent / target).resolve()
        for page in pages
        if page.suffix == ".md"
        for target in re.findall(r"\]\((?![a-z]+:|#)([^)#]+)", page.read_text())
    }
    assert ("README.md", "docs/node.md") in links
    assert [link for link, path in links.items() if path not in pages] == []


def test_every_pin_satisfies_the_project():
    """packaging/requirements.txt pins each dependency of pyproject.toml."""
    project = (ROOT / "pyproject.toml").read_text()
    dependencies = re.search(r"^dependencies = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL).group(1)
    wanted = {name.lower() for name in re.findall(r'^ +"([A-Za-z-]+)', dependencies, re.MULTILINE)}
    pinned = {line.split("==")[0].lower() for line in (ROOT / "packaging/requirements.txt").read_text().splitlines()}
    assert wanted
    assert wanted - pinned == set()


def readable(path):
    """The text of a file; what is not UTF-8 in it is not looked at."""
    return path.read_bytes().decode("utf-8", "replace")
