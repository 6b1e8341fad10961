"""The proxy's credentials: in yum.conf on request, changed, removed, and refused if unsafe."""

import os
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
    """Return a node with credentials for its proxy, in yum.conf too."""
    node = Node(tmp_path)
    settings(node, in_yum=True)
    credentials(node, PASSWORD)
    return node


def settings(node, *, in_yum):
    """Write settings with credentials."""
    line = f"credentials_in_yum = {str(in_yum).lower()}\n"
    node.settings(f'[proxy]\nurl = "{PROXY}"\ncredentials_file = "/etc/proxy.pass"\n{line}')


def credentials(node, password):
    """Write the credentials file."""
    node.write("etc/proxy.pass", (f"alice:{password}\n").encode(), 0o600)


def mode(node, name):
    """Return the permission bits of a file."""
    return stat.S_IMODE((node.root / name).stat().st_mode)


def readable_by_others(node):
    """Return the contents of all files that other users can read, as one text."""
    files = [path for path in node.root.rglob("*") if path.is_file() and not path.is_symlink()]
    return b"".join(path.read_bytes() for path in files if path.stat().st_mode & 0o077).decode()


def test_credentials_in_yum_conf_make_it_private(node):
    """dnf.conf has credentials and mode 0600 with the setting, and neither without it."""
    assert node.main("apply").code == 0
    assert f"proxy=http://alice:{ENCODED}@proxy.corp:3128\n" in node.read(YUM)
    assert mode(node, YUM) == 0o600
    settings(node, in_yum=False)
    assert node.main("apply").code == 0
    assert f"proxy={PROXY}\n" in node.read(YUM)
    assert mode(node, YUM) == 0o644
    assert "hunter2" not in readable_by_others(node)


def test_plan_explains_the_effect_on_yum_and_shows_no_password(node):
    """A note says that dnf of other users ignores the file, or that dnf has no credentials."""
    done = node.main("plan")
    assert "yum.conf: has the proxy's credentials and mode 0600; dnf silently ignores it for other users" in done.err
    assert "+proxy=http://***@proxy.corp:3128" in done.out
    as_json = node.main("plan", "--json")
    settings(node, in_yum=False)
    without = node.main("plan")
    assert "yum.conf: has the proxy without its credentials; to add them and set mode 0600, set " in without.err
    assert "hunter2" not in done.both + as_json.both + without.both


def test_revert_removes_credentials_and_restores_the_mode(node):
    """After revert dnf.conf has its old content and mode, and no other file has the password."""
    before = node.tree()
    assert node.main("apply").code == 0
    assert node.main("revert").code == 0
    assert node.tree() == before


def test_the_next_reconcile_applies_a_changed_password(node):
    """No file in the tree has the old one, not even the agent's own state."""
    assert node.main("apply").code == 0
    credentials(node, "correct horse")
    assert node.main("apply").code == 0
    for name in (NODE_ENV, YUM):
        assert "alice:correct%20horse@" in node.read(name)
        assert mode(node, name) == 0o600
    outdated = [path for path in node.root.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert outdated == []


def test_an_unsafe_credentials_file_leaves_the_last_good_values(node):
    """A credentials file that others can now read is refused, and docker keeps its values."""
    assert node.main("apply").code == 0
    before = node.read(NODE_ENV), node.read(YUM)
    (node.root / "etc/proxy.pass").chmod(0o644)
    done = node.main("apply")
    assert done.code == 1
    assert "must be owned by root and have mode 0600" in done.err
    assert (node.read(NODE_ENV), node.read(YUM)) == before


@pytest.mark.needs_root("chown(2)")
@pytest.mark.parametrize(("uid", "code"), [(0, 0), (1234, 1)])
def test_a_credentials_file_of_another_user_is_refused(node, uid, code):
    """Mode 0600 does not help if its owner is not root: the owner could choose the credentials."""
    os.chown(node.root / "etc/proxy.pass", uid, 0)
    done = node.main("apply")
    assert done.code == code
    assert ("must be owned by root and have mode 0600" in done.err) == (code == 1)


@pytest.mark.parametrize(
    "text", ["alice:a\tb", "alice:a\x00b", "alice:a\x7fb", "alice:a\x1b[0mb", "\nalice:b", "alice:a\n\n"]
)
def test_control_characters_and_further_lines_are_refused(node, text):
    """Text that would be another line or an escape sequence is refused, and not repeated."""
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


def test_an_unsafe_credentials_file_is_signalled_to_the_stack(tmp_path):
    """Stack, region and proxy are known without it: CloudFormation gets the failure immediately."""
    node = Bootable(tmp_path)
    node.configure("")
    node.be(user_data=USER_DATA)
    (node.root / "etc/proxy.pass").chmod(0o644)
    assert node.bootstrap(if_enabled=True) == 1
    assert node.ran == []
    (signal,) = node.signals
    assert signal.argv == "--exit-code 1 --stack my-stack --resource NodeGroup --region eu-central-1".split()
    assert signal.environment["HTTPS_PROXY"] == PROXY


def test_a_disabled_bootstrap_unit_ignores_the_credentials_file(tmp_path):
    """Only an enabled bootstrap fails; the daemon reports the error."""
    node = Bootable(tmp_path)
    node.configure("")
    (node.root / "etc/proxy.pass").chmod(0o644)
    assert node.bootstrap(if_enabled=True) == 0
    assert (node.ran, node.signals) == ([], [])
