"""The drop-ins of the shell recipe, recognized by their exact text."""

import pytest

from agent.core.intent.intent import Intent
from agent.core.net.proxy_url import ProxyUrl
from agent.core.plan.desired import desired_files
from agent.core.plan.files.legacy_dropin import LegacyDropin
from agent.core.settings.schema import Node, Settings

TEXT = b"[Service]\nEnvironmentFile=/etc/environment\n"
PROXY = ProxyUrl("http", "proxy.corp", 3128)


@pytest.mark.parametrize(
    "text", [TEXT, b"\n[Service]\n\n  EnvironmentFile=/etc/environment", TEXT.replace(b"\n", b"\r\n")]
)
def test_the_recipes_own_text_is_removed(text):
    """Blanks do not matter: the two lines of the recipe mean that the file is removed."""
    assert LegacyDropin("docker.service").merge(text) is None


@pytest.mark.parametrize(
    "text", [None, b"", TEXT + b"# ours\n", TEXT * 2, TEXT.replace(b"=", b"=-"), b"[Service]\nEnvironment=A=b\n"]
)
def test_any_other_text_stays(text):
    """A drop-in with any other text belongs to someone else; an absent one stays absent."""
    assert LegacyDropin("docker.service").merge(text) == text


def test_only_drop_ins_of_node_units_are_removed():
    """kubelet's proxy.conf stays if kubelet is not in node.units: nothing would replace it."""
    intent = Intent(PROXY, PROXY, ())
    settings = Settings(node=Node(units=("docker.service",)))
    paths = [file.path for file in desired_files(settings, intent)]
    assert [path for path in paths if path.endswith("/proxy.conf")] == [
        "/etc/systemd/system/docker.service.d/proxy.conf"
    ]
