"""Command line: one line for each command.

Imports are lazy, so that `--help` stays fast and a command loads only what it uses.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Callable

from agent import __version__
from agent.cluster.flags import add_cluster, kubectl_flags
from agent.commands.arguments import (
    add_demo,
    add_report,
    add_user_data,
    facts_flag,
    json_flag,
    only_flag,
    root_flag,
    settings_flags,
)
from agent.exits import guarded
from agent.usage import DOCUMENTATION, Parser, RawFormatter

_EPILOG = f"""\
exit codes: 0 done, 1 failed, 2 wrong usage, 3 changes pending or drift found,
75 locked by another run, 78 wrong settings; bootstrap returns the exit code
of bootstrap.sh (124: timed out).

{DOCUMENTATION}
"""


def parser(*, only_run: bool = False) -> Parser:
    """Return the parser of the whole command line, or of `run` alone, for which the node waits."""
    top = Parser(
        prog="eks-proxy-agent",
        description="Configure an EKS worker node to use an HTTP proxy. One setting is enough: proxy.url.",
        epilog=_EPILOG,
        formatter_class=RawFormatter,
    )
    top.add_argument("-V", "--version", action="version", version=_version())
    commands = top.add_subparsers(prog=top.prog, dest="command", metavar="COMMAND", required=True)

    run = _command(commands, "run", "configure the node, notify systemd, and keep running (started by the unit)")
    run.set_defaults(facts_process=None)
    if only_run:
        return top
    apply = _command(commands, "apply", "configure the node now; flags are kept for this instance", once=True)
    apply.add_argument("--start", action="store_true", help="also enable the daemon and start it, if it does not run")
    apply.add_argument(
        "--restart",
        action="store_true",
        help='also restart each service that runs with an old environment, once, as watch.restart = "changed" does',
    )
    apply.add_argument(
        "--forget",
        action="append",
        default=[],
        metavar="SECTION.KEY",
        help="drop a flag that an earlier apply kept, or all of them: --forget all (repeatable)",
    )
    _command(commands, "plan", "show as a diff what apply would change; change nothing", json=True)
    status = _plain(commands, "status", "show the state of the node")
    root_flag(status)
    json_flag(status)
    status.add_argument(
        "--full", action="store_true", help="show each NO_PROXY entry with its reason, each file and each unit"
    )
    revert = _plain(commands, "revert", "restore every file to its state before the first apply")
    root_flag(revert)
    _command(commands, "bake", "image build: write what does not depend on the instance; start nothing")
    _command(commands, "clean", "image build: remove every trace of this instance before the snapshot")
    bootstrap = _command(
        commands,
        "bootstrap",
        "configure the node, run bootstrap.sh once for this instance, and signal CloudFormation",
        root=False,
    )
    bootstrap.add_argument(
        "--if-enabled",
        action="store_true",
        help="unless bootstrap.enabled is true, run nothing, and signal when kubelet is healthy (used by the unit)",
    )
    bootstrap.add_argument(
        "--again", action="store_true", help="run bootstrap.sh even if it already ran on this instance"
    )
    bootstrap.add_argument(
        "arguments", nargs="*", metavar="-- ARG", help="arguments of bootstrap.sh, instead of bootstrap.arguments"
    )
    config = _plain(commands, "config", "show or check the settings")
    actions = config.add_subparsers(prog=config.prog, dest="action", metavar="ACTION", required=True)
    _command(actions, "show", "show the effective settings, and the layer that sets each value", json=True)
    _command(actions, "check", "report all errors in the settings")
    check = _command(commands, "check", "check the node: one line for each check, with evidence and a hint", json=True)
    only_flag(check)
    add_report(commands)
    explain = _command(
        commands,
        "explain",
        "show for each client whether a request uses the proxy, and the NO_PROXY entry that decides it",
        json=True,
    )
    explain.add_argument(
        "targets", nargs="*", metavar="TARGET", help="a URL, HOST, HOST:PORT or address; - reads lines from stdin"
    )
    explain.add_argument("--no-proxy", default=None, metavar="LIST", help="use this NO_PROXY instead of the node's")
    explain.add_argument(
        "--planned",
        action="store_true",
        help="use what apply would write instead of what is in force (implied by --facts)",
    )
    explain.add_argument(
        "--unit", default="", metavar="UNIT", help="use what the next start of this unit of node.units gets"
    )
    explain.add_argument(
        "--pod",
        default="",
        metavar="NAMESPACE/NAME",
        help="use the variables of each container of this pod, read by kubectl (implies --all-clients)",
    )
    kubectl_flags(explain)
    explain.add_argument(
        "--all-clients", action="store_true", help="show also the clients that only pods have: those of Node.js"
    )
    explain.add_argument("--matrix", action="store_true", help="print a table of hosts and clients")
    explain.add_argument(
        "--lint", action="store_true", help="check the entries of NO_PROXY instead; exit code 3 if there is a warning"
    )
    add_cluster(commands)
    add_user_data(commands)
    add_demo(commands)
    topic = _plain(commands, "help", "show the help of a command")
    topic.add_argument("topic", nargs="*", metavar="COMMAND", help="a command, and its action if it has any")
    _plain(commands, "version", "show the version")
    return top


def main(argv: Sequence[str] | None = None, facts_process: object = None) -> int:
    """Run one command, and return the exit code of the process; `facts_process` is for `run`."""

    def work() -> int:
        _prepare_streams()
        arguments = parser(only_run=facts_process is not None).parse_args(argv)
        if facts_process:
            arguments.facts_process = facts_process
        return dispatch(arguments)

    return guarded(work)


class _BestEffort(io.FileIO):
    """A file that drops what it cannot write.

    A message for people must not fail what it reports: stderr may be a full disk, or a journal that
    has ended.
    """

    def write(self, data: Any) -> int:
        try:
            written: int | None = super().write(data)
        except OSError:
            written = None
        return len(data) if written is None else written


def _prepare_streams() -> None:
    """Let the standard streams accept all characters, also those that the locale cannot encode.

    With stdout closed (`>&-`) Python has None there, and __main__.py has opened /dev/null.
    """
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - it stays open to the end
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.stderr is sys.__stderr__:
        encoding = sys.stderr.encoding if sys.stderr is not None else "utf-8"
        file = io.BufferedWriter(_BestEffort(2, "wb", closefd=False))
        sys.stderr = io.TextIOWrapper(file, encoding, "backslashreplace", line_buffering=True)


def dispatch(arguments: argparse.Namespace) -> int:
    """Run the command of a parsed command line, and return its exit code; its errors propagate."""
    name = arguments.command
    if name == "help":
        return _help(arguments.topic)
    if name == "version":
        print(_version())
        return 0
    if name == "demo":
        from agent.demo import tour

        return tour.run(arguments, lambda words: dispatch(parser().parse_args(words)))
    return _function(name)(arguments)


#: Command → its module in agent/commands, and the function that runs it.
_FUNCTIONS = {
    **{
        name: (name, "run")
        for name in ("run", "bootstrap", "config", "status", "check", "report", "explain", "cluster")
    },
    **{name: ("node", f"{name}_command") for name in ("apply", "plan", "revert")},
    **{name: ("image", f"{name}_command") for name in ("bake", "clean")},
    "user-data": ("user_data", "run"),
}


def _function(name: str) -> Callable[[argparse.Namespace], int]:
    """Import the module of a command, and return the function that runs it."""
    module, function = _FUNCTIONS[name]
    run: Callable[[argparse.Namespace], int] = getattr(import_module(f"agent.commands.{module}"), function)
    return run


def _help(topic: Sequence[str]) -> int:
    command = parser()
    for word in topic:
        command = command.command(word)
    command.print_help()
    return 0


def _version() -> str:
    return f"eks-proxy-agent {__version__}"


def _command(
    commands: argparse._SubParsersAction[Parser],
    name: str,
    text: str,
    *,
    once: bool = False,
    json: bool = False,
    root: bool = True,
) -> Parser:
    """Add a command that reads settings; without `root` it works on the running machine only."""
    command = _plain(commands, name, text)
    if root:
        root_flag(command)
    else:
        command.set_defaults(root="/")
    settings_flags(command)
    facts_flag(command)
    if once:
        command.add_argument("--once", action="store_true", help="do not keep the flags for this instance")
        command.add_argument(
            "--refresh",
            action="store_true",
            help="probe again what is reached without the proxy, and choose the proxy again",
        )
    if json:
        json_flag(command)
    return command


def _plain(commands: argparse._SubParsersAction[Parser], name: str, text: str) -> Parser:
    return commands.add_parser(name, help=text, description=text)
