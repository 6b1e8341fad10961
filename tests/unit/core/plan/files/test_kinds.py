"""What the baseline calls the files: how they are taken back is known by that name alone."""

import pytest

from agent.core.plan import desired
from agent.core.plan.files.kinds import KINDS, kind_of
from agent.core.plan.files.managed_file import ManagedFile


def subclasses(file):
    """All classes of files that are derived from this one."""
    return [
        one
        for child in file.__subclasses__()
        if child.__module__.startswith("agent.")
        for one in [child, *subclasses(child)]
    ]


@pytest.mark.parametrize("file", subclasses(ManagedFile), ids=lambda file: file.__name__)
def test_a_record_is_taken_back_as_its_file_would_be(file):
    """The class that KINDS has for the kind restores alike, and has the same effect."""
    assert desired, "all classes are imported"
    known = KINDS[file.kind]
    alike = ("restore", "effect", "own_lines", "may_be_private")
    assert [getattr(known, name) for name in alike] == [getattr(file, name) for name in alike]


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
def test_a_whole_file_of_version_0_1_0_is_known_by_its_path(path, kind):
    """So that systemd and the trust store are told when it is taken back."""
    assert kind_of("whole", path) == kind


def test_a_kind_keeps_its_name():
    """They are on disk; one that is unknown cannot be taken back."""
    assert set(KINDS) == {"whole", "environment", "yum", "drop-in", "ca"}
    assert [kind_of(name, "/etc/file") for name in KINDS] == list(KINDS)
    with pytest.raises(ValueError, match="other"):
        kind_of("other", "/etc/file")
