"""The files for a deployment are what their own tools take, and name settings that there are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from appid_manager_client.cli.arguments import command_line

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=60, cwd=ROOT
    )


def text_of(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "command",
    [
        ["hadolint", "deploy/Dockerfile"],
        ["yamllint", "--strict", "deploy"],
        ["kubernetes-validate", "--strict", "deploy/kubernetes.yaml"],
    ],
    ids=lambda command: str(command[0]),
)
def test_its_own_tool_finds_nothing(command: list[str]) -> None:
    done = run(BIN / command[0], *command[1:])
    assert done.returncode == 0, done.stdout + done.stderr


def test_systemd_takes_the_unit_and_finds_it_closed(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze (Debian: apt-get install systemd)")
    unit = tmp_path / "appid-manager.service"
    text = text_of("appid-manager.service")
    unit.write_text(
        text.replace("/opt/appid-manager/bin/appid-manager", shutil.which("true") or "")
    )
    verified = run("systemd-analyze", "verify", unit)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    # Tenths of points, of 100: the less, the less it could do.
    closed = run("systemd-analyze", "security", "--offline=true", "--threshold=20", unit)
    assert closed.returncode == 0, closed.stdout[-2000:]


def test_every_variable_and_option_that_is_named_is_one() -> None:
    known = {"APPID_MANAGER_TOKEN"} | {
        setting.variable
        for command in command_line().commands.values()
        for setting in command.settings
    }
    named = {
        name
        for file in DEPLOY.iterdir()
        if file.is_file()
        for name in re.findall(r"APPID_MANAGER_[A-Z_]+", file.read_text(encoding="utf-8"))
    }
    assert {"APPID_MANAGER_DATABASE", "APPID_MANAGER_TOKENS"} <= named <= known


def test_what_the_containers_run_is_a_command_that_there_is(tmp_path: Path) -> None:
    """The image's own command, and its look at itself, without an engine that builds images."""
    dockerfile = text_of("Dockerfile").replace("\\\n", " ")

    def words(instruction: str) -> list[str]:
        (found,) = re.findall(rf"^{instruction} (\[.*\])$", dockerfile, re.M)
        parts: list[str] = json.loads(found)
        return parts

    entry, command, look = words("ENTRYPOINT"), words("CMD"), words("HEALTHCHECK .* CMD")
    settings = dict(re.findall(r"(APPID_MANAGER_\w+)=(\S+)", dockerfile.partition("\nENV ")[2]))
    environment = {
        **os.environ,
        **settings,
        "APPID_MANAGER_HOST": "127.0.0.1",
        "APPID_MANAGER_PORT": "0",
        "APPID_MANAGER_DATABASE": str(tmp_path / "appids.db"),
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    with subprocess.Popen(
        [*entry, *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as service:
        assert service.stdout is not None
        url = re.search(r"http://127\.0\.0\.1:\d+", service.stdout.readline())
        assert url is not None
        asked = [part.replace("http://127.0.0.1:5000", url.group()) for part in look]
        healthy = subprocess.run(asked, env=environment, capture_output=True, timeout=30)
        service.terminate()
        _, log = service.communicate(timeout=30)
    assert (healthy.returncode, service.returncode) == (0, 0)
    assert {"started", "stopped"} <= {json.loads(line).get("event") for line in log.splitlines()}


def test_stops_have_more_time_than_a_stop_takes() -> None:
    from appid_manager_client.server.run import STOP_TIMEOUT

    compose = yaml.safe_load(text_of("compose.yaml"))
    pods = [one for one in yaml.safe_load_all(text_of("kubernetes.yaml"))][0]["spec"]["template"]
    (container,) = pods["spec"]["containers"]
    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    unit = re.search(r"^TimeoutStopSec=(\d+)$", text_of("appid-manager.service"), re.M)
    assert unit is not None
    for seconds in (
        int(compose["services"]["service"]["stop_grace_period"].rstrip("s")),
        pods["spec"]["terminationGracePeriodSeconds"] - waits,
        int(unit.group(1)),
    ):
        assert seconds >= STOP_TIMEOUT + 5


def test_what_is_asked_of_a_process_survives_a_database_that_is_away() -> None:
    deployment, _, _ = yaml.safe_load_all(text_of("kubernetes.yaml"))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/live"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
