"""Sources of the manual pages, the completions and docs/reference.

Commands and flags come from the parser of agent/cli.py, settings from packaging/config.toml.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from agent.cli import parser  # noqa: E402

#: A flag that at least so many commands have is described once, for all of them.
SHARED = 5


def commands(top: argparse.ArgumentParser, prefix: str = "") -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Yield name, help and parser of each command.

    A command with subcommands yields these, and not itself.
    """
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                name, below = prefix + choice.dest, action.choices[choice.dest]
                inner = list(commands(below, name + " "))
                yield from inner or [(name, str(choice.help), below)]


def groups() -> dict[str, list[tuple[str, str]]]:
    """Return each first word of a command with its actions and their helps; none if it is one."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, text, _ in commands(parser()):
        first, _, second = name.partition(" ")
        found.setdefault(first, []).extend([(second, text)] if second else [])
    return found


def first_words() -> list[tuple[str, str]]:
    """Return each first word of a command with its help."""
    (actions,) = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return [(choice.dest, str(choice.help)) for choice in actions._choices_actions]


def flags(command: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the flags of a command, except --help, which every command has."""
    return [action for action in command._actions if action.option_strings and action.dest != "help"]


def positionals(command: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the arguments of a command that are not flags."""
    return [action for action in command._actions if not action.option_strings]


def help_of(action: argparse.Action) -> str:
    """Return the help of a flag as argparse shows it, with its default filled in."""
    return str(action.help) % vars(action)


def shared_flags() -> list[str]:
    """Return the names of the flags that SHARED or more commands have, in their order there."""
    names = [flag.option_strings[0] for _, _, command in commands(parser()) for flag in flags(command)]
    return [name for name in dict.fromkeys(names) if names.count(name) >= SHARED]


class Setting(NamedTuple):
    """One key of config.toml: its comment, and its value as it is written there."""

    section: str
    key: str
    comment: str
    value: str
    is_example: bool


def settings() -> tuple[list[str], list[Setting]]:
    """Return the comments at the begin of config.toml, and every key."""
    intro: list[str] = []
    found: list[Setting] = []
    comment: list[str] = []
    section = ""
    source = iter((HERE.parent / "config.toml").read_text("utf-8").splitlines())
    for line in source:
        if line.startswith("["):
            intro, comment, section = intro or comment, [], line[1:-1]
        elif re.match(r"#[a-z_]+ = ", line):
            key, _, value = line[1:].partition(" = ")
            while value.count("[") > value.count("]"):
                value += " " + next(source).lstrip("# ")
            value, example, _ = value.partition("# e.g.")
            found.append(Setting(section, key, " ".join(comment), value.strip(), bool(example)))
            comment = []
        elif line.startswith("#"):
            comment.append(line[2:].rstrip())
    return intro, found
