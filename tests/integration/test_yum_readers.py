"""yum.conf after a merge, read by independent parsers: configparser, augeas and dnf."""

import configparser
import http.server
import json
import subprocess
import threading

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agent.core.plan.files.yum_conf import YumConf

URL = "http://proxy.corp:3128"

# As distributions ship them, and as operators and recipes leave them.
FILES = {
    "absent": None,
    "empty": b"",
    "yum 3": (
        b"[main]\ncachedir=/var/cache/yum/$basearch/$releasever\nkeepcache=0\ndebuglevel=2\n"
        b"#  This is the default, if you make this bigger yum won't see if the metadata\n\n# PUT YOUR REPOS HERE\n"
    ),
    "Amazon Linux 2023": (
        b"# see `man dnf.conf` for defaults and possible options\n\n[main]\ngpgcheck=1\ninstallonly_limit=3\n"
        b"clean_requirements_on_remove=True\nbest=True\nskip_if_unavailable=False\n"
    ),
    "the recipe, twice": b"[main]\ngpgcheck=1\nproxy=http://old:1\nproxy=http://old:1\n",
    "a repository last": b"[main]\ngpgcheck=1\n\n[local]\nname=local\nbaseurl=http://repo.corp/\nproxy=http://other:1\n",
    "[main] last": b"[local]\nname=local\nbaseurl=http://repo.corp/\n\n[main]\ngpgcheck=1\n",
    "no [main]": b"[local]\nname=local\nbaseurl=http://repo.corp/\n",
    "credentials": b"[main]\nproxy_username=me\nproxy_password=secret\nproxy=https://old:2\n",
    "no newline at the end": b"[main]\ngpgcheck=1\nproxy=http://old:1",
    "spaces": b"[main]\nproxy = http://old:1\ngpgcheck = 1\n",
}
PART = st.sampled_from(
    [b"gpgcheck=1\n", b"# proxy=x\n", b"\n", b"proxy=http://old:1\n", b"proxy = http://older:1\n", b"best=True\n",
     b"proxy_username=me\n", b"exclude=kernel* docker\n", b"exclude=kernel*\n docker*\n"]
)  # fmt: skip
# Augeas rejects a repeated list option.
SECTIONS = st.lists(PART, max_size=6, unique_by=lambda part: part.partition(b"=")[0]).map(b"".join)
GENERATED = st.tuples(st.sampled_from([b"", b"# a comment\n\n"]), SECTIONS, st.booleans(), SECTIONS).map(
    lambda drawn: drawn[0] + b"[main]\n" + drawn[1] + (b"[local]\nname=local\n" + drawn[3] if drawn[2] else b"")
)


def with_configparser(directory, names):
    """Values from Python's own parser."""
    values = {}
    for name in names:
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read(directory / name)
        values[name] = parser.get("main", "proxy")
    return values


def with_augeas(directory, names):
    """Values from augeas.

    Its lens for yum.conf is an independent grammar, and rejects what it cannot write back.
    """
    script = "".join(f"get /files/{name}/main/proxy\n" for name in names)
    command = ["augtool", "-A", "-r", str(directory), "--transform", "Yum.lns incl /*.conf"]
    output = subprocess.run(command, input=script, stdout=subprocess.PIPE, check=True, text=True).stdout
    values = [line.partition(" = ")[2] for line in output.splitlines()]
    return dict(zip(names, values))


DNF = """\
import json, sys, dnf.conf
values = {}
for path in sys.argv[1:]:
    conf = dnf.conf.MainConf()
    conf.read(path)
    values[path] = conf.proxy
print(json.dumps(values))
"""


def with_dnf(directory, names):
    """Values from dnf: libdnf's parser is the one that matters on the node."""
    command = ["/usr/bin/python3", "-I", "-c", DNF, *names]
    done = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


READERS = {"configparser": with_configparser, "augeas": with_augeas, "dnf": with_dnf}
NEEDED = {"augeas": ["augtool", "--version"], "dnf": ["/usr/bin/python3", "-I", "-c", "import dnf.conf"]}


