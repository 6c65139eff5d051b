"""What the cells of a study read: subsets of its sources, what is held out of them, and the target."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np

from vitascope.data.among import copied
from vitascope.data.kept import in_memory
from vitascope.data.labels import single_labels
from vitascope.data.open import open_data
from vitascope.data.source import Source, View
from vitascope.errors import DataError
from vitascope.evaluation.shots import labels_as_in, require_shots
from vitascope.streams import Stream, generator
from vitascope.studies.settings import Study

log = logging.getLogger(__name__)

_MEMORY = 2**30  # bytes of decoded images kept of each split in a process; of larger ones nothing is


@dataclass(frozen=True, kw_only=True)
class Pool:
    """One source of pre-training."""

    train: Source
    """What subsets are drawn from."""
    validation: Source
    """What the best step is chosen on, the same for all subsets; none of them holds any of it."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One of what is fine-tuned on."""

    train: Source
    """What is learned, whole or from few shots."""
    test: Source
    """What is reported."""


@dataclass(frozen=True, kw_only=True)
class StudyData:
    """What all cells read, decoded once."""

    pools: tuple[Pool, ...]
    """By source."""
    targets: tuple[Target, ...]
    """In the study's order."""
    contents: dict[str, str] = field(default_factory=dict)
    """What stands for each of them as it was found, and for what is left of a source (`Source.contents`)."""
    notes: tuple[str, ...] = ()
    """What was left out, and what was not looked for: a line each."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Images to train on, by source."""
        return tuple(len(pool.train) for pool in self.pools)


def open_study(study: Study) -> StudyData:
    """Opens sources and targets; raises `DataError` where the study cannot be made of them."""
    sources = {source: open_data(source).train for source in study.sources}
    named, targets, own, notes = dict(sources), [], dict[str, Source](), list[str]()
    for target in study.targets:
        learned, judged, test = _open_target(study, target, notes)
        own[target] = learned
        targets.append(Target(train=in_memory(learned, _MEMORY), test=in_memory(judged, _MEMORY)))
        named |= {f"{target} (train)": learned, f"{target} (test)": judged}
        if not study.keep_copies:
            # A target is fine-tuned on as it is; where it is a source too, so is it learned from the start.
            sources |= {n: _without_copies(s, test, notes) for n, s in sources.items() if s and n != target}
            if target in sources:
                notes.append(f"copies of {target}'s own test images are not looked for in it: it is learned as it is")
    named |= {f"{name} (pool)": source for name, source in sources.items()}
    for note in notes:
        log.info("%s", note)
    return StudyData(
        pools=tuple(
            _open_pool(source, train, study.validation_images, own.get(source)) for source, train in sources.items()
        ),
        targets=tuple(targets),
        contents={name: source.contents() for name, source in named.items() if source is not None},
        notes=tuple(notes),
    )


def _open_target(study: Study, target: str, notes: list[str]) -> tuple[Source, Source, Source]:
    """What is learned and what is judged of a target, and all of its test images."""
    data = open_data(target)
    test = data.test or data.validation
    if data.train is None or test is None:
        lacking = "training images" if data.train is None else "test split to judge on"
        raise DataError(f"{target} has no {lacking}; put its images into train/ and test/, or give another target")
    learned = _part(data.train, study.target_images, Stream.STUDY_TARGET, notes)
    require_shots(learned, labels_as_in(learned, test), max(study.shots))  # not found out after training
    return learned, _part(test, study.test_images, Stream.STUDY_TEST, notes), test


def _part(source: Source, count: int | None, stream: Stream, notes: list[str]) -> Source:
    """So many images of `source`, drawn once; all of them where `count` is None or there are no more."""
    if count is None or count >= len(source):
        if count is not None and count > len(source):
            notes.append(f"{source.name} has {len(source):,} images, fewer than {count:,}: all are taken")
        return source
    chosen = generator(stream, 0).permutation(len(source))[:count]
    return View(source, np.sort(chosen), f"{source.name} ({count} images)")


def _without_copies(source: Source, test: Source, notes: list[str]) -> Source:
    """`source` without what is among the test images too, as they are or nearly (Section 4.1)."""
    again, said = copied(source, test)
    if said:
        notes.append(said)
    if not again.any():
        return source
    notes.append(f"{again.sum():,} of {len(source):,} images of {source.name} are also in {test.name}: left out")
    return View(source, np.flatnonzero(~again).astype(np.int64), source.name)


def _open_pool(source: str, train: Source | None, validation: int, own: Source | None = None) -> Pool:
    """Of a source's training images, or of those that are learned of it where it is a target itself (`own`)."""
    if train is None or len(train) < 2 * validation:
        raise DataError(
            f"{source} has {0 if train is None else len(train)} training images, too few to keep {validation} of them "
            "for validation; give other data, or fewer --validation-images"
        )
    single_labels(train, "a study")
    order = generator(Stream.STUDY_VALIDATION, 0).permutation(len(train))
    if own is not None and len(train) - len(own) >= validation:
        learned = np.isin(train.origin()[1], own.origin()[1])
        order = np.concatenate([order[~learned[order]][:validation], np.flatnonzero(learned)])
    train = in_memory(train, _MEMORY)
    held, rest = np.sort(order[:validation]), np.sort(order[validation:])
    return Pool(train=View(train, rest, train.name), validation=View(train, held, f"{train.name} (held out)"))


def nested_subset(pool: Source, size: int, seed: int) -> View:
    """`size` random images of `pool`; with the same seed a smaller subset lies in a larger one."""
    chosen = generator(Stream.SUBSET, seed).permutation(len(pool))[:size]
    return View(pool, np.sort(chosen), f"{pool.name} ({size} images, seed {seed})")
