"""The smallest things that still are data, models, runs and commands; shared by the tests of the upper floors."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vitascope.data.kept import ArraySource
from vitascope.data.settings import AugmentConfig
from vitascope.data.source import Splits
from vitascope.recipes.asked import Evaluate
from vitascope.recipes.evaluation import evaluate_checkpoint
from vitascope.recipes.recipe import FinetuneRecipe, PretrainRecipe

CLASSES = ("ant", "bee", "cat")
FIELDS: dict[str, Any] = {"width": 32, "depth": 2, "heads": 2, "hidden": 48}
SIDE = 16
PLAIN = AugmentConfig(crop="none", flip=False)
RICH = AugmentConfig(crop="shift", pad_shift=2, randaugment_layers=2, erasing=0.5, mixup=0.8, cutmix=1.0)


def pixels(n: int, seed: int = 0, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (n, side, side, 3) whose colour tells their class, and labels int64 (n,)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.int64) % len(CLASSES)
    noise = rng.integers(0, 120, (n, side, side, 3))
    noise[np.arange(n), :, :, labels] += 100
    return noise.astype(np.uint8), labels


def source(n: int = 20, seed: int = 0, name: str = "tiny") -> ArraySource:
    """A source in memory."""
    images, labels = pixels(n, seed)
    return ArraySource(name, CLASSES, labels, images)


def splits(train: int = 20, validation: int = 9) -> Splits:
    """Train and validation in memory."""
    return Splits(train=source(train), validation=source(validation, seed=1, name="tiny validation"))


def image_folder(folder: Path, n: int = 20, seed: int = 0) -> Path:
    """Class folders of PNG files."""
    for i, (image, label) in enumerate(zip(*pixels(n, seed), strict=True)):
        (folder / CLASSES[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / CLASSES[label] / f"{i:03}.png")
    return folder


def pretrain_recipe(out: Path, **changes: Any) -> PretrainRecipe:
    """Eight steps of a two-block ViT on 16-pixel images; batch 6 of 20 images, so that epochs end within steps."""
    values: dict[str, Any] = {
        "data": "tiny",
        "out": str(out),
        "model": "ViT-Ti/8",
        "model_fields": FIELDS,
        "image_size": SIDE,
        "steps": 8,
        "batch": 6,
        "log_every": 3,
        "eval_every": 4,
        "save_every": 100,
        "precision": "float32",
        "device": "cpu",
        "augment": PLAIN,
    }
    return PretrainRecipe(**{**values, **changes})


def finetune_recipe(out: Path, checkpoint: Path | str, **changes: Any) -> FinetuneRecipe:
    """As `pretrain_recipe`, from a checkpoint."""
    values: dict[str, Any] = {
        "checkpoint": str(checkpoint),
        "data": "tiny",
        "out": str(out),
        "steps": 6,
        "batch": 6,
        "log_every": 3,
        "precision": "float32",
        "device": "cpu",
        "augment": PLAIN,
    }
    return FinetuneRecipe(**{**values, **changes})


PRETRAIN_WORDS = [
    "--model=ViT-Ti/8",
    "--model_fields={width: 32, depth: 2, heads: 2, hidden: 48}",
    f"--image_size={SIDE}",
    "--batch=6",
    "--precision=float32",
    "--device=cpu",
    "--augment.crop=none",
]
"""Options of `vitascope pretrain` for a tiny model."""


def forking() -> dict[str, str]:
    """The environment of a Python that forks and imports from this folder: a process that has used a GPU cannot."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "CUDA_VISIBLE_DEVICES": ""}


def start(*words: str | Path, launcher: tuple[str, ...] = ("-m", "vitascope"), **options: Any) -> subprocess.Popen[str]:
    """A `vitascope` process of its own; `env` is added to the environment."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, *launcher, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def command(*words: str | Path, **options: Any) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a `vitascope` process."""
    process = start(*words, **options)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def evaluated(
    checkpoint: str, data: str, *, progress: Callable[[int, int], None] | None = None, **how: Any
) -> dict[str, Any]:
    """Figures of a checkpoint on data."""
    return evaluate_checkpoint(Evaluate(checkpoint=checkpoint, data=data, **how), progress)


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Waits for `condition`; fails with what the process said if it ended first."""
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing happened for two minutes"
        time.sleep(0.01)
