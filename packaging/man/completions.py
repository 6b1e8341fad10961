"""Lines of the templates of the completions for bash and zsh."""

import argparse
import re
from collections.abc import Iterator

from sources import commands, first_words, flags, groups, help_of, parser, positionals

#: Name of a value in the help → what completes it; any other name has no completion.
BASH = {"DIR": "-d", "FILE": "-f"}
ZSH = {"DIR": "_directories", "FILE": "_files"}


def marks() -> dict[str, list[str]]:
    """Return the lines for each mark of the templates."""
    return {
        "@CASES@": list(command_cases()),
        "@VALUES@": list(value_cases()),
        "@FILE_COMMANDS@": [" | ".join(name.replace(" ", "\\ ") for name in _commands_of_files())],
        "@GROUPS@": [" | ".join(f"{name}/[a-z]*" for name, actions in groups().items() if actions)],
        "@FUNCTIONS@": list(functions()),
    }


def _commands_of_files() -> list[str]:
    """Return the commands whose argument is a file."""
    return [name for name, _, command in commands(parser()) if any(_takes_file(a) for a in positionals(command))]


def _takes_file(action: argparse.Action) -> bool:
    return action.metavar == "FILE"


# --- bash


def command_cases() -> Iterator[str]:
    """Yield a line of a shell's `case` for each command, with the words that may follow it."""
    for name, _, command in commands(parser()):
        words = [flag.option_strings[-1] for flag in flags(command)]  # the long one
        yield _case(name.replace(" ", "\\ "), [*words, "--help"])
    for name, actions in groups().items():
        if actions:
            yield _case(name, [action for action, _ in actions])
    yield _case("''", [*groups(), "--version", "--help"])


def _case(pattern: str, words: list[str]) -> str:
    return f"        {pattern}) words='{' '.join(words)}' ;;"


def value_cases() -> Iterator[str]:
    """Yield the cases of the word before: what completes the value of a flag, of all commands.

    If two commands have the same flag with other values, all of them are offered.
    """
    uses: dict[str, list[str]] = {}
    for flag, actions in _flags_with_value().items():
        choices = list(dict.fromkeys(str(choice) for action in actions for choice in action.choices or ()))
        kinds = {BASH.get(str(action.metavar), "") for action in actions}
        kind = f"-W '{' '.join(choices)}'" if choices else "-f" if "-f" in kinds else max(kinds)
        uses.setdefault(kind, []).append(flag)
    for kind, names in sorted(uses.items(), reverse=True):
        yield f"        {' | '.join(names)})"
        if kind in BASH.values():
            yield "            compopt -o filenames # quotes odd characters, and adds / to directories"
        if kind:
            yield f'            mapfile -t COMPREPLY < <(compgen {kind} -- "$current")'
        yield "            return"
        yield "            ;;"


def _flags_with_value() -> dict[str, list[argparse.Action]]:
    """Return each spelling of each flag with a value, and its uses by the commands."""
    found: dict[str, list[argparse.Action]] = {}
    for _, _, command in commands(parser()):
        for flag in flags(command):
            for name in flag.option_strings if flag.nargs != 0 else ():
                found.setdefault(name, []).append(flag)
    return found


# --- zsh


def functions() -> Iterator[str]:
    """Yield the functions of zsh: the list of commands, those of actions, and the flags of each."""
    yield from _list("_eks-proxy-agent_commands", "command", first_words())
    for name, actions in groups().items():
        if actions:
            yield from _list(f"_eks-proxy-agent_{name}_actions", "action", actions)
            yield from (f"_eks-proxy-agent_{name}() {{", f"    _eks-proxy-agent_dispatch {name}", "}", "")
    for name, _, command in commands(parser()):
        if name == "help":  # the template has it
            continue
        specs = ["'(- *)'{-h,--help}'[show this help message and exit]'"]
        specs += [_flag_spec(flag) for flag in flags(command)] + [_positional_spec(a) for a in positionals(command)]
        yield f"_eks-proxy-agent_{name.replace(' ', '_')}() {{"
        yield "    _arguments -S \\"
        yield from (f"        {spec} \\" for spec in specs[:-1])
        yield from (f"        {specs[-1]}", "}", "")


def _list(function: str, what: str, entries: list[tuple[str, str]]) -> Iterator[str]:
    yield from (f"{function}() {{", "    local -a entries=(")
    yield from (f"        {_quoted(f'{name}:{text}')}" for name, text in entries)
    yield from ("    )", f"    _describe -t {what}s {what} entries", "}", "")


def _flag_spec(flag: argparse.Action) -> str:
    """Return a flag as an argument of zsh's _arguments."""
    text = "[" + re.sub(r"([\[\]:\\])", r"\\\1", help_of(flag)) + "]"
    names = flag.option_strings
    if flag.nargs != 0:
        text += f":{_escaped(str(flag.metavar))}:{_value(flag)}"
        names = [name + ("=" if name.startswith("--") else "+") for name in names]
    repeated = "*" if isinstance(flag, argparse._AppendAction) else ""
    if len(names) == 1:
        return _quoted(repeated + names[0] + text)
    exclusive = repeated or f"({' '.join(flag.option_strings)})"
    return f"{_quoted(exclusive)}{{{','.join(names)}}}{_quoted(text)}"


def _positional_spec(action: argparse.Action) -> str:
    name = str(action.metavar).rpartition(" ")[2]
    place = "1" if action.nargs == 1 else "*"
    return _quoted(f"{place}:{_escaped(name)}:{_value(action)}")


def _value(action: argparse.Action) -> str:
    if action.choices:
        return f"({' '.join(map(str, action.choices))})"
    return ZSH.get(str(action.metavar), " ")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
