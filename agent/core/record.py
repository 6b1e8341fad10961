"""Immutable classes of fields, as `attrs.frozen` defines them, without its cost at every boot.

The agent defines about a hundred when it boots.  attrs compiles methods for each of them, and
imports inspect, ast and tokenize, which together is a third of all imports of a boot.  Here all
records share their methods, which read the fields when they are called.

The type checker reads attrs in place of this module, so all calls are checked as strictly as those
of attrs.  tests/unit/core/test_record.py holds that both behave alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["Attribute", "asdict", "evolve", "field", "fields", "fields_dict", "record"]


class _Required:
    """Default of a field without a default."""


_FIELDS = "__record_fields__"


class _Field:
    """One field of a record; `name` is set with its class."""

    __slots__ = ("_default", "_factory", "eq", "kw_only", "metadata", "name", "repr", "takes_self")

    def __init__(self, default: Any, factory: Any, metadata: Any, *, repr: bool, eq: bool, kw_only: bool) -> None:  # noqa: A002 -- the name in attrs
        self.name = ""
        self._default, self._factory, self.takes_self = default, factory, False
        self.metadata, self.repr, self.eq, self.kw_only = metadata, repr, eq, kw_only

    def default(self, method: Any) -> Any:
        """Decorate the method that returns the default, from the fields before this one."""
        self._factory, self.takes_self = method, True
        return method

    def default_of(self, instance: Any) -> Any:
        """Return the default for an instance, `_Required` without one."""
        if self._factory is None:
            return self._default
        return self._factory(instance) if self.takes_self else self._factory()


def _field(
    *,
    default: Any = _Required,
    factory: Any = None,
    repr: bool = True,  # noqa: A002 -- the name in attrs
    eq: bool = True,
    kw_only: bool = False,
    metadata: Any = None,
) -> _Field:
    """Define a field in the class of a record; `factory` returns the default of one instance."""
    return _Field(default, factory, metadata or {}, repr=repr, eq=eq, kw_only=kw_only)


def _fields(cls: type) -> tuple[_Field, ...]:
    """Return the fields of a record, those of its base classes first."""
    found: tuple[_Field, ...] = getattr(cls, _FIELDS)
    return found


def _fields_dict(cls: type) -> dict[str, _Field]:
    return {field.name: field for field in _fields(cls)}


def _evolve(instance: Any, /, **changes: Any) -> Any:
    """Return a copy with some fields changed.  Raises TypeError for a name that is not a field."""
    values = instance.__dict__
    return type(instance)(**{**{field.name: values[field.name] for field in _fields(type(instance))}, **changes})


def _asdict(instance: Any) -> dict[str, Any]:
    """Return the fields as a dict for JSON: records in it as dicts too."""
    return {field.name: _plain(getattr(instance, field.name)) for field in _fields(type(instance))}


def _plain(value: Any) -> Any:
    if hasattr(type(value), _FIELDS):
        return _asdict(value)
    if hasattr(value, "_fields"):  # a NamedTuple
        return type(value)(*map(_plain, value))
    if isinstance(value, (tuple, list, set, frozenset)):
        return type(value)(map(_plain, value))
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    return value


def _init(self: Any, /, *values: Any, **named: Any) -> None:
    """Set the fields from the arguments and the defaults.  Raises TypeError as a function does."""
    attributes = self.__dict__
    remaining = iter(values)
    for field in getattr(self, _FIELDS):
        name = field.name
        if not field.kw_only:
            value = next(remaining, _Required)
            if value is not _Required:
                if name in named:
                    raise TypeError(f"{type(self).__name__}: several values for {name}")
                attributes[name] = value
                continue
        value = named.pop(name) if name in named else field.default_of(self)
        if value is _Required:
            raise TypeError(f"{type(self).__name__}: {name} is missing")
        attributes[name] = value
    if named or next(remaining, _Required) is not _Required:
        raise TypeError(f"{type(self).__name__}: unexpected arguments: {', '.join(named) or 'too many values'}")


def _refuse(self: Any, name: str, *_: Any) -> None:
    raise AttributeError(f"{type(self).__name__}.{name}: a record is immutable")


def _repr(self: Any) -> str:
    shown = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in _fields(type(self)) if field.repr)
    return f"{type(self).__name__}({shown})"


def _values(instance: Any) -> tuple[Any, ...]:
    values = instance.__dict__
    return tuple(values[field.name] for field in _fields(type(instance)) if field.eq)


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash((type(self), _values(self)))


_METHODS = {
    "__init__": _init,
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
}


def _record(cls: type) -> type:
    """Make a class an immutable record of its annotated fields."""
    own = {}
    for name, annotation in vars(cls).get("__annotations__", {}).items():
        if str(annotation).startswith(("ClassVar", "typing.ClassVar")):
            continue
        default = vars(cls).get(name, _Required)
        field = default if isinstance(default, _Field) else _field(default=default)
        field.name = name
        own[name] = field
        if default is not _Required:
            delattr(cls, name)
    inherited = [field for field in getattr(cls, _FIELDS, ()) if field.name not in own]
    setattr(cls, _FIELDS, (*inherited, *own.values()))
    for name, method in _METHODS.items():
        if name not in vars(cls):
            setattr(cls, name, method)
    return cls


if TYPE_CHECKING:
    from attrs import Attribute, asdict, evolve, field, fields, fields_dict
    from attrs import frozen as record
else:
    Attribute, asdict, evolve, field, fields, fields_dict, record = (
        _Field,
        _asdict,
        _evolve,
        _field,
        _fields,
        _fields_dict,
        _record,
    )
