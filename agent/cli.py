"""The command line: one line for each command.

Imports are lazy, so that `--help` costs nothing and a command pays only for what it uses.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from agent import __version__
from agent.cluster.flags import add_cluster
from agent.commands.arguments import json_flag, settings_flags
from agent.exits import guarded

_EPILOG = """\
exit codes: 0 done, 1 failed, 2 usage, 3 changes pending or drift found, 75 locked by another run, 78 settings wrong;
bootstrap ends with the exit code of bootstrap.sh (124: out of time).
"""


class _Formatter(argparse.HelpFormatter):
    """Knows the width of the terminal without shutil, whose compressors take 0.7 MB that the daemon would keep."""

    def __init__(self, prog: str, **options: Any) -> None:
        try:
            columns = int(os.environ.get("COLUMNS") or 0) or os.get_terminal_size(1).columns
        except (ValueError, OSError):
            columns = 0
        super().__init__(prog, **{"width": (columns or 80) - 2, **options})  # a serial console says 0


class _RawFormatter(_Formatter, argparse.RawDescriptionHelpFormatter):
    """The same, and the epilog stays as it is."""


class _Parser(argparse.ArgumentParser):
    """argparse repeats what it does not understand, and that may be a URL with a password.

    Flags are written out: a script with an abbreviation would break on the day when another flag
    begins so.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _Formatter, "allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        from agent.core.redact import redact

        super().error(redact(message))


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = _Parser(
        prog="eks-proxy-agent",
        description="One setting, and an EKS worker node speaks to the world through the company's proxy.",
        epilog=_EPILOG,
        formatter_class=_RawFormatter,
    )
    top.add_argument("--version", action="version", version="eks-proxy-agent " + __version__)
    commands = top.add_subparsers(prog=top.prog, dest="command", metavar="COMMAND", required=True)

    _command(commands, "run", "configure the node, tell systemd, and stay (what the unit starts)")
    _command(commands, "apply", "configure the node now; flags are kept for this instance", once=True)
    _command(commands, "plan", "show what apply would do, as a diff; change nothing", json=True)
    status = _plain(commands, "status", "say how the node stands")
    _root_flag(status)
    json_flag(status)
    status.add_argument("--full", action="store_true", help="name each entry of NO_PROXY and why, each file and unit")
    revert = _plain(commands, "revert", "put every file back as it was before the first apply")
    _root_flag(revert)
    _command(commands, "bake", "image build: write what does not depend on the instance; start nothing")
    _command(commands, "clean", "image build: take every trace of this instance out before the snapshot")
    bootstrap = _command(
        commands,
        "bootstrap",
        "configure the node, run bootstrap.sh once for this instance, and signal CloudFormation",
        root=False,
    )
    bootstrap.add_argument(
        "--if-enabled", action="store_true", help="do nothing unless bootstrap.enabled is true (what the unit does)"
    )
    bootstrap.add_argument(
        "--again", action="store_true", help="run bootstrap.sh although it ran on this instance already"
    )
    bootstrap.add_argument(
        "arguments", nargs="*", metavar="-- ARG", help="arguments of bootstrap.sh, instead of bootstrap.arguments"
    )
    config = _plain(commands, "config", "show or check the settings")
    actions = config.add_subparsers(prog=config.prog, dest="action", metavar="ACTION", required=True)
    _command(actions, "show", "the effective settings, and which layer gave each", json=True)
    _command(actions, "check", "every mistake in the settings at once")
    check = _command(
        commands, "check", "look the node over: one line for each thing, with evidence and the way out", json=True
    )
    check.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="GROUP",
        help="only this group (repeatable): settings, metadata, files, units, processes, proxy, direct, no-proxy, packages, clock",
    )
    explain = _command(
        commands, "explain", "say which way each client goes to a host, and because of which entry", json=True
    )
    explain.add_argument(
        "targets", nargs="*", metavar="TARGET", help="a URL, HOST, HOST:PORT or address; - reads lines"
    )
    explain.add_argument("--no-proxy", default=None, metavar="LIST", help="this NO_PROXY instead of the node's")
    explain.add_argument(
        "--planned", action="store_true", help="what apply would write, instead of what is in force (so does --facts)"
    )
    explain.add_argument("--matrix", action="store_true", help="a table, hosts by clients")
    explain.add_argument(
        "--lint", action="store_true", help="judge the entries instead; exit code 3 when there is something to warn of"
    )
    add_cluster(commands)
    demo = _plain(commands, "demo", "see it work in a scratch directory, with a metadata service of its own")
    demo.add_argument("--keep", metavar="DIR", help="use this new directory as the node's root, and leave it")
    demo.add_argument("--serve", metavar="ADDRESS:PORT", help="only serve the metadata service, to test an image with")
    demo.add_argument(
        "--instance", metavar="FILE", help="with --serve: the instance to play, as JSON, read again when it changes"
    )
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the answer is the process's exit code."""
    _open_closed_streams()
    arguments = parser().parse_args(argv)
    return guarded(lambda: dispatch(arguments))


def _open_closed_streams() -> None:
    """With stdout closed (`>&-`) Python has None there, and the next file opened would become descriptor 1.

    And a locale that lacks a character of a file's name is no reason to fail.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - it stays open to the end
        elif isinstance(getattr(sys, name), io.TextIOWrapper):
            getattr(sys, name).reconfigure(errors="backslashreplace")


def dispatch(arguments: argparse.Namespace) -> int:
    """Run the command of a parsed command line, and answer its exit code; raises what it fails with."""
    name = arguments.command
    if name == "run":
        from agent.commands import run

        return run.run(arguments)
    if name == "bootstrap":
        from agent.commands import bootstrap

        return bootstrap.run(arguments)
    if name == "config":
        from agent.commands import config

        return config.run(arguments)
    if name == "demo":
        from agent.demo import tour

        return tour.run(arguments, lambda words: dispatch(parser().parse_args(words)))
    if name == "status":
        from agent.commands import status

        return status.run(arguments)
    if name == "check":
        from agent.commands import check

        return check.run(arguments)
    if name == "explain":
        from agent.commands import explain

        return explain.run(arguments)
    if name == "cluster":
        from agent.commands import cluster

        return cluster.run(arguments)
    if name in ("bake", "clean"):
        from agent.commands import image

        return image.bake_command(arguments) if name == "bake" else image.clean_command(arguments)
    from agent.commands import node

    return {"apply": node.apply_command, "plan": node.plan_command, "revert": node.revert_command}[name](arguments)


def _command(
    commands: argparse._SubParsersAction[_Parser],
    name: str,
    text: str,
    *,
    once: bool = False,
    json: bool = False,
    root: bool = True,
) -> _Parser:
    """A command that reads settings; without `root` it works on the running machine only."""
    command = _plain(commands, name, text)
    if root:
        _root_flag(command)
    else:
        command.set_defaults(root="/")
    settings_flags(command)
    command.add_argument(
        "--facts",
        default="",
        metavar="FILE",
        help="take the instance's facts from this JSON file, not from the metadata service",
    )
    if once:
        command.add_argument("--once", action="store_true", help="do not keep the flags for this instance")
        command.add_argument(
            "--refresh",
            action="store_true",
            help="ask again what is reached without the proxy, and choose the proxy anew",
        )
    if json:
        json_flag(command)
    return command


def _plain(commands: argparse._SubParsersAction[_Parser], name: str, text: str) -> _Parser:
    return commands.add_parser(name, help=text, description=text)


def _root_flag(command: argparse.ArgumentParser) -> None:
    command.add_argument("--root", default="/", metavar="DIR", help="work on the tree in DIR instead of /")
