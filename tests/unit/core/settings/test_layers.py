"""Layers of settings: their order, the origin of values, and errors that name every mistake."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.net.proxy_url import ProxyUrl
from agent.core.settings.layers import (
    USER_DATA,
    Layer,
    flag_layer,
    merge,
    merge_all,
    merge_usable,
    parse_toml,
    without_metadata,
)
from agent.errors import SettingsError

URL_ALLOWED = "(allowed: http://HOST:PORT or https://HOST:PORT, or a list of them in order of preference)"


def problems_of(*layers):
    """Return the problems that `merge` reports."""
    with pytest.raises(SettingsError) as caught:
        merge(layers)
    return list(caught.value.problems)


def toml(text, name="config.toml"):
    """Return a layer from TOML text."""
    return parse_toml(name, text.encode())


# --- contradictions


def test_credentials_have_one_source():
    """Two of them are an error that names their layers; an empty value takes one back."""
    file = toml('[proxy]\ncredentials_file = "/etc/proxy.pass"')
    command = toml('[proxy]\ncredentials_command = ["aws"]', USER_DATA)
    problem = (
        "proxy.credentials_file (config.toml) and proxy.credentials_command (user data): only one of them may be set"
    )
    assert problems_of(file, command)[0].startswith(problem)
    back = toml('[proxy]\ncredentials_file = ""\ncredentials_command = ["aws"]', USER_DATA)
    assert merge([file, back]).settings.proxy.credentials_keys == ("credentials_command",)
    assert merge([file, toml("[proxy]\ncredentials_command = []")]).settings.proxy.credentials_keys == (
        "credentials_file",
    )


# --- order and origin


def test_a_later_layer_wins_key_by_key():
    """Each key comes from the last layer that has it, and the origin names that layer."""
    layered = merge(
        [
            toml('[cluster]\nname = "one"\ndomain = "one.corp"\n[node]\nyum = false'),
            toml('[cluster]\nname = "two"', "50-site.toml"),
            Layer(USER_DATA, {"cluster": {"endpoint": "https://api.corp"}}),
            Layer("flags kept by apply", {"node": {"environment": False}}),
            flag_layer(["cluster.name=three"]),
        ]
    )
    settings = layered.settings
    assert (settings.cluster.name, settings.cluster.domain, settings.cluster.endpoint) == (
        "three",
        "one.corp",
        "api.corp",
    )
    assert (settings.node.yum, settings.node.environment) == (False, False)
    assert layered.origin == {
        ("cluster", "name"): "flags",
        ("cluster", "domain"): "config.toml",
        ("cluster", "endpoint"): USER_DATA,
        ("node", "yum"): "config.toml",
        ("node", "environment"): "flags kept by apply",
    }


def test_a_list_replaces_a_list():
    """Lists are not concatenated: the later one is the whole list, even if it is empty."""
    first = toml('[aws]\ndirect = ["ec2", "sts"]\n[proxy]\nno_proxy = ["a.corp", "b.corp"]')
    settings = merge([first, flag_layer(["aws.direct=[]", 'proxy.no_proxy=["c.corp"]'])]).settings
    assert settings.aws.direct == ()
    assert [entry.spellings for entry in settings.proxy.no_proxy] == [("c.corp",)]


def test_an_empty_value_unsets_a_setting():
    """`url = ""` in a later layer makes the node unconfigured."""
    assert merge([toml('[proxy]\nurl = "http://a:1"'), flag_layer(["proxy.url="])]).settings.proxy.url == ()


def test_an_explicit_default_has_an_origin():
    """A layer that sets a key to its default is the origin of the value."""
    assert merge([toml("[node]\nyum = true")]).origin == {("node", "yum"): "config.toml"}


def test_warnings_name_the_key():
    """A warning about a value begins with its key."""
    (warning,) = merge([toml('[proxy]\nno_proxy = ["a.corp:80", "b.corp"]')]).warnings
    assert warning.startswith('proxy.no_proxy: "a.corp:80" has a port')


def test_an_overridden_value_does_not_warn():
    """Only effective values have warnings."""
    assert merge([toml('[proxy]\nno_proxy = ["a.corp:80"]'), flag_layer(["proxy.no_proxy=[]"])]).warnings == ()


# --- all mistakes at once


def test_all_problems_of_all_layers_are_reported():
    """One error names every mistake of every layer, also of overridden values, with its place."""
    config = toml(
        """\
