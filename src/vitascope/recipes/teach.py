"""Teaching: a checkpoint's frozen features, a head in closed form (Section 4.1), and what it knows of itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.checkpoints.adapt import replace_head
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.load import load
from vitascope.checkpoints.output import atomic_folder
from vitascope.checkpoints.shown import shown_to
from vitascope.data.copies import Copies, Found, find_copies, looked_at
from vitascope.data.groups import group_keys, together
from vitascope.data.open import open_data
from vitascope.data.source import Int64, Source, Splits
from vitascope.device import resolve_device
from vitascope.errors import ConfigError, DataError
from vitascope.evaluation.answers import Answers
from vitascope.evaluation.features import FeatureStore, Float32, features_folder
from vitascope.inference.engines.auto import Auto, make_engine
from vitascope.recipes.asked import Teach
from vitascope.recipes.choose import with_start_to_teach
from vitascope.recipes.evaluation import relabelled
from vitascope.recipes.taught_report import report_of_lesson
from vitascope.reports.reported import RunReport
from vitascope.reports.write import write_run_report
from vitascope.teaching.known import Known, read_taught
from vitascope.teaching.lesson import Lesson, learn, write_lesson
from vitascope.teaching.settings import Teaching

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


def teach_run(
    asked: Teach,
    progress: Progress | None = None,
    splits: Splits | None = None,
    report: Callable[[RunReport], object] | None = None,
) -> Lesson:
    """Teaches and writes RUN: the model, report, results, environment and what was taught, wholly or not at all.

    `splits` stands in for opening `asked.data`, `report` takes what there is to report in place of RUN. Raises
    `UserError` for what the user can mend.
    """
    begun = time.monotonic()
    earlier, before = read_taught(asked.checkpoint), None
    if earlier is not None:
        before = earlier[0].without(asked.forget)
        if asked.image_size is not None:
            told = "was taught at its own image size; leave out --image-size, or teach a new run"
            raise ConfigError(f"{asked.checkpoint} {told}")
        group = earlier[1].get("group")
        if asked.group not in (None, group):
            told = f"with --group {group}" if group else "without --group"
            raise ConfigError(f"{asked.checkpoint} was taught {told}; leave it out, or teach a new run")
        asked = replace(asked, group=group)
    elif asked.forget or asked.data is None:
        what = "--forget is for" if asked.forget else "without DATA it must be"
        raise ConfigError(f"{asked.checkpoint} was not taught; {what} a run of `vitascope teach`")
    data = splits or (None if asked.data is None else open_data(asked.data))
    if data is not None:
        asked = with_start_to_teach(asked, data)
    checkpoint = load(asked.checkpoint, image_size=asked.image_size)
    store = _store(checkpoint, asked.device, batch=asked.batch, workers=asked.workers, progress=progress)
    if before is not None:
        before.check_made_by(store.made_by, asked.checkpoint)
    card = {"data": asked.data, "checkpoint": asked.checkpoint}
    with atomic_folder(Path(asked.out), what="teaching", overwrite=asked.overwrite) as folder:
        lesson, taught, answers = _lesson(checkpoint, data, store, before=before, settings=asked, card=card)
        alike = lesson.results["copies"]
        if contrary := sum(len(f["files"]) for f in alike if len(f["classes"]) > 1 and f["kind"] != "mirrored"):
            log.warning("%d images have copies under another label: `vitascope check` lists such", contrary)
        results = write_lesson(folder, lesson, taught, seconds=time.monotonic() - begun)
        lesson = replace(lesson, results=results)
        found = report_of_lesson(asked, lesson, taught, data or Splits(), answers)
        (report or partial(write_run_report, folder))(found)
    return lesson


def teach(
    checkpoint: Checkpoint,
    data: str | Source | Splits,
    *,
    device: str | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Checkpoint:
    """`checkpoint` with a linear head in closed form for `data`; its card's "results" say what it knows of itself.

    `data` is what `open_data` takes, its splits, or a source; `settings` are those of `Teaching`; `progress` is told
    how many images are seen, of how many. The checkpoint's model lends its weights, and should not be used on. Raises
    `UserError` for what the user can mend.
    """
    opened = open_data(data) if isinstance(data, str) else data
    splits = opened if isinstance(opened, Splits) else Splits(train=opened)
    return _lesson(checkpoint, splits, _store(checkpoint, device, progress=progress), settings=Teaching(**settings))[1]


def features_of(checkpoint: Checkpoint, source: Source, device: str | None = None) -> Float32:
    """What the head of `checkpoint` sees of all images of `source`, (n, d), as in teaching."""
    return _store(checkpoint, device)(source, np.arange(len(source), dtype=np.int64))


def _store(checkpoint: Checkpoint, device: str | None, batch: int = Teach.batch, **how: Any) -> FeatureStore:
    """Features as fine-tuning would see them, by engine "auto": a pre-training head's hidden layer is dropped."""
    place = resolve_device(device)
    headless = replace(checkpoint, model=replace_head(checkpoint.model, 0), labels=(), sets=None)
    engine = make_engine("auto", headless, place, "float32", batch)
    return FeatureStore(
        headless.model.to(place), checkpoint.preprocess, folder=features_folder(), compute=engine, batch=batch, **how
    )


