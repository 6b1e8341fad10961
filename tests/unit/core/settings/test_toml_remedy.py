"""The remedy for TOML without quotes, which must itself be accepted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.settings.layers import merge, parse_toml
from agent.core.settings.toml_remedy import remedy
from agent.errors import SettingsError


def error_of(text):
    """Return the error of a document."""
    with pytest.raises(SettingsError) as caught:
        parse_toml("config.toml", text.encode())
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("line", "better"),
    [
        ("url = http://proxy:3128", 'url = "http://proxy:3128"'),
        ("url = http://proxy:3128  # the proxy", 'url = "http://proxy:3128"'),
        ("url: http://proxy:3128", 'url = "http://proxy:3128"'),
        ("url = \u201chttp://proxy:3128\u201d", 'url = "http://proxy:3128"'),
        ('url = "http://proxy:3128', 'url = "http://proxy:3128"'),
        ("url = [http://a:1, http://b:2]", 'url = ["http://a:1", "http://b:2"]'),
        ("no_proxy = [a.corp, 10.0.0.0/8]", 'no_proxy = ["a.corp", "10.0.0.0/8"]'),
        ("no_proxy = ['a.corp', b.corp]", 'no_proxy = ["a.corp", "b.corp"]'),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_with_quotes_is_proposed_and_accepted(line, better, end):
    """Only the line with the error changes; the other settings stay."""
    text = f"[watch]{end}interval = 60{end}[proxy]{end}LINE{end}"
    problem = error_of(text.replace("LINE", line))
    assert problem.endswith(f"; write {better}")
    settings = merge([parse_toml("config.toml", text.replace("LINE", better).encode())]).settings
    assert settings.watch.interval == 60
    assert settings.proxy.url or settings.proxy.no_proxy


@pytest.mark.parametrize(
    "text",
    [
        "[proxy]\nurl = http://alice:hunter2@proxy:3128",
        "[proxy]\nurl = alice:hunter2/proxy:3128",
        "[proxy]\nurl: http://alice:hunter2;proxy:3128",
        "[proxy]\nurl = [http://a:1, http://alice:hunter2,proxy:3128]",
        "proxy.https_url = 'http://alice:hunter2/proxy:3128",
        "[proxy\nurl = 1",
        "[proxy]\nurl = 1\nurl = 2",
        "[proxy]\nurl =",
        "[proxy]\nurl",
        '[proxy]\nurl = """a',
        "[proxy]\nurl = " + "a" * 500,
    ],
)
def test_no_remedy_if_it_is_unclear_or_may_hold_a_password(text):
    """The error of the parser is enough then."""
    problem = error_of(text)
    assert "; write" not in problem
    assert "hunter2" not in problem


@given(st.text(max_size=60), st.integers(0, 4))
def test_any_line_has_a_valid_remedy_or_none(line, number):
    """The proposal is TOML, whatever the line is."""
    better = remedy(line, f"Invalid value (at line {number}, column 1)")
    if better:
        assert parse_toml("config.toml", better.encode()).data
