"""File changes that inotify reports: all that an editor or an accident makes."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from agent.edges.inotify import FileWatcher


@pytest.fixture
def watcher() -> Iterator[FileWatcher]:
    """A FileWatcher, closed after the test."""
    watcher = FileWatcher()
    yield watcher
    watcher.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file in a directory of its own."""
    path = tmp_path / "etc/file"
    path.parent.mkdir()
    path.write_text("old")
    return path


def replaced(path: Path) -> None:
    """Replace a file, as editors do."""
    (path.parent / "swap").write_text("new")
    (path.parent / "swap").rename(path)


CHANGES = {
    "written": lambda path: path.write_text("new"),
    "appended": lambda path: path.open("a").close(),
    "replaced": replaced,
    "removed": Path.unlink,
    "moved away": lambda path: path.rename(path.parent / "other"),
    "made unreadable": lambda path: path.chmod(0),
    "linked": lambda path: (path.unlink(), path.symlink_to("other")),
    "its directory removed": lambda path: (path.unlink(), path.parent.rmdir()),
    "its directory moved": lambda path: path.parent.rename(path.parent.parent / "gone"),
}


@pytest.mark.parametrize("change", list(CHANGES.values()), ids=list(CHANGES))
def test_every_kind_of_change_is_reported_once(
    watcher: FileWatcher, path: Path, change: Callable[[Path], object]
) -> None:
    """A change is reported by one call only."""
    watcher.watch([str(path)])
    assert not watcher.changed()
    change(path)
    assert watcher.changed()
    assert not watcher.changed()


def test_reads_and_other_files_are_not_reported(watcher: FileWatcher, path: Path) -> None:
    """Neither is a temporary file beside the watched one."""
    watcher.watch([str(path)])
    path.read_text()
    list(path.parent.iterdir())
    (path.parent / ".file.swp").write_text("x")
    (path.parent / ".file.swp").unlink()
    assert not watcher.changed()


def test_missing_file_is_watched_for(watcher: FileWatcher, tmp_path: Path) -> None:
    """It is watched for in the nearest directory above; the next `watch` is nearer."""
    path = tmp_path / "a/b/file"
    watcher.watch([str(path)])
    path.parent.mkdir(parents=True)
    assert watcher.changed()
    watcher.watch([str(path)])
    assert not watcher.changed()
    path.write_text("x")
    assert watcher.changed()


def test_every_file_of_a_directory_counts(watcher: FileWatcher, tmp_path: Path) -> None:
    """A path that ends in a slash is a directory whose every name counts, once it exists."""
    directory = tmp_path / "config.d"
    watcher.watch([str(directory) + "/"])
    directory.mkdir()
    assert watcher.changed()
    watcher.watch([str(directory) + "/"])
    (directory / "any.toml").write_text("x")
    assert watcher.changed()


def test_files_no_longer_watched_are_not_reported(watcher: FileWatcher, path: Path, tmp_path: Path) -> None:
    """Another list replaces the one before, also for files in the same directory."""
    watcher.watch([str(path), str(tmp_path / "x")])
    watcher.watch([str(path.parent / "other")])
    path.write_text("new")
    (tmp_path / "x").write_text("new")
    assert not watcher.changed()


def test_refused_watch_is_tried_again(path: Path) -> None:
    """Without an inotify instance (EMFILE) nothing is reported and nothing fails.

    The next `watch` tries again.
    """
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        watcher = FileWatcher()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert watcher.descriptors == ()
    assert not watcher.changed()
    watcher.watch([str(path)])
    path.write_text("new")
    assert watcher.changed()
    watcher.close()


def test_repeated_watches_leak_nothing(watcher: FileWatcher, path: Path) -> None:
    """Repeated after each cycle, the list holds each path once; no descriptor leaks."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        watcher.watch([str(path), str(path.parent) + "/"])
    assert len(os.listdir("/proc/self/fd")) == before
    information = Path(f"/proc/self/fdinfo/{watcher.descriptors[0]}").read_text()
    assert information.count("inotify wd:") == 1
