"""The demo: the whole path of the paper, in minutes on two cores, on data that needs no download.

Pre-train on generated fractals, fine-tune at a higher resolution on real handwritten digits, and beside it the same
model from scratch; both with all labels and with a few. Every step is an ordinary recipe at a small size.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vitascope.checkpoints.load import load
from vitascope.data.open import open_data
from vitascope.data.settings import AugmentConfig
from vitascope.data.source import Source, Splits, Subset
from vitascope.errors import ConfigError, Stopped
from vitascope.evaluation.evaluate import evaluate
from vitascope.evaluation.metrics import Tally
from vitascope.inference.predictor import Prediction, Predictor
from vitascope.recipes.finetune import finetune
from vitascope.recipes.pretrain import pretrain
from vitascope.recipes.run_folder import RESULTS, environment, write_json
from vitascope.recipes.settings import FinetuneRecipe, PretrainRecipe
from vitascope.training.job import Observer

MARKER, SUMMARY, REPORT, IMAGES = "demo.json", "summary.json", "report.html", "images"
PRETRAIN, FINETUNE, SCRATCH, FEW, FEW_SCRATCH = "pretrain", "finetune", "scratch", "few-labels", "few-labels-scratch"
_OURS = (PRETRAIN, FINETUNE, SCRATCH, FEW, FEW_SCRATCH, IMAGES, SUMMARY, REPORT, MARKER)


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """Sizes and rates of the demo; the defaults were chosen on held-out training images, never on the test split."""

    out: str = "runs/demo"
    """The demo's folder; an earlier demo in it is replaced."""
    seed: int = 0
    """Fixes the fractals, initial values, order, augmentation and which labels the few are."""
    patch: int = 4
    """Side of a patch, pixels, at both resolutions."""
    width: int = 128
    """D, the size of a token."""
    depth: int = 6
    """Number of blocks."""
    heads: int = 4
    """Attention heads."""
    pretrain_size: int = 16
    """Side of the fractals, pixels."""
    fractal_classes: int = 1000
    """Function systems to tell apart."""
    pretrain_steps: int = 400
    """Steps of pre-training; every image is seen once."""
    pretrain_batch: int = 128
    """Images per step of pre-training."""
    pretrain_lr: float = 1e-3
    """Peak learning rate of pre-training."""
    finetune_size: int = 24
    """Side of the digits, pixels: higher than in pre-training, as in Section 3.2."""
    finetune_steps: int = 150
    """Steps on all labels, pre-trained or not."""
    finetune_batch: int = 64
    """Images per step on all labels."""
    finetune_lr: float = 1e-3
    """Peak learning rate on the digits with pre-training."""
    scratch_lr: float = 1e-3
    """The same without pre-training."""
    holdout: float = 0.1
    """Share of the labelled digits kept aside for the learning curves."""
    few_per_class: int = 10
    """Labels per class in the few-label case."""
    few_steps: int = 60
    """Steps on the few labels."""
    few_batch: int = 50
    """Images per step on the few labels."""
    watched: int = 300
    """Unlabelled training images on which the few-label runs are watched, and nothing is chosen."""


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the report shows."""

    settings: DemoSettings
    """How it was done."""
    summary: dict[str, Any]
    """What summary.json holds."""
    test: Source
    """The 450 digits that were kept for the end."""
    tally: Tally
    """The fine-tuned model's counts on them."""
    predicted: np.ndarray
    """Its class for each of them, int64 (450,)."""
    confidence: np.ndarray
    """The probability it gave that class, float32 (450,)."""
    samples: list[tuple[Path, int, list[Prediction]]]
    """Ten test images as files, their true class and what the predictor says."""


Stage = Callable[[str], Observer | None]
"""Told what begins; returns who watches it."""


