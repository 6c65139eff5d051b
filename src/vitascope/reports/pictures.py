"""The sections of a run's page that are photographs: small, as the model sees them, some beside where it looked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data.images import UInt8
from vitascope.data.preprocess import Preprocess, to_tensor
from vitascope.data.source import Int64, Labels
from vitascope.errors import ImageError
from vitascope.models.vit import ViT
from vitascope.reports.page import Section, Share, percent, pictures, text
from vitascope.reports.reported import Judged, RunReport
from vitascope.views.attention_rollout import overlaid, rollout
from vitascope.views.class_map import class_map
from vitascope.views.pixels import as_rgb
from vitascope.wording import count

_MISTAKES, _SUSPECTS, _RIGHT = 12, 12, 24
"""Pictures of each section at most; with where the model looked in mistakes, sixty in all."""
_SIDE = 160
"""Pixels of the longer side of a photograph on a page."""
_LOOKS = 1e12
"""Operations that it may take to see where a model looked: a dozen images of a ViT-B/16, in seconds on two cores."""


def mistakes(report: RunReport) -> Section:
    """The most confident mistakes, with where the model looked."""
    title = "Its most confident mistakes"
    if not report.judged:
        return title, ""
    judged, classes = report.judged[0], report.checkpoint.labels
    rows = judged.answers.mistakes()
    if not len(rows):
        return "No mistakes", text(f"All {count(judged.figures['images'], 'image')} are named right.")
    shown = list(islice(_pictured(judged, rows, report.checkpoint.preprocess), _MISTAKES))
    captions = []
    for row, _ in shown:
        truth, said = judged.answers.names(row, classes)
        name = short(judged.name_of(int(judged.answers.places[row])))
        captions.append(f"“{said}” ({_sure(judged, row)}),\nis “{truth}”\n{name}")
    looks, bright = list[UInt8](), ""
    if isinstance(report.checkpoint, Checkpoint):
        answered = _one(judged.answers.said[[row for row, _ in shown]])
        looks = looked_at(report.checkpoint, [seen for _, seen in shown], answered)
        bright = _BRIGHT[isinstance(report.checkpoint.model, ViT)]
    body = pictures(zip([[seen.small, *looks[n : n + 1]] for n, (_, seen) in enumerate(shown)], captions, strict=True))
    which = f"{len(shown)} of {count(len(rows), 'mistake')}" if len(rows) > len(shown) else count(len(rows), "mistake")
    told = f"{which}, the surest first: what was said and how surely, and what the label is."
    if looks:
        told += f" Beside a photograph, bright is {bright}."
    return title, text(told, soft=True) + body


def suspects(report: RunReport) -> Section:
    """Labels that are likelier wrong than right."""
    title, found = "Labels that may be wrong", report.suspects
    shown: list[tuple[UInt8, str]] = []
    for suspect in found:
        with suppress(ImageError):
            told = f"labelled “{suspect.label}”,\nlooks like “{suspect.instead}”\n({percent(suspect.wrong)} wrong)"
            image = Seen.of(report.checkpoint.preprocess, suspect.picture())
            shown.append((image.small, f"{told}\n{short(suspect.file)}"))
        if len(shown) == _SUSPECTS:
            break
    if not found:
        return title, ""
    which = (
        f"{count(len(found), 'label')} {'is' if len(found) == 1 else 'are'} likelier wrong than right, given the rest"
    )
    which += f"; the {len(shown)} surest" if len(shown) < len(found) else ""
    remedy = "Look at them first: move what is in the wrong folder, take out what belongs nowhere, and teach again."
    return title, text(f"{which}. {remedy}", soft=True) + pictures(shown)


def right(report: RunReport) -> Section:
    """Of each class some images that were named right, the surest."""
    title = "What it gets right"
    if not report.judged:
        return title, ""
    judged, classes = report.judged[0], report.checkpoint.labels
    each = max(min(_RIGHT // max(len(classes), 1), 4), 1)
    shown: list[tuple[UInt8, str]] = []
    for label in range(min(len(classes), _RIGHT)):
        rows = judged.answers.examples(label)
        for row, image in islice(_pictured(judged, rows, report.checkpoint.preprocess), each):
            shown.append((image.small, f"“{judged.answers.names(row, classes)[1]}” ({_sure(judged, row)})"))
    more = f" of the first {_RIGHT} of {len(classes):,} classes" if len(classes) > _RIGHT else " of each class"
    return title, text(f"The surest answers{more}.", soft=True) + pictures(shown) if shown else ""


def _sure(judged: Judged, row: int) -> str:
    """The probability of what was said, on one line."""
    return str(Share(float(judged.answers.probability[row])))


def _pictured(judged: Judged, rows: np.ndarray, preprocess: Preprocess) -> Iterator[tuple[int, Seen]]:
    """Those of the rows whose images can be had, and these."""
    for row in rows.tolist():
        with suppress(ImageError):
            yield row, Seen.of(preprocess, judged.picture(int(judged.answers.places[row])))


_BRIGHT = {True: "where the model's attention went, whatever it answered", False: "what spoke for the answer"}


def _one(said: Labels) -> Int64:
    """A class that was said of each image, (n,), the first of several."""
    return (said.argmax(axis=1) if said.ndim == 2 else said).astype(np.int64)


def short(name: str) -> str:
    """A file's folder and name."""
    return "/".join(Path(name).parts[-2:]) or name


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """A photograph as the model sees it, which takes little memory whatever its size was."""

    pixels: UInt8
    """(h, w, C), what goes into the model."""
    small: UInt8
    """(h', w', 3), the same part of the photograph for people, sharper where the model's size is small."""

    @classmethod
    def of(cls, preprocess: Preprocess, image: UInt8) -> Seen:
        """Of uint8 (H, W, 3)."""
        array = preprocess.read(image)
        height, width = preprocess.size
        sharp = min(array.shape[0] / height, array.shape[1] / width)
        scale = min(_SIDE / max(height, width), max(sharp, 1.0))
        size = max(round(scale * height), 1), max(round(scale * width), 1)
        shown = replace(preprocess, size=size, interpolation="bilinear", antialias=True)
        return cls(pixels=preprocess.resize(array), small=as_rgb(shown.resize(array)))


def looked_at(checkpoint: Checkpoint, images: Sequence[Seen], said: Int64) -> list[UInt8]:
    """The first of `images` for people, uint8 (H, W, 3), as many as take seconds, under the colours of attention's
    rollout or, of a ResNet, of what spoke for the class that was `said`, (n,)."""
    model, preprocess = checkpoint.model, checkpoint.preprocess
    cells = math.prod(side // model.config.pixels_per_token for side in preprocess.size)
    operations = 2.0 * cells * sum(parameter.numel() for parameter in model.parameters())
    few = images[: int(_LOOKS / max(operations, 1.0))]
    if not few:
        return []
    batch = preprocess.normalise(to_tensor([image.pixels for image in few]))
    batch = batch.to(next(model.parameters()).device)
    with torch.no_grad():
        if isinstance(model, ViT):
            amounts = rollout(model, batch).cpu()
        else:
            amounts = class_map(model, batch, torch.from_numpy(said[: len(few)])).relu()
    pairs = zip(few, np.asarray(amounts), strict=True)
    return [overlaid(image.small, each, 0.55) for image, each in pairs]
