"""`bake` and `clean` on an image's tree, with the real systemctl."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Callable

import pytest

from agent.cli import main

FACTS = {"instance_id": "i-0123456789abcdef0", "region": "eu-central-1", "vpc_cidrs_v4": ["10.0.0.0/16"]}
CONFIG = '[proxy]\nurl = "http://proxy.example.com:3128"\n[node]\nunits = ["docker", "kubelet"]\n'
UNIT = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
OURS = ("eks-proxy-agent.service", "eks-proxy-agent-bootstrap.service")
WANTS = "etc/systemd/system/multi-user.target.wants"
Run = Callable[..., int]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A tree like an AMI: docker disabled, the agent's units installed, yum.conf a link."""
    root = tmp_path / "image"
    files = {
        "etc/environment": "LANG=C.UTF-8\n",
        "etc/dnf/dnf.conf": "[main]\ngpgcheck=1\n",
        "etc/eks-proxy-agent/config.toml": CONFIG,
        **{"usr/lib/systemd/system/" + name: UNIT for name in ("docker.service", *OURS)},
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for directory in ("run", "var/lib", "etc/systemd/system"):
        (root / directory).mkdir(parents=True)
    (root / "etc/yum.conf").symlink_to("dnf/dnf.conf")
    assert shutil.which("systemctl"), "bake enables units with systemctl --root"
    return root


@pytest.fixture
def agent(image: Path, tmp_path: Path) -> Run:
    """A function that runs a command on the image, as the instance of FACTS or another one."""

    def run(command: str, *flags: str, instance_id: str = FACTS["instance_id"]) -> int:  # type: ignore[assignment]
        facts = tmp_path / "facts.json"
        facts.write_text(json.dumps({**FACTS, "instance_id": instance_id}))
        inputs = [] if command == "revert" else ["--facts", str(facts)]
        return main([command, "--root", str(image), *inputs, *flags])

    return run


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and content of every path."""

    def content(path: Path) -> bytes:
        return os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""

    return {str(path.relative_to(root)): (path.lstat().st_mode, content(path)) for path in sorted(root.rglob("*"))}


def wants(root: Path) -> list[str]:
    """Return the names of the units that multi-user.target starts."""
    directory = root / WANTS
    return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []


def test_bake_writes_drop_ins_and_enables_units_only(image: Path, agent: Run) -> None:
    """bake writes drop-ins and enables units; it writes no node.env and no proxy variables."""
    assert agent("bake") == 0
    assert wants(image) == ["docker.service", *sorted(OURS)]
    assert (image / "etc/systemd/system/docker.service.d/zz-eks-proxy.conf").exists()
    assert not (image / "etc/eks-proxy-agent/node.env").exists()
    assert "proxy" not in (image / "etc/environment").read_text() + (image / "etc/dnf/dnf.conf").read_text()


@pytest.mark.parametrize(
    ("unit", "drop_in", "rule"),
    [
        ("Requires=docker.service", "", "docker.service is enabled: kubelet.service names it"),
        ("After=containerd.service", "Wants=docker.service", "docker.service is enabled: kubelet.service names it"),
        (
            "After=containerd.service docker.service",
            "",
            "docker.service is left as it is: kubelet.service does not use it",
        ),
    ],
)
def test_docker_is_enabled_where_kubelet_uses_it(
    unit: str, drop_in: str, rule: str, image: Path, agent: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """In an image no systemd runs: the unit files count.  plan names the rule, bake follows it."""
    text = UNIT.replace("[Service]", f"[Unit]\n{unit}\n[Service]", 1)
    assert unit in text
    (image / "usr/lib/systemd/system/kubelet.service").write_text(text)
    if drop_in:
        (image / "etc/systemd/system/kubelet.service.d").mkdir(parents=True)
        (image / "etc/systemd/system/kubelet.service.d/10-image.conf").write_text(f"[Unit]\n{drop_in}\n")
    agent("plan")
    assert f'note: node.enable = "auto": {rule}' in capsys.readouterr().err
    agent("plan", "--json")
    assert json.loads(capsys.readouterr().out)["node_enable"] == rule
    assert agent("bake") == 0
    assert ("docker.service" in wants(image)) is ("enabled" in rule)


def test_unit_files_of_the_tree_alone_decide(image: Path, agent: Run, tmp_path: Path) -> None:
    """A link leads to the file of the tree, and not to the one of the build host."""
    (image / "usr/lib/systemd/system/kubelet.service").write_text(UNIT)
    directory = image / "etc/systemd/system/kubelet.service.d"
    directory.mkdir(parents=True)
    outside = tmp_path / "outside.conf"
    outside.write_text("[Unit]\nRequires=docker.service\n")
    inside = image / str(outside).lstrip("/")
    inside.parent.mkdir(parents=True)
    inside.write_text("[Unit]\nRequires=containerd.service\n")
    (directory / "20-link.conf").symlink_to(outside)
    assert agent("bake") == 0
    assert "docker.service" not in wants(image)


def test_list_enables_docker_next_to_any_kubelet(image: Path, agent: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """An operator's list decides alone, and plan names no rule."""
    (image / "usr/lib/systemd/system/kubelet.service").write_text(UNIT)
    flags = ("--set", 'node.enable=["docker"]')
    agent("plan", *flags)
    assert "node.enable" not in capsys.readouterr().err
    assert agent("bake", *flags) == 0
    assert "docker.service" in wants(image)


def test_masked_docker_stays_masked(image: Path, agent: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """An administrator masked it."""
    (image / "etc/systemd/system/docker.service").symlink_to("/dev/null")
    agent("plan")
    assert "docker.service is masked and stays so" in capsys.readouterr().err
    assert agent("bake") == 0
    assert "docker.service" not in wants(image)
    assert os.readlink(image / "etc/systemd/system/docker.service") == "/dev/null"


def test_bake_reports_what_it_does_not_keep(image: Path, agent: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Flags are not kept in the image, and without a proxy the user data has to name one."""
    kept, named = "bake does not keep flags", "proxy.url is not set in the image"
    assert agent("bake") == 0
    err = capsys.readouterr().err
    assert (kept in err, named in err) == (False, False)
    assert agent("bake", "--set", "node.yum=false") == 0
    assert kept in capsys.readouterr().err
    (image / "etc/eks-proxy-agent/config.toml").write_text(CONFIG.replace("url", "#url"))
    assert agent("bake") == 0
    assert named in capsys.readouterr().err


def test_bake_twice_changes_nothing(image: Path, agent: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A second bake reports that there is nothing to do, and changes nothing."""
    agent("bake")
    before = tree(image)
    capsys.readouterr()
    assert agent("bake") == 0
    assert capsys.readouterr().out == "nothing to do: the image is already baked\n"
    assert tree(image) == before


def test_first_apply_on_a_baked_image_writes_no_unit_file(image: Path, agent: Run) -> None:
    """After bake, the first apply of an instance writes nothing below /etc/systemd."""
    agent("bake")
    before = tree(image / "etc/systemd")
    assert agent("apply") == 0
    assert tree(image / "etc/systemd") == before


def test_clean_keeps_what_bake_wrote(image: Path, agent: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """bake, apply, clean gives the same tree as bake; a second clean has nothing to do."""
    agent("bake")
    before = tree(image)
    agent("apply", "--set", "cluster.name=blue")
    capsys.readouterr()
    assert agent("clean") == 0
    output = capsys.readouterr().out
    assert "changed /etc/environment" in output
    assert "removed /etc/eks-proxy-agent/node.env" in output
    assert "removed the state of instance i-0123456789abcdef0" in output
    after = tree(image)
    assert {path for path in after if after[path] != before.get(path)} <= {"run", "var/lib/eks-proxy-agent"}
    assert set(before) >= set(after)
    assert agent("clean") == 0
    assert capsys.readouterr().out == "nothing to do: no trace of an instance remains\n"


def test_clean_removes_the_proxy_of_the_builder(image: Path, agent: Run) -> None:
    """Proxy lines of the builder are removed too, and a later revert does not restore them."""
    (image / "etc/environment").write_text("LANG=C.UTF-8\nhttp_proxy=http://builder:1\n")
    (image / "etc/dnf/dnf.conf").write_text("[main]\ngpgcheck=1\nproxy=http://builder:1\n")
    for command in ("bake", "apply", "clean", "apply", "revert"):
        assert agent(command) == 0
    assert (image / "etc/environment").read_text() == "LANG=C.UTF-8\n"
    assert (image / "etc/dnf/dnf.conf").read_text() == "[main]\ngpgcheck=1\n"


def test_clean_without_bake_restores_the_image(image: Path, agent: Run) -> None:
    """apply and clean on an image that was never baked remove the drop-ins as well."""
    before = tree(image)
    agent("apply", "--set", "node.enable=[]")
    agent("clean", "--set", "node.enable=[]")
    after = tree(image)
    assert {path for path in after if after[path][1] != before.get(path, (0, b""))[1]} == set()
    assert set(after) == set(before)


def test_baked_drop_ins_stay_on_an_instance_without_a_proxy(image: Path, agent: Run) -> None:
    """An instance without proxy.url keeps the drop-ins of the image, which are harmless."""
    agent("bake")
    (image / "etc/eks-proxy-agent/config.toml").write_text('[node]\nunits = ["docker", "kubelet"]\n')
    before = tree(image / "etc")
    assert agent("apply") == 0
    assert tree(image / "etc") == before


def test_kept_flags_of_the_builder_do_not_apply_to_the_next_instance(image: Path, agent: Run) -> None:
    """Flags kept for one instance-id do not apply to another, even if the image was not cleaned."""
    agent("apply", "--set", 'proxy.no_proxy=["builder.example.com"]')
    assert "builder.example.com" in (image / "etc/environment").read_text()
    assert agent("apply", instance_id="i-0fedcba9876543210") == 0
    assert "builder.example.com" not in (image / "etc/environment").read_text()


def test_revert_undoes_a_bake(image: Path, agent: Run) -> None:
    """revert after bake and apply restores the original tree, with the units disabled."""
    before = tree(image)
    agent("bake")
    agent("apply")
    assert agent("revert") == 0
    after = tree(image)
    assert {path: value[1] for path, value in after.items() if WANTS not in path} == {
        path: value[1] for path, value in before.items()
    }
    assert wants(image) == []


def test_policy_closed_is_baked_and_reverted(image: Path, agent: Run) -> None:
    """The gates of failure.policy = "closed" are baked, kept by clean, and removed by revert."""
    config = image / "etc/eks-proxy-agent/config.toml"
    config.write_text(CONFIG + '[failure]\npolicy = "closed"\n')
    gates = [
        image / (f"etc/systemd/system/{name}.service.d/91-eks-proxy-closed.conf") for name in ("docker", "kubelet")
    ]
    for command in ("bake", "apply", "clean"):
        assert agent(command) == 0
        assert all(gate.exists() for gate in gates)
    assert agent("revert") == 0
    assert not any(gate.exists() for gate in gates)


def test_bake_with_wrong_settings_fails_the_image_build(image: Path, agent: Run) -> None:
    """bake exits with 78 and writes nothing if the settings are wrong."""
    (image / "etc/eks-proxy-agent/config.toml").write_text('[proxy]\nurl = "proxy:3128"\n')
    before = tree(image)
    assert agent("bake") == 78
    assert tree(image) == before


def test_apply_removes_the_drop_ins_of_the_shell_recipe_and_revert_restores_them(
    image: Path, agent: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """The drop-in of the recipe is removed and reported; another drop-in of that name stays."""
    directories = [image / (f"etc/systemd/system/{name}.service.d") for name in ("docker", "kubelet")]
    texts = ["[Service]\nEnvironmentFile=/etc/environment\n", "[Service]\nEnvironment=MINE=1\n"]
    for directory, text in zip(directories, texts):
        directory.mkdir()
        (directory / "proxy.conf").write_text(text)
    assert agent("apply") == 0
    assert "recipe" in capsys.readouterr().err
    assert [(directory / "proxy.conf").exists() for directory in directories] == [False, True]
    assert agent("revert") == 0
    assert [(directory / "proxy.conf").read_text() for directory in directories] == texts


def test_a_revert_without_a_baseline_changes_nothing(
    image: Path, agent: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the baseline is corrupt, nothing is restored, and the daemon stays enabled."""
    assert agent("bake") == 0
    (image / "var/lib/eks-proxy-agent/baseline.json").write_text("garbage")
    before = tree(image)
    capsys.readouterr()
    assert agent("revert") == 1
    assert "baseline.json" in capsys.readouterr().err
    assert tree(image) == before


def test_bake_again_removes_what_the_settings_no_longer_name(image: Path, agent: Run) -> None:
    """Gates and drop-ins are removed with their setting; the recipe's drop-in is not restored."""
    config = image / "etc/eks-proxy-agent/config.toml"
    directory = image / "etc/systemd/system/docker.service.d"
    directory.mkdir()
    (directory / "proxy.conf").write_text("[Service]\nEnvironmentFile=/etc/environment\n")
    config.write_text(CONFIG + '[failure]\npolicy = "closed"\n')
    assert agent("bake") == 0
    config.write_text('[proxy]\nurl = "http://proxy.example.com:3128"\n[node]\nunits = ["docker"]\n')
    assert agent("bake") == 0
    assert [path.name for path in sorted(directory.iterdir())] == ["zz-eks-proxy.conf"]
    assert not (image / "etc/systemd/system/kubelet.service.d").exists()
