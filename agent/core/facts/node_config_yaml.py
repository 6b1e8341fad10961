"""YAML of NodeConfigs and manifests, without what makes small texts expensive.  Pure.

Anyone who may launch an instance writes NodeConfigs.  Merge keys of merge keys take PyYAML
exponential time, aliases of aliases unfold to any size, `1:2:3` of any length is one number.
nodeadm's and kubectl's reader (sigs.k8s.io/yaml) has no use for tags, and turns keys into strings;
aliases and merge keys it would take.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from agent.core.net.proxy_url import quoted
from agent.errors import AgentError

#: Limits of all texts together (bytes), and of the depth and the values of one text.  PyYAML reads
#: 64 KiB of flow lists, 30,000 values, in up to 1 s (Python 3.9); a NodeConfig has a few hundred.
LIMIT = 64 * 1024
_DEPTH = 64
_VALUES = 10_000

_TAG = "tag:yaml.org,2002:"


def documents(texts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Any]]:
    """Yield each document with the label of its text; empty documents are left out.

    `texts` are pairs of label and text.  Raises AgentError with line and column.
    """
    texts = list(texts)
    if sum(len(text.encode("utf-8", "replace")) for _, text in texts) > LIMIT:
        raise AgentError(f"NodeConfig: longer than {LIMIT // 1024} KiB in all")
    for label, text in texts:
        yield from ((label, document) for document in documents_of(label, text, _VALUES))


def documents_of(label: str, text: str, values: int) -> Iterator[Any]:
    """Yield the documents of one text of at most `values` values; empty ones are left out.

    They consist of what JSON has.  Raises AgentError with line and column.
    """
    import yaml  # only nodes with a NodeConfig pay for it

    try:
        yield from (document for document in yaml.load_all(text, _loader(values)) if document is not None)
    except _UnsupportedError as error:
        raise AgentError(f"{label}: {_where(error.mark)}{error}") from None
    except yaml.YAMLError as error:
        where = _where(getattr(error, "problem_mark", None))
        problem = getattr(error, "problem", "") or "cannot be read"
        raise AgentError(f"{label}: {where}invalid YAML: {quoted(problem, 200)[1:-1]}") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        # what PyYAML stumbles over and lets through
        raise AgentError(f"{label}: invalid YAML: {quoted(str(error))}") from None


class _UnsupportedError(Exception):
    """Valid YAML that is refused, and where it stands."""

    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem)
        self.mark = mark


def _where(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""


def _loader(values: int) -> Any:
    """Return the class that reads YAML of at most `values` values."""
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML of nodeadm's reader: no tags; a date, `=` and a number of another base are text."""

        depth = count = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            problem = ""
            if isinstance(event, yaml.AliasEvent):
                problem = f"alias {quoted(f'*{event.anchor}')} is not supported; write its value"
            elif event.tag is not None:
                problem = f"tag {quoted(event.tag)} is not supported; remove it"
            elif self.depth >= _DEPTH:
                problem = f"nested more than {_DEPTH} levels deep"
            elif self.count >= values:
                problem = f"more than {values} values"
            if problem:
                raise _UnsupportedError(problem, event.start_mark)
            self.count += 1
            self.depth += 1
            node: Any = super().compose_node(parent, index)
            self.depth -= 1
            if node.tag == _TAG + "merge":
                raise _UnsupportedError("merge key << is not supported; write its keys", node.start_mark)
            return node

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            table = super().construct_mapping(node, deep)
            return {key if isinstance(key, str) else json.dumps(key): value for key, value in table.items()}

    for kind in ("timestamp", "value"):
        Loader.add_constructor(_TAG + kind, lambda loader, node: node.value)
    Loader.add_constructor(_TAG + "int", lambda loader, node: _number(int, node.value))
    Loader.add_constructor(_TAG + "float", lambda loader, node: _number(float, node.value))
    return Loader


def _number(kind: type[int] | type[float], text: str) -> int | float | str:
    return kind(text) if re.fullmatch(r"[-+]?[0-9]{1,18}(?:\.[0-9]{0,18})?(?:[eE][-+]?[0-9]{1,2})?", text) else text
