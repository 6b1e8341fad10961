"""The screen of `status`: the phase, its meaning and the tasks first, the details below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.core import runbook
from agent.core.record import record
from agent.core.status.document import CONFIGURED, DEGRADED, NOT_RUN, UNCONFIGURED, StatusDocument
from agent.core.status.node_view import NodeView
from agent.core.status.records import BootstrapStatus, ProxyStatus
from agent.core.status.timestamps import ago, ahead, span

DAEMON = "eks-proxy-agent"
CONFIG = "/etc/eks-proxy-agent/config.toml"
#: Seconds that a reconcile may be late before the daemon is assumed to hang.
PATIENCE = 120.0


@record
class Line:
    """One line of the screen.

    `label`: the first column, empty on a continuation line.  `tone`: good, bad, warn or empty.
    """

    label: str
    text: str
    tone: str = ""


def screen(view: NodeView, now: float, *, full: bool = False) -> tuple[Line, ...]:
    """Return all lines of the screen, at `now` (seconds since 1970).

    `full`: also each NO_PROXY entry, file and unit.
    """
    status, tasks = view.document, to_do(view, now)
    lines = _phase(view, now, bool(tasks))
    lines += _column("to do", tasks, "warn")
    lines += _column("see", [runbook.location(runbook.PHASES[status.phase])] if status.phase in runbook.PHASES else [])
    lines += _column("proxy", _proxies(status, now))
    lines += _preflight(status, now)
    lines += _daemon(view, now)
    lines += _intent(status, full)
    lines += _no_proxy(status) if full else []
    lines += _files(view, full)
    lines += _units(view, full)
    lines += _bootstrap(view, now) + _signal(view, now)
    lines += _metrics(status)
    if status.instance_id:
        lines.append(Line("instance", f"{status.instance_id} in {status.region}"))
    lines += [Line("warning", warning) for warning in status.warnings]
    return tuple(lines)


def to_do(view: NodeView, now: float) -> list[str]:
    """Return the tasks for the operator, each with its command."""
    status = view.document
    tasks = _phase_tasks(view) + _daemon_tasks(view, now)
    tasks += [
        f"{name} runs with an old environment. Restart it at a convenient time: systemctl restart {name}"
        for name in status.stale_units or ()
    ]
    tasks += [
        f"Another program keeps changing {path}, so the agent leaves it alone. Find that program, then: {_reconcile_command(view)}"
        for path in (status.repairs.fought if status.repairs else ())
    ]
    checked = [proxy.up for proxy in status.proxies or () if proxy.up is not None]
    if checked and not any(checked):
        tasks.append("No proxy is up. Find the cause: eks-proxy-agent check")
    elif status.preflight and not status.preflight.ok:
        hint = status.preflight.hint.rstrip(".")
        remedy = f"Remedy: {hint}. " if hint else ""
        tasks.append(f"The preflight failed. {remedy}Check the current state: eks-proxy-agent check")
    if view.bootstrap and view.bootstrap.exit_code:
        read_log = "Read its log: journalctl -u eks-proxy-agent-bootstrap"
        tasks.append(f"bootstrap.sh failed. {read_log}. Run it again: eks-proxy-agent bootstrap --again")
    refused = next((result.refused for result in (view.bootstrap, view.signal) if result and result.refused), "")
    if refused:
        tasks.append(
            f"CloudFormation refused the signal ({refused}). Check signal.stack and signal.resource: {DAEMON} config show"
        )
    return tasks


def _phase_tasks(view: NodeView) -> list[str]:
    phase = view.document.phase
    if phase == DEGRADED:
        if view.has_live_daemon:
            return [f"Fix the error above. The agent retries by itself; to retry now: {_reconcile_command(view)}"]
        return [f"Fix the error above, then: {_reconcile_command(view)}"]
    if phase == UNCONFIGURED:
        return [f"If this node needs a proxy, set proxy.url in {CONFIG}, then: {_reconcile_command(view)}"]
    if phase == NOT_RUN and not view.daemon:
        return ["Configure the node: eks-proxy-agent apply"]
    return []


def _daemon_tasks(view: NodeView, now: float) -> list[str]:
    if not view.daemon:
        return []
    if not view.daemon.is_alive and view.document.phase == DEGRADED:
        return []  # the task of the phase has the same command
    if not view.daemon.is_alive:
        enable = "enable --now" if view.daemon.enabled not in ("enabled", "") else "start"
        return [f"The daemon is not running, so nothing repairs the files. Start it: systemctl {enable} {DAEMON}"]
    due = view.document.next_pass
    if due is not None and now - due > PATIENCE:
        read_log, restart = f"Read its log: journalctl -u {DAEMON}", f"systemctl restart {DAEMON}"
        return [
            f"The daemon's reconcile is {span(now - due)} overdue. {read_log}. Restart it (docker keeps running): {restart}"
        ]
    return []


def _reconcile_command(view: NodeView) -> str:
    """Return the command that starts a reconcile now."""
    if not view.daemon:
        return "eks-proxy-agent apply"
    return f"systemctl {'reload' if view.daemon.is_alive else 'start'} {DAEMON}"


def _phase(view: NodeView, now: float, has_tasks: bool) -> list[Line]:
    status = view.document
    tone = {CONFIGURED: "good", DEGRADED: "bad"}.get(status.phase, "warn")
    lines = [
        Line("phase", status.phase + _duration(status.since, now), "warn" if has_tasks and tone == "good" else tone)
    ]
    lines += _column("", _meaning(view, has_tasks))
    return lines + _column("error", (status.error or "").splitlines(), "bad")


def _meaning(view: NodeView, has_tasks: bool) -> list[str]:
    phase = view.document.phase
    if phase == CONFIGURED:
        return ["services that start now use the proxy" + ("" if has_tasks else "; no action needed")]
    if phase == UNCONFIGURED:
        return ["no proxy.url in the settings; nothing is written"]
    if phase == DEGRADED:
        values = "the last good values stay in force" if view.document.digest else "there are no earlier values"
        held = ", ".join(view.held_units)
        closed = [f'failure.policy = "closed": {held} cannot start until a reconcile succeeds'] if held else []
        return [f"the last reconcile failed; {values}", *closed]
    return ["no reconcile since power-on, or the agent's changes were reverted"]


def _proxies(status: StatusDocument, now: float) -> list[str]:
    if not status.proxy:
        return []
    http, https = str(status.proxy.http), str(status.proxy.https)
    lines = [f"{proxy.url}  {', '.join(_health(proxy, now))}" for proxy in status.proxies or ()]
    lines = lines or [f"{http}  in use, health unknown"]
    return lines + ([f"{https}  for https:// URLs"] if https != http else [])


def _health(proxy: ProxyStatus, now: float) -> Iterable[str]:
    if proxy.chosen:
        yield "in use"
    if proxy.up is None:
        yield "health unknown"
        return
    yield ("up" if proxy.up else "DOWN") + _duration(proxy.since, now)
    if proxy.up and proxy.latency_seconds is not None:
        yield f"{round(proxy.latency_seconds * 1000)} ms"
    if not proxy.up and proxy.text:
        yield _without_prefix(proxy.text, f"{proxy.url}: ")


def _without_prefix(text: str, prefix: str) -> str:
    return text[len(prefix) :] if text.startswith(prefix) else text


def _duration(since: int | None, now: float) -> str:
    return "" if since is None or now - since < 5 else f" for {span(now - since)}"


def _preflight(status: StatusDocument, now: float) -> list[Line]:
    preflight = status.preflight
    if not preflight:
        return []
    age = ago(preflight.at, now)
    if preflight.ok:
        return [Line("preflight", ", ".join(filter(None, ["ok", age])))]
    return [Line("preflight", ", ".join(filter(None, ["FAILED", age, preflight.text])), "bad")]


def _daemon(view: NodeView, now: float) -> list[Line]:
    last, due = ago(view.document.updated, now), ahead(view.document.next_pass, now)
    words = ["last reconcile " + last] if last else []
    if not view.daemon:
        return [Line("reconcile", last)] if last else []
    if not view.daemon.is_alive:
        return [Line("daemon", ", ".join([f"NOT RUNNING ({view.daemon.state})", *words]), "bad")]
    words = [f"{_STATES.get(view.daemon.state, view.daemon.state)} (pid {view.daemon.pid or 0})", *words]
    return [Line("daemon", ", ".join(words + (["next " + due] if due else [])))]


_STATES = {"active": "running", "activating": "starting"}


def _intent(status: StatusDocument, full: bool) -> list[Line]:
    if not status.digest:
        return []
    reasons = "" if full else " (reasons: status --full)"
    lines = [f"{status.digest}, {len(status.no_proxy)} NO_PROXY entries{reasons}"]
    if status.deferred_units:
        units = ", ".join(status.deferred_units)
        lines.append(f"what this version of the agent added takes effect at the next restart of {units}")
    return _column("intent", lines)


def _no_proxy(status: StatusDocument) -> list[Line]:
    """Return the entries by reason, one line for each reason."""
    reasons: dict[str, list[str]] = {}
    for entry in status.no_proxy:
        reasons.setdefault(entry.reason, []).append(entry.value)
    return _column("no_proxy", [f"{reason:<15} {' '.join(values)}" for reason, values in reasons.items()])


def _files(view: NodeView, full: bool) -> list[Line]:
    if not view.files:
        return []
    unknown = [path for path, state in view.files.items() if state.startswith("unknown")]
    wrong = [path for path, state in view.files.items() if state != "ok" and path not in unknown]
    repairs = view.document.repairs.total if view.document.repairs else 0
    words = [f"{len(view.files)}"]
    words += [f"{len(wrong)} not as written"] if wrong else []
    words += [f"{len(unknown)} readable by root only"] if unknown else []
    words += [] if wrong or unknown else ["all as written"]
    words += [f"{repairs} repaired since power-on"] if repairs else []
    return [Line("files", ", ".join(words))] + [
        Line("file", f"{_with_target(view, path):<60} {view.files[path]}", "" if view.files[path] == "ok" else "warn")
        for path in (view.files if full else wrong)
    ]


def _with_target(view: NodeView, path: str) -> str:
    """Return the path with the file that it leads to, under whose name `plan` shows changes."""
    return f"{path} -> {view.links[path]}" if path in view.links else path


def _units(view: NodeView, full: bool) -> list[Line]:
    if full:
        return [Line("unit", f"{unit:<60} {state}") for unit, state in view.units.items()]
    present = [f"{unit} {state}" for unit, state in view.units.items() if state != "absent"]
    return [Line("units", "  ".join(present))] if present else []


def _bootstrap(view: NodeView, now: float) -> list[Line]:
    bootstrap = view.bootstrap
    if not bootstrap:
        return []
    age, code = ago(bootstrap.time, now), bootstrap.exit_code
    if code is None:
        return [Line("bootstrap", f"started {age}, not finished")]
    return [Line("bootstrap", f"exit code {code}, {age}; {_sent(bootstrap)}", "bad" if code else "")]


def _signal(view: NodeView, now: float) -> list[Line]:
    signal = view.signal
    if not signal:
        return []
    age, code = ago(signal.time, now), signal.exit_code
    if code is None:
        return [Line("signal", f"waiting for kubelet{_duration(signal.time, now)}")]
    result = "kubelet was not healthy in time" if code else "kubelet is healthy"
    return [Line("signal", f"{result}, {age}; {_sent(signal)}", "bad" if code else "")]


def _sent(result: BootstrapStatus) -> str:
    return "cfn-signal sent" if result.signalled else "cfn-signal " + ("refused" if result.refused else "not sent")


def _metrics(status: StatusDocument) -> list[Line]:
    metrics = status.metrics
    if metrics is None:
        return []
    if metrics.error:
        return _column("metrics", metrics.error.splitlines(), "warn")
    if metrics.reason:
        where = f"only in {metrics.copy}: " if metrics.copy else "none: "
        return [Line("metrics", where + metrics.reason)]
    return _column("metrics", metrics.paths)


def _column(label: str, texts: Sequence[str], tone: str = "") -> list[Line]:
    """Return several lines under one label."""
    return [Line("" if index else label, text, tone) for index, text in enumerate(texts)]
