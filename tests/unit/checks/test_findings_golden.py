"""Every text, hint and section of agent/checks, as `check` prints it, in golden/findings.txt.

To accept a change of texts: ACCEPT=1 pytest tests/unit/checks/test_findings_golden.py
"""

import email.utils
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.checks import (
    clock,
    context,
    direct,
    elsewhere,
    files,
    metadata,
    no_proxy,
    packages,
    processes,
    proxy,
    runner,
    units,
)
from agent.checks import settings as settings_check
from agent.checks.context import CheckedNode
from agent.commands.check import _lines
from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import facts_from_json
from agent.core.intent import intent
from agent.core.intent.inputs import Inputs, Resolved
from agent.core.intent.reachability import ProbeResult
from agent.core.net.proxy_health import Verdict
from agent.core.net.proxy_url import Credentials, parse_proxy_url
from agent.core.noproxy.dialects.families import DIALECTS
from agent.core.plan.accepted import Accepted
from agent.core.plan.baseline import FileState
from agent.core.plan.drift import Memory
from agent.core.plan.files.environment import ENVIRONMENT, NODE_ENV
from agent.core.plan.files.managed_file import WholeFile
from agent.core.plan.files.systemd_dropin import EnvironmentDropin
from agent.core.plan.files.yum_conf import DNF_CONF, YUM_CONF
from agent.core.plan.plan import Change, Plan
from agent.core.record import evolve
from agent.core.settings.layers import merge, parse_toml
from agent.core.settings.unit_table import HTTP_NAMES
from agent.core.status.document import StatusDocument
from agent.core.status.records import RepairsStatus
from agent.core.systemd import UnitState
from agent.errors import CommandError, FileError, MetadataError, SettingsError
from agent.node.sources import SettingsSources

GOLDEN = Path(__file__).parent / "golden" / "findings.txt"
PROXY = "http://proxy.example.com:3128"
FACTS = """{"instance_id": "i-0123456789abcdef0", "region": "eu-central-1", "vpc_cidrs_v4": ["10.42.0.0/16"]}"""
SETTINGS = f"""
[proxy]
url = "{PROXY}"
[aws]
direct = ["s3"]
[cluster]
endpoint = "api.example.com"
[node]
enable = ["docker.service"]
"""
DOCKER = "docker.service"
DROPIN = EnvironmentDropin.path_of(DOCKER)


class Files:
    """Files in memory: content by path, and the links among them."""

    def __init__(self, content=(), links=(), live=True):
        self.content, self.links, self.live = dict(content), dict(links), live

    def resolve(self, path):
        return self.links.get(path, path)

    def state(self, path):
        content = self.content.get(path)
        return FileState(problem=content) if isinstance(content, str) else FileState(content)

    def status(self, path):
        return self.content.get(path)

    def names(self, directory):
        names = (path.rpartition("/") for path in self.content)
        return [name for parent, _, name in names if parent == directory]


class Units:
    """Units of systemd in given states, or a systemd that does not respond."""

    def __init__(self, *states, running=True, error=None):
        self.states, self.running, self.error = states, running, error

    def show(self, names, *, timeout):
        if self.error:
            raise self.error
        known = {state.name: state for state in self.states}
        return {name: known.get(name, UnitState(name, exists=False, enabled="")) for name in names}


def resolved(text=SETTINGS):
    """Return settings and the Intent of a node with that config.toml."""
    inputs = Inputs(merge([parse_toml("config.toml", text.encode())]), facts_from_json(FACTS), ClusterInfo())
    return Resolved(inputs, intent.compose(inputs.settings, inputs.facts, inputs.cluster_info))


def checked(content=(), links=(), units=None, memory=None, text=SETTINGS, live=True, accepted=(), **changes):
    """Return a configured node with those files and units."""
    node = resolved(text)
    state = SimpleNamespace(memory_if_readable=lambda: Memory(ca_changed_at=memory, accepted=Accepted({}, accepted)))
    host = SimpleNamespace(files=Files(content, links, live), units=units or Units(), state=state)
    known = CheckedNode(
        host,
        SettingsSources(),
        layered=node.inputs.layered,
        facts=node.facts,
        metadata_seconds=0.008,
        reconciled=node,
        current=node,
    )
    return evolve(known, **changes)


