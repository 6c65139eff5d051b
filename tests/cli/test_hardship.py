"""No network, no home, broken optional packages, dead data workers: the core works, or says what to do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tiny import PRETRAIN_WORDS, image_folder
from vitascope.cli import main
from vitascope.data.augment import Augment

BROKEN = ("torchvision", "timm", "transformers", "datasets", "tensorboard", "webdataset")

SCRIPT = """
import json, sys
from vitascope.cli import main
for words in json.loads(sys.argv[1]):
    code = main(words)
    print(f"exit {code}", flush=True)
import torch
assert "torchvision" not in sys.modules
"""


def test_the_core_needs_no_network_no_home_and_no_optional_package(tmp_path: Path) -> None:
    data, run = str(image_folder(tmp_path / "images")), str(tmp_path / "run")
    packages = tmp_path / "packages"
    for name in BROKEN:
        (packages / name).mkdir(parents=True)
        (packages / name / "__init__.py").write_text(f"raise RuntimeError('{name} is broken')\n")
    (packages / "sitecustomize.py").write_text(
        "import socket\n"
        "def refuse(*_, **__):\n    raise OSError('no network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
    )
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    words = [word for word in PRETRAIN_WORDS if "precision" not in word]  # so that it is measured, and not remembered
    commands: list[tuple[list[str], int]] = [
        (["check", data], 0),
        (["pretrain", data, "--out", run, "--steps=2", "--image_size=16", *words], 0),
        (["finetune", run, data, "--out", f"{run}-2", "--steps=2", "--batch=4", "--image_size=24"], 0),
        (["evaluate", f"{run}-2", data], 0),
        (["predict", f"{run}-2", f"{data}/ant"], 0),
        (["convert", f"{run}-2", str(tmp_path / "timm"), "--format=timm"], 0),
        (["predict", str(tmp_path / "timm"), f"{data}/ant"], 0),
        (["data"], 0),
        (["check", "hf:owner/name"], 2),
        (["pretrain", data, "--out", f"{run}-3", "--tensorboard=true", "--steps=1", *words], 2),
        (["check", "cifar10"], 2),
    ]
    environment = {
        **os.environ,
        "HOME": str(nowhere),
        "VITASCOPE_CACHE": str(nowhere / "cache"),
        "PYTHONPATH": str(packages),
    }
    environment.pop("MPLCONFIGDIR", None)
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([w for w, _ in commands])],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    codes = [int(line.split()[1]) for line in result.stdout.splitlines() if line.startswith("exit ")]
    assert codes == [code for _, code in commands], result.stderr
    assert result.returncode == 0, result.stderr
    assert "pip install 'vitascope[datasets]'" in result.stderr
    assert "pip install 'vitascope[tensorboard]'" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.usefixtures("no_pictures")
def test_a_killed_data_worker_is_one_line_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = image_folder(tmp_path / "images")
    real = Augment.__call__

    def dies(self: Augment, *args: object) -> object:
        if torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)  # as the system does when memory is short
        return real(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Augment, "__call__", dies)
    words = ["--steps=3", "--workers=1", *PRETRAIN_WORDS]
    assert main(["pretrain", str(data), "--out", str(tmp_path / "run"), *words]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("vitascope pretrain: error: a data worker died; try fewer --workers")


@pytest.mark.skipif(
    os.environ.get("VITASCOPE_TEST_COMPILE") != "1",
    reason="NOT TESTED: torch.compile takes minutes and a compiler; VITASCOPE_TEST_COMPILE=1 tests it",
)
@pytest.mark.usefixtures("no_pictures")
@pytest.mark.filterwarnings("default")
def test_a_compiled_model_trains_to_nearly_the_same_weights(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    data = image_folder(tmp_path / "images")
    words = ["pretrain", str(data), "--steps=4", "--optimizer=sgd", "--lr=0.1", *PRETRAIN_WORDS]
    for name in ("true", "false"):
        assert main([*words, "--compile", name, "--out", str(tmp_path / name)]) == 0
    compiled, plain = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("true", "false"))
    for name, tensor in plain.items():
        torch.testing.assert_close(compiled[name], tensor, rtol=0, atol=1e-4)
    # Compiled code draws other tokens than eager code, as it does with dropout; it has to be made for both shapes.
    dropped = ["--drop_tokens=0.5", "--drop_tokens_for=0.5"]
    assert main([*words, *dropped, "--compile", "true", "--out", str(tmp_path / "dropped")]) == 0


def test_a_terminal_of_few_letters_gets_what_stands_for_the_others(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    words = [sys.executable, "-m", "vitascope", "data"]
    done = subprocess.run(words, env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"fractals:KEY=VALUE,..." in done.stdout
