"""RPMs built from this source, and temporary roots for installing, upgrading and erasing them."""

import atexit
import functools
import hashlib
import os
import platform
import re
import shutil
import stat
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.boot.harness import root as roots

REPOSITORY = Path(__file__).resolve().parents[2]
#: The Python of the boot tests' root, and of Debian 12.
GUEST_PYTHON = roots.GUEST_PYTHON
#: The sources of a package, as in packaging/rpm.sh, and the other files for building one.
INPUTS = "agent docs packaging systemd rpm.spec LICENSE README.md CHANGELOG.md".split()
TOOLS = ["Makefile", "pyproject.toml"]
DATABASE = "var/lib/rpm"
#: Directories of the package `filesystem` of Amazon Linux and EL, which our Debian root does not
#: have.
FILESYSTEM = (
    "usr/share/man/man5 usr/share/man/man8 usr/share/licenses usr/share/doc "
    "usr/share/bash-completion/completions usr/lib/systemd/system-preset var/lib/rpm"
).split()
FACTS = '{"instance_id": "i-0123456789abcdef0", "region": "eu-central-1", "vpc_cidrs_v4": ["10.42.0.0/16"]}'


def make(dist, source=REPOSITORY, check=True, **environment):
    """Run `make rpm` in a source tree; it writes the package to the directory `dist`."""
    done = subprocess.run(
        ["make", "rpm", f"DIST={dist}"],
        cwd=source,
        env=dict(os.environ, **{"PYTHON": GUEST_PYTHON, **environment}),
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if check and done.returncode:
        raise AssertionError(f"make rpm: exit code {done.returncode}\n{done.stdout}")
    return done


@functools.cache
def scratch():
    """Return a directory that is removed at the end of this process."""
    directory = Path(tempfile.mkdtemp(prefix="eks-proxy-agent-rpms-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


@functools.cache
def built(python=GUEST_PYTHON):
    """Return the package for a Python, built once a test session."""
    dist = scratch() / python.replace("/", "_")
    make(dist, PYTHON=python)
    return next(dist.glob("*.rpm"))


@functools.cache
def next_version():
    """Return the package of a later version: other default settings, a new entry of NO_PROXY."""
    source = copy_source(scratch() / "next" / "source")
    init, settings = source / "agent/__init__.py", source / "packaging/config.toml"
    init.write_text(init.read_text().replace('__version__ = "', '__version__ = "99.'))
    settings.write_text(settings.read_text() + "\n# Something new.\n")
    entries = source / "agent/core/noproxy/entries.py"
    first = '    ("localhost", "loopback"),\n'
    assert first in entries.read_text()
    entries.write_text(entries.read_text().replace(first, f'{first}    ("new.example.test", "internal"),\n'))
    make(scratch() / "next" / "dist", source)
    return next((scratch() / "next" / "dist").glob("*.rpm"))


def copy_source(directory):
    """Copy the sources of a package without git, as from a tarball."""
    directory.mkdir(parents=True)
    for name in INPUTS + TOOLS:
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, directory / name, copy_function=shutil.copy)
        else:
            shutil.copy(REPOSITORY / name, directory)
    (directory / ".venv").symlink_to(REPOSITORY / ".venv")  # for its pip, if the target Python has none
    return directory


@functools.cache
def epoch():
    """Return the time of the newest commit of the sources, as packaging/rpm.sh determines it."""
    command = ["git", "log", "-1", "--format=%ct", "--", *INPUTS]
    return subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.strip()


def wheels(directory):
    """Copy the libraries that packaging/rpm.sh fetched for Debian's Python to a directory."""
    built()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = os.path.basename(os.path.realpath(GUEST_PYTHON)).replace("python", "")
    return shutil.copytree(cache / "eks-proxy-agent/wheels" / f"{version}-{platform.machine()}", directory)


def query(package, *arguments):
    """Return the output lines of `rpm -qp`."""
    command = ["rpm", "-qp", *arguments, str(package)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def unpack(package, directory):
    """Unpack the package's files to a directory, without rpm and its scriptlets."""
    directory.mkdir(parents=True)
    archive = subprocess.run(["rpm2cpio", str(package)], check=True, capture_output=True).stdout
    subprocess.run(["cpio", "-idm", "--quiet"], cwd=directory, input=archive, check=True)
    return directory


# --- roots
# -------------------------------------------------------------------------------------------------


class Root:
    """Debian root with an rpm database, which has Debian's files as dependencies for RPMs."""

    def __init__(self, path):
        self.path = path

    def rpm(self, *arguments, check=True):
        """Run rpm on this root with its scriptlets inside, and return its output."""
        command = ["rpm", f"--root={self.path}", "--dbpath", f"/{DATABASE}", "--force-debian", *map(str, arguments)]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}")
        return done.stdout

    def run(self, *command, check=True, cwd="/", **environment):
        """Run a command inside with only these variables, and return its output."""
        inside = ["chroot", self.path, "/usr/bin/env", "-i", "-C", cwd, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        inside += [f"{key}={value}" for key, value in environment.items()]
        done = subprocess.run(
            [*map(str, inside), *command], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}")
        return done.stdout

    def write(self, name, text):
        """Write a file below the root."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def contents(self):
        """Return the mode and content of every path outside rpm's own database.

        The content is the target of a link, the hash of a file below etc, or the size of another.
        """
        entries = {}
        for directory, directories, files in os.walk(self.path):
            for name in [*directories, *files]:
                path = os.path.join(directory, name)
                status = os.lstat(path)
                content = os.readlink(path) if stat.S_ISLNK(status.st_mode) else ""
                name = os.path.relpath(path, self.path)
                if stat.S_ISREG(status.st_mode):
                    content = _hash(path) if name.startswith("etc/") else f"{status.st_size} bytes"
                entries[name] = (stat.filemode(status.st_mode), content)
        return {path: entry for path, entry in entries.items() if not path.startswith(DATABASE)}


def _hash(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@contextmanager
def root():
    """Make a temporary root: an overlay on that of the boot tests."""
    base = roots.base()
    _clear_dead()
    directory = Path(f"/var/tmp/eks-proxy-agent-rpm-{os.getpid()}")
    directory.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=1g", "tmpfs", directory], check=True)
        upper, work, merged = (directory / part for part in ("upper", "work", "root"))
        for part in (upper, work, merged):
            part.mkdir()
        options = f"lowerdir={base},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", merged], check=True)
        yield enrol(merged)
    finally:
        _remove(directory)


def enrol(path):
    """Add an rpm database to a Debian root, with Debian's files as one package."""
    for name in FILESYSTEM:
        (path / name).mkdir(parents=True, exist_ok=True)
    root = Root(path)
    root.rpm("-i", "--justdb", system_package())
    return root


def copy_rpm(path):
    """Copy this machine's rpm to a root of the same Debian, for use from inside."""
    libraries = subprocess.run(["ldd", "/usr/bin/rpm"], check=True, capture_output=True, text=True).stdout
    for name in ["/usr/bin/rpm", *re.findall(r"(/\S+) \(0x", libraries)]:
        if not (path / name.lstrip("/")).exists():
            shutil.copy(name, path / name.lstrip("/"))
    shutil.copytree("/usr/lib/rpm", path / "usr/lib/rpm", dirs_exist_ok=True)


def _clear_dead():
    """Remove the roots of test sessions that were killed."""
    for directory in Path("/var/tmp").glob("eks-proxy-agent-rpm-*"):
        if not os.path.exists(f"/proc/{directory.name.rpartition('-')[2]}"):
            _remove(directory)


def _remove(directory):
    for mount in (directory / "root", directory):
        subprocess.run(["umount", "--lazy", str(mount)], check=False, capture_output=True)
    with suppress(OSError):
        directory.rmdir()


@functools.cache
def system_package():
    """Return a package without files, whose provides are Debian's files in the root.

    On Amazon Linux these are packages.
    """
    base = roots.base()
    version = os.path.basename(os.readlink(base / GUEST_PYTHON.lstrip("/"))).replace("python", "")
    provided = [f"python(abi) = {version}", "rtld(GNU_HASH)"]
    for file, names in {
        "bin/sh": ["/bin/sh"],
        f"usr/bin/python{version}": [f"/usr/bin/python{version}"],
        "bin/systemctl": ["systemd"],
        "bin/kill": ["util-linux"],
    }.items():
        assert os.path.lexists(base / file), f"the root has no {file}"
        provided += names
    for library in ("libc.so.6", "libpthread.so.0", "libsystemd.so.0"):
        path = base / f"lib/{platform.machine()}-linux-gnu" / library
        command = ["/usr/lib/rpm/elfdeps", "--provides", str(path)]
        provided += subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    spec = scratch() / "system.spec"
    lines = "Name: system\nVersion: 1\nRelease: 1\nSummary: Debian\nLicense: none\nBuildArch: noarch\nAutoReqProv: no\n"
    lines += "".join(f"Provides: {name}\n" for name in provided)
    spec.write_text(lines + "%description\nThe system.\n%files\n")
    command = ["rpmbuild", "-bb", "--define", f"_topdir {scratch()}/system", str(spec)]
    subprocess.run(command, check=True, capture_output=True)
    return next((scratch() / "system/RPMS").rglob("*.rpm"))
