"""The kinds of files in the baseline, which select the class that restores a file."""

import pytest

from agent.core.plan import desired
from agent.core.plan.files.kinds import KINDS, kind_of
from agent.core.plan.files.managed_file import ManagedFile


def subclasses(file):
    """All classes of files that are derived from this one."""
    return [
        subclass
        for child in file.__subclasses__()
        if child.__module__.startswith("agent.")
        for subclass in [child, *subclasses(child)]
    ]


@pytest.mark.parametrize("file", subclasses(ManagedFile), ids=lambda file: file.__name__)
def test_the_class_of_a_kind_restores_like_the_file(file):
    """The class that KINDS has for the kind restores the same way and has the same effect."""
    assert desired, "all classes are imported"
    registered = KINDS[file.kind]
    names = ("restore", "effect", "own_lines", "may_be_private")
    assert [getattr(registered, name) for name in names] == [getattr(file, name) for name in names]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/etc/systemd/system/docker.service.d/90-eks-proxy.conf", "drop-in"),
        ("/etc/systemd/system/docker.service.d/91-eks-proxy-closed.conf", "drop-in"),
        ("/etc/systemd/system/kubelet.service.d/proxy.conf", "drop-in"),
        ("/etc/pki/ca-trust/source/anchors/eks-proxy-agent.pem", "ca"),
        ("/usr/local/share/ca-certificates/eks-proxy-agent.crt", "ca"),
        ("/etc/eks-proxy-agent/node.env", "whole"),
    ],
)
def test_a_whole_file_of_version_0_1_0_is_recognized_by_its_path(path, kind):
    """So its revert reloads systemd or rebuilds the trust store."""
    assert kind_of("whole", path) == kind


def test_a_kind_keeps_its_name():
    """The names are on disk; a file of an unknown kind cannot be restored."""
    assert set(KINDS) == {"whole", "environment", "yum", "drop-in", "ca"}
    assert [kind_of(name, "/etc/file") for name in KINDS] == list(KINDS)
    with pytest.raises(ValueError, match="other"):
        kind_of("other", "/etc/file")
