"""The mutants of `make mutants`: what is changed, and which are chosen."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import pytest

from tests.mutants.mutations import mutants_of
from tests.mutants.run import LAYERS, choose, reaching

ROOT = Path(__file__).parents[2]


def changes(tmp_path: Path, source: str) -> list[str]:
    """Return the changed source of each mutant, on one line."""
    (tmp_path / "file.py").write_text(source)
    mutants = mutants_of(tmp_path, "file.py")
    return [mutant.apply(source.encode()).decode().replace("\n", "|") for mutant in mutants]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a == b", ["x = (a != b)"]),
        ("x = a < 1", ["x = (a <= 1)", "x = a < 2"]),
        ("x = a in b", ["x = (a not in b)"]),
        ("x = a and b", ["x = (a or b)", "x = (b)", "x = (a)"]),
        ("x = not a", ["x = (a)"]),
        ("x = a + b", ["x = (a - b)"]),
        ("x = True", ["x = (False)"]),
        ("x = f(1, b=2)", ["x = (f(1))"]),
        ("f()", ["pass"]),
        ("raise E", ["pass"]),
        ("a += 1", ["a = 1"]),
        ("if a:|    pass", ["if (not a):|    pass"]),
        ("x = [a for a in b if a]", ["x = [a for a in b if (not a)]"]),
        ("x = 1 if a else 2", ["x = 1 if (not a) else 2"]),
        ("try:|    x = 1|except E:|    x = 2", ["try:|    x = 1|except E:|    raise"]),
        ("def f():|    return a", ["def f():|    return None"]),
        ("for a in b:|    break", ["for a in b:|    continue"]),
        ('def f(a: int = 5) -> "b":|    """Text."""|    return None', []),
        ('x = f"{a == b} ü"', []),
    ],
)
def test_mutations(tmp_path: Path, source: str, expected: list[str]) -> None:
    """One small change each; neither annotations nor docstrings nor constants are changed."""
    assert changes(tmp_path, source.replace("|", "\n")) == expected


def test_a_mutant_is_named_by_line_and_function(tmp_path: Path) -> None:
    """The position counts bytes: a letter before it may have several."""
    source = "class A:\n    def b(self):\n        return 'ü' + self.c(\n            d=1)\n"
    (tmp_path / "file.py").write_text(source)
    mutants = mutants_of(tmp_path, "file.py")
    assert [str(mutant) for mutant in mutants] == [
        "file.py:3 return 'ü' + self.c( d=1) → return None",
        "file.py:3 'ü' + self.c( d=1) → ('ü' - self.c(d=1))",
        "file.py:3 self.c( d=1) → (self.c())",
    ]
    assert {mutant.function for mutant in mutants} == {"A.b"}
    (tmp_path / "file.py").write_text(
        "class A:\n    x = not 1\n    def f(self):\n        class B:\n            y = not 2\n"
    )
    assert [mutant.function for mutant in mutants_of(tmp_path, "file.py")] == ["", "A.f"]


def test_the_seed_chooses_the_mutants() -> None:
    """The same number of each layer; each is a program that differs from ours."""
    chosen = choose(7, 60)
    assert chosen == choose(7, 60)
    assert chosen != choose(8, 60)
    assert {layer: len(mutants) for layer, mutants in chosen.items()} == dict.fromkeys(LAYERS, 10)
    assert not any(mutant.file.startswith("agent/core/cluster/") for mutant in chosen["core"])
    for mutant in itertools.chain(*chosen.values()):
        source = (ROOT / mutant.file).read_bytes()
        assert ast.dump(ast.parse(mutant.apply(source))) != ast.dump(ast.parse(source))


def record(test: str, *names: str, seconds: float = 1.0, passed: bool = True) -> dict[str, object]:
    """Return the record of a test."""
    return {"test": test, "names": list(names), "seconds": seconds, "passed": passed}


def test_a_mutant_gets_the_tests_that_reach_its_function(tmp_path: Path) -> None:
    """Fast ones first, and only those that pass; code outside of functions is reached by all."""
    (tmp_path / "file.py").write_text("A = not f\nclass B:\n    C = not A\n    def d(self):\n        return 1\n")
    module, in_class, inside, *_ = mutants_of(tmp_path, "file.py")
    records = [
        record("slow", "file.py:B.d", seconds=2),
        record("fast", "file.py:B.d"),
        record("failing", "file.py:B.d", passed=False),
        record("other", "file.py:e"),
        record("elsewhere", "another.py:B.d"),
    ]
    assert [item["test"] for item in reaching(inside, records)] == ["fast", "slow"]
    for mutant in (module, in_class):
        assert [item["test"] for item in reaching(mutant, records)] == ["fast", "other", "slow"]
