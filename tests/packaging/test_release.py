"""`make release`: what it refuses, what it makes, and how nodes use it."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.packaging import rpms

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "packaging/locks").glob("python3.??.txt")) + [ROOT / "packaging/locks/python3.9.txt"]
PYTHON = ".".join(map(str, sys.version_info[:2]))
RPM_VERSION = "99.0.0~rc1"


def git(source, *words):
    """Run git in a source tree, without the configuration of this machine."""
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z"}
    subprocess.run(["git", *identity, *words], cwd=source, env=environment, check=True, capture_output=True)


def release(source, **environment):
    """Run `make release`, and return the process."""
    values = {**os.environ, "PYTHONS": PYTHON, **environment}
    return subprocess.run(["make", "release"], cwd=source, env=values, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Return a clean commit of version 99.0.0rc1."""
    source = rpms.copy_source(tmp_path_factory.mktemp("release") / "source")
    init, changes = source / "agent/__init__.py", source / "CHANGELOG.md"
    init.write_text(re.sub(r'__version__ = ".*"', '__version__ = "99.0.0rc1"', init.read_text()))
    changes.write_text(changes.read_text() + "\n## [99.0.0rc1]\n")
    (source / ".gitignore").write_text("/.venv*\n/dist/\n__pycache__/\n/build/\n*.egg-info/\n")
    git(source, "init", "-q")
    git(source, "add", "-A")
    git(source, "commit", "-qm", "Release")
    return source


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """Return the directory of GnuPG with a throw-away key."""
    home = tmp_path_factory.mktemp("gnupg")
    home.chmod(0o700)
    create = [
        "gpg",
        "--batch",
        "--passphrase",
        "",
        "--quick-generate-key",
        "release@example.com",
        "rsa3072",
        "sign",
        "1d",
    ]
    subprocess.run(create, env={**os.environ, "GNUPGHOME": str(home)}, check=True, capture_output=True)
    yield home
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)


@pytest.fixture(scope="module")
def made(source, key, tmp_path_factory):
    """Return the directory of a signed release."""
    dist = tmp_path_factory.mktemp("dist") / "release"
    done = release(source, DIST=str(dist), SIGN="release@example.com", GNUPGHOME=str(key))
    assert done.returncode == 0, done.stdout + done.stderr
    return dist


# --- what it refuses


def test_uncommitted_changes_are_refused(source):
    """They are named."""
    note = source / "note.txt"
    note.write_text("x")
    done = release(source)
    note.unlink()
    assert done.returncode != 0
    assert "error: uncommitted changes" in done.stderr
    assert "note.txt" in done.stderr


def test_version_without_a_section_of_the_changelog_is_refused(source):
    """The section has the version of agent/__init__.py."""
    changes = source / "CHANGELOG.md"
    text = changes.read_text()
    changes.write_text(text.replace("## [99.0.0rc1]", "## [98.0.0]"))
    git(source, "commit", "-qam", "Other")
    done = release(source)
    git(source, "reset", "-q", "--hard", "HEAD~1")
    assert done.returncode != 0
    assert 'error: CHANGELOG.md has no section "## [99.0.0rc1]"' in done.stderr


def test_missing_python_is_refused_before_anything_is_built(source):
    """A release without one of its packages is not a release."""
    done = release(source, PYTHONS="3.9 3.99")
    assert done.returncode != 0
    assert "error: PYTHONS: no Python 3.9" in done.stderr
    assert not (source / "dist").exists()


# --- what it makes


def test_packages_are_signed_and_belong_to_a_release_candidate(made, key, tmp_path):
    """1.0.0rc1 is 1.0.0~rc1 for rpm, which is older than 1.0.0."""
    (package,) = made.rglob("*.rpm")
    assert package.name.startswith(f"eks-proxy-agent-{RPM_VERSION}-1.")
    database = ["--dbpath", str(tmp_path / "db")]
    check = ["rpmkeys", *database, "--checksig", str(package)]
    assert "NOT OK" in subprocess.run(check, check=False, capture_output=True, text=True).stdout
    subprocess.run(["rpmkeys", *database, "--import", str(made / "eks-proxy-agent.asc")], check=True)
    assert "digests signatures OK" in subprocess.run(check, check=True, capture_output=True, text=True).stdout


def test_checksums_cover_every_file_and_are_signed(made, key):
    """What is not listed are the list and its signature."""
    listed = {line.split("  ", 1)[1] for line in (made / "SHA256SUMS").read_text().splitlines()}
    files = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    assert files - listed == {"SHA256SUMS", "SHA256SUMS.asc"}
    for signed in (made / "SHA256SUMS", *made.rglob("repomd.xml")):
        verify = ["gpg", "--verify", f"{signed}.asc", str(signed)]
        subprocess.run(verify, env={**os.environ, "GNUPGHOME": str(key)}, check=True, capture_output=True)


def test_dnf_finds_the_package_in_the_repository(made, tmp_path):
    """The same directory in a bucket needs no server of its own."""
    (repository,) = (path.parent for path in made.rglob("repodata"))
    dnf = [
        "/usr/bin/python3",
        "-c",
        "import sys; from dnf.cli import main; main.user_main(sys.argv[1:], exit_code=True)",
    ]
    command = [*dnf, "--quiet", f"--installroot={tmp_path}", "--releasever=1", "--setopt=reposdir=/nonexistent"]
    command += [f"--repofrompath=new,file://{repository}", "--repo=new", "--nogpgcheck"]
    done = subprocess.run([*command, "repoquery", "eks-proxy-agent"], check=False, capture_output=True, text=True)
    assert f"eks-proxy-agent-0:{RPM_VERSION}-1." in done.stdout, done.stderr


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_sbom_has_the_libraries_of_the_lock(lock):
    """It is valid by the schema of CycloneDX 1.6, and the same each time."""
    command = [sys.executable, "-I", ROOT / "packaging/sbom.py", lock, "1.0.0"]
    first, second = (subprocess.check_output(command, text=True) for _ in range(2))
    assert first == second
    sbom = json.loads(first)
    pins = re.findall(r"^([a-z0-9._-]+==[^ ]+)", lock.read_text(), re.M)
    assert [f"{part['name']}=={part['version']}" for part in sbom["components"]] == pins
    assert sum(len(part["hashes"]) for part in sbom["components"]) == lock.read_text().count("--hash=")
    spec = importlib.util.find_spec("cyclonedx")
    assert spec
    assert spec.submodule_search_locations
    schemas = Path(spec.submodule_search_locations[0]) / "schema/_res"
    schema = json.loads((schemas / "bom-1.6.SNAPSHOT.schema.json").read_text())
    # References to the schemas of licences and signatures; the SBOM has neither.
    assert not {"licenses", "signature"} & set(first.split('"'))
    jsonschema.Draft7Validator(_without_other_files(schema)).validate(sbom)


def _without_other_files(schema):
    """Return a schema without references to other files."""
    if isinstance(schema, dict):
        if not schema.get("$ref", "#").startswith("#"):
            return {}
        return {key: _without_other_files(value) for key, value in schema.items()}
    return [_without_other_files(item) for item in schema] if isinstance(schema, list) else schema
