"""The package as a file: its contents, requirements and provides, and its reproducible build."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.packaging import rpms

LIBRARY = "usr/lib/eks-proxy-agent"
TAG = subprocess.run(
    [rpms.GUEST_PYTHON, "-c", "import sys; print(sys.implementation.cache_tag)"],
    check=True,
    capture_output=True,
    text=True,
).stdout.strip()


@pytest.fixture(scope="module")
def package():
    """Return the package for Debian's Python."""
    return rpms.built()


@pytest.fixture(scope="module")
def tree(package, tmp_path_factory):
    """Return the unpacked files of the package."""
    return rpms.unpack(package, tmp_path_factory.mktemp("package") / "tree")


def files(tree):
    """Return every file below a directory, by its relative name."""
    return {str(path.relative_to(tree)): path for path in sorted(tree.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("version", ["3.9", "3.11"])
def test_byte_code_is_the_same_each_time(version, tmp_path):
    """Python 3.9 writes the members of a set in the order of their hashes."""
    command = ["packaging/setup.sh", "find", version]
    find = subprocess.run(command, cwd=rpms.REPOSITORY, check=False, capture_output=True, text=True)
    if find.returncode:
        pytest.skip(f"no Python {version} on this machine")
    (tmp_path / "module.py").write_text("print('a' in {" + ", ".join(f"'{number}'" for number in range(50)) + "})\n")
    compiled = set()
    for _ in range(4):
        command = ["packaging/compile.sh", find.stdout.strip(), str(tmp_path), "/usr/lib/x"]
        subprocess.run(command, cwd=rpms.REPOSITORY, check=True)
        compiled |= {path.read_bytes() for path in tmp_path.rglob("*.pyc")}
    assert len(compiled) == 1


def test_build_is_reproducible(package, tmp_path):
    """Another copy of the sources gives the same bytes.

    It has no git, other timestamps, wheels from a directory, and no network.
    """
    source, wheels = rpms.copy_source(tmp_path / "elsewhere"), rpms.wheels(tmp_path / "wheels")
    no_network = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""}
    rpms.make(tmp_path, source, SOURCE_DATE_EPOCH=rpms.epoch(), WHEELS=str(wheels), **no_network)
    assert (tmp_path / package.name).read_bytes() == package.read_bytes()


def test_systemd_python_alone_is_compiled(tree):
    """All other libraries are Python, and the same on each architecture."""
    compiled = {path.parent.name for path in tree.rglob("*") if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"}
    assert compiled == {"systemd"}


def test_no_timestamp_is_later_than_the_sources(package):
    """No timestamp reveals the time of the build."""
    times = rpms.query(package, "--queryformat", "[%{FILEMTIMES}\n]%{BUILDTIME}\n")
    assert {time for time in times if int(time) > int(rpms.epoch())} == set()


def test_no_scriptlet_has_an_unexpanded_macro(package):
    """rpm does not expand an unknown macro, so a "%" would remain."""
    scripts = "\n".join(rpms.query(package, "--scripts", "--triggers"))
    assert "systemctl" in scripts
    assert "%" not in scripts


def test_all_files_are_in_documented_directories(package):
    """No file is in site-packages or outside the directories of the manual page."""
    ours = re.compile(
        r"/etc/eks-proxy-agent(/config\.d|/config\.toml|/node\.env)?|/usr/bin/eks-proxy-agent|/usr/lib/eks-proxy-agent(/.*)?"
        r"|/usr/lib/systemd/system/eks-proxy-agent(-bootstrap)?\.service"
        r"|/usr/lib/systemd/system-preset/90-eks-proxy-agent\.preset"
        r"|/usr/share/(doc|licenses)/eks-proxy-agent(/.*)?|/usr/share/man/man[58]/eks-proxy-agent(\.toml)?\.[58]\.gz"
        r"|/usr/share/bash-completion/completions/eks-proxy-agent|/usr/share/zsh(/site-functions(/_eks-proxy-agent)?)?"
        r"|/var/lib/eks-proxy-agent"
    )
    listed = rpms.query(package, "-l")
    assert [path for path in listed if not ours.fullmatch(path)] == []
    assert [path for path in listed if "site-packages" in path or "dist-packages" in path] == []


def named_documents():
    """Yield where a text names an installed document, and its path.

    Texts are the documentation, the manual pages, the settings file, and the program with its help
    and errors.  `docs/X` and `packaging/examples/X` are names in the source tree.
    """
    root, docs = rpms.REPOSITORY, "/usr/share/doc/eks-proxy-agent"
    texts = [root / "README.md", root / "CHANGELOG.md", root / "packaging/config.toml"]
    for directory in ("docs", "docs/reference"):
        texts += (root / directory).glob("*.md")
    texts += [*(root / "packaging/man").glob("*.in"), *(root / "agent").rglob("*.py")]
    texts += [path for path in (root / "packaging/examples").rglob("*") if path.is_file()]
    for path in texts:
        text = path.read_text().replace("\\-", "-")
        for name in re.findall(rf"{docs}((?:/[\w.-]*\w)*)", text):
            yield path, docs + name
        for name in re.findall(
            r"(?<![\w/.])(?:packaging/(?=examples|alerts))?((?:docs|examples|alerts)/[\w/.-]*\w)", text
        ):
            if not name.startswith("docs/decisions"):  # only in the source tree, as architecture.md says
                yield path, f"{docs}/{name}"


def test_every_document_that_a_text_names_is_in_the_package(package):
    """On a node it is where an error, a manual page or another document says it is."""
    listed, named = set(rpms.query(package, "-l")), list(named_documents())
    expected = {"cluster-rbac.yaml", "eks-proxy-agent.rules.yml", "settings-nodeconfig", "credentials.md"}
    assert expected <= {os.path.basename(path) for _, path in named}
    assert [f"{path.relative_to(rpms.REPOSITORY)}: {name}" for path, name in named if name not in listed] == []


def test_every_installed_path_is_documented(package):
    """docs/reference/files.md has each file of the package, or a directory that it is in."""
    table = (rpms.REPOSITORY / "docs/reference/files.md").read_text().partition("## Written")[0]
    named = re.findall("`(/[^`]+)`", table)
    directories = tuple(name for name in named if name.endswith("/"))
    listed = [path for path in rpms.query(package, "-l", "--noghost") if not path.startswith(directories)]
    parents = {os.path.dirname(name.rstrip("/")) for name in named} | {name.rstrip("/") for name in directories}
    assert [path for path in listed if path not in named and path not in parents | {"/usr/share/zsh"}] == []
    assert [name for name in named if name.rstrip("/") not in {*listed, *rpms.query(package, "-l")}] == []


def test_every_module_is_compiled_exactly_once(tree):
    """Each .py has one .pyc for this Python.

    Otherwise one would be written later, which no package owns.
    """
    sources = {name for name in files(tree / LIBRARY) if name.endswith(".py")}
    caches = {name for name in files(tree / LIBRARY) if "__pycache__" in name}
    directories = {name: os.path.split(name) for name in sources}
    expected = {
        os.path.join(directory, "__pycache__", f"{name[:-3]}.{TAG}.pyc") for directory, name in directories.values()
    }
    assert caches == expected


def test_byte_code_does_not_depend_on_timestamps(tree):
    """Python does not compare the .pyc files with their sources (PEP 552: flags 1)."""
    flags = {path.read_bytes()[4:8] for name, path in files(tree / LIBRARY).items() if name.endswith(".pyc")}
    assert flags == {b"\1\0\0\0"}


def test_no_file_has_a_path_of_the_build(tree):
    """No file, compiled ones included, has a path of this machine."""
    paths = [
        str(rpms.REPOSITORY),
        f"{Path.home()}/.",
        "BUILDROOT",
        "/BUILD/",
        "/tmp/tmp.",
        "pip-install-",
        "pip-build-",
    ]
    pattern = re.compile("|".join(map(re.escape, paths)).encode())
    assert [name for name, path in files(tree).items() if pattern.search(path.read_bytes())] == []


def test_launcher_uses_the_isolated_python_of_the_node(tree, package):
    """The first line is /usr/bin/pythonX.Y -IS, whichever Python built it.

    The package requires that Python.
    """
    first = (tree / "usr/bin/eks-proxy-agent").read_text().splitlines()[0]
    version = TAG.replace("cpython-3", "3.")
    assert first == f"#!/usr/bin/python{version} -IS"
    assert f"python(abi) = {version}" in rpms.query(package, "--requires")


def test_bundled_provides_match_the_libraries(tree, package):
    """The bundled() provides are exactly the libraries in the private directory, with versions."""
    installed = set()
    for metadata in (tree / LIBRARY / "vendor").glob("*.dist-info/METADATA"):
        fields = dict(line.split(": ", 1) for line in metadata.read_text("utf-8").splitlines()[:4] if ": " in line)
        name = re.sub("[-_.]+", "-", fields["Name"]).lower()
        installed.add(f"bundled(python3dist({name})) = {fields['Version']}")
    provides = rpms.query(package, "--provides")
    assert {line for line in provides if line.startswith("bundled")} == installed
    rest = {re.sub(r"[( ].*", "", line) for line in provides if not line.startswith("bundled")}
    assert rest == {"eks-proxy-agent", "config"}


def test_every_bundled_library_ships_its_licence(tree):
    """Beside our own licence, each library has a directory with at least one file."""
    licences = tree / "usr/share/licenses/eks-proxy-agent"
    libraries = {path.name[: -len(".dist-info")] for path in (tree / LIBRARY / "vendor").glob("*.dist-info")}
    assert {path.parent.name for path in licences.glob("*/*")} == libraries
    assert (licences / "LICENSE").read_bytes() == (rpms.REPOSITORY / "LICENSE").read_bytes()


def test_rpmlint_has_no_findings(package):
    """rpmlint has no findings in package and spec; packaging/rpmlint.toml has the filters."""
    config = rpms.REPOSITORY / "packaging/rpmlint.toml"
    command = ["rpmlint", "--config", str(config), str(package), str(rpms.REPOSITORY / "rpm.spec")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "0 errors, 0 warnings" in done.stdout, done.stdout + done.stderr


def test_every_filter_of_rpmlint_has_a_reason():
    """Above each filter is a comment."""
    lines = (rpms.REPOSITORY / "packaging/rpmlint.toml").read_text().splitlines()
    begin = lines.index("Filters = [")
    pairs = zip(lines[begin:], lines[begin + 1 :])
    first = [line for above, line in pairs if line.startswith('    "') and not above.startswith(("    #", '    "'))]
    assert first == []


def test_every_distribution_builds_with_the_same_packages():
    """The BuildRequires have the same names on Amazon Linux 2023, EL 9 and EL 10."""
    command = ["rpmspec", "--load", "packaging/rpm.macros", "-q", "--buildrequires", "rpm.spec"]
    needs = {}
    for system, defines in {
        "AL2023": ["amzn 2023", "pyver 3.9"],
        "EL 9": ["rhel 9", "pyver 3.9"],
        "EL 10": ["rhel 10", "pyver 3.12"],
    }.items():
        options = [option for define in defines for option in ("--define", define)]
        done = subprocess.run([*command, *options], cwd=rpms.REPOSITORY, check=True, capture_output=True, text=True)
        needs[system] = set(done.stdout.split())
    assert needs["AL2023"] == needs["EL 9"] == needs["EL 10"]
    assert {"python3-devel", "python3-pip", "systemd-rpm-macros"} <= needs["EL 10"]


# The Pythons of the supported distributions.  No test runs on those themselves.
PYTHONS = {"3.9": "Amazon Linux 2023, EL 9", "3.12": "EL 10"}


def python(version):
    """Return the Python of a version, or "" if this machine does not have it."""
    done = subprocess.run(
        ["packaging/setup.sh", "find", version], cwd=rpms.REPOSITORY, check=False, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.mark.impossible_here("Debian 12 has no package of these Pythons")
@pytest.mark.parametrize("version", PYTHONS)
def test_package_for_a_distribution_works_with_its_python(version, tmp_path):
    """With the Python of a distribution, all libraries can be imported, and the demo runs."""
    interpreter = python(version)
    if not interpreter:
        pytest.skip(f"no Python {version} ({PYTHONS[version]}) on this machine")
    tree = rpms.unpack(rpms.built(interpreter), tmp_path / "tree")
    launcher = tree / "usr/bin/eks-proxy-agent"
    assert launcher.read_text().startswith(f"#!/usr/bin/python{version} -IS\n")
    names = "requests, urllib3, yaml, structlog, tenacity, charset_normalizer.md, systemd.daemon"
    names += ", tomli" if version == "3.9" else ""
    code = f"import sys; sys.path[:0] = [{str(tree / LIBRARY / 'vendor')!r}]; import {names}"
    for command in (["-c", code], [str(launcher), "--version"], [str(launcher), "demo"]):
        done = subprocess.run([interpreter, "-I", *command], check=False, capture_output=True, text=True, cwd="/")
        assert done.returncode == 0, done.stdout + done.stderr
