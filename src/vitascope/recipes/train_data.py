"""What `train` learns from and what it holds out: without what cannot be read, copies and groups on one side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vitascope.data.check import Report
from vitascope.data.copies import find_copies, readable_part
from vitascope.data.groups import group_keys, together
from vitascope.data.holdout import stratified_holdout
from vitascope.data.source import Source, Splits, View
from vitascope.errors import DataError
from vitascope.recipes.prepare import check_trainable
from vitascope.recipes.train_asked import Train
from vitascope.wording import count, some


def divided(asked: Train, splits: Splits, report: Report) -> tuple[Splits, list[tuple[str, str]], int]:
    """What is learned from and held out, without what cannot be read; what is said of it; how many cannot be read.

    Copies and groups stay on one side: of the data's own splits, what is in training too is left out there.
    """
    images = sum(map(len, splits.present().values()))
    splits = Splits(**{name: _readable(source, report, name) for name, source in splits.present().items()})
    unreadable = images - sum(map(len, splits.present().values()))
    check_trainable(asked.data, splits)
    train = splits.train
    assert train is not None
    copies = find_copies(splits.present().values())
    rows, others = [], {name: source for name, source in splits.present().items() if source is not train}
    if others:
        again = np.zeros(len(train), dtype=bool)
        for source in others.values():
            again |= np.isin(copies.of(train), copies.of(source))
            if asked.group:
                again |= np.isin(group_keys(train, asked.group), group_keys(source, asked.group))
        if again.any():
            rows.append(
                ("copies", f"{count(int(again.sum()), 'training image')} left out: in {' and '.join(others)} too")
            )
            train = _without(train, again)
    validation = splits.validation
    if validation is None or not len(validation):
        side, _ = together(replace(splits, train=train), copies, asked.group)
        train, validation = stratified_holdout(train, asked.holdout, asked.seed, side)
        held = f"{len(validation):,} of {len(train) + len(validation):,} images, drawn by class, copies on one side"
        rows.insert(0, ("holdout", f"{held}: both ways are judged on them, neither learns them"))
    else:
        rows.insert(0, ("holdout", f"the {len(validation):,} validation images of the data"))
    return Splits(train=train, validation=validation, test=splits.test), rows, unreadable


def _readable(source: Source, report: Report, name: str) -> Source:
    """`source` without what `report` could not read, which may be cut short, nor who looked for copies."""
    lost = report.splits[name].unreadable
    keep = np.setdiff1d(np.arange(len(source), dtype=np.int64), lost)
    return readable_part(View(source, keep) if len(lost) else source)


def _without(train: Source, again: np.ndarray) -> Source:
    """`train` without some images; raises `DataError` where a class would have none left."""
    kept = View(train, np.flatnonzero(~again).astype(np.int64))
    gone = [name for name, n, was in zip(train.classes, kept.counts(), train.counts(), strict=True) if was and not n]
    if gone:
        raise DataError(
            f"{train.name}: every image of {some(gone, 4)} is a copy of one that it is to be judged on; "
            "remove the copies from one of the splits (`vitascope check` lists them)"
        )
    return kept


def median_side(report: Report) -> int:
    """The median shorter side of the training images, in pixels."""
    train = report.splits["train"]
    if train.heights is None or train.widths is None:
        raise DataError(f"{report.data}: no training image can be read; `vitascope check` lists them")
    return min(train.heights[1], train.widths[1])
