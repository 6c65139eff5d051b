"""Which of the images that a run was judged on are kept beside its model, for the page of `serve`."""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np

from vitascope.checkpoints.kept_examples import KeptExample, small_file
from vitascope.errors import ImageError
from vitascope.reports.reported import RunReport

_SIDE = 160
"""Pixels of the shorter side, where the model does not need more."""


def examples(report: RunReport) -> list[KeptExample]:
    """As many as the report keeps of those it shows most of, right or wrong: the first of each class in turn."""
    if not report.judged:
        return []
    judged, preprocess = report.judged[0], report.checkpoint.preprocess
    truth = judged.answers.truth
    label = truth if truth.ndim == 1 else truth.argmax(axis=1)  # of several the first
    order = np.argsort(label, kind="stable")
    turn = np.empty(len(label), dtype=np.int64)
    turn[order] = np.arange(len(label)) - np.searchsorted(label[order], label[order])  # in its class, the how manieth
    side = max(_SIDE, math.ceil(max(preprocess.size) / preprocess.crop_fraction))
    kept = list[KeptExample]()
    for row in np.lexsort((label, turn)).tolist():
        if len(kept) == report.keep:
            break
        with suppress(ImageError):
            content = small_file(judged.picture(int(judged.answers.places[row])), side)
            name = judged.answers.names(row, report.checkpoint.labels)[0]
            kept.append(KeptExample(label=name, split=judged.split, content=content))
    return kept
