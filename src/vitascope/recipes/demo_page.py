"""The demo's page: what was done, how good it is, what goes wrong, and what to do next."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vitascope.checkpoints.load import load
from vitascope.checkpoints.run_files import RESULTS
from vitascope.data.open import open_data
from vitascope.evaluation.answers import Answers
from vitascope.recipes import report_pictures as photographs
from vitascope.recipes import report_sections as sections
from vitascope.recipes.demo import (
    FEW,
    FEW_SCRATCH,
    FINETUNE,
    IMAGES,
    PRETRAIN,
    REPORT,
    SCRATCH,
    TITLES,
    DemoResult,
    accuracies,
)
from vitascope.recipes.figures import curves
from vitascope.recipes.report import commands, drawing, percent, pictures, table, text, write_page
from vitascope.recipes.reported import Judged, RunReport
from vitascope.recipes.run_folder import read_json
from vitascope.wording import duration


def write_demo_page(result: DemoResult) -> Path:
    """Writes report.html into the demo's folder."""
    summary, path, tuned = result.summary, result.out / REPORT, _tuned(result)
    ours, plain, few = percent(summary["pretrained_top1"]), percent(summary["scratch_top1"]), summary["few_labels"]
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    write_page(
        path,
        kicker="Vitascope demo",
        headline=f"{ours} of the test digits are read correctly; without pre-training {plain}",
        lead="A small Vision Transformer first learned to tell computed fractals apart, then to read real handwritten "
        f"digits. With only {few['per_class']} labelled examples of each digit it reads "
        f"{percent(few['pretrained_top1'])}, from scratch {percent(few['scratch_top1'])}. "
        f"All of it took {duration(summary['seconds'])} on this computer.",
        sections=[
            ("What was done", _steps(result)),
            ("Results", _results(result)),
            ("Learning curves", _curves(result)),
            sections.mixed_up(tuned),
            ("Ten predictions", _predictions(result)),
            photographs.mistakes(tuned),
            sections.unsure(tuned),
            ("Next: your own folder", _next(result)),
        ],
        footer=[
            f"{summary['gpu'] or summary['processor']}, {summary['threads']} threads; {versions}; seed "
            f"{summary['seed']}; {duration(summary['seconds'])}.",
            "Digits: UCI Optical Recognition of Handwritten Digits, as carried by scikit-learn; a stratified quarter "
            "is the test split. Fractals: iterated function systems, generated here.",
            "Dosovitskiy et al., An Image is Worth 16x16 Words, 2021. The figures are in summary.json beside this.",
        ],
    )
    return path


def _steps(r: DemoResult) -> str:
    fractals = open_data(r.recipes[PRETRAIN].data).train
    assert fractals is not None
    runs = r.summary["runs"]
    rows = [
        (TITLES[name], str(run["steps"]), duration(run["seconds"]), f"{run['images_per_second']:.0f}")
        for name, run in runs.items()
    ]
    size, tuned = r.recipes[PRETRAIN].image_size, r.recipes[FINETUNE].image_size
    return "\n".join(
        [
            text(
                f"A ViT of patch 4 learned to tell {len(fractals.classes)} families of computed fractals apart, at "
                f"{size} pixels, with the paper's MLP head; no photograph and no download was involved. Then it got a "
                f"new head of zeros for ten digits of {tuned} pixels: the patch stays, so there are more patches and "
                "the positions are resized, as in Section 3.2 of the paper. The same model, steps and augmentation "
                "from random initial weights is what that is compared with; both again with few labels."
            ),
            pictures((fractals[i], "") for i in range(min(14, len(fractals)))),
            table(["run", "steps", "time", "images a second"], rows),
        ]
    )


def _results(r: DemoResult) -> str:
    n = r.summary["test_images"]
    return table(["labels", "pre-trained", "from scratch"], accuracies(r.summary)) + text(
        f"Every model is tested once, on the same {n} images that played no part in training. One image is "
        f"{percent(1 / n)}, so small differences between runs or seeds mean little. Both columns had the same steps, "
        "augmentation and model; learning rates were chosen for each on other images.",
        soft=True,
    )


def _curves(r: DemoResult) -> str:
    pairs = [
        ("few labels", {"pre-trained": r.out / FEW, "from scratch": r.out / FEW_SCRATCH}),
        ("all labels", {"pre-trained": r.out / FINETUNE, "from scratch": r.out / SCRATCH}),
        ("pre-training on fractals", {"": r.out / PRETRAIN}),
    ]
    drawn = [(name, curves(runs)) for name, runs in pairs]
    return "\n".join(text(f"{name}:", soft=True) + drawing(figure, name) for name, figure in drawn if figure)


def _predictions(r: DemoResult) -> str:
    where = (
        f"The first test image of each digit, saved as a PNG file in {r.out / IMAGES} and read back as your own files"
    )
    said = [
        (np.asarray(Image.open(path)), "\n".join(f"{label}: {percent(share)}" for label, _, share in predicted))
        for path, _, predicted in r.samples
    ]
    return text(f"{where} files would be.", soft=True) + pictures(said)


def _tuned(r: DemoResult) -> RunReport:
    """The fine-tuned run, judged on the test digits."""
    results = read_json(r.out / FINETUNE / RESULTS, "run the demo again")
    judged = Judged(
        split="test digits",
        told="images kept for the end",
        figures=results["test"],
        answers=Answers.of(torch.from_numpy(np.log(np.maximum(r.probabilities, 1e-30))), r.test.labels),
        name_of=r.test.describe,
        picture=r.test.__getitem__,
    )
    return RunReport(data="digits", checkpoint=load(r.out / FINETUNE), judged=[judged], results=results)


def next_commands(out: Path) -> list[tuple[str, str]]:
    """What to do next with one's own photographs: (why, command)."""
    begin = shlex.quote(str(out / PRETRAIN))
    return [
        ("look for unreadable, empty and doubtful files", "vitascope check photos"),
        (
            "fine-tune; a tenth is held out to measure on",
            f"vitascope finetune {begin} photos --preset small --image-size 32 --out runs/mine",
        ),
        ("accuracy on other photographs, in the same class folders", "vitascope evaluate runs/mine other-photos"),
        ("labels and probabilities for new files", "vitascope predict runs/mine new-photos"),
    ]


def _next(r: DemoResult) -> str:
    return (
        text("Put photographs into one folder per class, such as photos/cat and photos/dog. Then:")
        + commands(next_commands(r.out))
        + text(
            "The demo's model is tiny and has seen nothing but grey fractals, so it shows the way, not what is "
            "possible. For photographs start from a published checkpoint: vitascope finetune reads the files of timm, "
            "Hugging Face, torchvision and Google.",
            soft=True,
        )
    )
