"""The few-shot protocol (Section 4.1): a few training images per class, several draws, every test image.

Subsets are nested: seed s puts the images of each class in one order, and k shots are the first k. What turns images
into features is passed in, so that this file knows no model.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from vitascope.data.labels import single_labels
from vitascope.data.source import Int64, Source, require_same_classes
from vitascope.errors import ConfigError, DataError
from vitascope.evaluation.fewshot import Ridge
from vitascope.evaluation.interval import Interval, interval
from vitascope.evaluation.neighbours import NEIGHBOURS, neighbour_predict
from vitascope.evaluation.probe import probe_predict
from vitascope.fields import Count, Several, check_fields
from vitascope.streams import Stream, generator
from vitascope.wording import printable, some

Method = Literal["ridge", "knn", "probe"]
"""The paper's closed form, nearest neighbours, logistic regression."""
Shots = Count | Literal["all"]
"""Training images per class, or all there are."""
Rows = npt.NDArray[np.float32]
"""Features (n, d)."""
Features = Callable[[Source, Int64], Rows]
"""(source, positions (n,)) → features (n, d)."""
Predicted = tuple[float | None, Int64]
"""λ, None but for "ridge", and the classes of the test images."""


@dataclass(frozen=True, kw_only=True)
class FewShot:
    """What to try. Raises ConfigError for what cannot be."""

    shots: Annotated[tuple[Shots, ...], Several()] = (1, 5, 10)
    """Training images per class, or all; the official code has 1, 5, 10, 25."""
    seeds: Count = 5
    """Draws of the training images, seeds 0, 1, …; the official code has 3."""
    methods: Annotated[tuple[Method, ...], Several()] = get_args(Method)
    """Of ridge (closed form), knn (nearest neighbours) and probe (logistic regression)."""
    l2: Annotated[tuple[float, ...], Several()] = (1024.0,)
    """λ of the ridge regression; 2¹⁰ is the official code's."""
    neighbours: Count = NEIGHBOURS
    """How many vote in "knn", at most."""

    def __post_init__(self) -> None:
        check_fields(self)
        if min(self.l2) <= 0:
            raise ConfigError(f"l2 is {self.l2}, expected numbers above 0; the official rule has 1024")


def _ridge(settings: FewShot, x: Rows, y: Int64, asked: Rows, classes: int) -> list[Predicted]:
    ridge = Ridge.fit(x, y, classes)
    return [(l2, ridge.predict(asked, l2)) for l2 in settings.l2]


METHODS: dict[str, Callable[[FewShot, Rows, Int64, Rows, int], list[Predicted]]] = {
    "ridge": _ridge,
    "knn": lambda settings, x, y, asked, k: [(None, neighbour_predict(x, y, asked, k, settings.neighbours))],
    "probe": lambda settings, x, y, asked, k: [(None, probe_predict(x, y, asked, k))],
}
"""The paper's closed form, nearest neighbours, logistic regression: of features and labels, those asked about, K."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One method at one number of shots."""

    method: str
    """Of METHODS."""
    l2: float | None
    """λ; None but for "ridge"."""
    shots: Shots
    """Training images per class; "all" is one draw."""
    accuracies: tuple[float, ...]
    """Share of test images that are right, in [0, 1], by seed."""

    @property
    def interval(self) -> Interval:
        """Mean and 95 % interval over the seeds."""
        return interval(self.accuracies)

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values; "half" is half the width of the interval, null of a single seed."""
        interval = self.interval
        head = {"method": self.method, "l2": self.l2, "shots": self.shots}
        return {**head, "mean": interval.mean, "half": interval.half, "accuracies": list(self.accuracies)}


def few_shot(
    settings: FewShot,
    train: Source,
    test: Source,
    features: Features,
    progress: Callable[[int, int], None] | None = None,
) -> list[Outcome]:
    """Accuracy on all of `test` after seeing a few images per class of `train`, by shots, then method, then λ.

    Features are asked for once: of every test image, and of those training images that some seed draws. Raises
    `DataError` where a class has too few images or the classes differ.
    """
    answers, labels = labels_as_in(train, test), single_labels(train, "few-shot learning")
    require_shots(train, answers, max((s for s in settings.shots if s != "all"), default=1))
    draws = [draw_shots(train, max(map(_most, settings.shots)), seed) for seed in range(settings.seeds)]
    needed = np.unique(np.concatenate([rows for draw in draws for rows in draw]))
    known = features(train, needed)
    asked = features(test, np.arange(len(test), dtype=np.int64))
    right: dict[tuple[Shots, str, float | None], list[float]] = {}
    parts = [(draw, s) for seed, draw in enumerate(draws) for s in settings.shots if s != "all" or seed == 0]
    for done, (draw, shots) in enumerate(parts, start=1):
        chosen = np.concatenate([rows[: _most(shots)] for rows in draw])
        x, y = known[np.searchsorted(needed, chosen)], labels[chosen]
        for method in settings.methods:
            for l2, predicted in METHODS[method](settings, x, y, asked, len(train.classes)):
                right.setdefault((shots, method, l2), []).append(float((predicted == answers).mean()))
        if progress is not None:
            progress(done, len(parts))
    return [
        Outcome(method=method, l2=l2, shots=shots, accuracies=tuple(values))
        for (shots, method, l2), values in right.items()
    ]


def _most(shots: Shots) -> int:
    return sys.maxsize if shots == "all" else shots


def draw_shots(source: Source, shots: int, seed: int) -> list[Int64]:
    """`shots` positions of every class that has images, in the order of the classes.

    A class's draw follows from (seed, class) and its own images: fewer shots are the first of more, and another
    class's images change nothing. A class with fewer images gives all it has.
    """
    labels = single_labels(source, "few-shot learning")
    return [
        generator(Stream.SHOTS, seed, label).permutation(np.flatnonzero(labels == label))[:shots]
        for label in np.unique(labels)
    ]


def labels_as_in(train: Source, test: Source) -> Int64:
    """The labels of `test` as numbers of `train`'s classes, matched by name; `DataError` unless both have the same."""
    if set(train.classes) != set(test.classes):
        require_same_classes(train, test)
    place = {name: number for number, name in enumerate(train.classes)}
    return np.array([place[name] for name in test.classes], dtype=np.int64)[single_labels(test, "few-shot learning")]


def require_shots(train: Source, answers: Int64, shots: int) -> None:
    """`DataError` unless every class that occurs has `shots` training images, and there are two to tell apart."""
    if len(answers) == 0:
        raise DataError(f"there are no test images for {printable(train.name)}; give --test DATA that has some")
    counts = train.counts()
    occurs = (counts > 0) | (np.bincount(answers, minlength=len(counts)) > 0)
    few = [f"{train.classes[i]} ({counts[i]})" for i in np.flatnonzero(occurs & (counts < shots))]
    if few:
        raise DataError(
            f"{printable(train.name)} has fewer than {shots} images of {some(few)}; ask for fewer --shots or add images"
        )
    if np.count_nonzero(counts) < 2:
        raise DataError(f"{printable(train.name)} has images of one class only, expected two or more to tell apart")
