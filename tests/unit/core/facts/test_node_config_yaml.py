"""YAML of NodeConfigs: errors name the text and the place."""

import pytest

from agent.core.facts.node_config_yaml import documents_of
from agent.errors import AgentError


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: \x00", "user data: invalid YAML: cannot be read"),  # PyYAML names no problem for a character
        ("a: b: c", "user data: line 1, column 5: invalid YAML: mapping values are not allowed here"),
        ("---\n[", "user data: line 2, column 2: invalid YAML: expected the node content, but found '<stream end>'"),
    ],
)
def test_errors_of_yaml(text, error):
    """The problem in the words of PyYAML, if it has any, with line and column."""
    with pytest.raises(AgentError) as caught:
        list(documents_of("user data", text, 100))
    assert str(caught.value) == error


def test_empty_documents_are_left_out():
    """A separator at the end is not a document."""
    assert list(documents_of("x", "---\na: 1\n---\n---\n- 2\n", 100)) == [{"a": 1}, [2]]
