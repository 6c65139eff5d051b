"""What stands in deploy/: read as its tools read it, and its commands run as they say, without those tools."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import vitascope as vs
from serving import served
from tiny_checkpoint import checkpoint
from vitascope.cli import COMMANDS
from vitascope.cli.arguments import Arguments
from vitascope.cli.commands.serve import run

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"


def instructions() -> list[tuple[str, str]]:
    """(INSTRUCTION, rest) of the Dockerfile, lines joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest) for word, _, rest in (line.strip().partition(" ") for line in lines) if word]


LAST = instructions()[[n for n, (word, _) in enumerate(instructions()) if word == "FROM"][-1] :]
"""Those of the image that is kept."""


def of_image(word: str) -> str:
    found = [rest for each, rest in LAST if each == word]
    assert len(found) == 1, word
    return found[0]


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in shlex.split(of_image("ENV")))


def understood(words: list[str]) -> Any:
    """The settings of `serve`, or an error for an option that it does not have."""
    return Arguments("serve", *COMMANDS["serve"], run).parse(words)[1]


def test_the_image_runs_as_nobody_in_particular_and_says_what_it_serves() -> None:
    words = [word for word, _ in instructions()]
    assert set(words) <= {
        "FROM",
        "ARG",
        "WORKDIR",
        "COPY",
        "RUN",
        "ENV",
        "USER",
        "EXPOSE",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    }
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", of_image("USER"))
    started, given = json.loads(of_image("ENTRYPOINT")), json.loads(of_image("CMD"))
    assert started[:2] == ["vitascope", "serve"]
    settings = understood(started[2:] + given)
    assert (settings.host, str(settings.port)) == ("0.0.0.0", of_image("EXPOSE"))
    assert f"127.0.0.1:{settings.port}/" in of_image("HEALTHCHECK")


def test_all_that_the_package_is_made_of_is_copied_and_let_through() -> None:
    copied = [
        part for word, rest in instructions() if word == "COPY" and "--from" not in rest for part in rest.split()[:-1]
    ]
    let = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert all((ROOT / part).exists() and f"!{part}" in let for part in copied)
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for needed in (*hatch["packages"], *hatch["force-include"], "README.md", "LICENSE", "pyproject.toml"):
        assert any(needed == part or needed.startswith(f"{part}/") for part in copied), needed


def test_the_arguments_of_the_examples_are_those_of_serve() -> None:
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["vitascope"]
    assert understood(["/model", *service["command"]]).log_requests is True
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["ports"] == ["127.0.0.1:8000:8000"]
    assert service["build"] == {"context": "..", "dockerfile": "deploy/Dockerfile"}
    assert service["environment"]["OMP_NUM_THREADS"] == str(service["cpus"])


def test_kserve_asks_what_the_server_answers() -> None:
    predictor = yaml.safe_load((DEPLOY / "kserve.yaml").read_text())["spec"]["predictor"]
    (container,) = predictor["containers"]
    settings = understood(["/model", *container["args"]])
    assert [port["containerPort"] for port in container["ports"]] == [settings.port]
    assert str(predictor["securityContext"]["runAsUser"]) == of_image("USER").split(":")[0]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {each["name"] for each in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in predictor["volumes"]}
    assert predictor["terminationGracePeriodSeconds"] > settings.drain_timeout + settings.header_timeout
    with served(name=settings.name) as server:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container[probe]["httpGet"]
            assert asked["port"] == settings.port
            assert server.client.get(asked["path"], headers={"host": "127.0.0.1"}).status_code == 200


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "vitascope@.service").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    words = shlex.split(command.replace("%i", "8001"))
    assert words[1] == "serve"
    settings = understood(words[2:])
    assert settings.port == 8001
    assert int(re.findall(r"TimeoutStopSec=(\d+)", text)[0]) > settings.drain_timeout + settings.header_timeout
    if shutil.which("systemd-analyze") is None:
        pytest.skip("NOT TESTED: no systemd-analyze")
    unit = tmp_path / "vitascope@8001.service"
    unit.write_text(text.replace(words[0], sys.executable))
    said = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (said.returncode, [line for line in said.stderr.splitlines() if "vitascope@" in line]) == (0, [])
    rated = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)]  # 2.0 of 10, 0 being safest
    told = subprocess.run(rated, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout[-300:]


@pytest.fixture
def model() -> Iterator[Path]:
    """Where anybody may read it, and not in /tmp, which the image has of its own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        vs.save(checkpoint(), Path(folder) / "model")
        for path in (Path(folder), *Path(folder).rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield Path(folder) / "model"


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces of Linux")
def test_the_images_command_runs_as_its_user_on_a_disk_that_nobody_can_write(model: Path) -> None:
    """A disk that is read only, a /tmp of its own, no privileges: all that Docker would add, but for the image."""
    user, group = of_image("USER").split(":")
    prison = "mount -o remount,bind,ro / && mount -t tmpfs tmpfs /tmp && cd /tmp && exec setpriv"
    prison = f"{prison} --reuid {user} --regid {group} --clear-groups --no-new-privs --bounding-set=-all"
    tried = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{prison} {sys.executable} -c 'import vitascope'"],
        capture_output=True,
        check=False,
    )
    if tried.returncode:
        pytest.skip(f"NOT TESTED: no such namespace here ({tried.stderr.decode()[-100:]})")
    given = json.loads(of_image("CMD"))
    given[given.index("--port") + 1] = "0"
    command = shlex.join([sys.executable, "-m", "vitascope", "serve", str(model), *given, "--json"])
    env = {**environment(), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", f"{prison} {command}"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        line = running.stdout.readline()
        assert line, running.communicate()
        address = json.loads(line)["url"]
        assert httpx.get(f"{address}/metrics", trust_env=False).status_code == 200
        status = Path(f"/proc/{running.pid}/status").read_text()
        assert re.search(rf"^Uid:\t{user}\t{user}", status, re.MULTILINE)
        assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
        health = json.loads(of_image("HEALTHCHECK").partition("CMD ")[2])
        asked = [sys.executable, *health[1:2], health[2].replace("http://127.0.0.1:8000", address)]
        assert subprocess.run(asked, check=False).returncode == 0
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=120)
        assert (running.returncode, "Traceback" in err) == (143, False), err
        assert subprocess.run(asked, check=False, stderr=subprocess.DEVNULL).returncode != 0
    finally:
        running.kill()
        running.communicate()
