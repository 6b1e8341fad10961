"""`status` as lines for a person: what the phase means and what there is to do first, the evidence below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from agent.core.status.tasks import Status, alive, to_do
from agent.core.status.timestamps import ago, ahead, epoch, span


@attrs.frozen
class Line:
    """`label` stands in a column of its own, empty on a line that goes on; `tone` is good, bad, warn or nothing."""

    label: str
    text: str
    tone: str = ""


def screen(status: Status, now: float, *, full: bool = False) -> tuple[Line, ...]:
    """The whole screen, at `now` (seconds since the epoch).  `full`: each NO_PROXY entry, file and unit too."""
    tasks = to_do(status, now)
    lines = _phase(status, now, bool(tasks))
    lines += _column("to do", tasks, "warn")
    lines += _column("proxy", _proxies(status, now))
    lines += _preflight(status, now)
    lines += _daemon(status, now)
    lines += _column("intent", _intent(status, full))
    lines += _no_proxy(status) if full else []
    lines += _files(status, full)
    lines += _units(status, full)
    lines += _bootstrap(status, now)
    lines += _metrics(status)
    if status.get("instance_id"):
        lines.append(Line("instance", "{} in {}".format(status["instance_id"], status.get("region"))))
    lines += [Line("warning", warning) for warning in status.get("warnings") or ()]
    return tuple(lines)


def _phase(status: Status, now: float, tasks: bool) -> list[Line]:
    phase, since = str(status.get("phase")), epoch(status.get("since"))
    tone = {"configured": "good", "degraded": "bad"}.get(phase, "warn")
    lines = [Line("phase", phase + _for(since, now), "warn" if tasks and tone == "good" else tone)]
    lines.append(Line("", _meaning(status, phase, tasks)))
    return lines + _column("error", str(status.get("error") or "").splitlines(), "bad")


def _meaning(status: Status, phase: str, tasks: bool) -> str:
    if phase == "configured":
        return "what starts on this node uses the proxy" + ("" if tasks else "; there is nothing to do")
    if phase == "unconfigured":
        return "no proxy.url in the settings, so nothing is written"
    if phase == "degraded":
        known = "what was good before stays in force" if status.get("intent") else "nothing was configured before"
        held = status.get("held_units")
        stopped = '; failure.policy is "closed": {} cannot start until then'.format(", ".join(held)) if held else ""
        return "the last pass failed; " + known + stopped
    return "the agent has not looked at this node since it was powered on, or what it did was reverted"


def _proxies(status: Status, now: float) -> list[str]:
    proxy = status.get("proxy")
    if not proxy:
        return []
    known = status.get("proxies") or [{"url": proxy["http"], "chosen": True}]
    texts = ["{}  {}".format(one.get("url"), ", ".join(_words_of(one, now))) for one in known]
    if proxy["https"] != proxy["http"]:
        texts.append("{}  for https:// URLs".format(proxy["https"]))
    return texts


def _words_of(one: Mapping[str, Any], now: float) -> Iterable[str]:
    since, latency = epoch(one.get("since")), one.get("latency_seconds")
    if one.get("chosen"):
        yield "in use"
    if one.get("up") is None:
        yield "health not known"
        return
    yield ("up" if one["up"] else "DOWN") + _for(since, now)
    if one["up"] and latency is not None:
        yield f"{round(latency * 1000)} ms"
    if not one["up"] and one.get("text"):
        yield _without(one["text"], "{}: ".format(one.get("url")))


def _without(text: str, start: str) -> str:
    return text[len(start) :] if text.startswith(start) else text


def _for(since: float | None, now: float) -> str:
    return "" if since is None or now - since < 5 else f" for {span(now - since)}"


def _preflight(status: Status, now: float) -> list[Line]:
    found = status.get("preflight")
    if not found or found.get("ok") is None:
        return []
    at = ago(epoch(found.get("at")), now)
    if found["ok"]:
        return [Line("preflight", ", ".join(filter(None, ["ok", at])))]
    return [Line("preflight", ", ".join(filter(None, ["FAILED", at, found.get("text")])), "bad")]


def _daemon(status: Status, now: float) -> list[Line]:
    daemon = status.get("daemon")
    last, due = ago(epoch(status.get("updated")), now), ahead(epoch(status.get("next_pass")), now)
    words = ["last pass " + last] if last else []
    if not daemon:
        return [Line("last pass", last)] if last else []
    if not alive(status):
        words = ["NOT RUNNING ({})".format(daemon.get("state")), *words]
        return [Line("daemon", ", ".join(words), "bad")]
    words = ["{} (pid {})".format(_STATES.get(daemon["state"], daemon["state"]), daemon.get("pid") or 0), *words]
    return [Line("daemon", ", ".join(words + (["next " + due] if due else [])))]


_STATES = {"active": "running", "activating": "starting"}


def _intent(status: Status, full: bool) -> list[str]:
    if not status.get("intent"):
        return []
    count = len(status.get("no_proxy") or ())
    return ["{}, {} NO_PROXY entries{}".format(status["intent"], count, "" if full else " (why each: status --full)")]


def _no_proxy(status: Status) -> list[Line]:
    """The entries by reason, one line a reason."""
    reasons: dict[str, list[str]] = {}
    for entry in status.get("no_proxy") or ():
        reasons.setdefault(entry["reason"], []).append(entry["entry"])
    return _column("no_proxy", ["{:<15} {}".format(reason, " ".join(values)) for reason, values in reasons.items()])


def _files(status: Status, full: bool) -> list[Line]:
    files = status.get("files") or ()
    if not files:
        return []
    unknown = [one for one in files if one["state"].startswith("unknown")]
    wrong = [one for one in files if one["state"] != "ok" and one not in unknown]
    repairs = (status.get("repairs") or {}).get("total")
    words = [f"{len(files)}"]
    words += [f"{len(wrong)} not as written"] if wrong else []
    words += [f"{len(unknown)} that only root can judge"] if unknown else []
    words += [] if wrong or unknown else ["all as written"]
    words += [f"{repairs} repaired so far"] if repairs else []
    lines = [Line("files", ", ".join(words))]
    return lines + [
        Line("file", "{:<60} {}".format(one["path"], one["state"]), "" if one["state"] == "ok" else "warn")
        for one in (files if full else wrong)
    ]


def _units(status: Status, full: bool) -> list[Line]:
    units = status.get("units") or ()
    if full:
        return [Line("unit", "{:<60} {}".format(one["unit"], one["state"])) for one in units]
    there = ["{} {}".format(one["unit"], one["state"]) for one in units if one["state"] != "absent"]
    return [Line("units", "  ".join(there))] if there else []


def _bootstrap(status: Status, now: float) -> list[Line]:
    found = status.get("bootstrap")
    if not found:
        return []
    at, code = ago(epoch(found.get("time")), now), found.get("exit_code")
    if code is None:
        return [Line("bootstrap", f"started {at}, and has not ended")]
    told = "CloudFormation was told" if found.get("signalled") else "no signal was sent"
    return [Line("bootstrap", f"ended with {code}, {at}; {told}", "bad" if code else "")]


def _metrics(status: Status) -> list[Line]:
    found = status.get("metrics") or {}
    if found.get("error"):
        return [Line("metrics", found["error"], "warn")]
    return [Line("metrics", found["path"])] if found.get("path") else []


def _column(label: str, texts: Sequence[str], tone: str = "") -> list[Line]:
    """Several lines under one label."""
    return [Line("" if at else label, text, tone) for at, text in enumerate(texts)]
