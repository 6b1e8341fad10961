"""Generator of the manual pages and the bash completion.  Usage: pages.py DIRECTORY.

Commands and flags come from the parser of agent/cli.py, settings from the comments of
packaging/config.toml, the rest from the templates in the directory of this file.  It needs no
library, so that every build can run it.
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
from agent.commands.arguments import WAYS  # noqa: E402

Parsers = dict[str, argparse.ArgumentParser]

#: A flag that at least so many commands have is described once, for all of them.
SHARED = 5


def fill(text: str) -> str:
    """Wrap text that is already in the format of roff(7).

    A line of text that begins like a request gets a zero-width character in front.
    """
    lines = textwrap.wrap(text, 78, break_long_words=False, break_on_hyphens=False)
    return "\n".join("\\&" + line if line[0] in ".'" else line for line in lines)


def roff(text: str) -> str:
    """Convert running text for roff; the dashes of an option become minus signs."""
    text = text.replace("\\", "\\e")
    return fill(re.sub(r"(?<![\w-])-{1,2}(?=\w)", lambda match: "\\-" * len(match.group()), text))


def literal(text: str) -> str:
    """Convert text that is to be typed for roff: every dash becomes a minus sign."""
    return text.replace("\\", "\\e").replace("-", "\\-")


def sentence(text: str) -> str:
    """Convert a help text to a sentence for roff."""
    return roff(text[0].upper() + text[1:]) + ("" if text.endswith(".") else ".")


# --- commands


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


def flags(command: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the flags of a command, except --help, which every command has."""
    return [action for action in command._actions if action.option_strings and action.dest != "help"]


def shared_flags() -> list[str]:
    """Return the names of the flags that SHARED or more commands have, in their order there."""
    names = [flag.option_strings[0] for _, _, command in commands(parser()) for flag in flags(command)]
    return [name for name in dict.fromkeys(names) if names.count(name) >= SHARED]


def flag_entry(flag: argparse.Action) -> list[str]:
    """Return a flag and its help as a tagged paragraph."""
    value = f" \\fI{literal(str(flag.metavar))}\\fP" if flag.metavar else ""
    names = ", ".join(f"\\fB{literal(name)}\\fP" for name in flag.option_strings)
    return [".TP", names + value, sentence(str(flag.help) % vars(flag))]  # as argparse fills in %(default)s


def positional(action: argparse.Action) -> str:
    """Return a positional argument as the synopsis shows it: `[TARGET ...]`, `FILE`."""
    if action.nargs == 1:
        return f"\\fI{literal(str(action.metavar))}\\fP"
    dashes, _, name = literal(str(action.metavar)).rpartition(" ")
    return f"[{dashes} \\fI{name}\\fP ...]" if dashes else f"[\\fI{name}\\fP ...]"


def command_entries() -> list[str]:
    """Return the section COMMANDS."""
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
    """Return the section OPTIONS: each shared flag, and the commands that have it."""
    lines: list[str] = []
    for name in shared_flags():
        matches = {
            command: flag
            for command, _, below in commands(parser())
            for flag in flags(below)
            if flag.option_strings[0] == name
        }
        names = ", ".join(f"\\fB{command}\\fP" for command in matches)
        lines += [*flag_entry(next(iter(matches.values()))), fill(f"({names})")]
    return lines


# --- settings


def paragraphs(text: str) -> tuple[list[str], list[str]]:
    """Return the comments before the first section, and the manual page's section SETTINGS.

    `text` is a settings file with every key commented out.
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
    """Convert the first comment for roff, without its title; indented lines stay as they are."""
    for line in intro[1:]:
        if line.startswith(" "):
            yield from (".RS", ".nf", literal(line.strip()), ".fi", ".RE")
        else:
            yield roff(line) if line else ".PP"


# --- output


def completion_cases() -> list[str]:
    """Return a line of a shell's `case` for each command, with the words that may follow it."""
    lines: list[str] = []
    groups: dict[str, list[str]] = {}
    for name, _, command in commands(parser()):
        first, _, second = name.partition(" ")
        groups.setdefault(first, []).append(second)
        words = [flag.option_strings[-1] for flag in flags(command)]  # the long one
        lines.append(_case(name.replace(" ", "\\ "), [*words, "--help"]))
    lines += [_case(name, seconds) for name, seconds in groups.items() if all(seconds)]
    return [*lines, _case("''", [*groups, "--version", "--help"])]


def _case(pattern: str, words: list[str]) -> str:
    return f"        {pattern}) words='{' '.join(words)}' ;;"


def write(directory: Path) -> None:
    """Fill the templates, and write the results into the directory."""
    intro, settings = paragraphs((HERE.parent / "config.toml").read_text("utf-8"))
    filled = {
        "@VERSION@": [__version__],
        "@COMMANDS@": command_entries(),
        "@FLAGS@": flag_entries(),
        "@INTRO@": list(intro_lines(intro)),
        "@SETTINGS@": settings,
        "@CASES@": completion_cases(),
        "@WAYS@": [" ".join(WAYS)],
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("eks-proxy-agent.8", "eks-proxy-agent.toml.5", "completion"):
        text = (HERE / (name + ".in")).read_text("utf-8")
        for mark, lines in filled.items():
            text = text.replace(mark, "\n".join(lines))
        (directory / name).write_text(text, "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
