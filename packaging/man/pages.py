"""Writes the manual pages and the bash completion into a directory, from what they describe:
pages.py DIRECTORY

The commands and flags come from the parser of agent/cli.py, the settings from the comments of
packaging/config.toml, the rest from the templates beside this file.  Needs no library, so that
every build has it.
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from agent import __version__  # noqa: E402
from agent.cli import parser  # noqa: E402

Parsers = dict[str, argparse.ArgumentParser]

#: A flag that so many commands have is described once, for all of them.
SHARED = 5


def fill(text: str) -> str:
    """Text that is roff(7) already, in lines of a decent length; a line of text may not look like a
    request.
    """
    lines = textwrap.wrap(text, 78, break_long_words=False, break_on_hyphens=False)
    return "\n".join("\\&" + line if line[0] in ".'" else line for line in lines)


def roff(text: str) -> str:
    """Running text; a word that starts with a dash is typed as it stands."""
    text = text.replace("\\", "\\e")
    return fill(re.sub(r"(?<![\w-])-{1,2}(?=\w)", lambda match: "\\-" * len(match.group()), text))


def literal(text: str) -> str:
    """Text that is typed as it stands: every dash is a minus."""
    return text.replace("\\", "\\e").replace("-", "\\-")


def sentence(text: str) -> str:
    """A help text as a sentence of its own."""
    return roff(text[0].upper() + text[1:]) + ("" if text.endswith(".") else ".")


# --- commands
# -------------------------------------------------------------------------------------------------------


def commands(top: argparse.ArgumentParser, prefix: str = "") -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Name, help and parser of every command, those with a second word each on its own."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for chosen in action._choices_actions:
                name, below = prefix + chosen.dest, action.choices[chosen.dest]
                inner = list(commands(below, name + " "))
                yield from inner or [(name, str(chosen.help), below)]


def flags(command: argparse.ArgumentParser) -> list[argparse.Action]:
    """What a command takes, besides --help, which all do."""
    return [action for action in command._actions if action.option_strings and action.dest != "help"]


def shared_flags() -> list[str]:
    """The names of the flags that most commands have, in their order there."""
    names = [flag.option_strings[0] for _, _, command in commands(parser()) for flag in flags(command)]
    return [name for name in dict.fromkeys(names) if names.count(name) >= SHARED]


def flag_entry(flag: argparse.Action) -> list[str]:
    """A flag and its help, as a tagged paragraph."""
    value = f" \\fI{literal(str(flag.metavar))}\\fP" if flag.metavar else ""
    names = ", ".join(f"\\fB{literal(name)}\\fP" for name in flag.option_strings)
    return [".TP", names + value, sentence(str(flag.help) % vars(flag))]  # as argparse fills in %(default)s


def positional(action: argparse.Action) -> str:
    """What a command takes without a flag: `-- ARG`, `TARGET`."""
    dashes, _, name = literal(str(action.metavar)).rpartition(" ")
    return "[{}\\fI{}\\fP ...]".format(dashes + " " if dashes else "", name)


def command_entries() -> list[str]:
    """The section COMMANDS."""
    lines: list[str] = []
    shared = shared_flags()
    for name, text, command in commands(parser()):
        own = [flag for flag in flags(command) if flag.option_strings[0] not in shared]
        rest = [positional(action) for action in command._actions if not action.option_strings]
        lines += [".TP", " ".join([f"\\fB{name}\\fP", *rest]), sentence(text)]
        if own:
            lines += [".RS", *(line for flag in own for line in flag_entry(flag)), ".RE"]
    return lines


def flag_entries() -> list[str]:
    """The section OPTIONS: each shared flag, and which commands do not take it."""
    lines: list[str] = []
    for name in shared_flags():
        having = {
            command: flag
            for command, _, below in commands(parser())
            for flag in flags(below)
            if flag.option_strings[0] == name
        }
        takers = ", ".join(f"\\fB{command}\\fP" for command in having)
        lines += [*flag_entry(next(iter(having.values()))), fill(f"({takers})")]
    return lines


# --- settings
# -------------------------------------------------------------------------------------------------------


def paragraphs(text: str) -> tuple[list[str], list[str]]:
    """The comments before the first section, and the section SETTINGS, of a settings file with
    every key commented out.
    """
    intro: list[str] = []
    lines: list[str] = []
    comment: list[str] = []
    source = iter(text.splitlines())
    for line in source:
        if line.startswith("["):
            intro, comment = intro or comment, []
            lines.append(f".SS {line}")
        elif re.match(r"#[a-z_]+ = ", line):
            key, _, value = line[1:].partition(" = ")
            while value.count("[") > value.count("]"):
                value += " " + next(source).lstrip("# ")
            value, example, _ = value.partition("# e.g.")
            lines += [".TP", f"\\fB{key}\\fP", *([roff(" ".join(comment)), ".br"] if comment else [])]
            lines.append(fill("{}: \\fB{}\\fP".format("Example" if example else "Default", literal(value.strip()))))
            comment = []
        elif line.startswith("#"):
            comment.append(line[2:].rstrip())
    return intro, lines


def intro_lines(intro: list[str]) -> Iterator[str]:
    """The first comment, after the file's title; indented lines stay as they are."""
    for line in intro[1:]:
        if line.startswith(" "):
            yield from (".RS", ".nf", literal(line.strip()), ".fi", ".RE")
        else:
            yield roff(line) if line else ".PP"


# --- output
# ---------------------------------------------------------------------------------------------------------


def completion_cases() -> list[str]:
    """One line of a shell's `case` for what may follow each command."""
    lines: list[str] = []
    groups: dict[str, list[str]] = {}
    for name, _, command in commands(parser()):
        first, _, second = name.partition(" ")
        groups.setdefault(first, []).append(second)
        words = [flag.option_strings[-1] for flag in flags(command)]  # the long one
        lines.append("        {}) words='{} --help' ;;".format(name.replace(" ", "\\ "), " ".join(words)))
    lines += [
        "        {}) words='{}' ;;".format(name, " ".join(seconds)) for name, seconds in groups.items() if all(seconds)
    ]
    return [*lines, "        '') words='{} --version --help' ;;".format(" ".join(groups))]


def write(directory: Path) -> None:
    """Fill the templates."""
    intro, settings = paragraphs((HERE.parent / "config.toml").read_text("utf-8"))
    filled = {
        "@VERSION@": [__version__],
        "@COMMANDS@": command_entries(),
        "@FLAGS@": flag_entries(),
        "@INTRO@": list(intro_lines(intro)),
        "@SETTINGS@": settings,
        "@CASES@": completion_cases(),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("eks-proxy-agent.8", "eks-proxy-agent.toml.5", "completion"):
        text = (HERE / (name + ".in")).read_text("utf-8")
        for mark, lines in filled.items():
            text = text.replace(mark, "\n".join(lines))
        (directory / name).write_text(text, "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
