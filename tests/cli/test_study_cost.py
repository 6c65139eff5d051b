"""`vitascope study cost`: what it leaves and shows."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from commanding import Run
from vitascope.studies.image_sizes import study


def test_the_command_leaves_numbers_figure_and_reading(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "inference_rate", lambda config, *_: 1e6 / config.image_size[0])
    monkeypatch.setattr(study, "training_rate", lambda config, *_, **__: 1e5 / config.image_size[0])
    given = [
        "study",
        "cost",
        "--models=ViT-128/8,BiT-R14x½",
        "--sizes=32,64",
        f"--out={tmp_path / 'out'}",
        "--rounds=2",
    ]
    code, out, _ = run(*given)
    assert code == 0
    assert "ViTs take larger batches than these" in out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "study.json", "measures.csv", "image_sizes.png", "image_sizes.svg", "README.md",
    }  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "out" / "measures.csv").read_text().splitlines()))
    assert [(r["model"], r["size"], r["inference"]) for r in rows][:2] == [
        ("ViT-128/8", "32", "31250"),
        ("ViT-128/8", "64", "15625"),
    ]
    assert run(*given)[0] == 2  # nothing is overwritten unasked
    code, out, _ = run(*given, "--overwrite", "--json")
    assert code == 0
    assert len(json.loads(out)["rows"]) == 4
