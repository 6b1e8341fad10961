"""The drop-ins of the shell recipe: known by their text, and by nothing less."""

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
    """Whatever blanks a copy of the recipe has, its two lines mean no file."""
    assert LegacyDropin("docker.service").merge(text) is None


@pytest.mark.parametrize(
    "text", [None, b"", TEXT + b"# ours\n", TEXT * 2, TEXT.replace(b"=", b"=-"), b"[Service]\nEnvironment=A=b\n"]
)
def test_any_other_text_stays(text):
    """A drop-in that says anything else is somebody's, and an absent one stays absent."""
    assert LegacyDropin("docker.service").merge(text) == text


def test_only_units_that_get_ours_lose_the_recipes():
    """kubelet's proxy.conf stays when kubelet is not among node.units, for nothing would take its
    place.
    """
    intent = Intent(PROXY, PROXY, ())
    settings = Settings(node=Node(units=("docker.service",)))
    paths = [file.path for file in desired_files(settings, intent)]
    assert [path for path in paths if path.endswith("/proxy.conf")] == [
        "/etc/systemd/system/docker.service.d/proxy.conf"
    ]
