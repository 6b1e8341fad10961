"""The project's files agree with each other, and follow the rules for what may be committed."""

import ast
import collections
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import agent

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.allows("subprocess")

# Directories and hosts of the machines that this was written on; in pieces, so that this file
# contains none of them.
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

# Phrases that codespell cannot find, as it reads single words; with what to write instead.
PHRASES = {
    r"(?<!there )\bis no\b(?! longer| more)": "is not a",
    r"\ball the same\b": "anyway, or nothing",
    r"\bthe way out\b": "hint, remedy or route",
    r"\bwhen it suits you\b": "at a convenient time",
    r"\bas it was before us\b": "the original content",
}
# Begins of docstrings without a verb.
HEADLESS = ("How", "What", "When", "Where", "Whether", "Which", "Who", "Whose", "Why")


def committed():
    """Return the files that git knows; without git or its data, those of our directories."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    git = shutil.which("git")
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) if git else None
    if done is not None and done.returncode == 0:
        names = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    else:
        directories = ("agent", "bench", "packaging", "systemd", "tests")
        names = [*ROOT.glob("*"), *(path for directory in directories for path in (ROOT / directory).rglob("*"))]
    return [path for path in names if path.is_file() and path.suffix != ".pyc"]


def run(*arguments):
    """Run the command line as a process."""
    return subprocess.run(
        [sys.executable, "-m", "agent", *arguments], cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True
    )


def test_no_test_of_the_texts_requires_git(monkeypatch):
    """A copy of the tree on a machine without git has the same sources."""
    monkeypatch.setenv("PATH", "/nonexistent")
    assert {ROOT / "README.md", ROOT / "agent/cli.py", ROOT / "tests/unit/test_project.py"} <= set(committed())


def test_the_version_is_in_one_place():
    """pyproject.toml and --version read the version from agent.__version__."""
    project = (ROOT / "pyproject.toml").read_text()
    assert 'version = { attr = "agent.__version__" }' in project
    assert agent.__version__ in run("--version").stdout
    ours = [path for path in committed() if "tests" not in path.relative_to(ROOT).parts and path.suffix != ".md"]
    assert [path for path in ours if f'"{agent.__version__}"' in readable(path)] == [ROOT / "agent/__init__.py"]


def test_help_names_every_command():
    """`--help` names each command of this version."""
    text = run("--help").stdout
    commands = "run apply plan status revert bootstrap config demo help version".split()
    assert [name for name in commands if not re.search(rf"^ +{name}\b", text, re.MULTILINE)] == []


def test_every_command_has_help():
    """`COMMAND --help` exits with 0 for each command in `--help`."""
    text = run("--help").stdout
    commands = re.findall(r"^    ([a-z-]+)\b", text, re.MULTILINE)
    assert commands
    assert [name for name in commands if run(name, "--help").returncode != 0] == []


def test_make_help_names_every_target():
    """Each target of the Makefile has a line in `make help`."""
    makefile = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE).group(1).split()
    done = subprocess.run(["make", "help"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    assert [name for name in targets if not re.search(rf"make {name} ", done.stdout)] == []


def test_no_file_names_a_machine():
    """No committed file names a directory or a registry of the machines of its authors."""
    matches = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in committed()
        for match in FOREIGN.finditer(readable(path))
    ]
    assert matches == []


def test_the_help_names_the_directory_of_the_documentation():
    """`--help` names the directory into which rpm.spec installs the documentation."""
    assert "install -m 0644 docs/*.* %{buildroot}%{_docdir}/%{name}/docs" in (ROOT / "rpm.spec").read_text()
    assert run("status", "--help").stdout.endswith(" /usr/share/doc/eks-proxy-agent/\n")


# --- links


def pages():
    """Return the Markdown files."""
    return [path for path in committed() if path.suffix == ".md"]


def prose(path):
    """Return a page without its code."""
    return re.sub(r"(?ms)^```.*?^```$|`[^`\n]*`", "", path.read_text())


def links(path):
    """Return file and anchor of each relative link of a page."""
    targets = re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", prose(path))
    parts = [target.partition("#") for target in targets]
    return [((path.parent / name).resolve() if name else path, anchor) for name, _, anchor in parts]


def anchors(path):
    """Return the anchors of a page's headings, by the rule of GitHub."""
    text, slugs = re.sub(r"(?ms)^```.*?^```$", "", path.read_text()), collections.Counter()
    for heading in re.findall(r"(?m)^#{1,6} +(.+?) *$", text):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w -]", "", shown.lower()).replace(" ", "-")
        yield f"{slug}-{slugs[slug]}" if slugs[slug] else slug
        slugs[slug] += 1