def variables(**changes):
    """Return the environment of a process or a file of a configured node, as name → value."""
    return {**dict(resolved().intent.variables(secret=True)), **changes}


def lines_of(environment):
    """Return NAME=VALUE lines."""
    return "".join(f"{name}={value}\n" for name, value in environment.items()).encode()


def runner_cases(patch):
    """Results of groups that did not run, or did not end as they should."""

    def fail_with(error):
        def check(node):
            raise error

        return [runner.Group("files", check, needs_machine=False, needs_systemd=False)]

    needs_all = [runner.Group("units", lambda node: [], needs_systemd=True)]
    yield "a directory tree", runner.examine(checked(live=False), needs_all)
    yield "without systemd", runner.examine(checked(units=Units(running=False)), needs_all)
    yield "unconfigured", runner.examine(checked(skip_reason=context.UNCONFIGURED), needs_all)
    yield "an error", runner.examine(checked(), fail_with(FileError("/x: <problem>\nmore", hint="<hint>")))
    yield "a bug", runner.examine(checked(), fail_with(KeyError("x")))
    patch.setattr(runner, "BOUND", 0.0)
    patch.setattr(runner, "_run_group", lambda node, group, results: None)
    yield "a time-out", runner.examine(checked(), needs_all)


def settings_cases(patch):
    """Settings that are valid, invalid or partly unread."""
    node = checked()
    with_warning = evolve(node.reconciled.inputs.layered, warnings=("<warning>",))
    warned = evolve(node.reconciled, inputs=evolve(node.reconciled.inputs, layered=with_warning))
    yield "valid", settings_check.check(node)
    yield "a warning", settings_check.check(evolve(node, reconciled=warned))
    yield "from status.json", settings_check.check(evolve(node, is_from_status=True))
    yield "without metadata", settings_check.check(checked(facts=None, reconciled=None))
    yield "defaults only", settings_check.check(checked(layered=merge([]), facts=None, reconciled=None))
    yield "unconfigured", settings_check.check(checked(skip_reason=context.UNCONFIGURED))
    yield "invalid", settings_check.check(checked(settings_error=SettingsError(["<problem>", "<another>"])))
    yield "not root", settings_check.check(checked(layered=None, skip_reason=context.NEEDS_ROOT))


def metadata_cases(patch):
    """A metadata service that responds or not, and facts of a file."""
    error = MetadataError("<problem>")
    from_file = SettingsSources(facts="facts.json")
    yield "ok", metadata.check(checked())
    yield "an error", metadata.check(checked(metadata_error=error))
    yield "an error of --facts", metadata.check(checked(metadata_error=error, sources=from_file))
    yield "--facts", metadata.check(checked(sources=from_file))
    yield "a directory tree", metadata.check(checked(live=False))
    yield "invalid settings", metadata.check(checked(facts=None, skip_reason="<reason>"))


def files_cases(patch):
    """Plans with each kind of difference."""

    def with_plan(plan, **changes):
        patch.setattr(files, "plan_files", lambda node: plan)
        return list(files.check(checked(**changes)))

    drift = Change("/etc/environment", b"a\n", b"b\n")
    contested = StatusDocument("configured", repairs=RepairsStatus(9, ("/etc/environment",)))
    desired = [WholeFile("/etc/a", b""), WholeFile("/etc/b", None)]
    patch.setattr(files, "desired_files", lambda node: desired)
    yield "as planned, without drop-ins", with_plan(Plan())
    patch.setattr(files, "desired_files", lambda node: [*desired, EnvironmentDropin(DOCKER)])
    yield "as planned", with_plan(Plan())
    yield "drift", with_plan(Plan((drift,)))
    yield "a contested file", with_plan(Plan((drift,)), status=contested)
    dropins = [Change(EnvironmentDropin.path_of(unit), None, b"a\n") for unit in ("a.service", "b.service")]
    yield "missing drop-ins", with_plan(Plan(tuple(dropins)))
    yield "a file to remove", with_plan(Plan((Change("/etc/x", b"a\n", None),)))
    yield "a file that apply cannot change", with_plan(Plan(problems=("/etc/x: <problem>",)))
    yield "the trust store", with_plan(Plan(trust=True))

    def fail(node):
        raise FileError("<problem>", hint="<hint>")

    patch.setattr(files, "plan_files", fail)
    yield "no baseline", list(files.check(checked()))


