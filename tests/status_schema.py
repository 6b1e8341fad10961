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


def strict(schema: Any) -> Any:
    """Return a schema in which no object may have other keys than those that it names."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if schema.get("type") in ("object", ["object", "null"]) and "properties" in schema:
        closed.setdefault("additionalProperties", False)
    return closed


def problems(status: Mapping[str, Any], *, file: bool = False) -> list[str]:
    """What is wrong with the output of `status --json`, or with a status.json (`file`)."""
    schema = SCHEMA
    if file:
        schema = {**SCHEMA["$defs"]["status_file"], "$defs": SCHEMA["$defs"]}
        schema = json.loads(json.dumps(schema).replace("#/properties/", "#/$defs/whole/properties/"))
        schema["$defs"]["whole"] = json.loads(json.dumps(SCHEMA))
        del schema["$defs"]["whole"]["$id"]
    found = jsonschema.Draft202012Validator(strict(schema)).iter_errors(status)
    return ["{}: {}".format("/".join(map(str, error.absolute_path)), error.message) for error in found]