def test_the_threat_model_names_tests_that_exist():
    """Each row has at least one test."""
    page = (ROOT / "docs/threat-model.md").read_text().partition("## Not defended")[0]
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith(("| attack", "|---"))]
    assert [row for row in rows if not re.search("`test_[a-z0-9_]+` |`test_[a-z0-9_]+`,", row)] == []
    tests = "".join(path.read_text() for path in committed() if path.suffix == ".py")
    named = set(re.findall("`(test_[a-z0-9_]+)`", page))
    assert {name for name in named if f"def {name}(" not in tests} == set()


def test_every_link_leads_to_a_file_and_a_heading():
    """Each relative link of a page leads to a file, and its anchor to a heading there."""
    assert (ROOT / "docs/node.md", "what-is-written") in links(ROOT / "README.md")
    broken = [
        f"{page.relative_to(ROOT)}: {path.name}#{anchor}"
        for page in pages()
        for path, anchor in links(page)
        if not path.exists() or (anchor and anchor not in anchors(path))
    ]
    assert broken == []


def test_installed_pages_link_to_installed_pages_only():
    """README, CHANGELOG and docs/ link to each other only: the package installs no other page."""
    docs = [*(ROOT / "docs").glob("*.*"), *(ROOT / "docs/reference").glob("*.*")]
    installed = [ROOT / "README.md", ROOT / "CHANGELOG.md", *docs]
    targets = [(page.name, path) for page in installed if page.suffix == ".md" for path, _ in links(page)]
    assert ("events.md", ROOT / "docs/architecture.md") in targets
    assert ("README.md", ROOT / "docs/node.md") in targets
    assert [(name, str(path)) for name, path in targets if path not in installed] == []


@pytest.mark.parametrize(
    ("headings", "expected"),
    [
        ("# The `check` command, and more!", ["the-check-command-and-more"]),
        ("## A_b-c\n## [Text](page.md)", ["a_b-c", "text"]),
        ("# Twice\n# Twice", ["twice", "twice-1"]),
        ("```\n# comment\n```\n# `--json`, schema 1", ["--json-schema-1"]),
    ],
)
def test_anchors_follow_the_rule_of_github(tmp_path, headings, expected):
    """An anchor is the heading in lower case, without punctuation, with hyphens for blanks."""
    page = tmp_path / "page.md"
    page.write_text(headings)
    assert list(anchors(page)) == expected


# --- language


def phrases(text):
    """Yield the phrases to be avoided in a text, also over the end of a line."""
    joined = re.sub(r"\s+(?:#:? +)?", " ", text)
    for pattern, instead in PHRASES.items():
        for match in re.finditer(pattern, joined, re.IGNORECASE):
            around = joined[max(match.start() - 30, 0) : match.end() + 30]
            yield f"...{around}... (write: {instead})"


def test_phrases_to_avoid():
    """No file has one of the phrases; older versions wrote those of golden_state."""
    old = ROOT / "tests/integration/golden_state"
    files = [path for path in committed() if path not in (Path(__file__), ROOT / "LICENSE") and old not in path.parents]
    assert [f"{path.relative_to(ROOT)}: {phrase}" for path in files for phrase in phrases(readable(path))] == []


@pytest.mark.parametrize(
    ("text", "is_avoided"),
    [
        ("x is no\n    # host name", True),
        ("There is no such file", False),
        ("it is no longer needed", False),
        ("docker starts all\nthe same", True),
    ],
)
def test_a_phrase_is_found(text, is_avoided):
    """A phrase is found over the end of a line; correct uses of its words are not."""
    assert bool(list(phrases(text))) == is_avoided


def test_docstrings_have_a_verb_or_a_noun():
    """No docstring of the program begins with What, Whether, Who and the like."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    headless = [
        f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"
        for directory in ("agent", "bench", "packaging")
        for path in sorted((ROOT / directory).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(), str(path)))
        if isinstance(node, documented) and (ast.get_docstring(node) or "-").split()[0] in HEADLESS
    ]
    assert headless == []


def test_the_words_to_avoid_are_sorted():
    """packaging/words.txt is in the format of codespell, sorted, without duplicates."""
    lines = (ROOT / "packaging/words.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[a-z]+->[a-z ,]+", line)] == []
    assert lines == sorted(set(lines))


# --- libraries


def test_every_pin_satisfies_the_project():
    """Each dependency of pyproject.toml is pinned in packaging/requirements.txt."""
    project = (ROOT / "pyproject.toml").read_text()
    dependencies = re.search(r"^dependencies = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL).group(1)
    required = {name.lower() for name in re.findall(r'^ +"([A-Za-z-]+)', dependencies, re.MULTILINE)}
    pinned = {line.split("==")[0].lower() for line in (ROOT / "packaging/requirements.txt").read_text().splitlines()}
    assert required
    assert required - pinned == set()


def readable(path):
    """Return the text of a file; invalid UTF-8 is replaced."""
    return path.read_bytes().decode("utf-8", "replace")