def units_cases(patch):
    """States of the agent's unit, and of a docker.service."""
    agent = UnitState(units.AGENT, before=(DOCKER,))

    def agent_with(status=None, **changes):
        return [units._agent(evolve(agent, **changes), status)]

    yield "the agent", agent_with()
    yield "disabled", agent_with(enabled="disabled")
    yield "not enabled", agent_with(enabled="")
    yield "masked", agent_with(exists=False, enabled="masked")
    yield "not loaded", agent_with(exists=False)
    yield "not installed", agent_with(exists=False, enabled="")
    yield "failed", agent_with(active="failed")
    yield "stopped", agent_with(active="inactive")
    yield "its unit file changed", agent_with(needs_reload=True)
    yield "degraded", agent_with(StatusDocument("degraded", "<error>"))

    base = {DROPIN: EnvironmentDropin(DOCKER).merge(None)}
    docker = UnitState(DOCKER, drop_ins=(DROPIN,), environment_files=(ENVIRONMENT, NODE_ENV))
    other = "/etc/systemd/system/docker.service.d/zzz-other.conf"

    def docker_with(content=base, other_text="", agent=agent, is_from_status=False, **changes):
        content = {**content, other: other_text.encode(), "/etc/x.env": b"HTTPS_PROXY=http://other:1\n"}
        node = checked(content, units=Units(agent, evolve(docker, **changes)), is_from_status=is_from_status)
        return list(units.check(node))[1:]

    both = (DROPIN, other)
    yield "a unit", docker_with()
    yield "to be enabled", docker_with(enabled="disabled")[1:]
    yield "changed", docker_with(needs_reload=True)
    yield "not ordered", docker_with(agent=UnitState(units.AGENT))
    yield "no drop-in", docker_with({}, drop_ins=())
    yield "drop-in not loaded", docker_with(drop_ins=())
    text = "EnvironmentFile=\n"
    yield "reset", docker_with(other_text=text, drop_ins=both, environment_files=())
    yield "old drop-in loaded", docker_with(environment_files=(), needs_reload=True)
    yield "drop-in edited", docker_with(environment_files=())
    text = "UnsetEnvironment=NO_PROXY no_proxy\n"
    yield "unset", docker_with(other_text=text, drop_ins=both, unset=("NO_PROXY", "no_proxy"))
    yield "unset by the unit", docker_with(unset=("NO_PROXY",))
    text, after = "EnvironmentFile=-/etc/x.env\n", (NODE_ENV, "/etc/x.env")
    yield "overridden", docker_with(other_text=text, drop_ins=both, environment_files=after)
    yield "overridden by the unit", docker_with(environment_files=after)
    yield "overridden, not root", docker_with(environment_files=after, is_from_status=True)

    nodeadm, dropin = "nodeadm-run.service", EnvironmentDropin("nodeadm-run.service")
    other = "/etc/systemd/system/nodeadm-run.service.d/zzz-other.conf"

    def nodeadm_with(other_text="", **changes):
        state = UnitState(nodeadm, drop_ins=(dropin.path, other), environment_files=(NODE_ENV,), unset=HTTP_NAMES)
        content = {dropin.path: dropin.merge(None), other: other_text.encode()}
        content["/etc/x.env"] = b"http_proxy=http://other:1\n"
        agent = UnitState(units.AGENT, before=(nodeadm,))
        return list(units.check(checked(content, units=Units(agent, evolve(state, **changes)))))[1:]

    def app_with(*before, after_agent=False):
        dropin = EnvironmentDropin("app.service")
        state = UnitState("app.service", drop_ins=(dropin.path,), environment_files=(NODE_ENV,), before=before)
        agent = UnitState(units.AGENT, before=("app.service",) if after_agent else ())
        listed = SETTINGS + 'units = ["app"]\n'
        node = checked({dropin.path: dropin.merge(None)}, text=listed, units=Units(agent, state))
        return list(units.check(node))[1:]

    yield "an operator's unit", app_with(after_agent=True)
    yield "an operator's unit that does not wait yet", app_with()
    yield "an operator's unit that cannot wait", app_with("network-pre.target")
    main, name = EnvironmentDropin("cloud-init-main.service"), "cloud-init-main.service"
    state = UnitState(name, drop_ins=(main.path,), environment_files=(NODE_ENV,))
    content, agent = {main.path: main.merge(None)}, UnitState(units.AGENT)
    yield "cloud-init-main", list(units.check(checked(content, units=Units(agent, state))))[1:]
    yield "nodeadm", nodeadm_with()
    yield "nodeadm with another http_proxy", nodeadm_with(environment_files=after)
    yield "nodeadm without a proxy", nodeadm_with(unset=(*HTTP_NAMES, "HTTPS_PROXY"))
    yield "nodeadm with http_proxy", nodeadm_with("[Service]\nUnsetEnvironment=\n", unset=())
    yield "nodeadm with an old drop-in", nodeadm_with(unset=(), needs_reload=True)
    yield "nodeadm with an edited drop-in", nodeadm_with(unset=())


