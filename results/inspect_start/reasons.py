"""Why do the start's finest filters come first, and why are its heads hardly local? One thing left out at a time.

`python reasons.py CIFAR100 RUNS`: a ViT of width 96 with 4 blocks, 4,000 steps of the preset `record` as in the study
of starts (`results/starts/run.py`): as it is, without whitened filters, and with all patches in every step; RUNS takes
the runs, and what is there is gone on with. One seed, one thread; `reasons.json` is the outcome.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

import vitascope as vs
from vitascope.data.preprocess import to_tensor
from vitascope.precision import processor
from vitascope.version import source_commit
from vitascope.views.distance import attention_distance
from vitascope.views.filters import embedding_filters

MODEL = ["--model_fields.width=96", "--model_fields.depth=4", "--model_fields.heads=3", "--model_fields.hidden=384"]
WAYS = {"as it is": [], "not whitened": ["--whiten", "0"], "all patches": ["--drop_tokens", "0"]}
STEPS, IMAGES, SEED = 4000, 128, 0


def main(data: Path, runs: Path) -> None:
    test = vs.open_data(str(data)).test
    assert test is not None
    told = {}
    for way, options in WAYS.items():
        out = runs / way.replace(" ", "-")
        if not (out / "results.json").exists():
            again = ["--resume", "auto"] if (out / "config.yaml").exists() else []
            words = [next(data.glob("train*.parquet")), "--preset", "record", *MODEL, "--steps", STEPS, "--seed", SEED]
            words += ["--holdout", "0", "--save_every", "500", "--log_every", "100", *options, "--out", out, *again]
            subprocess.run([sys.executable, "-m", "vitascope", "pretrain", *map(str, words)], check=True)
        checkpoint = vs.load(out)
        pixels = [checkpoint.preprocess.pixels(test[i]) for i in range(IMAGES)]
        distances = attention_distance(checkpoint.model, checkpoint.preprocess.normalise(to_tensor(pixels)))
        told[way] = {
            "test_top1": top1(checkpoint, test),
            "finest_share": [round(share, 3) for share in finest(checkpoint.model)],
            "nearest_head_pixels": [round(float(layer.min()), 2) for layer in distances],
        }
    commit = source_commit()["commit"][:12]
    result = {"command": "reasons.py CIFAR100 RUNS", "commit": commit, "processor": processor(), "seed": SEED}
    result["ways"] = told
    Path(__file__).with_name("reasons.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(told, indent=1))


def finest(model: torch.nn.Module) -> list[float]:
    """Share of the energy in the finer half of all patterns, 0 … 1, of E's components in quarters of their order."""
    filters = np.asarray(embedding_filters(model))  # (n, P, P, C)
    side = filters.shape[1]
    waves = np.cos(np.pi * (np.arange(side) + 0.5) * np.arange(side)[:, None] / side)  # cosine transform
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    energy = np.einsum("up,vq,npqc->nuvc", waves, waves, filters) ** 2
    fine = np.add.outer(np.arange(side), np.arange(side)) > side - 1
    share = energy[:, fine].sum((1, 2)) / energy.sum((1, 2, 3))
    return [float(part.mean()) for part in np.array_split(share, 4)]


def top1(checkpoint: vs.Checkpoint, test: vs.data.Source) -> float:
    predictor = vs.Predictor(checkpoint, batch=64)
    some = range(0, len(test), 10)
    said = predictor([test[i] for i in some], top=1)
    return float(np.mean([best[0][1] == test.labels[i] for best, i in zip(said, some, strict=True)]))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main(Path(sys.argv[1]), Path(sys.argv[2]))
