"""Few-shot accuracy of a checkpoint's frozen features on a data set (Section 4.1)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from vitascope.checkpoints.load import load
from vitascope.data.among import copied
from vitascope.data.copies import digests
from vitascope.data.open import open_data
from vitascope.data.source import Source
from vitascope.device import resolve_device
from vitascope.errors import DataError
from vitascope.evaluation.features import FeatureStore, features_folder
from vitascope.evaluation.metrics import baseline
from vitascope.evaluation.shots import few_shot
from vitascope.recipes.asked import FewShotOf

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


def fewshot_checkpoint(
    asked: FewShotOf, reading: Progress | None = None, fitting: Progress | None = None
) -> dict[str, Any]:
    """Accuracy by shots and method, JSON-able: learns from the data's train split, is judged on its test split.

    With other data to be judged on, on that one's. Images are prepared as the checkpoint says, which for official ones
    is not the few-shot evaluator's own crop. Raises `UserError` for what the user can mend.
    """
    ck = load(asked.checkpoint, image_size=asked.image_size)
    train = open_data(asked.data).train
    if train is None or len(train) == 0:
        raise DataError(f"{asked.data} has no train split to draw shots from; give data that has one")
    split, judged = _judged(asked.data, asked.test, train)
    again, unlooked = copied(judged, train)
    if unlooked:
        log.info("%s", unlooked)
    twice = None if unlooked and not again.any() else int(again.sum())
    among = None if ck.shown is None else ck.shown.among(digests(judged))
    trained = None if among is None else int(among.sum())
    for count, what in (
        (twice, "have copies or near copies among the images to learn from"),
        (trained, "were trained on"),
    ):
        if count:
            log.warning("%d of the %d images that are judged %s: no measure of new ones", count, len(judged), what)
    store = FeatureStore(
        ck.model.to(resolve_device(asked.device)),
        ck.preprocess,
        batch=asked.batch,
        workers=asked.workers,
        folder=features_folder(),
        progress=reading,
    )
    outcomes = few_shot(asked, train, judged, store, fitting)
    return {
        "train": {"name": train.name, "images": len(train)},
        "test": {"name": judged.name, "split": split, "images": len(judged)},
        "test_copies": twice,
        "trained_on": trained,
        "baseline": baseline(judged.counts(), judged.classes),
        "seeds": asked.seeds,
        "neighbours": asked.neighbours,
        "features_computed": store.computed,
        "results": [outcome.as_json() for outcome in outcomes],
    }


def _judged(data: str, test: str | None, train: Source) -> tuple[str, Source]:
    """The split to be judged on, and its name: test, else validation; of other data, also all there is."""
    found = open_data(data).first("test", "validation") if test is None else open_data(test).first()
    if found is None:
        raise DataError(
            f"{data} has no test split to be judged on; give --test DATA of the same classes"
            if test is None
            else f"{test} holds no images to be judged on; give other --test data"
        )
    split, judged = found
    if split == "train" and judged.fingerprint() == train.fingerprint():
        raise DataError(f"{test} has the very images that {data} is learned from; give other --test data")
    return found
