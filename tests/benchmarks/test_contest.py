"""The bench's own arithmetic; nothing here depends on how long anything takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import contest
from contest import Way, gate, keep, ratios, slug, spread, summary


def test_every_way_runs_once_a_round_and_each_begins_one_in_turn() -> None:
    order: list[str] = []
    ways = [Way(name=name, run=lambda name=name: order.append(name)) for name in "abc"]
    seconds = contest.contest(ways, rounds=3, warmup=1)
    assert "".join(order) == "abc" + "abc" + "bca" + "cab"
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3, "c": 3}


def test_ratios_are_taken_round_by_round_for_the_fastest_of_ours() -> None:
    ways = [
        Way(name="vitascope", run=int, images=2),
        Way(name="vitascope compiled", run=int, images=2),
        Way(name="timm", run=int, images=1),
    ]
    seconds = {"vitascope": [4.0, 4.0, 8.0], "vitascope compiled": [1.0, 2.0, 4.0], "timm": [2.0, 4.0, 2.0]}
    assert ratios(ways, seconds) == {"vitascope compiled over timm": spread([4.0, 4.0, 1.0])}


def test_share_of_the_product_is_of_the_same_round() -> None:
    way = Way(name="vitascope", run=int, images=10, flops=100.0)
    found = summary([way], {"vitascope": [1.0, 2.0, 4.0]}, rates=[200.0, 100.0, 50.0])["vitascope"]
    assert found["share_of_product"]["median"] == 0.5
    assert found["milliseconds"]["median"] == 2000.0
    assert found["images_per_second"]["median"] == 5.0


def test_other_logits_end_the_benchmark() -> None:
    same = torch.tensor([[1.0, 2.0]])
    assert gate("peer", same, same + 1e-5, tolerance=1e-4) == pytest.approx(1e-5, rel=0.1)
    for wrong in (same + 1, same[:, :1], torch.full_like(same, float("nan"))):
        with pytest.raises(SystemExit, match="peer does not compute the same"):
            gate("peer", wrong, same, tolerance=1e-4)


def test_results_are_kept_by_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest, "FOLDER", tmp_path)
    for name in ("First CPU (avx2)", "Second CPU (amx_bf16)"):
        monkeypatch.setattr(contest, "processor", lambda name=name: name)
        keep("row", {"measure": name})
    found = {path.parent.name: json.loads(path.read_text())["measure"] for path in tmp_path.glob("*/row.json")}
    assert found == {"first-cpu-avx2": "First CPU (avx2)", "second-cpu-amx-bf16": "Second CPU (amx_bf16)"}
    assert slug("AMD EPYC (avx2)") == "amd-epyc-avx2"
