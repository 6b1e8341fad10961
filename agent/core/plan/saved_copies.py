"""Names of the copies that revert keeps of files that others edited."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

#: The suffix of such a copy.
SAVED = ".eks-proxy-agent-save"


def copy_names(path: str) -> Iterator[str]:
    """Yield the names for the copy of an edited file, in order.

    There are several, because revert does not overwrite the copies of an earlier one.
    """
    yield path + SAVED
    for number in itertools.count(2):
        yield f"{path}{SAVED}.{number}"