def run_demo(settings: DemoSettings, stage: Stage = lambda title: None) -> DemoResult:
    """Runs the whole demo, writes its folder, returns what was measured.

    Raises `ConfigError` when the folder holds something else, `Stopped` after a signal.
    """
    from vitascope.recipes.demo_report import write_report

    s, out = settings, Path(settings.out)
    claim_folder(s)
    begun = time.perf_counter()
    digits = open_data("digits")
    few = few_labels(digits, s)
    with _stoppable():
        pretrain(pretrain_recipe(s), observer=stage("pre-training on fractals"))
        finetune(finetune_recipe(s, FINETUNE), splits=digits, observer=stage("fine-tuning on digits"))
        pretrain(scratch_recipe(s, SCRATCH), splits=digits, observer=stage("digits from scratch"))
        finetune(finetune_recipe(s, FEW), splits=few, observer=stage("fine-tuning on few labels"))
        pretrain(scratch_recipe(s, FEW_SCRATCH), splits=few, observer=stage("few labels from scratch"))
    stage("evaluating, predicting")
    assert digits.test is not None
    tally, predicted, confidence = judge(out / FINETUNE, digits.test)
    samples = predict_samples(out, digits.test)
    summary = summarise(s, tally, time.perf_counter() - begun)
    result = DemoResult(
        settings=s,
        summary=summary,
        test=digits.test,
        tally=tally,
        predicted=predicted,
        confidence=confidence,
        samples=samples,
    )
    write_report(result, out / REPORT)
    write_json(out / SUMMARY, summary)
    return result


def claim_folder(settings: DemoSettings) -> None:
    """Makes the demo's folder, or clears an earlier demo out of it; files that are not the demo's are left alone.

    Raises `ConfigError` when the folder has contents but holds no demo.
    """
    out = Path(settings.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not _is_demo(out):
            raise ConfigError(f"{out} exists and is no earlier demo (no {MARKER} of one in it); choose another --out")
        for name in _OURS:  # the marker goes last, so that an interrupted clearing can be done again
            path = out / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / MARKER, {"vitascope": "demo", "settings": dataclasses.asdict(settings)})


