"""Files of config.d that are not read."""

import pytest

from agent.core.settings.config_d import is_settings, unread

D = "/etc/eks-proxy-agent/config.d"


def test_file_with_another_suffix_is_reported():
    """The warning has the path, the reason and the remedy."""
    assert unread(D, ["10-proxy.conf", "20-node.toml"]) == (
        f"{D}/10-proxy.conf: not read; only *.toml is read; rename it",
    )


@pytest.mark.parametrize(
    "name", ["a.yaml", "a.yml", "a.json", "a.TOML", "proxy", "a.toml.txt", "a.tml", "site.d", "toml"]
)
def test_whatever_looks_like_settings_is_reported(name):
    """An operator may believe that it is read."""
    assert len(unread(D, [name])) == 1


@pytest.mark.parametrize(
    "name",
    "a.toml .a.toml .a.toml.swp a.toml~ #a.toml# a.toml.rpmnew a.toml.rpmsave a.conf.rpmorig a.toml.bak a.conf.old "
    "a.toml.dpkg-dist a.toml.disabled 10-proxy.conf.off README README.txt .gitkeep a.toml.tmp".split(),
)
def test_copies_and_notes_are_not_reported(name):
    """Hidden files, copies of editors and packages, disabled files and notes are no surprise."""
    assert unread(D, [name]) == ()


def test_only_toml_is_read():
    """A hidden file is not read, whatever its suffix."""
    assert [name for name in ("a.toml", ".a.toml", "a.toml~", "a.conf") if is_settings(name)] == ["a.toml"]


def test_names_are_printable_and_counted():
    """Any byte may be in a name, and any number of files in the directory."""
    (warning,) = unread(D, ["a\x1b[31m\udcff.conf"])
    assert warning.isprintable()
    assert len(unread(D, [f"{number}.conf" for number in range(1000)])) == 21
