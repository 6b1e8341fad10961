"""The members of a support report, and the README.txt that lists them.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.core.record import evolve, field, record

#: Bytes of a member, and of all of them, before compression.
MEMBER_LIMIT, TOTAL_LIMIT = 1024 * 1024, 10 * 1024 * 1024
README = "README.txt"

_HEAD = """\
Support report of eks-proxy-agent.

Each file is plain text or JSON. To print one of them:
  tar --extract --gzip --to-stdout --file ARCHIVE {top}/check.json

Passwords, tokens, the values of variables of other programs and their lines in
shared files are masked (***) or left out. Of user data there are only the types
and sizes. The report names hosts, addresses, accounts and users. Read it before
you send it.
"""

_CUT = b"(cut: the lines before these are left out)\n"


@record
class Member:
    """One file of a report.

    `content`: None if it was not collected.  `note`: why not, or what is special about it.
    """

    path: str
    about: str
    content: bytes | None = field(default=None, repr=False)
    note: str = ""


def cut(content: bytes, limit: int) -> bytes:
    """Return a text of at most `limit` bytes: its last whole lines, below a line that says so."""
    if len(content) <= limit:
        return content
    tail = content[len(_CUT) - limit :]
    return _CUT + tail.partition(b"\n")[2]


def within_limit(members: Iterable[Member], limit: int = TOTAL_LIMIT) -> tuple[Member, ...]:
    """Return the members in their order; those for which there is no room are without content."""
    room, kept = limit, []
    for member in members:
        size = len(member.content or b"")
        if size > room:
            member = evolve(member, content=None, note=f"{size} bytes, for which the report had no room")
        else:
            room -= size
        kept.append(member)
    return tuple(kept)


def readme(top: str, about: Sequence[tuple[str, str]], members: Sequence[Member]) -> str:
    """Return README.txt of the report in the directory `top`.

    `about` has lines about the report as (name, value).
    """
    lines = [_HEAD.format(top=top)]
    lines += [f"{name + ':':<12} {value}" for name, value in about]
    collected = [member for member in members if member.content is not None]
    missing = [member for member in members if member.content is None]
    lines += ["", "Files:", ""]
    for member in collected:
        lines += [f"  {member.path:<24} {len(member.content or b''):>8} bytes  {member.about}"]
        lines += [f"  {'':<24} {line}" for line in member.note.splitlines()]
    lines += ["", "Not collected:", ""] if missing else ["", "Everything was collected."]
    for member in missing:
        lines += [f"  {member.path:<24} {member.about}"]
        lines += [f"  {'':<24} {line}" for line in member.note.splitlines()]
    return "\n".join(lines) + "\n"
