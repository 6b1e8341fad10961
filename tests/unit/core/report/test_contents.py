"""README.txt of the support report, and the limits of size."""

from __future__ import annotations

from agent.core.report.contents import Member, cut, readme, within_limit


def test_a_long_text_keeps_its_last_lines() -> None:
    """Whole lines within the limit, below a line that says so."""
    text = b"".join(b"line %d\n" % number for number in range(1000))
    shortened = cut(text, 100)
    assert len(shortened) <= 100
    first, _, rest = shortened.partition(b"\n")
    assert first == b"(cut: the lines before these are left out)"
    assert text.endswith(b"\n" + rest)
    assert rest.startswith(b"line ")
    assert cut(text, len(text)) == text


def test_one_line_that_is_too_long_is_left_out() -> None:
    """A part of a line could be a part of a secret that is not recognized."""
    assert cut(b"x" * 200, 100) == b"(cut: the lines before these are left out)\n"


def test_what_has_no_room_is_left_out_by_name() -> None:
    """Later and smaller members still have room."""
    members = [
        Member("a", "", b"1" * 6),
        Member("b", "", b"1" * 6),
        Member("c", "", b"1" * 4),
        Member("d", "", None, "x"),
    ]
    kept = within_limit(members, 10)
    assert [member.content for member in kept] == [b"1" * 6, None, b"1" * 4, None]
    assert kept[1].note == "6 bytes, for which the report had no room"
    assert kept[3].note == "x"


def test_readme_lists_what_is_there_and_what_is_not() -> None:
    """Each file with its size and meaning, what was not collected with the reason."""
    members = [Member("a.txt", "about a", b"123", "exit code 3"), Member("b.txt", "about b", None, "timed out")]
    text = readme("top", [("agent", "1.2")], members)
    there, _, missing = text.partition("Not collected:")
    assert "top/check.json" in there
    assert "agent:       1.2\n" in there
    assert [line.split() for line in there.splitlines()[-3:-1]] == [
        ["a.txt", "3", "bytes", "about", "a"],
        "exit code 3".split(),
    ]
    assert [line.strip() for line in missing.splitlines()[2:]] == ["b.txt                    about b", "timed out"]
    assert "Everything was collected." in readme("top", [], members[:1])
