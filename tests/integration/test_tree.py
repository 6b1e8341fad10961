"""Walks in directories of other users, and paths that cannot be examined."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from agent.edges import tree
from agent.edges.files import FileSystem
from agent.errors import FileError

OTHER = 1234


@pytest.fixture
def files(tmp_path: Path) -> FileSystem:
    """A tree with a directory, a file in it, and a link to it."""
    (tmp_path / "target").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/link").symlink_to("/target")
    return FileSystem(str(tmp_path)).guarded()


@pytest.mark.parametrize(
    ("mode", "is_trusted"), [(0o755, True), (0o775, False), (0o757, False), (0o777, False), (0o1777, True)]
)
def test_a_link_in_a_directory_that_others_may_change(
    files: FileSystem, tmp_path: Path, mode: int, is_trusted: bool
) -> None:
    """With it another user could choose what root writes; a sticky directory protects the link."""
    (tmp_path / "shared").chmod(mode)
    if is_trusted:
        files.write("/target/file", b"1")
        assert files.resolve("/shared/link/file") == "/target/file"
    else:
        with pytest.raises(FileError, match=r"^/shared/link/file: cannot be resolved: link is a link of another user"):
            files.resolve("/shared/link/file")
    assert FileSystem(files.root).resolve("/shared/link/file") == "/target/file"


@pytest.mark.needs_root("chown(2)")
@pytest.mark.parametrize("owned", ["shared", "shared/link"])
def test_a_link_of_another_user(files: FileSystem, tmp_path: Path, owned: str) -> None:
    """The directory is theirs, or it is sticky and the link is theirs, as in /tmp."""
    (tmp_path / "shared").chmod(0o1777)
    assert files.resolve("/shared/link/file") == "/target/file"
    os.chown(tmp_path / owned, OTHER, 0, follow_symlinks=False)
    with pytest.raises(FileError, match="link is a link of another user"):
        files.resolve("/shared/link/file")
    assert FileSystem(files.root).resolve("/shared/link/file") == "/target/file"


def test_forty_links_are_followed(tmp_path: Path) -> None:
    """As the kernel does; one more is an error."""
    files = FileSystem(str(tmp_path))
    (tmp_path / "0").write_bytes(b"content")
    for number in range(1, 42):
        (tmp_path / str(number)).symlink_to(str(number - 1))
    assert files.read("/40") == b"content"
    with pytest.raises(FileError, match="too many levels of symbolic links"):
        files.read("/41")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ENAMETOOLONG])
@pytest.mark.parametrize("call", ["readlink", "open"])
def test_a_failure_to_look_is_not_absence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """Otherwise a link would be replaced by a file, and an existing directory created."""
    (tmp_path / "link").symlink_to("target")
    real = getattr(os, call)

    def fail(name: object, *arguments: object, **options: object) -> object:
        if name in ("link", "directory"):
            raise OSError(number, os.strerror(number))
        return real(name, *arguments, **options)

    monkeypatch.setattr(tree.os, call, fail)
    files = FileSystem(str(tmp_path))
    path = "/link" if call == "readlink" else "/directory/file"
    with pytest.raises(FileError, match=os.strerror(number)):
        files.resolve(path)
    with pytest.raises(FileError, match=os.strerror(number)):
        files.status(path)


def test_a_walk_leaves_no_descriptor(tmp_path: Path) -> None:
    """Whatever it ends in."""
    files = FileSystem(str(tmp_path))
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "a/up").symlink_to("../..")
    before = sorted(os.listdir("/proc/self/fd"))
    for path in ("/a/b/c", "/a/b/../../x/y", "/a/up/a/b", "/none/at/all"):
        files.resolve(path)
    with pytest.raises(FileError):
        files.resolve("/loop/x")
    assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("path", "missing"),
    [
        ("/a/file", []),
        ("/a/x/y/file", ["/a/x", "/a/x/y"]),
        ("/a/x/../z/file", ["/a/z"]),
        ("/x/../../file", []),
        ("/file/x/y", []),  # blocked by a file: mkdir(2) would not help
        ("/link", []),  # itself there, though its target is not
        ("/link/file", ["/gone", "/gone/x"]),
    ],
)
def test_missing_directories(tmp_path: Path, path: str, missing: list[str]) -> None:
    """The outermost first; none below something that is not a directory."""
    (tmp_path / "a").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("gone/x")
    assert FileSystem(str(tmp_path)).missing_directories(path) == missing
