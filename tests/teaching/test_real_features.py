"""On features of real digits: leaving out, adding, taking away and folding equal solving anew, to 1e-6 in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.evaluation.test_leave_one_out import anew

from tiny_checkpoint import TINY, checkpoint
from vitascope.data.open import open_data
from vitascope.evaluation.features import FeatureStore
from vitascope.evaluation.fewshot import Ridge, signs
from vitascope.evaluation.leave_one_out import left_out
from vitascope.teaching.known import Known
from vitascope.teaching.lesson import Lesson, learn
from vitascope.teaching.settings import Teaching

CLOSE = 1e-6
SHAPES = {"n < d": 24, "n > d": 150}
ODD = ("as they are", "duplicate rows", "one image in a class", "constant features")
WIDTH = 48


@pytest.fixture(scope="module")
def digits() -> Known:
    """150 of scikit-learn's digits by a ViT of width 48, with ten classes."""
    config = replace(TINY, width=WIDTH, heads=2, hidden=96)
    ck, source = checkpoint(config), open_data("digits").train
    assert source is not None
    places = np.arange(max(SHAPES.values()))
    return Known(
        features=FeatureStore(ck.model, ck.preprocess)(source, places),
        classes=source.classes,
        labels=source.labels[places],
        names=tuple(f"{i}.png" for i in places),
        marks=places + 1,
        groups=places,
    )


def some(digits: Known, shape: str, odd: str) -> Known:
    """The first of them; the last but one comes three times, or is all there is of its class."""
    known = digits.without(digits.names[SHAPES[shape] :])
    features, labels, groups = known.features.copy(), known.labels.copy(), known.groups.copy()
    if odd == "duplicate rows":
        features[-4:-1], labels[-4:-1], groups[-4:-1] = features[-4], labels[-4], groups[-4]
    if odd == "one image in a class":
        labels[labels == labels[-2]] = (labels[-2] + 1) % len(known.classes)
        labels[-2] = known.labels[-2]
    if odd == "constant features":
        features[:, 5], features[:, 11] = 3.0, 0.0
    return replace(known, features=features, labels=labels, groups=groups).without([])  # nor classes without images


def head(lesson: Lesson) -> np.ndarray:
    """The regression itself, (K, d + 1): what was folded, times the temperature, classes by name."""
    order = np.argsort(lesson.known.classes)
    whole = np.concatenate([lesson.head.weight, lesson.head.bias[:, None]], axis=1)
    return lesson.head.temperature * whole[order]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("shape", SHAPES)
def test_leaving_out_is_solving_without(digits: Known, shape: str, odd: str) -> None:
    known = some(digits, shape, odd)
    assert (len(known) > WIDTH) == (shape == "n > d")
    targets, ones = signs(known.labels, len(known.classes)), np.ones(len(known))
    for l2 in (0.25, 16.0, 1024.0):
        ridge = Ridge.of(known.features, targets)
        found = left_out(ridge, known.features, targets, l2, groups=known.groups)
        for group in np.unique(known.groups):
            members = np.flatnonzero(known.groups == group)
            expected = anew(known.features, targets, l2, ones, members)
            assert np.abs(found[members] - expected).max() < CLOSE


@pytest.mark.parametrize("balance", [False, True])
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("shape", SHAPES)
def test_adding_and_taking_away_are_teaching_what_is_left(digits: Known, shape: str, odd: str, balance: bool) -> None:
    known, settings = some(digits, shape, odd), Teaching(balance=balance)
    whole = learn(known, settings)
    first = known.without([*{known.classes[known.labels[-2]], "2"}, known.names[0]])  # a class or two, and one image
    rest = known.without(first.names)
    both, again, relabelled = first.with_more(rest)
    assert (again, relabelled) == (0, 0)
    added = learn(both, settings)
    assert np.abs(head(added) - head(whole)).max() < CLOSE
    back = learn(both.without(rest.names), settings)
    assert back.known.classes == first.classes
    assert np.abs(head(back) - head(learn(first, settings))).max() < CLOSE
    assert added.results["loo_top1"] == whole.results["loo_top1"]
    assert back.results["loo_top1"] == learn(first, settings).results["loo_top1"]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_linear_layer_is_the_regression(digits: Known, shape: str, odd: str) -> None:
    known = some(digits, shape, odd)
    lesson = learn(known, Teaching())
    ridge = Ridge.of(known.features, signs(known.labels, len(known.classes)))
    expected = ridge.scores(digits.features, lesson.head.l2) / lesson.head.temperature
    assert np.abs(lesson.logits(digits.features.astype(np.float64)) - expected).max() < CLOSE
    ck = lesson.onto(checkpoint(replace(TINY, width=WIDTH, heads=2, hidden=96)), shown=None)
    linear = ck.model.head.linear
    assert linear is not None
    with torch.no_grad():
        found = linear(torch.from_numpy(digits.features)).numpy()
    assert np.abs(found - expected).max() < 1e-4 * max(1, np.abs(expected).max())  # in float32
