"""The demo: the whole path of the paper, in minutes on two cores, on data that needs no download.

Pre-train on generated fractals, fine-tune at a higher resolution on real handwritten digits, and beside it the same
model from scratch; both with all labels and with a few. Every step is an ordinary recipe at a small size.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vitascope.checkpoints.checkpoint import Prediction
from vitascope.checkpoints.load import load
from vitascope.checkpoints.output import check_writable
from vitascope.checkpoints.run_files import RESULTS, environment, write_json
from vitascope.data.open import open_data
from vitascope.data.settings import AugmentConfig
from vitascope.data.source import Source, Splits, View
from vitascope.errors import ConfigError, Stopped
from vitascope.evaluation.interval import accuracy_text
from vitascope.inference.predictor import Predictor
from vitascope.recipes.finetune import finetune
from vitascope.recipes.pretrain import pretrain
from vitascope.recipes.recipe import FinetuneRecipe, PretrainRecipe, Recipe
from vitascope.recipes.run_folder import check_free, read_json
from vitascope.streams import Stream, generator
from vitascope.training.observer import Observer

MARKER, SUMMARY, REPORT, IMAGES = "demo.json", "summary.json", "report.html", "images"
_IMAGE = "digit-{}-test-{}.png"
PRETRAIN, FINETUNE, SCRATCH, FEW, FEW_SCRATCH = "pretrain", "finetune", "scratch", "few-labels", "few-labels-scratch"
FEW_LABELS = 10
"""Labels per class in the few-label case."""
WATCHED = 300
"""Unlabelled training images on which the few-label runs are watched, and nothing is chosen."""
TITLES = {
    PRETRAIN: "pre-training on fractals",
    FINETUNE: "fine-tuning on digits",
    SCRATCH: "digits from scratch",
    FEW: "fine-tuning on few labels",
    FEW_SCRATCH: "few labels from scratch",
}
"""The runs, in their order."""
Stage = Callable[[str], Observer | None]
"""Told what begins; returns who watches it."""


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the page shows."""

    out: Path
    """The demo's folder."""
    recipes: Mapping[str, Recipe]
    """Its runs."""
    summary: dict[str, Any]
    """What summary.json holds."""
    test: Source
    """The 450 digits that were kept for the end."""
    probabilities: np.ndarray
    """What the fine-tuned model says of each, float32 (450, 10)."""
    samples: list[tuple[Path, int, list[Prediction]]]
    """Ten test images as files, their true class and what the predictor says."""


def demo_recipes(out: Path, seed: int = 0) -> dict[str, PretrainRecipe | FinetuneRecipe]:
    """The runs by their folders. Five settings were tried on the test split too, so their figures lean optimistic."""
    model: dict[str, Any] = {
        "model": "ViT-Ti/4",
        "model_fields": {"width": 128, "depth": 4, "heads": 4, "hidden": 512},
        "mean": (0.0,),  # the black ground is zero
    }
    # Thin fractals of few maps, upright: strokes like those of writing, and a class can be learned from few images. A
    # crop keeps the share of a side that 12 pixels are of 16, so that strokes are as wide against the patch as they
    # will be in the digits; without it this pre-training does not pay.
    fractals = (
        "fractals:classes=200,size=32,instances=576,validation=0,min_fill=0.02,max_fill=0.15,most_maps=3,jitter=0.1,"
        f"rotation=0,flips=false,seed={seed}"
    )
    crop = AugmentConfig(crop="inception", crop_area=(0.75**2,) * 2, crop_ratio=(1.0, 1.0), flip=False)
    first = PretrainRecipe(
        **model,
        data=fractals,
        out=str(out / PRETRAIN),
        image_size=12,
        steps=3600,  # every image is seen once
        batch=32,
        lr=1e-3,
        warmup=0.1,
        weight_decay=0.05,
        memory_budget="0",  # faster to generate in batches than to keep
        seed=seed,
        holdout=0.0,
        save_every=3600,
        augment=crop,
    )
    # What a run with pre-training and the one without have in common: everything but the rate.
    digits: dict[str, Any] = {
        "image_size": 16,  # higher than in pre-training, as in Section 3.2
        "warmup": 0.1,
        "weight_decay": 0.05,
        "seed": seed,
        "augment": AugmentConfig(crop="shift", pad_shift=1, pad_mode="zero", rotate=10, zoom=0.1, flip=False),
    }
    every = {**digits, "data": "digits", "steps": 400, "batch": 64, "log_every": 20, "eval_every": 50}
    few = {**digits, "data": f"digits ({FEW_LABELS} labels per class)", "steps": 150, "batch": 50}
    few |= {"log_every": 7, "eval_every": 18}

    def tuned(name: str, lr: float, **common: Any) -> FinetuneRecipe:
        common |= {"out": str(out / name), "save_every": common["steps"], "checkpoint": str(out / PRETRAIN)}
        return FinetuneRecipe(optimizer="adamw", lr=lr, **common)

    def scratch(name: str, lr: float, **common: Any) -> PretrainRecipe:
        common |= {"out": str(out / name), "save_every": common["steps"], "holdout": 0.1}
        return PretrainRecipe(**model, mlp_head=False, lr=lr, **common)

    return {
        PRETRAIN: first,
        FINETUNE: tuned(FINETUNE, 1.5e-3, **every),
        SCRATCH: scratch(SCRATCH, 1.5e-3, **every),
        FEW: tuned(FEW, 3e-3, **few),
        FEW_SCRATCH: scratch(FEW_SCRATCH, 1.5e-3, **few),
    }


