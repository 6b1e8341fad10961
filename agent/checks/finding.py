"""What a check found: one line for people, one object for machines."""

from __future__ import annotations

import attrs

OK, WARN, FAIL, SKIP = "ok", "warn", "fail", "skip"


@attrs.frozen
class Finding:
    """`text` is the evidence, `hint` the way out.  `skip` is what could not be looked at, and why.

    Further lines of `text` (a diff) belong to the first.  `name` is the thing that was looked at: a
    unit, a file, a host. `exit_code` is what `check` ends with when all that fails has the same.
    """

    group: str
    name: str
    state: str
    text: str
    hint: str = ""
    exit_code: int = 1
