"""The changes of a Plan as a unified diff."""

from __future__ import annotations

from agent.core.plan.plan import Change
from agent.core.redact import redact


def unified(change: Change) -> str:
    """Return a unified diff that patch(1) accepts, with credentials masked."""
    import difflib  # boots and cycles without a change do not need it

    before, after = _lines(change.before), _lines(change.after)
    names = (
        "/dev/null" if change.before is None else change.path,
        "/dev/null" if change.after is None else change.path,
    )
    if before == after:
        return f"{change.path}: mode becomes {change.mode or 0:04o}\n"
    diff = difflib.unified_diff(before, after, *names)
    no_newline = "\n\\ No newline at end of file\n"
    return redact("".join(line if line.endswith("\n") else line + no_newline for line in diff))


def _lines(content: bytes | None) -> list[str]:
    return (content or b"").decode("utf-8", "backslashreplace").splitlines(keepends=True)
