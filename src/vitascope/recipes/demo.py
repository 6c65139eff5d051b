"""The demo: what the paper is about, in minutes on two cores, on data that needs no download.

`train` makes a classifier of real handwritten digits from the start in the package; beside it a head is taught with ten
labels a digit, and the same model learns those from random values. Every step is an ordinary recipe.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vitascope.checkpoints.load import load
from vitascope.checkpoints.output import check_output, check_writable
from vitascope.checkpoints.run_files import REPORT, RESULTS, environment, read_json, write_json
from vitascope.data.open import open_data
from vitascope.data.settings import AugmentConfig
from vitascope.data.source import Source, Splits, View
from vitascope.errors import ConfigError, Stopped
from vitascope.evaluation.interval import accuracy_text
from vitascope.layers.config import ViTConfig
from vitascope.recipes.asked import Teach
from vitascope.recipes.pretrain import pretrain
from vitascope.recipes.recipe import PretrainRecipe
from vitascope.recipes.teach import teach_run
from vitascope.recipes.train import Told, Trained, train_run
from vitascope.recipes.train_asked import Demo, Train
from vitascope.reports.page import link, percent, table, text
from vitascope.reports.write import write_report_page
from vitascope.streams import Stream, generator
from vitascope.training.observer import Observer

MARKER, SUMMARY, IMAGES, INSIDE = "demo.json", "summary.json", "images", "inside"
_IMAGE = "digit-{}-test-{}.png"
START = "start"
"""What is begun from: the weights in the package."""
DIGITS, FEW, SCRATCH = "digits", "few-labels", "few-labels-scratch"
FEW_LABELS = 10
"""Labels per class in the few-label case."""
WATCHED = 300
"""Unlabelled training images on which the few-label runs are watched, and nothing is chosen."""
TITLES = {
    DIGITS: "digits: taught, then fine-tuned from the start in the package",
    FEW: "ten labels a digit, taught from the same start",
    SCRATCH: "ten labels a digit, the same model from scratch",
}
"""The runs, in their order."""
_KINDS = {DIGITS: "training", FEW: "teaching", SCRATCH: "run", INSIDE: "report"}
"""The folders of a demo, and what each is."""
Stage = Callable[[str], Observer | None]
"""Told what begins; returns who watches it."""


def run_demo(asked: Demo, stage: Stage = lambda title: None) -> dict[str, Any]:
    """Runs the whole demo and writes its folder, the page and ten test digits in it; returns what summary.json holds.

    Raises `ConfigError` when the folder holds something else, `Stopped` after a signal.
    """
    out, begun = Path(asked.out), time.perf_counter()
    claim_folder(out, asked.seed)
    digits = open_data("digits")
    few = few_labels(digits, asked.seed)
    try:
        watch = Told(observer=stage(TITLES[DIGITS]))
        how: dict[str, Any] = {"time_budget": asked.time_budget, "seed": asked.seed}
        trained = train_run(Train(data="digits", out=str(out / DIGITS), start=START, **how), watch)
        size = load(out / DIGITS).preprocess.size
        stage(TITLES[FEW])
        told = f"digits ({FEW_LABELS} labels per class)"
        teach_run(Teach(checkpoint=START, data=told, out=str(out / FEW), image_size=size), splits=few)
        observer = stage(TITLES[SCRATCH])
        pretrain(scratch_recipe(asked, told, size), splits=few, observer=observer)
    except Stopped as error:  # so short that it starts again instead of being resumed
        remedy = "run `vitascope demo` again to start afresh"
        raise Stopped(error.signal_number, f"stopped by {error.signal_name}", remedy) from None
    assert digits.test is not None
    for label in range(len(digits.classes)):
        _written(out / IMAGES, digits.test, label)
    summary = _summary(asked, trained, time.perf_counter() - begun)
    write_json(out / SUMMARY, summary)
    _write_page(out, trained, summary)
    return summary


def scratch_recipe(asked: Demo, data: str, size: tuple[int, int]) -> PretrainRecipe:
    """The model of the start from random values, on what the few labels are called."""
    config = load(START).model.config
    assert isinstance(config, ViTConfig)
    names = ("width", "depth", "heads", "hidden", "class_token", "pooling")
    return PretrainRecipe(
        data=data,
        out=str(Path(asked.out) / SCRATCH),
        model=f"ViT-Ti/{config.patch}",
        model_fields={name: getattr(config, name) for name in names},
        mlp_head=False,
        image_size=size,
        steps=asked.scratch_steps,
        batch=50,
        lr=1e-3,
        warmup=0.1,
        weight_decay=0.05,
        eval_every=asked.scratch_steps,
        save_every=asked.scratch_steps,
        seed=asked.seed,
        augment=AugmentConfig(crop="shift", flip=False),
    )


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
        ours = [out / name for name in (*_KINDS, SUMMARY, REPORT)]
        ours += [images] if images.is_symlink() else images.glob(_IMAGE.format("*", "*"))
        folders = [path for path in ours if path.is_dir() and not path.is_symlink()]
        for path in folders:
            check_output(path, _KINDS[path.name], overwrite=True)
        for path in ours:
            if path in folders:
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


def _summary(asked: Demo, trained: Trained, seconds: float) -> dict[str, Any]:
    """What summary.json holds: accuracies are shares of the test images, in [0, 1]."""
    out, where = Path(asked.out), environment()
    few, scratch = (read_json(out / name / RESULTS, "run the demo again")["test"] for name in (FEW, SCRATCH))
    test = trained.results["test"]
    return {
        "top1": test["top1"],
        "kept": trained.kept,
        "test_images": test["images"],
        "baseline": test["baseline"],
        "few_labels": {"per_class": FEW_LABELS, "taught_top1": few["top1"], "scratch_top1": scratch["top1"]},
        "seconds": round(seconds, 1),
        "seed": asked.seed,
        "plan": trained.results["plan"],
        **{name: where[name] for name in ("processor", "threads", "gpu", "commit") if name in where},
        "versions": {key: where[key] for key in ("vitascope", "python", "torch")},
    }


def accuracies(summary: dict[str, Any]) -> list[list[str]]:
    """Rows of a summary: what was learned from what, and top-1."""
    few, n = summary["few_labels"], summary["test_images"]
    labels = f"{few['per_class']} labels a digit"
    shares = {
        "all labels, from the start": summary["top1"],
        f"{labels}, from the start": few["taught_top1"],
        f"{labels}, from random values": few["scratch_top1"],
    }
    return [[name, accuracy_text({"top1": share, "images": n})] for name, share in shares.items()]


_INSIDE = "What its filters see, which positions it takes for neighbours, where every head looks, layer by layer."


def _write_page(out: Path, trained: Trained, summary: dict[str, Any]) -> None:
    """The report of the digits, after what the demo adds to it."""
    few = summary["few_labels"]
    told = (
        "A Vision Transformer cuts an image into patches, and lets each look at all others. It knows little of images "
        "beforehand, so it has to see many; what it learned from 49,000 photographs of other things, the start in the "
        f"package, is worth more than its size: with {few['per_class']} labelled examples of each digit it names "
        f"{percent(few['taught_top1'])} of the test digits, from random values {percent(few['scratch_top1'])}. That is "
        "what the paper found with 14 and 300 million images."
    )
    first = [
        ("What a start is worth", text(told) + table(["learned from", "test digits named right"], accuracies(summary))),
        ("Look inside", text(_INSIDE) + link("The model's internals", f"{INSIDE}/inspect.html")),
    ]
    write_report_page(out / REPORT, replace(trained.report, first=[*first, *trained.report.first]))
