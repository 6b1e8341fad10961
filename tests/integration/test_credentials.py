"""The proxy's credentials beyond node.env: in yum.conf if asked, changed, taken out again, and
refused when doubtful.
"""

import stat

import pytest

from tests.integration.bootable import Bootable
from tests.integration.command_line import PROXY, Node

PASSWORD = "hunter2@:/%#$!&'\"` \\é"
ENCODED = "hunter2%40%3A%2F%25%23%24%21%26%27%22%60%20%5C%C3%A9"
YUM = "etc/dnf/dnf.conf"
NODE_ENV = "etc/eks-proxy-agent/node.env"


@pytest.fixture
def node(tmp_path):
    """A node with credentials for its proxy, in yum.conf too."""
    node = Node(tmp_path)
    settings(node, in_yum=True)
    credentials(node, PASSWORD)
    return node


def settings(node, *, in_yum):
    """Settings with credentials."""
    line = f"credentials_in_yum = {str(in_yum).lower()}\n"
    node.settings(f'[proxy]\nurl = "{PROXY}"\ncredentials_file = "/etc/proxy.pass"\n{line}')


def credentials(node, password):
    """Write the credentials file."""
    node.write("etc/proxy.pass", (f"alice:{password}\n").encode(), 0o600)


def mode(node, name):
    """Permission bits."""
    return stat.S_IMODE((node.root / name).stat().st_mode)


def readable_by_others(node):
    """Everything that anybody may read in the tree, as one text."""
    files = [path for path in node.root.rglob("*") if path.is_file() and not path.is_symlink()]
    return b"".join(path.read_bytes() for path in files if path.stat().st_mode & 0o077).decode()


def test_yum_gets_the_credentials_only_when_asked_and_is_private_then(node):
    """dnf.conf holds them in mode 0600 while the setting says so; without it they go, and the old
    mode comes back.
    """
    assert node.main("apply").code == 0
    assert f"proxy=http://alice:{ENCODED}@proxy.corp:3128\n" in node.read(YUM)
    assert mode(node, YUM) == 0o600
    settings(node, in_yum=False)
    assert node.main("apply").code == 0
    assert f"proxy={PROXY}\n" in node.read(YUM)
    assert mode(node, YUM) == 0o644
    assert "hunter2" not in readable_by_others(node)


def test_plan_says_what_becomes_of_yum_and_shows_no_password(node):
    """Either way a person is told: that others cannot use dnf any more, or that dnf has no
    credentials.
    """
    done = node.main("plan")
    assert "yum.conf holds the credentials and has mode 0600: dnf ignores it without a word for other users" in done.err
    assert "+proxy=http://***@proxy.corp:3128" in done.out
    as_json = node.main("plan", "--json")
    settings(node, in_yum=False)
    without = node.main("plan")
    assert (
        "yum.conf gets the proxy without its credentials; proxy.credentials_in_yum = true puts them there"
        in without.err
    )
    assert "hunter2" not in done.both + as_json.both + without.both


def test_revert_takes_them_out_and_gives_the_mode_back(node):
    """After revert dnf.conf is what it was, content and mode, and nothing of the password is left
    but its own file.
    """
    before = node.tree()
    assert node.main("apply").code == 0
    assert node.main("revert").code == 0
    assert node.tree() == before


def test_a_changed_password_is_taken_up_by_the_next_pass(node):
    """The old one is gone from the whole tree, our own memory included."""
    assert node.main("apply").code == 0
    credentials(node, "correct horse")
    assert node.main("apply").code == 0
    for name in (NODE_ENV, YUM):
        assert "alice:correct%20horse@" in node.read(name)
        assert mode(node, name) == 0o600
    holding = [path for path in node.root.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert holding == []


def test_a_doubtful_file_later_on_leaves_the_last_good_values(node):
    """A credentials file that somebody opened for all is refused at the next pass, and docker keeps
    what it had.
    """
    assert node.main("apply").code == 0
    before = node.read(NODE_ENV), node.read(YUM)
    (node.root / "etc/proxy.pass").chmod(0o644)
    done = node.main("apply")
    assert done.code == 1
    assert "has to be root's, with mode 0600" in done.err
    assert (node.read(NODE_ENV), node.read(YUM)) == before


@pytest.mark.parametrize(
    "text", ["alice:a\tb", "alice:a\x00b", "alice:a\x7fb", "alice:a\x1b[0mb", "\nalice:b", "alice:a\n\n"]
)
def test_control_characters_and_further_lines_are_refused(node, text):
    """What would be another line or an escape in some file is refused without repeating it."""
    node.write("etc/proxy.pass", text.encode(), 0o600)
    before = node.tree()
    done = node.main("apply")
    assert done.code == 1
    assert "write USER:PASSWORD on one line" in done.err
    assert "alice" not in done.both
    assert node.tree() == before


USER_DATA = """Content-Type: application/x-eks-proxy-agent

[bootstrap]
enabled = true
[signal]
stack = "my-stack"
resource = "NodeGroup"
"""


def test_a_stack_that_user_data_names_hears_of_a_doubtful_credentials_file(tmp_path):
    """The stack, its region and the proxy are known all the same: CloudFormation is told at once,
    and waits for nothing.
    """
    node = Bootable(tmp_path)
    node.configure("")
    node.be(user_data=USER_DATA)
    (node.root / "etc/proxy.pass").chmod(0o644)
    assert node.bootstrap(if_enabled=True) == 1
    assert node.ran == []
    (signal,) = node.signals
    assert signal.argv == "--exit-code 1 --stack my-stack --resource NodeGroup --region eu-central-1".split()
    assert signal.environment["HTTPS_PROXY"] == PROXY


def test_the_bootstrap_unit_that_is_off_does_not_fail_for_credentials(tmp_path):
    """Only what has to bootstrap fails: the daemon tells what is wrong."""
    node = Bootable(tmp_path)
    (node.root / "etc/proxy.pass").chmod(0o644)
    assert node.bootstrap(if_enabled=True) == 0
    assert (node.ran, node.signals) == ([], [])
