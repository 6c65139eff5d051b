"""The driver of `make torture`, and a few inputs of the campaigns that have no other test, the same each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from faults import fuzz_images, fuzz_requests, torture


def test_damaged_images_are_read_or_refused_in_one_line() -> None:
    met = fuzz_images.run(seed=0, count=300)
    assert set(met) == {"read", "refused"}, met
    assert min(met.values()) > 30  # damage that is always or never noticed would test nothing
    assert fuzz_images.damaged(0, 5) == fuzz_images.damaged(0, 5)


def test_hostile_requests_are_answered_refused_or_closed() -> None:
    met = fuzz_requests.run(seed=0, count=80)
    assert set(met) == {"answered", "refused", "closed", "left"}, met


def test_damaged_checkpoints_load_or_are_refused_in_one_line() -> None:
    result = torture.campaign(torture.FOLDER / "fuzz_checkpoints.py", seed=0, count=400, seconds=100)
    assert result["faults"] == {}
    assert set(result["outcomes"]) == {"read", "refused"}
    assert min(result["outcomes"].values()) > 50


CAMPAIGNS = {
    "good": 'ALLOWED = ("odd",)\ndef run(seed, count):\n    return {"read": count, "odd": seed}\n',
    "bad": 'def run(seed, count):\n    return {"read": 1, "3: wrong": 1}\n',
    "crash": "import os\n\ndef run(seed, count):\n    os.abort()\n",
    "greedy": "def run(seed, count):\n    return {str(len(bytes(2**40))): 1}\n",
    "hang": "import time\n\ndef run(seed, count):\n    time.sleep(60)\n",
    "test_none": "\ndef run(seed, count):\n    raise AssertionError\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in CAMPAIGNS.items():
        (tmp_path / f"{name}.py").write_text(f"import sys\n\n{text}")
    return tmp_path


def told(folder: Path, *words: str) -> tuple[int, dict[str, dict[str, object]]]:
    out = folder / "out"
    code = torture.main([*words, "--seed=4", "--count=7", f"--out={out}"], folder)
    (file,) = out.iterdir()
    result = json.loads(file.read_text())
    assert (result["seed"], result["count"]) == (4, 7)
    assert result["processor"]
    assert result["command"]
    return code, result["campaigns"]


def test_what_is_allowed_is_no_fault(folder: Path) -> None:
    code, campaigns = told(folder, "--only", "good")
    assert code == 0
    assert campaigns["good"]["outcomes"] == {"read": 7, "odd": 4}
    assert campaigns["good"]["faults"] == {}


def test_anything_else_is_one(folder: Path) -> None:
    code, campaigns = told(folder, "--seconds=5")
    assert code == 1
    assert list(campaigns) == ["bad", "crash", "good", "greedy", "hang"]
    assert campaigns["bad"]["faults"] == {"3: wrong": 1}
    assert "ended with -6" in str(campaigns["crash"]["faults"])
    assert "MemoryError" in str(campaigns["greedy"]["faults"])
    assert campaigns["hang"]["faults"] == {"not done within 5 seconds": 1}


def test_a_campaign_that_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        torture.main(["--only", "unicorns"], folder)
    assert "no campaign is called unicorns" in capsys.readouterr().err
