"""docs/status.schema.json as a judge of what the agent says; stricter than readers have to be:
every key is documented.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema

ROOT = Path(__file__).parents[1]
SCHEMA = json.loads((ROOT / "docs/status.schema.json").read_text())


def problems(status: Mapping[str, Any], *, file: bool = False) -> list[str]:
    """What is wrong with the output of `status --json`, or with a status.json (`file`)."""
    schema = {**SCHEMA, "additionalProperties": False}
    if file:
        schema = {**SCHEMA["$defs"]["status_file"], "$defs": SCHEMA["$defs"], "additionalProperties": False}
        schema = json.loads(json.dumps(schema).replace("#/properties/", "#/$defs/whole/properties/"))
        schema["$defs"]["whole"] = json.loads(json.dumps(SCHEMA))
        del schema["$defs"]["whole"]["$id"]
    found = jsonschema.Draft202012Validator(schema).iter_errors(status)
    return ["{}: {}".format("/".join(map(str, error.absolute_path)), error.message) for error in found]
