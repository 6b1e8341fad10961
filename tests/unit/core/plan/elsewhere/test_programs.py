"""Files of login shells, wget and docker that set a proxy, as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.plan.elsewhere.programs import in_docker_environment, in_profile, in_wgetrc

PATH = "/etc/profile.d/proxy.sh"


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (b"", None),
        (b"export LANG=C\n# http_proxy=x\necho http_proxy=x\nFOO='\nhttp_proxy=x\n'\n", None),
        (b"export http_proxy=http://old:1 NO_PROXY='a b'\n", {"http_proxy": "http://old:1", "NO_PROXY": "a b"}),
        (b"http_proxy=a; export http_proxy\n", {"http_proxy": "a"}),
        (b"PROXY=old:1\nexport https_proxy=\"http://${PROXY}\" HTTPS_PROXY=$https_proxy\n",
         {"https_proxy": "http://old:1", "HTTPS_PROXY": "http://old:1"}),
        (b"if [ -n x ]; then\n  export http_proxy=a\nfi\n", {"http_proxy": "a"}),
        (b"proxy_on() { export http_proxy=a; }\n", {"http_proxy": "a"}),
        (b"http_proxy=a\nhttp_proxy=$(hostname)\n", {"http_proxy": "$(hostname)"}),
        (b"http_proxy=a\nfoo='unclosed\n", {"http_proxy": "a"}),
        (b"http_proxy= curl x\n", {"http_proxy": ""}),
    ],
)  # fmt: skip
def test_assignments_of_a_shell_script(content, values):
    """Nothing is run; the last assignment counts."""
    place = in_profile(PATH, content)
    assert (place.values if place else None) == values


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (b"#https_proxy = x\ntries = 3\n", None),
        (b"https_proxy = http://old:1/\nHTTP-Proxy=http://old:2\nnoproxy=a\n",
         {"https_proxy": "http://old:1/", "http_proxy": "http://old:2", "no_proxy": "a"}),
        (b"use_proxy = on\n", None),
        (b"use_proxy = Off\n", {"use_proxy": "Off"}),
    ],
)  # fmt: skip
def test_settings_of_wget(content, values):
    """wget ignores case, dashes and underscores in names."""
    place = in_wgetrc(content)
    assert (place.values if place else None) == values


def test_environment_file_of_docker():
    """systemd reads it, so `export` counts for nothing."""
    content = b'OPTIONS="--x"\nHTTPS_PROXY="http://old:1"\nexport http_proxy=x\n'
    place = in_docker_environment("/etc/sysconfig/docker", content)
    assert place is not None
    assert place.values == {"HTTPS_PROXY": "http://old:1"}
    assert in_docker_environment("/etc/sysconfig/docker", b"OPTIONS=x\n") is None


@given(st.binary(max_size=60))
def test_any_text_is_read(content):
    """Nothing in it raises."""
    in_profile(PATH, content)
    in_wgetrc(content)
    in_docker_environment(PATH, content)
