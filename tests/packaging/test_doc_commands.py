"""Commands in README.md and docs/: each block runs here, or names the test that covers it."""

import re
import shlex

import pytest

from tests.integration.command_line import REPOSITORY, Node

PAGES = [
    REPOSITORY / "README.md",
    *(page for name in ("docs", "docs/reference") for page in sorted((REPOSITORY / name).glob("*.md"))),
]
PROXY = "http://proxy.example.com:3128"

#: Blocks that run on a scratch tree: page and begin of the first command → exit code.
RUN = {
    ("README.md", "eks-proxy-agent status"): 0,
    ("README.md", "eks-proxy-agent check"): 0,
    ("check.md", "eks-proxy-agent check"): 0,
    ("explain.md", "eks-proxy-agent explain https:"): 0,
    ("explain.md", "eks-proxy-agent explain --matrix"): 0,
    ("explain.md", "eks-proxy-agent explain --lint"): 3,
    ("settings.md", "eks-proxy-agent config check"): 78,
}
#: Blocks that do not run here → the reason, and the test that covers them.
COVERED = {
    ("README.md", "make demo"): ("fetches Python packages; runs all tests", "tests/integration/test_demo.py"),
    ("README.md", "eks-proxy-agent plan"): ("is a part of the demo", "tests/integration/test_demo.py"),
    ("node.md", "eks-proxy-agent apply"): ("is a part of the demo", "tests/integration/test_demo.py"),
    ("node.md", "eks-proxy-agent revert"): ("is a part of the demo", "tests/integration/test_demo.py"),
    ("install.md", "rpm -e"): ("needs systemd", "tests/boot/test_boot_rpm.py"),
    ("install.md", "eks-proxy-agent apply --restart"): ("needs systemd", "tests/boot/test_boot_late_start.py"),
    ("migration.md", "eks-proxy-agent apply"): ("needs a tree of the recipe", "tests/packaging/test_migration.py"),
    ("user-data.md", "eks-proxy-agent user-data render --for karpenter"): (
        "has the operator's settings",
        "tests/integration/test_user_data_command.py",
    ),
    ("user-data.md", "eks-proxy-agent user-data render --for managed-node-group"): (
        "needs the package",
        "tests/integration/test_user_data_command.py",
    ),
    ("user-data.md", "eks-proxy-agent user-data check"): (
        "needs a file",
        "tests/integration/test_user_data_command.py",
    ),
    ("node.md", "sed -i"): ("needs the daemon and a journal", "tests/boot/test_boot_watch.py"),
    ("node.md", "systemctl status"): ("needs systemd", "tests/boot/test_boot_watch.py"),
    ("credentials.md", "install -d"): ("needs systemd", "tests/boot/test_boot_credentials.py"),
    ("credentials.md", "eks-proxy-agent status"): ("needs a degraded node", "tests/boot/test_boot_credentials.py"),
    ("report.md", "eks-proxy-agent report"): ("writes a file", "tests/integration/test_report.py"),
    ("report.md", "tar "): ("needs a report", "tests/integration/test_report.py"),
    ("status.md", "systemctl edit"): ("needs systemd", "tests/boot/test_boot_status.py"),
    ("cluster.md", "eks-proxy-agent cluster plan"): ("needs a cluster", "tests/cluster/test_cluster_apply.py"),
    ("cluster.md", "kubectl delete"): ("needs Kubernetes 1.36", "tests/unit/core/cluster/test_policy.py"),
    ("cluster.md", "eks-proxy-agent cluster verify"): ("needs a cluster", "tests/cluster/test_cluster_verify.py"),
    ("cluster.md", "eks-proxy-agent cluster render"): ("needs a cluster", "tests/cluster/test_cluster_render.py"),
    ("explain.md", "eks-proxy-agent explain --pod"): ("needs a cluster", "tests/integration/test_explain_pod.py"),
}

#: The settings of the examples, and those with the errors that settings.md shows.
SETTINGS = f"""\
[proxy]
url = "{PROXY}"
no_proxy = [".corp.example.com"]
[aws]
direct = ["ec2", "ecr", "s3"]
"""
WRONG = """\
[proxy]
url = "proxy:3128"
noproxy = ["a.corp"]

[node]
yum = "yes"
"""


def blocks(page):
    """Return language and text of each fenced block."""
    return re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", page.read_text())


def split(text):
    """Return the first command of a block, without prompt, and what follows; without one, None."""
    match = re.search(r"(?m)^(?:\$ |# (?=[a-z])|(?=make ))((?:.*\\\n)*.*)\n", text)
    return match and (match.group(1).replace("\\\n", ""), text[match.end() :])


def command_blocks():
    """Return page name, first command and the rest of each block with commands."""
    texts = [(page.name, text) for page in PAGES for language, text in blocks(page) if language != "toml"]
    return [(page, *split(text)) for page, text in texts if split(text)]


def homes(page, command):
    """Return the entries of both tables that fit a block."""
    return [home for home in [*RUN, *COVERED] if home[0] == page and command.startswith(home[1])]


def test_every_block_runs_or_is_covered():
    """Each block has one entry in RUN or COVERED, each entry has one block, each test exists."""
    entries = [homes(page, command) for page, command, _ in command_blocks()]
    assert [block[:2] for block, home in zip(command_blocks(), entries) if len(home) != 1] == []
    assert sorted(home for (home,) in entries) == sorted([*RUN, *COVERED])
    assert [path for _, path in COVERED.values() if not (REPOSITORY / path).exists()] == []


def names(text):
    """Return the first column of `status`, or the groups of `check`, without repetitions."""
    column = r"(?m)^(?:(?:ok|warn|fail|skip) +)?(\S+(?: \S+)*?) {2,}\S"
    return list(dict.fromkeys(re.findall(column, text)))


def pattern(text):
    """Return a regular expression for output that is shortened by `...`."""
    lines = ["(?:.*\n)*" if line == "..." else re.escape(line) + "\n" for line in text.splitlines()]
    return "".join(lines).replace(re.escape("..."), ".*")


@pytest.mark.parametrize("home", RUN, ids=" ".join)
def test_a_block_is_what_the_command_prints(tmp_path, home):
    """The command of a block prints the block; of `status` and `check`, the names of its lines."""
    ((command, shown),) = [block[1:] for block in command_blocks() if home in homes(*block[:2])]
    node = Node(tmp_path)
    node.settings(SETTINGS)
    node.main("apply")
    if RUN[home] == 78:
        node.settings(WRONG)
    _, name, *flags = shlex.split(command)
    name = f"config {flags.pop(0)}" if name == "config" else name
    done = node.main(name, *flags, facts=name != "explain")
    assert done.code == RUN[home]
    if name in ("status", "check"):
        printed = [line for line in names(done.out) if line in names(shown)]
        assert printed == [line for line in names(shown) if line in printed]
        assert len(printed) >= 4
    else:
        outputs = (done.err + done.out, done.out)  # a page may leave out notes
        assert [text for text in outputs if re.fullmatch(pattern(shown), text)], done.both


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_in_a_page_are_valid(tmp_path, page):
    """`config check` accepts each block of settings."""
    node = Node(tmp_path)
    for text in [text for language, text in blocks(page) if language == "toml"]:
        node.settings(text)
        done = node.main("config check")
        assert (done.code, done.out) == (0, "the settings are valid\n")
        assert re.sub("note: proxy.credentials_command: not run .*\n", "", done.err) == ""