def _is_demo(folder: Path) -> bool:
    try:
        marker = json.loads((folder / MARKER).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(marker, dict) and marker.get("vitascope") == "demo"


@contextmanager
def _stoppable() -> Iterator[None]:
    """A demo is so short that it starts again instead of being resumed."""
    try:
        yield
    except Stopped as error:
        raise Stopped(
            error.signal_number, f"stopped by {error.signal_name}", "run `vitascope demo` again to start afresh"
        ) from None


def few_labels(digits: Splits, settings: DemoSettings) -> Splits:
    """`few_per_class` training images of every class, some others to watch the run on, and the same test split."""
    train = digits.train
    assert train is not None
    rng = np.random.default_rng((settings.seed, settings.few_per_class))
    shuffled = rng.permutation(len(train))
    order = [shuffled[train.labels[shuffled] == label] for label in range(len(train.classes))]
    chosen = np.concatenate([members[: settings.few_per_class] for members in order])
    others = np.setdiff1d(shuffled, chosen)
    watched = np.sort(rng.permutation(others)[: settings.watched])
    name = f"digits, {settings.few_per_class} labels per class"
    return Splits(
        train=Subset(train, np.sort(chosen), name),
        validation=Subset(train, watched, "digits, other training images"),
        test=digits.test,
    )


def _model_fields(s: DemoSettings) -> dict[str, Any]:
    return {"width": s.width, "depth": s.depth, "heads": s.heads, "hidden": 4 * s.width}


def pretrain_recipe(s: DemoSettings) -> PretrainRecipe:
    """Fractals with the paper's MLP head; generated as they are needed, so each is seen once."""
    instances = -(-s.pretrain_steps * s.pretrain_batch // s.fractal_classes)
    return PretrainRecipe(
        data=f"fractals:classes={s.fractal_classes},size={s.pretrain_size},instances={instances},"
        f"validation=1,seed={s.seed}",
        out=str(Path(s.out) / PRETRAIN),
        model=f"ViT-Ti/{s.patch}",
        model_fields=_model_fields(s),
        image_size=s.pretrain_size,
        steps=s.pretrain_steps,
        batch=s.pretrain_batch,
        lr=s.pretrain_lr,
        warmup=0.1,
        weight_decay=0.05,
        memory_budget="0",  # faster to generate in batches than to keep
        seed=s.seed,
        eval_every=max(s.pretrain_steps // 4, 1),
        save_every=s.pretrain_steps,
        augment=AugmentConfig(crop="none"),
    )


def _digits_settings(s: DemoSettings, name: str) -> dict[str, Any]:
    """What the run with pre-training and the run without have in common: everything but the rate."""
    few = name in (FEW, FEW_SCRATCH)
    steps = s.few_steps if few else s.finetune_steps
    return {
        "data": f"digits ({s.few_per_class} labels per class)" if few else "digits",
        "out": str(Path(s.out) / name),
        "image_size": s.finetune_size,
        "steps": steps,
        "batch": s.few_batch if few else s.finetune_batch,
        "holdout": s.holdout,
        "warmup": 0.1,
        "weight_decay": 0.05,
        "seed": s.seed,
        "log_every": max(steps // 20, 1),
        "eval_every": max(steps // 8, 1),
        "save_every": steps,
        "augment": AugmentConfig(crop="shift", pad_shift=2, pad_mode="zero", flip=False),
    }


def finetune_recipe(s: DemoSettings, name: str) -> FinetuneRecipe:
    """Digits at a higher resolution from the pre-trained weights."""
    checkpoint = str(Path(s.out) / PRETRAIN)
    return FinetuneRecipe(checkpoint=checkpoint, optimizer="adamw", lr=s.finetune_lr, **_digits_settings(s, name))


def scratch_recipe(s: DemoSettings, name: str) -> PretrainRecipe:
    """The same model, budget and augmentation from initial values, with fine-tuning's linear head."""
    return PretrainRecipe(
        model=f"ViT-Ti/{s.patch}",
        model_fields=_model_fields(s),
        mlp_head=False,
        lr=s.scratch_lr,
        **_digits_settings(s, name),
    )


def judge(run: Path, test: Source) -> tuple[Tally, np.ndarray, np.ndarray]:
    """A run's model on the test images: counts, predicted classes (n,), their probabilities (n,)."""
    checkpoint = load(run)
    tally = evaluate(checkpoint.model, test, checkpoint.preprocess)
    probabilities = Predictor(checkpoint, device="cpu").probabilities([test[i] for i in range(len(test))]).numpy()
    return tally, probabilities.argmax(axis=1), probabilities.max(axis=1)


def predict_samples(out: Path, test: Source) -> list[tuple[Path, int, list[Prediction]]]:
    """The first test image of every class, written as PNG files and predicted from them."""
    (out / IMAGES).mkdir()
    files, labels = [], []
    for label, name in enumerate(test.classes):
        index = int(np.flatnonzero(test.labels == label)[0])
        path = out / IMAGES / f"digit-{name}-test-{index:03d}.png"
        Image.fromarray(test[index]).save(path)
        files.append(path)
        labels.append(label)
    predictions = Predictor(out / FINETUNE, device="cpu")(files, top=3)
    return list(zip(files, labels, predictions, strict=True))


def next_commands(out: str) -> list[tuple[str, str]]:
    """What to do next with one's own photographs: (why, command)."""
    begin = shlex.quote(str(Path(out) / PRETRAIN))
    return [
        ("look for unreadable, empty and doubtful files", "vitascope check photos"),
        (
            "fine-tune; a tenth is held out to measure on",
            f"vitascope finetune {begin} photos --preset small --image_size 32 --out runs/mine",
        ),
        ("accuracy on other photographs, in the same class folders", "vitascope evaluate runs/mine other-photos"),
        ("labels and probabilities for new files", "vitascope predict runs/mine new-photos"),
    ]


def read_results(out: Path, name: str) -> dict[str, Any]:
    """results.json of one of the demo's runs."""
    results: dict[str, Any] = json.loads((out / name / RESULTS).read_text())
    return results


def summarise(s: DemoSettings, tally: Tally, seconds: float) -> dict[str, Any]:
    """What summary.json holds: accuracies are shares of the test images, in [0, 1]."""
    runs = {name: read_results(Path(s.out), name) for name in (PRETRAIN, FINETUNE, SCRATCH, FEW, FEW_SCRATCH)}
    where = environment()
    return {
        "pretrained_top1": tally.top1,
        "scratch_top1": runs[SCRATCH]["test"]["top1"],
        "few_labels": {
            "per_class": s.few_per_class,
            "pretrained_top1": runs[FEW]["test"]["top1"],
            "scratch_top1": runs[FEW_SCRATCH]["test"]["top1"],
        },
        "seconds": round(seconds, 1),
        "test_images": tally.images,
        "labelled_images": runs[FINETUNE]["train_images"],
        "seed": s.seed,
        "runs": {
            name: {key: r[key] for key in ("steps", "train_images", "epochs", "seconds", "images_per_second")}
            for name, r in runs.items()
        },
        "processor": where["processor"],
        "threads": where["threads"],
        "gpu": where["gpu"],
        "versions": {key: where[key] for key in ("vitascope", "python", "torch")},
        "settings": dataclasses.asdict(s),
    }