@pytest.fixture(params=READERS)
def read(request, tmp_path):
    """One reader; if it is not installed, the test is skipped (and fails with CI=true)."""
    probe = NEEDED.get(request.param, ["true"])
    try:
        subprocess.run(probe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"{request.param} is not installed (tests/packages.txt)")

    def read_all(texts):
        names = [f"{number}.conf" for number in range(len(texts))]
        for name, text in zip(names, texts):
            (tmp_path / name).write_bytes(text)
        values = READERS[request.param](tmp_path, names)
        return [values[name] for name in names]

    return read_all


def test_every_reader_reads_our_proxy(read):
    """The original file does not matter."""
    values = read([YumConf(URL).merge(text) for text in FILES.values()])
    assert dict(zip(FILES, values)) == dict.fromkeys(FILES, URL)


@pytest.mark.parametrize("read", ["configparser", "dnf"], indirect=True)
def test_files_with_crlf_are_read(read):
    """CRLF files are merged line by line too; augeas rejects them."""
    texts = {name: text.replace(b"\n", b"\r\n") for name, text in FILES.items() if text}
    values = read([YumConf(URL).merge(text) for text in texts.values()])
    assert dict(zip(texts, values)) == dict.fromkeys(texts, URL)


# Twenty files for each run, because the start of a reader takes most of the time.  No shrinking: it
# would take minutes.
@settings(max_examples=5, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(GENERATED, min_size=20, max_size=20))
def test_every_reader_reads_our_proxy_in_any_file(read, texts):
    """The files consist of ordinary parts."""
    assert read([YumConf(URL).merge(text) for text in texts]) == [URL] * len(texts)


def test_every_reader_reads_the_old_proxy_after_restore(read):
    """The original proxy is in effect again."""
    texts = [b"[main]\ngpgcheck=1\nproxy=http://old:1\n", b"[main]\nproxy=http://old:1"]
    restored = [YumConf.restore(YumConf(URL).merge(text) + b"best=True\n", text) for text in texts]
    assert read(restored) == ["http://old:1"] * 2


REQUEST = """\
import sys, dnf
base = dnf.Base()
base.conf.read(sys.argv[1])
base.conf.cachedir = sys.argv[2]
base.conf.substitutions["releasever"] = "1"
base.conf.retries = 1
try:
    base.repos.add_new_repo("x", base.conf, baseurl=[sys.argv[3]]).load()
except dnf.exceptions.RepoError:
    pass
"""


class AskingProxy(http.server.BaseHTTPRequestHandler):
    """A proxy that asks each client for a password, and notes what it gets."""

    def do_GET(self):
        """Refuse a request."""
        self.server.requests.append((self.path, self.headers.get("Proxy-Authorization")))
        self.send_response(407)
        self.send_header("Proxy-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_CONNECT = do_GET  # noqa: N815 -- the name of http.server
    protocol_version = "HTTP/1.1"  # else curl takes the answer for a broken connection

    def log_message(self, *arguments):
        """Log nothing."""


@pytest.fixture
def asking_proxy():
    """A proxy with the requests that it got."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), AskingProxy) as server:
        server.requests = []
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def requested_with(server, directory, text, url):
    """Let dnf request a repository's metadata; return what the proxy got."""
    server.requests.clear()
    (directory / "dnf.conf").write_bytes(text)
    command = ["/usr/bin/python3", "-I", "-c", REQUEST, str(directory / "dnf.conf"), str(directory / "cache"), url]
    subprocess.run(command, env={}, check=True, timeout=30)
    return server.requests


@pytest.mark.needs_root("dnf opens the RPM database")
@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://repo.test/x", "http://repo.test/x/repodata/repomd.xml"),
        ("https://repo.test/x", "repo.test:443"),
    ],
)
def test_dnf_does_not_send_the_old_password_to_the_new_proxy(asking_proxy, tmp_path, url, target):
    """dnf has one proxy for all URLs, and sends it user and password of an earlier set-up."""
    if subprocess.run(NEEDED["dnf"], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("dnf is not installed (tests/packages.txt)")
    new = f"http://127.0.0.1:{asking_proxy.server_address[1]}"
    before = f"[main]\ngpgcheck=1\nproxy={new}\nproxy_username=u\nproxy_password=p\n".encode()
    assert (target, "Basic dTpw") in requested_with(asking_proxy, tmp_path, before, url)
    after = requested_with(asking_proxy, tmp_path, YumConf(new).merge(before), url)
    assert {password for _, password in after} == {None}
    assert {asked for asked, _ in after} == {target}