# site
[proxy]
url = "proxy:3128"
uri = "http://proxy:3128"

[node]
yum = "yes"

[metdata]
deadline = 5
"""
    )
    assert problems_of(config, flag_layer(["node.yum=1"], proxy="http://ok:1")) == [
        f'config.toml, line 3: proxy.url: "proxy:3128" has no scheme; write http://proxy:3128 {URL_ALLOWED}',
        "config.toml, line 4: proxy.uri: unknown key; did you mean proxy.url?",
        'config.toml, line 7: node.yum: expected a boolean, got the string "yes" (allowed: true or false)',
        "config.toml, line 9: metdata: unknown section; did you mean metadata?",
        "flags: node.yum: expected a boolean, got the integer 1 (allowed: true or false)",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[node]\nyum = "x"', 2),
        ('\n\n[ node ]\n  yum="x"', 4),
        ('["node"]\n"yum" = "x"', 2),
        ('node.yum = "x"', 1),
        ('[proxy]\nurl = ""\n[node]\nyum = "x"', 4),
        ('[cluster]\nname = "yum"\n[node]\n# yum = true\nyum = "x"', 5),
        ('[node]\r\nenvironment = true\r\nyum = "x"\r\n', 3),
        ('[node]\n# a \u2028 separator that does not end a line in TOML\nyum = "x"', 3),
        ('node = {yum = "x"}', 1),
        ('[node]\nyum = [\n"x",\n]', 2),
        ("[node]\n[node.yum]\nx = 1", 1),
        ("[node]\n'yum' = 1", 2),
        ('[node]\nca_bundle = """-----BEGIN \n[' + " " * 100_000 + '\n"""\nyum = 1', 5),
    ],
)
def test_names_the_line(text, line):
    """The line is that of the key, for the usual ways to write TOML."""
    (problem,) = problems_of(toml(text))
    assert problem.startswith(f"config.toml, line {line}: node.yum: ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[proxy]]\nurl = "http://a:1"', "config.toml, line 1: proxy: not a section; write [proxy]"),
        ("proxy = 1", "config.toml, line 1: proxy: not a section; write [proxy]"),
        ('url = "http://a:1"', "config.toml, line 1: url: unknown key; did you mean proxy.url?"),
        ("oops = 1", "config.toml, line 1: oops: unknown key (allowed: the sections proxy, "),
        ("[oops]", "config.toml, line 1: oops: unknown section (allowed: proxy, "),
        ('[proxy.url]\nhost = "a"', "proxy.url: expected a string, got a table"),
        ('[proxy]\n"a b\\n" = 1', r'"proxy.a b\n": unknown key'),
        ('["proxy\\u001b[31m"]', r'"proxy\x1b[31m": unknown section'),
        ("[node]\nyum = 2024-01-01", "node.yum: expected a boolean, got a date"),
    ],
)
def test_refuses_what_is_in_the_wrong_place(text, problem):
    """Unknown and misplaced keys are errors, in text that is safe to print on a terminal."""
    (reported,) = problems_of(toml(text))
    assert problem in reported
    assert reported.isprintable()


# --- TOML


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (b"[proxy\n", "line 1, column 7"),
        (b'[proxy]\nurl = "http://a:1\n', "line 2, column 18"),
        (b"[proxy]\n\nurl = http://a:1", "line 3, column 7"),
        (b"[proxy]\nurl\n", "line 2, column 4"),
        (b"a = 1\na = 2\n", "line 2"),
        (b"[proxy]\nurl = '\x00'", "line 2"),
        (b"[proxy]\n# caf\xe9\n", "line 2: invalid UTF-8"),
        (b"\xff\xfe[\0p\0", "line 1: invalid UTF-8"),
        (b"\xef\xbb\xbf[proxy]\r\n", "config.toml: TOML does not allow a byte order mark"),
        (b"a = " + b"[" * 5000, "config.toml: invalid TOML"),
    ],
)
def test_syntax_errors_have_line_and_column(text, where):
    """Invalid TOML is refused with its place, whatever the mistake."""
    with pytest.raises(SettingsError) as caught:
        parse_toml("config.toml", text)
    (problem,) = caught.value.problems
    assert problem.startswith("config.toml")
    assert where in problem
    assert problem.isprintable()


def test_a_number_of_thousands_of_digits_is_refused():
    """Such an integer, which some versions of Python cannot convert, is an ordinary error."""
    for layer in (
        lambda: toml("[bootstrap]\ntimeout = " + "9" * 5000),
        lambda: flag_layer(["bootstrap.timeout=" + "9" * 5000]),
    ):
        with pytest.raises(SettingsError) as caught:
            merge([layer()])
        assert len(str(caught.value)) < 400


@given(st.binary(max_size=60))
def test_any_bytes_are_settings_or_an_error(content):
    """Any bytes are either settings or a SettingsError, and nothing else is raised."""
    try:
        merge([parse_toml("config.toml", content)])
    except SettingsError as error:
        problems = error.problems
    else:
        return
    assert all(problem.startswith("config.toml") for problem in problems)


# --- flags


@pytest.mark.parametrize(
    ("flag", "section", "key", "value"),
    [
        ("proxy.url=http://a:1", "proxy", "url", "http://a:1"),
        ('proxy.url="http://a:1"', "proxy", "url", "http://a:1"),
        ("proxy.url='http://a:1'", "proxy", "url", "http://a:1"),
        ('proxy.url=["http://a:1", "http://b:1"]', "proxy", "url", ["http://a:1", "http://b:1"]),
        ("proxy.url = http://a:1 ", "proxy", "url", "http://a:1"),
        ("proxy.url=", "proxy", "url", ""),
        ("node.yum=false", "node", "yum", False),
        ("metadata.deadline=1.5", "metadata", "deadline", 1.5),
        ("signal.stack=a=b", "signal", "stack", "a=b"),
        ("signal.stack=a # b", "signal", "stack", "a # b"),
        ('signal.stack="a" # b', "signal", "stack", "a"),
        ("signal.stack=a\nb = 1", "signal", "stack", "a\nb = 1"),
        ("signal.stack=1\nb = 1", "signal", "stack", "1\nb = 1"),
        ("aws.direct=" + "[" * 5000, "aws", "direct", "[" * 5000),
    ],
)
def test_flags_are_toml_or_a_bare_string(flag, section, key, value):
    """The value is read as TOML; if it is not TOML, it is a string."""
    assert flag_layer([flag]).data == {section: {key: value}}


@pytest.mark.parametrize("flag", ["", "proxy", "proxy.url", "proxy=http://a:1", ".url=x", "proxy.=x", "=x", "url=a.b"])
def test_flags_need_section_key_and_value(flag):
    """Anything else is refused, and the error shows the form."""
    with pytest.raises(SettingsError, match=r"expected SECTION\.KEY=VALUE") as caught:
        flag_layer([flag])
    assert f'--set "{flag}"' in str(caught.value)


def test_all_wrong_flags_are_reported():
    """One error names each wrong flag."""
    with pytest.raises(SettingsError) as caught:
        flag_layer(["a", "node.yum=true", "b"])
    assert len(caught.value.problems) == 2


def test_an_error_of_a_flag_does_not_show_a_password():
    """The user info of a URL in a misspelt flag is not repeated."""
    with pytest.raises(SettingsError) as caught:
        flag_layer(["http://alice:hunter2@proxy:3128"])
    assert "hunter2" not in str(caught.value)


def test_the_last_flag_wins():
    """The last of repeated flags wins, and --proxy is short for proxy.url."""
    assert flag_layer(["node.yum=true", "node.yum=false"]).data == {"node": {"yum": False}}
    layer = flag_layer(["proxy.url=http://a:1", "node.yum=false"], proxy="http://b:2")
    assert layer.data == {"proxy": {"url": "http://b:2"}, "node": {"yum": False}}
    assert merge([layer]).settings.proxy.url == (ProxyUrl("http", "b", 2),)
    assert layer.name == "flags"


@given(st.lists(st.text(max_size=30), max_size=3))
def test_any_flags_are_settings_or_an_error(flags):
    """Any flags are either settings or a SettingsError, and nothing else is raised."""
    try:
        merge([flag_layer(flags)])
    except SettingsError as error:
        assert error.problems  # noqa: PT017 - both outcomes are right


# --- the metadata section


@pytest.mark.parametrize("name", [USER_DATA, USER_DATA + ", part 2"])
def test_user_data_cannot_set_metadata_settings(name):
    """`[metadata]` in user data is refused, because user data is read with these settings."""
    (problem,) = problems_of(toml("[metadata]\ndeadline = 5", name))
    assert problem == (
        f"{name}, line 1: metadata: not allowed in user data, which is read with these settings; set them in config.toml"
    )


def test_metadata_flags_are_not_kept():
    """The flags that are kept for an instance have no metadata section.

    Its settings are needed before the instance is known.
    """
    assert without_metadata({"metadata": {"deadline": 5}, "node": {"yum": False}}) == {"node": {"yum": False}}


def test_what_is_right_is_usable_although_the_rest_is_wrong():
    """Each wrong value has its default, and each right one counts; a later layer wins."""
    first = parse_toml("config.toml", b'oops = 1\n[failure]\npolicy = "closed"\n[signal]\nstack = 1\nresource = "R"\n')
    second = parse_toml("config.d/1.toml", b'[failure]\npolicy = "oops"\n[watch]\ninterval = 30\n[proxy]\nurl = 1\n')
    settings = merge_usable([first, second])
    assert (settings.failure.policy, settings.signal.stack, settings.signal.resource) == ("closed", "", "R")
    assert (settings.watch.interval, settings.proxy.url) == (30, ())


@given(st.binary())
def test_any_settings_are_usable(content):
    """Whatever is wrong, the rest is read."""
    try:
        layer = parse_toml("config.toml", content)
    except SettingsError:
        return
    assert merge_usable([layer])


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (['[signal]\nstack = "s"'], "a.toml, line 2: signal.stack: requires signal.resource"),
        (['[signal]\nstack = "s"\nresource = ""'], "a.toml, line 2: signal.stack: requires signal.resource"),
        (['signal.stack = "s"', "[node]\nyum = true"], "a.toml, line 1: signal.stack: requires signal.resource"),
        (['[signal]\nstack = "s"', '[signal]\nstack = "t"'], "b.toml, line 2: signal.stack: requires signal.resource"),
        (['[signal]\nstack = "s"', '[signal]\nresource = "R"'], ""),
        (['[signal]\nresource = "R"'], ""),
        (['[signal]\nstack = "s"', '[signal]\nstack = ""'], ""),
        ([], ""),
    ],
)
def test_a_stack_requires_a_resource_of_any_layer(texts, problem):
    """The error names the layer that sets the stack; a part of the layers is not judged."""
    layers = [parse_toml(name, text.encode()) for name, text in zip(("a.toml", "b.toml"), texts)]
    merge(layers)
    if not problem:
        merge_all(layers)
        return
    with pytest.raises(SettingsError) as caught:
        merge_all(layers)
    assert caught.value.problems == (problem + " (allowed: a logical resource ID)",)
