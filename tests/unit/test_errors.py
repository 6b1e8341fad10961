"""Error texts: the first problems are reported, the others counted, and each text is bounded.

The same for exceptions that were not expected.
"""

import pytest

from agent.core.redact import redact
from agent.errors import AgentError, FileError, SettingsError, UsageError, as_agent_error, shortlist


def problems(count):
    """Return so many problems, as `config check` reports them."""
    return [f"config.toml, line {number}: proxy.k{number}: unknown key" for number in range(1, count + 1)]


def test_twenty_problems_are_reported_in_full():
    """Up to twenty, nothing is left out."""
    assert shortlist(problems(20)) == problems(20)
    assert shortlist([]) == []


def test_more_problems_are_counted():
    """The last line has the number of those that are not shown."""
    assert shortlist(problems(21)) == [*problems(20), "and 1 more"]
    assert str(SettingsError(problems(150_000))).split("\n") == [*problems(20), "and 149,980 more"]


def test_problems_of_several_files_can_be_put_together():
    """SettingsError keeps them all: only its text is bounded."""
    first, second = SettingsError(problems(30)), SettingsError(problems(40))
    assert str(SettingsError([*first.problems, *second.problems])).endswith("\nand 50 more")


@pytest.mark.parametrize("error", [AgentError, FileError, UsageError, lambda text: SettingsError([text])])
@pytest.mark.parametrize("text", ["x" * 4_000_000, "x\n" * 2_000_000, ("x" * 4000 + "\n") * 1000, "\n" * 4_000_000])
def test_no_error_has_megabytes(error, text):
    """Whatever an error repeats, its text fits into one entry of the journal."""
    shown = str(error(text))
    assert len(shown) < 17_000
    assert shown.count("\n") <= 20
    assert redact(shown) == shown


def test_a_long_line_is_shortened():
    """One problem that repeats a long text leaves room for the next ones."""
    first, second = shortlist(["x" * 100_000, "config.toml: wrong"])
    assert (len(first), first[-4:], second) == (4000, "x...", "config.toml: wrong")


@pytest.mark.parametrize("error", [AgentError, lambda text: as_agent_error(ValueError(text))])
@pytest.mark.parametrize("length", [10, 60, 1_000, 100_000])
def test_a_shortened_text_shows_no_credentials(error, length):
    """The log redacts user info by the @ after it, which a shortened text would lack."""
    text = f"response: http://alice:{'s3cr3t' * length}@proxy.corp:3128 " + "x" * 5_000
    assert "s3cr3t" not in redact(str(error(text)))


def test_expected_error_stays_as_it_is() -> None:
    """Its text, hint and exit code are for the operator already."""
    error = SettingsError(["a", "b"], hint="c")
    assert as_agent_error(error) is error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        (MemoryError(), "MemoryError"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (ValueError("first\nsecond"), "ValueError: first"),
        (ValueError("x" * 10_000), "ValueError: " + "x" * 297 + "..."),
    ],
)
def test_unexpected_exception_has_type_and_text(error: Exception, text: str) -> None:
    """One bounded line, and the exit code of a failure."""
    shown = as_agent_error(error)
    assert (str(shown), shown.exit_code) == (text, AgentError.exit_code)


def test_unexpected_exception_has_its_origin() -> None:
    """The hint has file and line of the innermost calls, and no source text."""

    def recurse(depth: int) -> None:
        if depth == 0:
            raise KeyError("secret")
        recurse(depth - 1)

    with pytest.raises(KeyError) as caught:
        recurse(100)
    hint = as_agent_error(caught.value).hint
    assert hint.startswith("unexpected error; please report it: test_errors.py:")
    assert hint.count(" < test_errors.py:") == 7
    assert "secret" not in hint
