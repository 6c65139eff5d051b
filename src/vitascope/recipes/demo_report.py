"""The demo's page: one HTML file with everything in it, for any screen, light or dark."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from PIL import Image

from vitascope.checkpoints.atomic import atomic_file
from vitascope.data.open import open_data
from vitascope.evaluation.interval import wilson
from vitascope.recipes.demo_chart import Points, chart
from vitascope.recipes.demo_settings import (
    FEW,
    FEW_SCRATCH,
    FINETUNE,
    IMAGES,
    PRETRAIN,
    SCRATCH,
    DemoResult,
    next_commands,
    pretrain_recipe,
)
from vitascope.training.record import read_metrics

_SHOWN_ERRORS = 24


def write_report(result: DemoResult, path: Path) -> None:
    """Writes the page; it names no other file and no host."""
    template = Template(files("vitascope.recipes").joinpath("demo_report.html").read_text(encoding="utf-8"))
    with atomic_file(path) as temporary:
        temporary.write_text(template.substitute(_parts(result)), encoding="utf-8")


def _parts(r: DemoResult) -> dict[str, str]:
    s, summary = r.settings, r.summary
    few = summary["few_labels"]
    wrong = np.flatnonzero(r.predicted != r.test.labels)
    ours, plain = summary["pretrained_top1"], summary["scratch_top1"]
    return {
        "headline_top1": percent(ours),
        "headline": f"{percent(ours)} of the test digits are read correctly; without pre-training {percent(plain)}",
        "lead": (
            "A small Vision Transformer first learned to tell computed fractals apart, then to read real handwritten "
            f"digits. With only {few['per_class']} labelled examples of each digit it reads "
            f"{percent(few['pretrained_top1'])}, from scratch {percent(few['scratch_top1'])}. "
            f"All of it took {_minutes(summary['seconds'])} on this computer."
        ),
        "cards": "\n".join(
            [
                _card(f"All labels ({summary['labelled_images']:,} images)", ours, plain),
                _card(f"{few['per_class']} labels per digit", few["pretrained_top1"], few["scratch_top1"]),
            ]
        ),
        "steps": _steps(r),
        "table": _table(summary),
        "caution": (
            f"Every model is tested once, on the same {summary['test_images']} images that played no part in training. "
            f"One image is {percent(1 / summary['test_images'])}, so small differences between runs or seeds mean "
            "little; the ranges are 95 % Wilson intervals. Both columns had the same steps, augmentation and "
            "model; learning rates were chosen for each on other images."
        ),
        "curves": _curves(r),
        "test_images": str(summary["test_images"]),
        "confusion": _confusion(r.tally.confusion, r.test.classes),
        "images": escape(str(Path(s.out) / IMAGES)),
        "samples": "\n".join(_sample(path, r.test.classes[label], said) for path, label, said in r.samples),
        "errors_title": "No mistakes"
        if not len(wrong)
        else f"All {len(wrong)} mistakes"
        if len(wrong) <= _SHOWN_ERRORS
        else f"{_SHOWN_ERRORS} of {len(wrong)} mistakes",
        "errors": _errors(r, wrong),
        "commands": _commands(s.out),
        "advice": (
            f"The demo's model is tiny and has seen nothing but grey fractals of {s.pretrain_size} pixels, so it shows "
            "the way, not what is possible. For photographs start from a published checkpoint: "
            "<code>vitascope finetune</code> reads the files of timm, Hugging Face, torchvision and Google."
        ),
        "footer": _footer(summary),
    }


def percent(share: float) -> str:
    """0.98666 → "98.7 %"."""
    return f"{100 * share:.1f} %"


def signed(points: float) -> str:
    """2.34 → "+2.3"; -0.5 → "−0.5", with a minus sign as wide as the plus."""
    return f"{points:+.1f}".replace("-", "−")


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def _card(title: str, ours: float, plain: float) -> str:
    def row(name: str, share: float, kind: str) -> str:
        return (
            f'<span>{name}</span><span class="bar"><i class="{kind}" style="width:{100 * share:.1f}%"></i></span>'
            f'<span class="number">{percent(share)}</span>'
        )

    return (
        f'<div class="card"><h3>{title}</h3>'
        f'<div class="figure">{signed(100 * (ours - plain))} <small>points by pre-training</small></div>'
        f'<div class="pair">{row("pre-trained", ours, "ours")}{row("from scratch", plain, "")}</div></div>'
    )


def _steps(r: DemoResult) -> str:
    s, runs, few = r.settings, r.summary["runs"], r.summary["few_labels"]["per_class"]
    fractals = open_data(pretrain_recipe(s).data).train
    assert fractals is not None

    def work(name: str) -> str:
        run = runs[name]
        return f"{run['steps']} steps, {_minutes(run['seconds'])}, {run['images_per_second']:.0f} images per second"

    texts = [
        (
            "Pre-train on fractals",
            f"The model (ViT, patch {s.patch}, width {s.width}, depth {s.depth}) learned to tell {s.fractal_classes} "
            f"families of computed fractals apart, at {s.pretrain_size} pixels, with the paper's MLP head. No "
            f"photograph and no download was involved. {work(PRETRAIN)}.",
            _strip([fractals[i] for i in range(min(14, len(fractals)))]),
        ),
        (
            f"Fine-tune on digits at {s.finetune_size} pixels",
            f"A new head of zeros for ten digits; the patch stays {s.patch}, so there are more patches and the "
            f"positions are resized, as in Section 3.2 of the paper. {work(FINETUNE)}.",
            _strip([np.asarray(Image.open(path)) for path, _, _ in r.samples]),
        ),
        (
            "The same from scratch",
            "The same model, steps and augmentation, but random initial weights: what pre-training is compared with. "
            f"{work(SCRATCH)}.",
            "",
        ),
        (
            "Both again with few labels",
            f"Only {few} labelled images of each digit, {few * 10} in all, as when labels are dear. {work(FEW)}; "
            f"from scratch {_minutes(runs[FEW_SCRATCH]['seconds'])}.",
            "",
        ),
    ]
    return "\n".join(
        f'<li class="card"><h3>{i}. {title}</h3><p class="soft">{text}</p>{pictures}</li>'
        for i, (title, text, pictures) in enumerate(texts, 1)
    )


def _table(summary: dict[str, Any]) -> str:
    few, n = summary["few_labels"], summary["test_images"]
    rows = [
        (f"all ({summary['labelled_images']:,} images)", summary["pretrained_top1"], summary["scratch_top1"]),
        (f"{few['per_class']} per digit", few["pretrained_top1"], few["scratch_top1"]),
    ]

    def cell(share: float) -> str:
        low, high = wilson(share, n)
        return (
            f'<td class="number"><strong>{percent(share)}</strong><br>'
            f'<span class="note">{100 * low:.1f} – {percent(high)}</span></td>'
        )

    body = "".join(
        f'<tr><td>{name}</td>{cell(ours)}{cell(plain)}<td class="number">{signed(100 * (ours - plain))}</td></tr>'
        for name, ours, plain in rows
    )
    return (
        '<table><thead><tr><th>labels</th><th class="number">pre-trained</th><th class="number">from scratch</th>'
        f'<th class="number">points</th></tr></thead><tbody>{body}</tbody></table>'
    )


def _curves(r: DemoResult) -> str:
    out, few = Path(r.settings.out), r.settings.few_per_class

    def accuracy(name: str) -> Points:
        lines = read_metrics(out / name)
        return [(0, 10.0), *((x["step"], 100 * x["validation"]["top1"]) for x in lines if "validation" in x)]

    loss = [(x["step"], x["loss"]) for x in read_metrics(out / PRETRAIN) if "loss" in x]
    guess = math.log(r.settings.fractal_classes)
    top = max(guess, *(y for _, y in loss)) * 1.04
    charts = [
        (
            f"{few} labels per digit: accuracy (%) on other training images",
            chart([("plain", accuracy(FEW_SCRATCH)), ("ours", accuracy(FEW))], (0, 100)),
        ),
        (
            "All labels: accuracy (%) on held-out training images",
            chart([("plain", accuracy(SCRATCH)), ("ours", accuracy(FINETUNE))], (0, 100)),
        ),
        (
            "Pre-training: loss on fractals (dashed: guessing)",
            chart(
                [("guess", [(0, guess), (loss[-1][0], guess)]), ("ours", loss)],
                (math.floor(2 * min(y for _, y in loss)) / 2, top),
            ),
        ),
    ]
    return "\n".join(f'<figure class="card"><h3>{title}</h3>{svg}</figure>' for title, svg in charts)


def _confusion(counts: np.ndarray, classes: Sequence[str]) -> str:
    totals = np.maximum(counts.sum(axis=1), 1)

    def cell(row: int, column: int) -> str:
        n = int(counts[row, column])
        if row == column:
            return f'<td class="hit" style="--share:{100 * n / totals[row]:.0f}">{n}</td>'
        return f'<td class="missed">{n}</td>' if n else "<td></td>"

    head = "".join(f"<th>{escape(name)}</th>" for name in classes)
    rows = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(cell(i, j) for j in range(len(classes)))}</tr>"
        for i, name in enumerate(classes)
    )
    return f'<table class="confusion"><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _sample(path: Path, truth: str, said: Sequence[tuple[str, int, float]]) -> str:
    right = said[0][0] == truth
    verdict = "right" if right else '<span class="wrong">wrong</span>'
    rows = "".join(
        f'<span>{escape(label)}</span><span class="bar"><i class="{"ours" if label == truth else ""}" '
        f'style="width:{100 * share:.1f}%"></i></span><span class="number">{percent(share)}</span>'
        for label, _, share in said
    )
    return (
        f'<div class="card sample"><img src="{_data_uri(np.asarray(Image.open(path)))}" alt="a handwritten {truth}">'
        f'<div class="says"><span class="truth">a {escape(truth)}: {verdict}</span>{rows}</div></div>'
    )


def _errors(r: DemoResult, wrong: np.ndarray) -> str:
    if not len(wrong):
        return '<p class="soft">Every test image was recognised.</p>'
    classes = r.test.classes
    return (
        '<div class="errors">'
        + "".join(
            f'<figure><img src="{_data_uri(r.test[int(i)])}" alt="test image {i}">'
            f'<span class="wrong">{escape(classes[r.predicted[i]])}</span> {percent(float(r.confidence[i]))}<br>'
            f'<span class="soft">is a {escape(classes[r.test.labels[i]])}</span></figure>'
            for i in wrong[:_SHOWN_ERRORS]
        )
        + "</div>"
    )


def _strip(images: Sequence[np.ndarray]) -> str:
    return '<div class="strip">' + "".join(f'<img src="{_data_uri(x)}" alt="">' for x in images) + "</div>"


def _data_uri(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _commands(out: str) -> str:
    return "\n".join(
        f'<span class="say"># {escape(why)}</span>\n{escape(command)}' for why, command in next_commands(out)
    )


def _footer(summary: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    where = summary["gpu"] or summary["processor"]
    lines = [
        f"{where}, {summary['threads']} threads; {versions}; seed {summary['seed']}; {_minutes(summary['seconds'])}.",
        "Digits: UCI Optical Recognition of Handwritten Digits, as carried by scikit-learn; a stratified quarter is "
        "the test split. Fractals: iterated function systems, generated here.",
        "Dosovitskiy et al., An Image is Worth 16x16 Words, 2021. The figures are in summary.json beside this file.",
    ]
    return "\n".join(f"<p>{escape(line)}</p>" for line in lines)