def processes_cases(patch):
    """Environments of a docker process, as /proc/PID/environ has them."""
    docker = UnitState(DOCKER, main_pid=1133, drop_ins=(DROPIN,), environment_files=(NODE_ENV,), since=10.0)

    def process(environment, memory=None, desired=None, accepted=(), **changes):
        raw = b"\0".join(f"{name}={value}".encode() for name, value in environment.items())
        patch.setattr(processes, "environ", lambda pid: raw)
        state = evolve(docker, **changes)
        node = checked(units=Units(state), memory=memory, reconciled=desired or resolved(), accepted=accepted)
        return list(processes.check(node))

    entries = variables()["no_proxy"].split(",")
    yield "ok", process(variables())
    yield "before the CA", process(variables(), memory=20.0)
    yield "without NO_PROXY", process(variables(no_proxy="", NO_PROXY=""))
    old = ",".join([*entries[1:], "old.example.com"])
    yield "an old NO_PROXY", process(variables(no_proxy=old, NO_PROXY=old))
    fewer = ",".join(entries[1:])
    earlier = variables(no_proxy=fewer, NO_PROXY=fewer)
    yield "the NO_PROXY of an earlier version", process(earlier, accepted=(fewer, variables()["no_proxy"]))
    reordered = ",".join(reversed(entries))
    yield "another order", process(variables(no_proxy=reordered, NO_PROXY=reordered))
    yield "another proxy", process(variables(http_proxy="http://me:secret@other:1"))
    new, old = (evolve(resolved().intent, credentials=Credentials("me", word)) for word in ("new", "old"))
    desired = evolve(resolved(), intent=new)
    yield "other credentials", process(dict(old.variables(secret=True)), desired=desired)
    yield "the unit's fault", process({"HOME": "/"}, environment_files=())
    nodeadm = EnvironmentDropin.path_of("nodeadm-run.service")
    as_nodeadm = {"name": "nodeadm-run.service", "drop_ins": (nodeadm,), "unset": HTTP_NAMES}
    yield "nodeadm with http_proxy", process(variables(), **as_nodeadm)
    without = {name: value for name, value in variables().items() if name not in HTTP_NAMES}
    yield "nodeadm", process(without, **as_nodeadm)
    yield "cloud-init before the agent", process({"HOME": "/"}, name="cloud-init-main.service")
    yield "exited", process({})
    yield "none running", process({}, active="inactive")

    def fail(pid):
        raise CommandError("<problem>")

    patch.setattr(processes, "environ", fail)
    yield "unreadable", list(processes.check(checked(units=Units(docker))))
    yield "no systemd", list(processes.check(checked(units=Units(error=CommandError("<problem>")))))


