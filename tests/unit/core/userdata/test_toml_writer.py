"""Settings as TOML in ASCII."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.settings.toml_text import loads
from agent.core.userdata.toml_writer import toml_of

VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.lists(st.text(), max_size=4),
)


@given(st.dictionaries(st.sampled_from([("proxy", "url"), ("node", "ca_bundle"), ("watch", "interval")]), VALUES))
def test_what_is_written_is_read_again(values):
    """Every value of TOML comes back, and the text has only printable ASCII and newlines."""
    text = toml_of(values)
    assert {(table, key): value for table, keys in loads(text).items() for key, value in keys.items()} == values
    assert text.replace("\n", "").isprintable()
    assert text.isascii()


def test_the_order_is_that_of_the_schema():
    """The same settings give the same text."""
    values = {("watch", "interval"): 60, ("proxy", "url"): "http://proxy:3128", ("proxy", "no_proxy"): ["a.corp"]}
    text = '[proxy]\nurl = "http://proxy:3128"\nno_proxy = ["a.corp"]\n\n[watch]\ninterval = 60\n'
    assert toml_of(values) == text
    assert toml_of({}) == ""
