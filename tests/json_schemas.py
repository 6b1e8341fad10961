"""The schemas in docs/ as judges of every --json that a test makes.

They are stricter than readers have to be: each key of the output is in the schema.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema

from tests import status_schema
from tests.status_schema import strict

DOCS = Path(__file__).parents[1] / "docs"
#: Commands whose output is one object a line; of a long output so many lines are validated.
LINES, LONGEST = ("explain",), 200
#: Commands with actions: their names have two words.
GROUPS = ("config", "cluster", "user-data")


def path_of(command: str) -> Path:
    """Return the path of the schema of a command, such as `cluster plan`."""
    return DOCS / f"{command.replace(' ', '-')}.schema.json"


def check(words: Sequence[str], out: str) -> None:
    """Fail unless the output of a command line with --json matches the schema of its command."""
    if "--json" not in words or not out:
        return
    command = " ".join(words[: 2 if words[0] in GROUPS else 1])
    assert problems(command, out) == []


def problems(command: str, out: str) -> list[str]:
    """Return what is wrong with the output of `COMMAND --json`."""
    if command not in LINES:
        return _problems(command, json.loads(out))
    lines = out.splitlines()
    return [problem for line in [*lines[:LONGEST], lines[-1]] for problem in _problems(command, json.loads(line))]


def _problems(command: str, document: Any) -> list[str]:
    if command == "status":
        return status_schema.problems(document)
    found = _validator(command).iter_errors(document)
    return ["{}: {}".format("/".join(map(str, error.absolute_path)), error.message) for error in found]


@functools.cache
def _validator(command: str) -> Any:
    return jsonschema.Draft202012Validator(strict(json.loads(path_of(command).read_text())))