def proxy_cases(patch):
    """Verdicts on a proxy, with placeholders for their own texts."""
    url = parse_proxy_url(PROXY)
    hosts = [(host + ".eu-central-1.amazonaws.com", 443) for host in ("eks", "s3", "sts")]

    def findings(*verdicts, has_credentials=True, **changes):
        request = proxy.ProxyEndpoints(url, hosts[: len(verdicts)], **changes)
        return list(proxy._findings(request, verdicts, has_credentials=has_credentials))

    def bad(kind):
        return Verdict(False, kind, f"{PROXY}: <text of {kind}>", f"<hint of {kind}>")

    good = Verdict(True, "ok", "", seconds=0.008, issuer="Amazon")
    yield "ok", findings(good, good, good)
    yield "without TLS", findings(evolve(good, issuer=""))
    yield "inspects TLS", findings(evolve(good, kind="tls-inspected", issuer="Corp CA"))
    yield "refused", findings(bad("refused"), bad("refused"), bad("refused"))
    yield "one endpoint", findings(bad("dns"))
    yield "some endpoints", findings(good, bad("denied"), bad("denied"))
    yield "credentials unread", findings(bad("credentials"), has_credentials=False)
    yield "a spare", findings(bad("timeout"), failure_state="warn")
    yield "not required", findings(bad("denied"), is_required=False)


def direct_cases(patch):
    """Results of probes."""
    up, down, unknown = ProbeResult(True, ("10.0.7.1",)), ProbeResult(False, ("10.0.7.9",)), ProbeResult()

    def probed(reason, **results):
        by_host = {name + ".example.com": result for name, result in results.items()}
        return [direct._finding(reason, dict.fromkeys(by_host), by_host)]

    yield "ok", probed("direct:ecr", a=up, b=up)
    yield "the API server", probed("api-endpoint", api=down)
    yield "a service of aws.direct", probed("aws:s3", s3=unknown)
    yield "a detected service", probed("direct:ecr", a=up, b=down, c=unknown)
    yield "an unknown API server", probed("api-endpoint")
    patch.setattr(direct.tcp, "probe", lambda hosts, bound: {})
    no_hosts = SETTINGS.replace('["s3"]', "[]").replace("endpoint =", 'endpoint_access = "public"\nendpoint =')
    yield "nothing is direct", list(direct.check(checked(text=no_hosts)))


def no_proxy_cases(patch):
    """Lists of node.env, for clients with and without networks in NO_PROXY."""
    dialects = tuple(dialect for dialect in DIALECTS if dialect.name in ("go", "wget"))
    patch.setattr(no_proxy, "_installed_dialects", lambda files: dialects)

    def with_list(value):
        return list(no_proxy.check(checked({NODE_ENV: lines_of(variables(no_proxy=value, NO_PROXY=value))})))

    value = variables()["no_proxy"]
    yield "ok", with_list(value)
    without_vpc = ",".join(entry for entry in value.split(",") if entry != "10.42.0.0/16")
    yield "a missing network", [finding for finding in with_list(without_vpc) if finding.state == "fail"]
    yield "no list", list(no_proxy.check(checked()))
    patch.setattr(os, "geteuid", lambda: 1000)
    yield "no list, not root", list(no_proxy.check(checked()))
    patch.setattr(os, "geteuid", lambda: 0)


