"""The proxy's credentials: of a file, of systemd, or printed by a command of the operator.

Imported only where the settings name one of them.  The command is run by what configures this node:
the daemon, `apply` and `bootstrap`.  All others, and a run in which it is not due, take the
credentials that the agent wrote to node.env: they are kept nowhere else.
"""

from __future__ import annotations

import codecs
import json
import os
import random
import time

from agent.core.net import aws_cli_errors
from agent.core.net.proxy_url import Credentials, parse_credentials, split_credentials
from agent.core.plan.files.environment import NODE_ENV, assignments
from agent.core.plan.plan import digest
from agent.core.settings.schema import Proxy, Settings
from agent.edges import command
from agent.edges.files import FileSystem
from agent.edges.signals import unwound
from agent.errors import CommandError, FileError
from agent.node.host import Host

#: Where systemd keeps the credentials of the daemon while it runs (systemd.exec(5), CREDENTIALS).
_OF_UNIT = "/run/credentials/eks-proxy-agent.service"
#: Bytes of a systemd credential, and of what the command prints.
_LIMIT = 4096
#: Seconds that the command may take, less if a boot has not so many left.
TIMEOUT = 10.0
_COMMAND = "proxy.credentials_command"
_MANUAL = "run it as root without proxy variables to see why (docs/credentials.md)"


def read_credentials(host: Host, proxy: Proxy) -> Credentials | None:
    """Read the credentials without running anything; None if there are none.

    Of a command they are those in force.  Raises FileError, also for a file that others can read.
    """
    if proxy.credentials_file:
        return _of_file(host.files, proxy.credentials_file)
    if proxy.credentials and host.files.live:
        return _of_systemd(host.files, proxy.credentials.partition(":")[2])
    return _in_force(host, proxy) if proxy.credentials or proxy.credentials_command else None


def source_of(settings: Settings) -> str:
    """Return a digest of the command and how often it is run."""
    return digest(json.dumps([settings.proxy.credentials_command, settings.watch.credentials_interval]).encode())


def next_run(settings: Settings) -> float:
    """Return the moment at which the command is due again (CLOCK_MONOTONIC).

    Nodes that booted together drift apart.
    """
    return time.monotonic() + settings.watch.credentials_interval * random.uniform(0.9, 1.0)


def run_command(host: Host, proxy: Proxy, region: str) -> Credentials:
    """Run proxy.credentials_command and return what it prints.  Raises CommandError.

    Nothing that it prints gets into an error: stderr may hold the password too.
    """
    argv, budget = proxy.credentials_command, host.budget
    seconds = budget.bounded(TIMEOUT)
    if not seconds:
        raise CommandError(f"{_COMMAND}: not run; the time of this boot is spent")
    budget.report(f"{_COMMAND} is running")
    environment = {name: command.BASE_ENVIRONMENT[name] for name in ("PATH", "HOME")}
    environment.update({"AWS_REGION": region, "AWS_DEFAULT_REGION": region} if region else {})
    try:
        with unwound():  # a person who ends `apply` ends the program too
            output = command.capture(argv, timeout=seconds, limit=_LIMIT, environment=environment, pause=budget.sleep)
    except CommandError as error:
        raise CommandError(f"{_COMMAND}: {error}", hint=_MANUAL) from None
    if output.returncode:
        reason = aws_cli_errors.reason(output.stderr.decode("utf-8", "replace"))
        text = f"{_COMMAND}: {argv[0]}: exit code {output.returncode}"
        if reason is None:
            raise CommandError(f"{text}; its stderr is not shown, it may hold the password", hint=_MANUAL)
        raise CommandError(f"{text}: {reason.text}", hint=reason.hint or _MANUAL)
    try:
        return _parse(output.stdout)
    except ValueError as error:
        raise CommandError(f"{_COMMAND}: {argv[0]}: its output {error}", hint=_MANUAL) from None


def not_run_notes(host: Host, settings: Settings, why: str) -> tuple[str, ...]:
    """Return a note for people if the credentials are not read again, and `why`."""
    proxy = settings.proxy
    if not proxy.url or not (proxy.credentials_command or (proxy.credentials and not host.files.live)):
        return ()
    try:
        is_known = _in_force(host, proxy) is not None
    except FileError:
        is_known = False
    what = f"{_COMMAND}: not run" if proxy.credentials_command else "proxy.credentials: not read"
    meaning = "the credentials in node.env are used" if is_known else "no credentials are known yet"
    return (f"{what} {why}; {meaning}",)


def _of_file(files: FileSystem, path: str) -> Credentials:
    content = files.read(path)
    if content is None:
        raise FileError(f"proxy.credentials_file: {path}: no such file")
    if not files.is_private(path):
        raise FileError(
            f"proxy.credentials_file: {path}: must be owned by root and have mode 0600",
            hint=f"chown root {path}; chmod 600 {path}",
        )
    try:
        return _parse(content)
    except ValueError as error:
        raise FileError(f"proxy.credentials_file: {path}: {error}") from None


def _of_systemd(files: FileSystem, name: str) -> Credentials:
    """Read a credential of this process's unit, or of the daemon's, which a command of root may."""
    for directory in filter(None, (os.environ.get("CREDENTIALS_DIRECTORY"), _OF_UNIT)):
        path = f"{directory}/{name}"
        content = files.read(path, _LIMIT)
        if content is not None:
            try:
                return _parse(content)
            except ValueError as error:
                raise FileError(f"proxy.credentials: {path}: {error}") from None
    raise FileError(
        f"proxy.credentials: systemd has no credential {name} for eks-proxy-agent.service, or that is not running",
        hint="add LoadCredentialEncrypted= to the unit (docs/credentials.md), then: "
        "systemctl daemon-reload; systemctl restart eks-proxy-agent",
    )


def _in_force(host: Host, proxy: Proxy) -> Credentials | None:
    """Return the credentials in node.env, if they are for a proxy of the settings.

    They count only if the file is as the agent wrote it.  Raises FileError.
    """
    path = host.files.resolve(NODE_ENV)
    content, record = host.files.read(path), host.state.baseline().files.get(path)
    if content is None or record is None or digest(content) not in record.written:
        return None
    values = assignments(content)
    for name in ("http_proxy", "https_proxy"):
        parts = split_credentials(values.get(name, ""))
        if parts and parts[0] in (*proxy.url, proxy.https_url):
            return parts[1]
    return None


def _parse(content: bytes) -> Credentials:
    """Read USER:PASSWORD.  Raises ValueError that repeats nothing of it."""
    try:
        return parse_credentials(content.decode("utf-8"))
    except UnicodeDecodeError:
        is_utf_16 = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        raise ValueError("is UTF-16; save it as UTF-8" if is_utf_16 else "is not valid UTF-8") from None
