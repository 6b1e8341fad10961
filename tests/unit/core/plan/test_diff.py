"""The changes of a Plan as a unified diff."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.plan.diff import diff_lines, unified
from agent.core.plan.plan import Change

HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
#: Few different lines, so that most are repeated; some without an end, or with odd characters.
CONTENTS = st.lists(st.sampled_from(["a\n", "b\n", "\n", "c\r\n", "d\x0ce\n", "\x85\n"]), max_size=30).map("".join)


def patched(text, diff):
    """Return the text after a unified diff, as patch(1) applies it."""
    lines, result, position = text.split("\n"), [], 0
    for line in diff[2:]:
        hunk = HUNK.match(line)
        if hunk:
            begin = int(hunk[1]) - (hunk[2] != "0")
            result += lines[position:begin]
            position = begin
        elif line.startswith("+"):
            result.append(line[1:].removesuffix("\n"))
        else:
            assert lines[position] == line[1:].removesuffix("\n")
            result += [lines[position]] if line.startswith(" ") else []
            position += 1
    return "\n".join(result + lines[position:])


@given(CONTENTS, CONTENTS, st.integers(0, 3))
def test_a_diff_leads_from_one_content_to_the_other(before, after, context):
    """Also if lines are repeated, in whatever order."""
    diff = list(diff_lines(Change("/x", before.encode(), after.encode()), context=context))
    assert patched(before, diff) == after if diff else before == after


def test_a_repeated_line_is_not_compared_with_all_others(monkeypatch):
    """The cost is linear: difflib would compare each line with all equal ones."""
    compared = []
    import difflib

    original = difflib.SequenceMatcher.find_longest_match

    def count(self, *arguments):
        compared.append(max(map(len, self.b2j.values())))
        return original(self, *arguments)

    monkeypatch.setattr(difflib.SequenceMatcher, "find_longest_match", count)
    lines = [f"k{number % 150}=v\n" for number in range(3000)]
    before, after = "".join(["x\n", *lines]), "".join([*lines, "y\n"])
    diff = unified(Change("/x", before.encode(), after.encode()))
    assert "-x\n" in diff
    assert diff.endswith("+y\n")
    assert diff.count("\n") == 12
    assert set(compared) == {1}


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (None, b"a\n", "--- /dev/null\n+++ /x\n@@ -0,0 +1 @@\n+a\n"),
        (b"a\n", None, "--- /x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"),
        (b"a", b"a\n", "--- /x\n+++ /x\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"),
        (b"a\x0cb\n", b"c\n", "--- /x\n+++ /x\n@@ -1 +1 @@\n-a\x0cb\n+c\n"),
        (b"p=http://u:pw@h\n", b"", "--- /x\n+++ /x\n@@ -1 +0,0 @@\n-p=http://***@h\n"),
        (b"a\n", b"a\n", "/x: mode becomes 0600\n"),
    ],
)
def test_texts(before, after, text):
    """A created, a removed and a changed file; a form feed ends no line; credentials are masked."""
    assert unified(Change("/x", before, after, mode=0o600)) == text
