"""`attrs.frozen` for classes that are created quickly: the agent defines about a hundred at boot.

attrs writes and compiles __repr__, __eq__ and __hash__ of each class, which takes more than half of
its time for a class.  Here all classes share them, and read the fields when they are called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

__all__ = ["record"]


def _repr(self: Any) -> str:
    fields = [field for field in attrs.fields(type(self)) if field.repr]
    return f"{type(self).__qualname__}({', '.join(f'{field.name}={getattr(self, field.name)!r}' for field in fields)})"


def _values(instance: Any) -> tuple[Any, ...]:
    return tuple(getattr(instance, field.name) for field in attrs.fields(type(instance)) if field.eq)


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash((type(self), _values(self)))


if TYPE_CHECKING:
    from attrs import frozen as record
else:

    def record(cls):
        """Make a class an immutable record of its annotated fields."""
        for name, method in (("__repr__", _repr), ("__eq__", _eq), ("__hash__", _hash)):
            if name not in vars(cls):
                setattr(cls, name, method)
        return attrs.frozen(repr=False, eq=False, unsafe_hash=False)(cls)
