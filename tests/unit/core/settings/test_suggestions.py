"""Suggestions for unknown keys and sections, and their limits."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.settings.layers import Layer, flag_layer, merge, parse_toml
from agent.core.settings.suggestions import MAX_LENGTH, MAX_SUGGESTIONS, Suggestions
from agent.errors import SettingsError

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    ("section", "key", "suggestion"),
    [
        # misspelt
        ("proxy", "ulr", "proxy.url"),
        ("proxy", "urls", "proxy.url"),
        ("proxy", "uri", "proxy.url"),
        ("proxy", "noproxy", "proxy.no_proxy"),
        ("proxy", "credential", "proxy.credentials"),
        ("node", "ca-bundle", "node.ca_bundle"),
        ("watch", "failover", "watch.failover_after"),
        ("check", "endpoint", "check.endpoints"),
        # another case, or dashes
        ("proxy", "URL", "proxy.url"),
        ("proxy", "No-Proxy", "proxy.no_proxy"),
        # names from elsewhere
        ("proxy", "http_proxy", "proxy.url"),
        ("proxy", "HTTPS_PROXY", "proxy.https_url"),
        ("proxy", "password", "proxy.credentials_file"),
        # a key of another section, or of two
        ("proxy", "units", "node.units"),
        ("cluster", "region", "signal.region"),
        ("proxy", "endpoint", "cluster.endpoint or metadata.endpoint"),
        # nothing close
        ("proxy", "oops", ""),
        ("proxy", "", ""),
        ("proxy", "\udcff", ""),
    ],
)
def test_suggests_a_key(section, key, suggestion):
    """The closest key of the section comes first, then the same key of other sections."""
    assert Suggestions().for_key(section, key) == suggestion


@pytest.mark.parametrize(
    ("key", "suggestion"),
    [
        ("url", "proxy.url"),
        ("ulr", "proxy.url"),
        ("http_proxy", "proxy.url"),
        ("no-proxy", "proxy.no_proxy"),
        ("endpoint", "cluster.endpoint or metadata.endpoint"),
        ("oops", ""),
    ],
)
def test_suggests_a_section_for_a_top_level_key(key, suggestion):
    """A key above the first section header is looked up in all sections."""
    assert Suggestions().for_top_level_key(key) == suggestion


@pytest.mark.parametrize(
    ("section", "suggestion"),
    [("prxy", "proxy"), ("Proxy", "proxy"), ("metdata", "metadata"), ("nodes", "node"), ("oops", ""), ("", "")],
)
def test_suggests_a_section(section, suggestion):
    """The closest section is suggested."""
    assert Suggestions().for_section(section) == suggestion


def test_flags_and_user_data_have_suggestions_too():
    """Each layer is answered in the same way."""
    layers = [flag_layer(["proxy.ulr=http://a:1"]), parse_toml("user data", b"[prxy]\nurl = 'http://a:1'\n")]
    with pytest.raises(SettingsError) as caught:
        merge(layers)
    assert list(caught.value.problems) == [
        "flags: proxy.ulr: unknown key; did you mean proxy.url?",
        "user data, line 1: prxy: unknown section; did you mean proxy?",
    ]


def test_only_the_first_unknown_names_have_suggestions():
    """User data with thousands of unknown keys has a line for each, and a few suggestions."""
    text = "[proxy]\n" + "".join(f"url{number} = 1\n" for number in range(5000))
    with pytest.raises(SettingsError) as caught:
        merge([parse_toml("user data", text.encode())])
    problems = caught.value.problems
    assert len(problems) == 5000
    assert ["did you mean" in problem for problem in problems] == [True] * MAX_SUGGESTIONS + [False] * 4980
    assert problems[4999].startswith("user data, line 5001: proxy.url4999: unknown key (allowed: url, ")


@pytest.mark.parametrize("method", ["for_top_level_key", "for_section"])
def test_long_names_have_no_suggestion(method):
    """A name above the limit is not compared, and does not count."""
    suggestions = Suggestions()
    for _ in range(2 * MAX_SUGGESTIONS):
        assert getattr(suggestions, method)("proxy" * MAX_LENGTH) == ""
        assert suggestions.for_key("proxy", "url" * MAX_LENGTH) == ""
    assert suggestions.for_key("proxy", "ulr") == "proxy.url"


@given(st.text(max_size=2 * MAX_LENGTH))
def test_any_name_is_answered_with_our_own_names(name):
    """A suggestion never repeats what was read."""
    suggestions = Suggestions()
    texts = (suggestions.for_key("proxy", name), suggestions.for_top_level_key(name), suggestions.for_section(name))
    for text in texts:
        assert text.replace(".", "").replace("_", "").replace(" ", "").isalpha() or text == ""
        assert text.isascii()


def test_a_value_of_an_unknown_key_is_not_shown():
    """It may be a password."""
    with pytest.raises(SettingsError) as caught:
        merge([Layer("test", {"proxy": {"password": "hunter2"}, "credentials": {"password": "hunter2"}})])
    assert "hunter2" not in str(caught.value)


@pytest.mark.allows("subprocess")
def test_valid_settings_do_not_import_difflib():
    """Only a mistake pays for the comparison."""
    code = (
        "import sys; from agent.core.settings.layers import flag_layer, merge; "
        "merge([flag_layer(['proxy.url=http://a:1'])]); print('difflib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout == "False\n"
