"""The demo: the whole path of the paper, in minutes on two cores, on data that needs no download.

Pre-train on generated fractals, fine-tune at a higher resolution on real handwritten digits, and beside it the same
model from scratch; both with all labels and with a few. Every step is an ordinary recipe at a small size.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vitascope import json_text
from vitascope.checkpoints.checkpoint import Prediction
from vitascope.checkpoints.load import load
from vitascope.checkpoints.output import check_writable
from vitascope.data.open import open_data
from vitascope.data.source import Source, Splits, View
from vitascope.errors import ConfigError, Stopped
from vitascope.evaluation.evaluate import evaluate
from vitascope.evaluation.metrics import Tally
from vitascope.inference.predictor import Predictor
from vitascope.recipes.demo_report import write_report
from vitascope.recipes.demo_settings import (
    FEW,
    FEW_SCRATCH,
    FINETUNE,
    IMAGES,
    MARKER,
    OURS,
    PRETRAIN,
    REPORT,
    SCRATCH,
    SUMMARY,
    DemoResult,
    DemoSettings,
    finetune_recipe,
    pretrain_recipe,
    scratch_recipe,
)
from vitascope.recipes.finetune import finetune
from vitascope.recipes.pretrain import pretrain
from vitascope.recipes.run_folder import RESULTS, check_free, environment, write_json
from vitascope.streams import Stream, generator
from vitascope.training.observer import Observer

_IMAGE = "digit-{}-test-{}.png"
Stage = Callable[[str], Observer | None]
"""Told what begins; returns who watches it."""


def run_demo(settings: DemoSettings, stage: Stage = lambda title: None) -> DemoResult:
    """Runs the whole demo, writes its folder, returns what was measured.

    Raises `ConfigError` when the folder holds something else, `Stopped` after a signal.
    """
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
    check_writable(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not _is_demo(out):
            raise ConfigError(f"{out} exists and is no earlier demo (no {MARKER} of one in it); choose another --out")
        images = out / IMAGES
        ours = [out / name for name in OURS]
        ours += [images] if images.is_symlink() else images.glob(_IMAGE.format("*", "*"))
        runs = [path for path in ours if path.is_dir() and not path.is_symlink()]
        for path in runs:
            check_free(path, resume=False, overwrite=True)
        for path in runs:
            shutil.rmtree(path)
        # The marker goes last, so that an interrupted clearing can be done again.
        for path in sorted(set(ours).difference(runs), key=lambda path: path.name == MARKER):
            path.unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / MARKER, {"vitascope": "demo", "settings": dataclasses.asdict(settings)})


def _is_demo(folder: Path) -> bool:
    try:
        marker = json_text.parse((folder / MARKER).read_text())
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
    rng = generator(Stream.FEW_LABELS, settings.seed, settings.few_per_class)
    shuffled = rng.permutation(len(train))
    order = [shuffled[train.labels[shuffled] == label] for label in range(len(train.classes))]
    chosen = np.concatenate([members[: settings.few_per_class] for members in order])
    others = np.setdiff1d(shuffled, chosen)
    watched = np.sort(rng.permutation(others)[: settings.watched])
    name = f"digits, {settings.few_per_class} labels per class"
    return Splits(
        train=View(train, np.sort(chosen), name),
        validation=View(train, watched, "digits, other training images"),
        test=digits.test,
    )


def judge(run: Path, test: Source) -> tuple[Tally, np.ndarray, np.ndarray]:
    """A run's model on the test images: counts, predicted classes (n,), their probabilities (n,)."""
    checkpoint = load(run)
    tally = evaluate(checkpoint.model, test, checkpoint.preprocess)
    probabilities = Predictor(checkpoint, device="cpu").probabilities([test[i] for i in range(len(test))]).numpy()
    return tally, probabilities.argmax(axis=1), probabilities.max(axis=1)


def predict_samples(out: Path, test: Source) -> list[tuple[Path, int, list[Prediction]]]:
    """The first test image of every class, written as PNG files and predicted from them."""
    (out / IMAGES).mkdir(exist_ok=True)
    files, labels = [], []
    for label, name in enumerate(test.classes):
        index = int(np.flatnonzero(test.labels == label)[0])
        path = out / IMAGES / _IMAGE.format(name, f"{index:03d}")
        Image.fromarray(test[index]).save(path)
        files.append(path)
        labels.append(label)
    predictions = Predictor(out / FINETUNE, device="cpu")(files, top=3)
    return list(zip(files, labels, predictions, strict=True))


def read_results(out: Path, name: str) -> dict[str, Any]:
    """results.json of one of the demo's runs."""
    results: dict[str, Any] = json.loads((out / name / RESULTS).read_text(encoding="utf-8"))
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
        "baseline": runs[SCRATCH]["test"]["baseline"],
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