def _lesson(
    checkpoint: Checkpoint,
    data: Splits | None,
    features: FeatureStore,
    *,
    settings: Teaching,
    before: Known | None = None,
    card: dict[str, Any] | None = None,
) -> tuple[Lesson, Checkpoint, dict[str, Answers]]:
    """Teaches the train split of `data` besides what was taught `before`; other splits judge it, with answers by split.

    Copies of one another are left out together. Raises `DataError` where there is nothing to tell apart.
    """
    splits = data or Splits()
    known, shown, alike = before, checkpoint.shown, list[Found]()
    if splits.train is not None and len(splits.train):
        if settings.group is not None:
            group_keys(splits.train, settings.group)  # a mistake there is told before the work
        rows, copies = _rows_and_copies(splits, features)
        alike = copies.found(splits)
        more = _look(splits.train, rows, *together(splits, copies, settings.group), features.made_by)
        shown = shown_to(splits.train, None, shown, chosen=False, features=False)
        if before is None:
            known = more
        else:
            known, again, corrected = before.with_more(more)
            if again or corrected:
                log.info("%d images were known already, %d of them under another label", again + corrected, corrected)
    if known is None:
        raise DataError("there are no images to teach: expected class folders, or a train split")
    lesson = learn(known, settings, checkpoint.shown)
    if trained_on := lesson.results["trained_on"]:
        log.warning(
            "this model was trained on %s of these %s images before: its leave-one-out figures flatter, and there is "
            "neither forecast nor prediction sets; teach what it began from, or `vitascope evaluate` it on others",
            *(f"{trained_on:,}", f"{len(known):,}"),
        )
    lesson.results.update(copies=[found.as_json(splits) for found in alike], group=settings.group)
    answers = dict[str, Answers]()
    for name, source in splits.present().items():
        if source is not splits.train and len(source):
            rows, labels = features(source, np.arange(len(source))), relabelled(source, known.classes).labels
            lesson.results[name], answers[name] = lesson.judge(rows, labels), lesson.answers(rows, labels)
    return lesson, lesson.onto(checkpoint, card=card, shown=shown), answers


def _rows_and_copies(splits: Splits, features: FeatureStore) -> tuple[Float32, Copies]:
    """Features of the train split; copies are looked for beside, because an engine being made leaves a core idle."""
    train, sources, ended = splits.train, list(splits.present().values()), threading.Event()
    assert train is not None

    def go_on(done: int, total: int) -> None:
        if ended.is_set():
            raise CancelledError

    with ThreadPoolExecutor(1) as beside:
        searched = beside.submit(find_copies, sources, go_on)
        try:
            if features.workers:  # which are forked, and must not inherit another thread's locks
                searched.result()
            if isinstance(features.compute, Auto) and (coming := sum(map(features.missing, sources))):
                features.compute.expect(coming)
            rows = features(train, np.arange(len(train), dtype=np.int64))
        except BaseException:
            ended.set()
            raise
        return rows, searched.result()


def _look(source: Source, rows: Float32, groups: Int64, keys: Int64 | None, made_by: str) -> Known:
    """What has to be known of a source's images."""
    marks, small = looked_at(source) or (np.zeros(len(source), dtype=np.int64), None)
    return Known(
        features=rows,
        classes=source.classes,
        labels=source.labels,
        names=tuple(source.describe(i) for i in range(len(source))),
        marks=marks,
        groups=groups,
        keys=keys,
        small=small,
        made_by=made_by,
    )
