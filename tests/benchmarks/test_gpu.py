"""The script for GPUs at toy size on the CPU: every part runs, and times to a level are added up rightly."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import contest
import gpu
from peers import peer


def run_folder(out: Path, laps: Sequence[tuple[int, float, float]], judged: Sequence[tuple[int, float]]) -> Path:
    """A run's clock and record: laps of (last step, seconds, seconds in steps), judgements of (step, top-1)."""
    out.mkdir()
    speed = [{"step": step, "seconds": a, "training_seconds": b, "images": 8} for step, a, b in laps]
    lines = [{"step": 1, "loss": 2.0}, *({"step": step, "validation": {"top1": top1}} for step, top1 in judged)]
    (out / "speed.jsonl").write_text("".join(json.dumps(line) + "\n" for line in speed))
    (out / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return out


def test_time_to_a_level_ends_with_the_lap_in_which_it_was_first_reached(tmp_path: Path) -> None:
    laps = [(10, 5.0, 3.0), (20, 2.0, 1.5), (30, 2.5, 2.0), (30, 0.5, 0.0)]
    judged = [(10, 0.5), (15, 0.92), (20, 0.9), (25, 0.95), (30, 0.951)]
    assert gpu.reached(run_folder(tmp_path / "run", laps, judged)) == {
        "top1": 0.951,
        "levels": {
            "0.909": {"seconds": 7.0, "training_seconds": 4.5},  # step 15 is in the second lap
            "0.94": {"seconds": 10.0, "training_seconds": 6.5},
            "0.965": None,
        },
        "seconds": 10.0,
        "training_seconds": 6.5,
    }


def test_deviation_is_of_the_seeds() -> None:
    assert gpu.deviation([1.0, 2.0, 3.0])["mean"] == 2.0
    assert gpu.deviation([1.0, 2.0, 3.0])["deviation"] == 1.0
    assert gpu.deviation([4.0])["deviation"] == 0.0


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs parts of the script; the results by row."""
    monkeypatch.setattr(contest, "FOLDER", tmp_path)

    def run(*words: str) -> dict[str, dict[str, Any]]:
        monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--toy", "--rounds", "2", *words])
        gpu.main()
        return {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*/*.json")}

    return run


@pytest.mark.usefixtures("no_pictures")
def test_the_record_is_run_for_every_seed(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "LEVELS", (0.01, 0.999))
    result = toy("--parts", "record", "--seeds", "2")["gpu-cifar10"]
    assert [run["seed"] for run in result["runs"]] == [0, 1]
    assert list(result["ways"]) == ["to 1 %"]
    way = result["ways"]["to 1 %"]
    assert way["reached_by"]["median"] == 1.0
    assert 0 < way["training_seconds"]["mean"] <= way["seconds"]["mean"]
    assert result["processor"].endswith(", toy")


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # of PyTorch's compiler itself
def test_training_and_inference_are_measured_beside_timm(toy: Any) -> None:
    peer("timm")
    results = toy("--parts", "training", "inference")
    assert set(results) == {"gpu-training-vit-s-16", "gpu-inference", "gpu-latency"}
    training, latency = results["gpu-training-vit-s-16"], results["gpu-latency"]
    assert list(training["ways"]) == ["vitascope", "vitascope compiled", "timm, default AMP", "timm compiled"]
    assert "vitascope, CUDA graphs" in latency["ways"]
    assert "vitascope, CUDA graphs" not in results["gpu-inference"]["ways"]
    for result in results.values():
        assert all(way["share_of_product"]["median"] > 0 for way in result["ways"].values())
        assert {name.partition(" over ")[2] for name in result["ratios"]} == {
            name for name in result["ways"] if name.startswith("timm")
        }
