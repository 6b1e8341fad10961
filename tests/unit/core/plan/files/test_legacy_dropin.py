"""The drop-ins of the shell recipes, recognized by their exact text."""

import pytest

from agent.core.intent.intent import Intent
from agent.core.net.proxy_url import ProxyUrl
from agent.core.plan.desired import clean_files, desired_files
from agent.core.plan.files.legacy_dropin import LegacyDropin, legacy_dropins
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
    settings = Settings(node=Node(units=("docker.service", "sshd.service")))
    paths = [file.path for file in desired_files(settings, intent) if isinstance(file, LegacyDropin)]
    assert paths == [
        "/etc/systemd/system/docker.service.d/proxy.conf",
        "/etc/systemd/system/docker.service.d/http-proxy.conf",
    ]


@pytest.mark.parametrize("unit", ["docker.service", "kubelet.service", "containerd.service", "sandbox-image.service"])
def test_both_recipes_are_cleared_away(unit):
    """The recipe of docker says proxy.conf, the one of containerd http-proxy.conf."""
    files = legacy_dropins(unit)
    assert [file.path.rpartition("/")[2] for file in files] == ["proxy.conf", "http-proxy.conf"]
    assert [file.merge(TEXT) for file in files] == [None, None]
    assert "http-proxy.conf of the shell recipe is removed; zz-eks-proxy.conf" in files[1].note(TEXT)
    assert set(files) <= set(clean_files(Settings(), None, baked=False))
