"""Records behave as the classes of attrs that the type checker takes them for."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
from typing import Any, ClassVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import agent
from agent.core import record as ours
from agent.core.noproxy.entries import Entry


def classes(module: Any, frozen: Any) -> tuple[type, type]:
    """Return a class with every kind of field, and a subclass of it, made with a library."""

    @frozen
    class Base:
        kind: ClassVar[str] = "base"
        name: str
        count: int = 3
        secret: str = module.field(default="", repr=False)
        note: str = module.field(default="x", eq=False)
        items: dict[str, Any] = module.field(factory=dict)
        inner: Any = None

        def described(self) -> str:
            return f"{self.kind} {self.name}"

    @frozen
    class Derived(Base):
        extra: tuple[Any, ...] = ()
        mode: int | None = module.field(default=None, kw_only=True)
        label: Any = module.field()

        @label.default
        def _label(self) -> str:
            return f"{self.name}-{self.count}"

    return Base, Derived


BASE, DERIVED = classes(ours, ours.record)
ATTRS_BASE, ATTRS_DERIVED = classes(attrs, attrs.frozen)
VALUES = st.one_of(
    st.none(), st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2), st.tuples(st.integers())
)
NAMED = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("name", "count", "secret", "note", "items", "inner", "extra", "mode", "label", "other"), VALUES
    ),
)
ARGUMENTS = st.tuples(st.lists(VALUES, max_size=9), NAMED)


def made(cls: Any, values: Any, named: Any) -> Any:
    """Return an instance, or TypeError if these are not the arguments of one."""
    try:
        return cls(*values, **named)
    except TypeError:
        return TypeError


@given(ARGUMENTS, ARGUMENTS, st.booleans())
def test_a_record_is_what_attrs_makes_of_the_same_class(one: Any, other: Any, is_derived: bool) -> None:
    """Arguments, defaults, repr, equality and asdict are the same, for any arguments."""
    cls, reference = (DERIVED, ATTRS_DERIVED) if is_derived else (BASE, ATTRS_BASE)
    first, second = made(cls, *one), made(cls, *other)
    expected, expected_second = made(reference, *one), made(reference, *other)
    assert (first is TypeError) == (expected is TypeError)
    assert (first == second) == (expected == expected_second)
    if first is TypeError:
        return
    assert repr(first) == repr(expected)
    assert ours.asdict(first) == attrs.asdict(expected)
    assert first == copy.copy(first) == copy.deepcopy(first) == ours.evolve(first)
    assert first.described() == expected.described()


@given(ARGUMENTS, NAMED)
def test_evolve_changes_what_attrs_changes(one: Any, changes: Any) -> None:
    """The copy has the changes; a name that is not a field is an error."""
    first, expected = made(DERIVED, *one), made(ATTRS_DERIVED, *one)
    if first is TypeError:
        return
    if "other" in changes:
        with pytest.raises(TypeError):
            ours.evolve(first, **changes)
        return
    assert repr(ours.evolve(first, **changes)) == repr(attrs.evolve(expected, **changes))


def test_fields_are_those_of_attrs() -> None:
    """Those of base classes come first."""
    names = [field.name for field in attrs.fields(ATTRS_DERIVED)]
    assert [field.name for field in ours.fields(DERIVED)] == list(ours.fields_dict(DERIVED)) == names


def test_nested_records_become_dicts() -> None:
    """asdict finds records in sequences and dicts, and keeps the type of these."""
    nested = BASE("a", inner=(BASE("b"), [BASE("c")], {"k": BASE("d")}))
    expected = ATTRS_BASE("a", inner=(ATTRS_BASE("b"), [ATTRS_BASE("c")], {"k": ATTRS_BASE("d")}))
    assert ours.asdict(nested) == attrs.asdict(expected)


def test_a_record_is_immutable() -> None:
    """Its fields cannot be set or deleted, and no others added."""
    value = BASE("a")
    with pytest.raises(AttributeError, match=r"Base\.name: a record is immutable"):
        value.name = "b"
    with pytest.raises(AttributeError, match="immutable"):
        value.other = "b"
    with pytest.raises(AttributeError, match="immutable"):
        del value.name


def test_records_of_different_classes_are_not_equal() -> None:
    """Not even with the same values, nor a subclass."""
    assert BASE("a", items=()) != DERIVED("a", items=())
    assert hash(BASE("a", items=())) == hash(BASE("a", items=()))
    assert hash(BASE("a", items=())) != hash(DERIVED("a", items=()))


def test_methods_of_the_class_are_kept() -> None:
    """A class may define __repr__, __eq__ and __hash__ itself."""

    @ours.record
    class Own:
        name: str

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

    assert (repr(Own("a")), hash(Own("a"))) == ("own", 7)
    assert Own("a") == Own("b")


def test_a_record_can_be_pickled() -> None:
    """Tests send records to other processes."""
    assert pickle.loads(pickle.dumps(Entry("a", "b"))) == Entry("a", "b")  # noqa: S301 -- our own


#: What repr() leaves out: it may hold a secret, or be as large as a file.
HIDDEN = """
    Attributes.extended CaAnchor.content CaCertificates.pem Change.after Change.attributes Change.before ClusterInputs.ca
    Credentials.password Credentials.user DnfConf.url Facts.user_data FileState.attributes FileState.content Host._reported
    Inputs.credentials Intent.credentials Layer.text Layered.raw Member.content NodeInputs.credentials ObjectData.data
    Output.stderr Output.stdout Part.body PodVariable.value ProxyPlace.values Record.attributes Record.before
    RemovedEnv.entry ReportedNode.mask ReportedNode.stop Source.data Source.salt SourceStep.manifest UserData.node_configs
    UserData.scripts UserData.settings WholeFile.content YumConf.url
"""


def test_what_repr_shows_has_no_secret() -> None:
    """An assertion, a bug report or a log line may print any record."""
    hidden = []
    for module in pkgutil.walk_packages(agent.__path__, "agent."):
        if module.name == "agent.__main__":
            continue
        for item in vars(importlib.import_module(module.name)).values():
            if isinstance(item, type) and item.__module__ == module.name and hasattr(item, "__record_fields__"):
                hidden += [f"{item.__name__}.{field.name}" for field in ours.fields(item) if not field.repr]
    assert sorted(hidden) == sorted(HIDDEN.split())
