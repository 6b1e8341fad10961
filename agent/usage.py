"""Parser of the command line: layout of help texts, usage errors, and the check for root.

argparse only at import, because every command line pays for it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from agent.errors import AgentError

#: The last line of every --help.  rpm.spec installs the directory.
DOCUMENTATION = "Documentation: eks-proxy-agent(8) and /usr/share/doc/eks-proxy-agent/"


class Formatter(argparse.HelpFormatter):
    """Formatter that reads the terminal width without shutil.

    The compressors that shutil imports take 0.7 MB, which the daemon would keep.
    """

    def __init__(self, prog: str, **options: Any) -> None:
        try:
            columns = int(os.environ.get("COLUMNS") or 0) or os.get_terminal_size(1).columns
        except (ValueError, OSError):
            columns = 0
        super().__init__(prog, **{"width": (columns or 80) - 2, **options})  # a serial console reports 0


class RawFormatter(Formatter, argparse.RawDescriptionHelpFormatter):
    """The same, without wrapping the epilog."""


class Parser(argparse.ArgumentParser):
    """Parser with errors that suggest a name and hold no password.

    Abbreviated options are refused: a script that uses one would break as soon as another option
    begins with the same letters.
    """

    def __init__(self, **options: Any) -> None:
        defaults = {"formatter_class": Formatter, "allow_abbrev": False, "epilog": DOCUMENTATION}
        super().__init__(**{**defaults, **options})
        self.commands: argparse._SubParsersAction[Parser] | None = None

    def add_subparsers(self, **options: Any) -> Any:
        """Add the action that selects a command, and keep it for `command`."""
        self.commands = super().add_subparsers(**options)
        return self.commands

    def command(self, name: str) -> Parser:
        """Return the parser of a command below this one; exit with a usage error if none."""
        if self.commands is None:
            self.error(f"unexpected argument {_quoted(name)}")
        if name not in self.commands.choices:
            self._unknown("command", name, self.commands.choices)
        return self.commands.choices[name]

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and refuse what this parser does not know.

        argparse would pass it up to the first parser, which does not know the command's options.
        """
        parsed, extra = super().parse_known_args(args, namespace)
        if extra and extra[0].startswith("-"):
            options = [name for action in self._actions for name in action.option_strings]
            self._unknown("option", extra[0].partition("=")[0], options)
        if extra:
            self._unexpected(extra[0])
        return parsed, extra

    def error(self, message: str) -> NoReturn:
        """Exit with a usage error; a URL in its text loses its password."""
        from agent.core.redact import redact

        super().error(redact(message))

    def _print_message(self, message: str, file: Any = None) -> None:
        """Write a message; argparse would ignore that nothing takes it."""
        if message:
            (file or sys.stderr).write(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action is self.commands:
            self.command(value)
        elif action.choices is not None and value not in action.choices:
            name = (action.option_strings or [str(action.metavar)])[-1]
            self.error(f"{name} {_quoted(value)}: expected one of {', '.join(action.choices)}")

    def _unexpected(self, word: str) -> NoReturn:
        """Exit with a usage error; name the option that a settings file or a proxy lacks."""
        option = "--config" if word.endswith(".toml") else "--proxy" if "://" in word else ""
        is_known = any(option in action.option_strings for action in self._actions)
        remedy = f'; did you mean "{option}"?' if is_known else ""
        self.error(f"unexpected argument {_quoted(word)}{remedy}")

    def _unknown(self, kind: str, name: str, names: Iterable[str]) -> NoReturn:
        import difflib

        bare = {other.lstrip("-"): other for other in names}
        similar = difflib.get_close_matches(name.lstrip("-"), bare, n=1)
        remedy = f'did you mean "{bare[similar[0]]}"?' if similar else f'run "{self.prog} --help" for a list'
        self.error(f"unknown {kind} {_quoted(name)}; {remedy}")


def _quoted(text: str) -> str:
    from agent.core.net.proxy_url import quoted

    return quoted(text)


def need_root_of(root: str, command: str, *, other_tree: bool = True) -> None:
    """Raise AgentError if `root` is the running machine and the user is not root."""
    if os.path.realpath(root) == "/" and os.geteuid() != 0:
        hint = "run it with sudo, or use --root DIR for another tree" if other_tree else "run it with sudo"
        raise AgentError(f"{command}: requires root", hint=hint)
