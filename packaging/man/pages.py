"""Generator of the manual pages and the completions.  Usage: pages.py DIRECTORY.

Commands, flags and settings come from sources.py, the rest from the templates in the directory of
this file.  It needs no library, so that every build can run it.
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

import completions  # noqa: E402
from sources import Setting, commands, flags, help_of, parser, positionals, settings, shared_flags  # noqa: E402

from agent import __version__  # noqa: E402


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


def flag_entry(flag: argparse.Action) -> list[str]:
    """Return a flag and its help as a tagged paragraph."""
    value = f" \\fI{literal(str(flag.metavar))}\\fP" if flag.metavar else ""
    names = ", ".join(f"\\fB{literal(name)}\\fP" for name in flag.option_strings)
    return [".TP", names + value, sentence(help_of(flag))]


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
        rest = [positional(action) for action in positionals(command)]
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


def setting_entries(settings: list[Setting]) -> Iterator[str]:
    """Yield the section SETTINGS."""
    section = ""
    for setting in settings:
        if setting.section != section:
            section = setting.section
            yield f".SS [{section}]"
        yield from (".TP", f"\\fB{setting.key}\\fP", *([roff(setting.comment), ".br"] if setting.comment else []))
        yield fill(f"{'Example' if setting.is_example else 'Default'}: \\fB{literal(setting.value)}\\fP")


def intro_lines(intro: list[str]) -> Iterator[str]:
    """Convert the first comment for roff, without its title; indented lines stay as they are."""
    for line in intro[1:]:
        if line.startswith(" "):
            yield from (".RS", ".nf", literal(line.strip()), ".fi", ".RE")
        else:
            yield roff(line) if line else ".PP"


# --- output


def write(directory: Path) -> None:
    """Fill the templates, and write the results into the directory."""
    intro, entries = settings()
    filled = {
        "@VERSION@": [__version__],
        "@COMMANDS@": command_entries(),
        "@FLAGS@": flag_entries(),
        "@INTRO@": list(intro_lines(intro)),
        "@SETTINGS@": list(setting_entries(entries)),
        **completions.marks(),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("eks-proxy-agent.8", "eks-proxy-agent.toml.5", "completion", "completion.zsh"):
        text = (HERE / (name + ".in")).read_text("utf-8")
        for mark, lines in filled.items():
            text = text.replace(mark, "\n".join(lines))
        (directory / name).write_text(text, "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