def packages_cases(patch):
    """Files of yum and dnf."""
    patch.setattr(no_proxy, "_libcurl_version", lambda files: (8, 5))
    dnf, yum, link = {"/usr/bin/dnf": b""}, {"/usr/bin/yum": b""}, {YUM_CONF: DNF_CONF}
    ours, other = f"[main]\nproxy={PROXY}\n".encode(), b"[main]\nproxy=http://me:secret@other:1\n"

    def with_files(content, links=link, text=SETTINGS):
        return list(packages.check(checked(content, links, text=text)))

    yield "dnf", with_files({**dnf, DNF_CONF: ours})
    yield "yum 3", with_files({**yum, YUM_CONF: ours}, {})
    yield "drift", with_files({**dnf, DNF_CONF: other})
    yield "yum.conf is missing", with_files({**dnf, DNF_CONF: other}, {})
    yield "yum.conf is missing, no proxy", with_files({**dnf, DNF_CONF: b""}, {})
    yield "yum.conf is not a link", with_files({**dnf, DNF_CONF: ours, YUM_CONF: ours}, {})
    yield "unreadable", with_files({**dnf, DNF_CONF: "<problem>"})
    repository = b"[a]\nproxy=http://me:secret@other:1\n[b]\nproxy=_none_\n"
    yield "repositories", with_files({**dnf, DNF_CONF: ours, "/etc/yum.repos.d/x.repo": repository})[1:]
    exempt = b"[c]\nbaseurl=https://repo.internal/x\n[d]\nmirrorlist=http://$host/$basearch\nenabled=0\n"
    yield "exempt repositories", with_files({**dnf, DNF_CONF: ours, "/etc/yum.repos.d/x.repo": exempt})[1:]
    user = b"[e]\nproxy_username=u\nproxy_password=p\n"
    yield "a user of a repository", with_files({**yum, YUM_CONF: ours, "/etc/yum.repos.d/x.repo": user}, {})[1:]
    yield "node.yum", with_files(dnf, text=SETTINGS + "yum = false\n")
    yield "neither", with_files({})


def elsewhere_cases(patch):
    """Places that set another proxy."""

    def with_files(**content):
        return list(elsewhere.check(checked({path: text.encode() for path, text in content.items()})))

    yield "nothing", with_files()
    old = "http://me:secret@old:1"
    yield "docker", with_files(**{"/etc/docker/daemon.json": f'{{"proxies": {{"http-proxy": "{old}"}}}}'})
    unit = f"[Service]\nExecStart=dockerd --no-proxy=a --https-proxy={old} $OPTIONS\nEnvironmentFile=-/etc/sysconfig/docker\n"
    options = f"OPTIONS='--http-proxy {old}'\nHTTP_PROXY={old}\n"
    yield (
        "flags of docker",
        with_files(**{"/etc/systemd/system/docker.service": unit, "/etc/sysconfig/docker": options}),
    )
    default = f'[Manager]\nDefaultEnvironment="HTTPS_PROXY={old}" NO_PROXY=a\n'
    yield "systemd", with_files(**{"/etc/systemd/system.conf.d/x.conf": default})
    yield "login shells", with_files(**{"/etc/profile.d/x.sh": f"export https_proxy={old} all_proxy=\n"})
    yield "wget", with_files(**{"/etc/wgetrc": "use_proxy = off\n"})


def clock_cases(patch):
    """Date headers of a proxy."""
    now = 1_800_000_000.0

    def at(skew):
        return [clock.judge(email.utils.formatdate(now - skew, usegmt=True), now, PROXY)]

    yield "ok", at(1)
    yield "a minute", at(61)
    yield "an hour", at(-3600)
    yield "an invalid header", [clock.judge("x", now, PROXY)]
    patch.setattr(clock, "request_date", lambda proxy, timeout: "")
    yield "no header", list(clock.check(checked()))


GROUPS = (
    runner_cases,
    settings_cases,
    metadata_cases,
    files_cases,
    units_cases,
    processes_cases,
    proxy_cases,
    direct_cases,
    no_proxy_cases,
    packages_cases,
    elsewhere_cases,
    clock_cases,
)


def with_section(finding):
    """Return the lines of a finding, and its section of the troubleshooting page."""
    return _lines(finding) + (f"\n      see #{finding.runbook}" if finding.runbook else "")


def rendered():
    """Return the text of the golden file."""
    parts = []
    for cases in GROUPS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "geteuid", lambda: 0)
            name = cases.__name__.removesuffix("_cases")
            for title, findings in cases(patch):
                parts.append("\n".join([f"# {name}: {title}", *map(with_section, findings)]))
    return "\n\n".join(parts) + "\n"


def test_the_findings_are_those_of_the_golden_file():
    """ACCEPT=1 rewrites the file; review the difference before the commit."""
    text = rendered()
    if os.environ.get("ACCEPT") == "1":
        GOLDEN.write_text(text)
    assert text.splitlines() == GOLDEN.read_text().splitlines()