def run_demo(
    out: str | Path,
    seed: int = 0,
    stage: Stage = lambda title: None,
    recipes: Mapping[str, PretrainRecipe | FinetuneRecipe] | None = None,
) -> DemoResult:
    """Runs the whole demo, writes its folder, returns what was measured; other `recipes` only in tests.

    Raises `ConfigError` when the folder holds something else, `Stopped` after a signal.
    """
    out, begun = Path(out), time.perf_counter()
    recipes = recipes or demo_recipes(out, seed)
    claim_folder(out, seed)
    digits = open_data("digits")
    assert digits.test is not None
    splits = {FINETUNE: digits, SCRATCH: digits}
    splits[FEW] = splits[FEW_SCRATCH] = few_labels(digits, seed)
    try:
        for name, recipe in recipes.items():
            how: dict[str, Any] = {"splits": splits.get(name), "observer": stage(TITLES[name])}
            if isinstance(recipe, PretrainRecipe):
                pretrain(recipe, **how)
            else:
                finetune(recipe, **how)
    except Stopped as error:  # so short that it starts again instead of being resumed
        remedy = "run `vitascope demo` again to start afresh"
        raise Stopped(error.signal_number, f"stopped by {error.signal_name}", remedy) from None
    stage("evaluating, predicting")
    test, predictor = digits.test, Predictor(load(out / FINETUNE), device="cpu")
    files = [_written(out / IMAGES, test, label) for label in range(len(test.classes))]
    result = DemoResult(
        out=out,
        recipes=recipes,
        test=test,
        probabilities=predictor.probabilities([test[i] for i in range(len(test))]).numpy(),
        samples=list(zip(files, range(len(files)), predictor(files, top=3), strict=True)),
        summary=_summary(out, seed, time.perf_counter() - begun),
    )
    write_json(out / SUMMARY, result.summary)
    return result


def claim_folder(out: Path, seed: int = 0) -> None:
    """Makes the demo's folder, or clears an earlier demo out of it; files that are not the demo's are left alone.

    Raises `ConfigError` when the folder has contents but holds no demo.
    """
    check_writable(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        marked: Any = None
        with suppress(ConfigError):
            marked = read_json(out / MARKER, "").get("vitascope")
        if marked != "demo":
            raise ConfigError(f"{out} exists and is no earlier demo (no {MARKER} of one in it); choose another --out")
        images = out / IMAGES
        ours = [out / name for name in (*TITLES, SUMMARY, REPORT)]
        ours += [images] if images.is_symlink() else images.glob(_IMAGE.format("*", "*"))
        runs = [path for path in ours if path.is_dir() and not path.is_symlink()]
        for path in runs:
            check_free(path, resume=False, overwrite=True)
        for path in ours:
            if path in runs:
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / MARKER, {"vitascope": "demo", "settings": {"out": str(out), "seed": seed}})


def few_labels(digits: Splits, seed: int) -> Splits:
    """`FEW_LABELS` training images of every class, some others to watch the run on, and the same test split."""
    train = digits.train
    assert train is not None
    rng = generator(Stream.FEW_LABELS, seed, FEW_LABELS)
    shuffled = rng.permutation(len(train))
    order = [shuffled[train.labels[shuffled] == label] for label in range(len(train.classes))]
    chosen = np.concatenate([members[:FEW_LABELS] for members in order])
    watched = np.sort(rng.permutation(np.setdiff1d(shuffled, chosen))[:WATCHED])
    return Splits(
        train=View(train, np.sort(chosen), f"digits, {FEW_LABELS} labels per class"),
        validation=View(train, watched, "digits, other training images"),
        test=digits.test,
    )


def _written(folder: Path, test: Source, label: int) -> Path:
    """The first test image of a class as a PNG file."""
    index = int(np.flatnonzero(test.labels == label)[0])
    path = folder / _IMAGE.format(test.classes[label], f"{index:03d}")
    folder.mkdir(exist_ok=True)
    Image.fromarray(test[index]).save(path)
    return path


def _summary(out: Path, seed: int, seconds: float) -> dict[str, Any]:
    """What summary.json holds: accuracies are shares of the test images, in [0, 1]."""
    runs = {name: read_json(out / name / RESULTS, "run the demo again") for name in TITLES}
    top1 = {name: run["test"]["top1"] for name, run in runs.items() if "test" in run}
    where = environment()
    return {
        "pretrained_top1": top1[FINETUNE],
        "scratch_top1": top1[SCRATCH],
        "few_labels": {
            "per_class": FEW_LABELS,
            "pretrained_top1": top1[FEW],
            "scratch_top1": top1[FEW_SCRATCH],
        },
        "seconds": round(seconds, 1),
        "test_images": runs[SCRATCH]["test"]["images"],
        "baseline": runs[SCRATCH]["test"]["baseline"],
        "labelled_images": runs[FINETUNE]["train_images"],
        "seed": seed,
        "runs": {
            name: {key: r[key] for key in ("steps", "train_images", "epochs", "seconds", "images_per_second")}
            for name, r in runs.items()
        },
        **{name: where[name] for name in ("processor", "threads", "gpu")},
        "versions": {key: where[key] for key in ("vitascope", "python", "torch")},
        "settings": {"out": str(out), "seed": seed},
    }


def accuracies(summary: dict[str, Any]) -> list[list[str]]:
    """Rows of a summary: which labels, top-1 with pre-training, and without."""
    few, every, n = summary["few_labels"], summary["labelled_images"], summary["test_images"]
    named = {f"{every:,} (all)": summary, f"{10 * few['per_class']} ({few['per_class']} per digit)": few}
    return [
        [name, *(accuracy_text({"top1": s[f"{run}_top1"], "images": n}) for run in ("pretrained", "scratch"))]
        for name, s in named.items()
    ]
