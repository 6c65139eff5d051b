"""The few-shot protocol on features that need no model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vitascope.data.kept import ArraySource
from vitascope.data.source import Source
from vitascope.errors import ConfigError, DataError
from vitascope.evaluation.fewshot import fewshot_predict
from vitascope.evaluation.interval import interval
from vitascope.evaluation.shots import FewShot, Outcome, draw_shots, few_shot

CLASSES = ("ant", "bee", "cat")


def source(labels: list[int], name: str = "made", classes: tuple[str, ...] = CLASSES, first: int = 0) -> ArraySource:
    """Images whose pixels are their number."""
    images = np.arange(first, first + len(labels), dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    return ArraySource(name, classes, np.array(labels, dtype=np.int64), images)


TRAIN = source([0, 1, 2, 2, 1, 0] * 4)
TEST = source([2, 0, 1] * 7, "judged", first=100)


class Features:
    """Of an image: a noisy hint of its label, from its number alone; counts how often each is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[int]]] = []

    def __call__(self, source: Source, positions: np.ndarray) -> np.ndarray:
        self.asked.append((source.name, positions.tolist()))
        rows = []
        for position in positions:
            hint = 2 + np.eye(3, 6)[source.labels[position]]
            rows.append(hint + 0.5 * np.random.default_rng(int(source[position][0, 0, 0])).normal(size=6))
        return np.array(rows, dtype=np.float32)


def test_every_combination_is_judged_on_every_test_image() -> None:
    settings = FewShot(shots=(1, 4), seeds=3, l2=(1.0, 1024.0))
    told: list[tuple[int, int]] = []
    found = few_shot(settings, TRAIN, TEST, Features(), lambda done, total: told.append((done, total)))
    one = [("ridge", 1.0), ("ridge", 1024.0), ("knn", None), ("probe", None)]
    assert [(o.shots, o.method, o.l2) for o in found] == [(s, *rest) for s in (1, 4) for rest in one]
    for outcome in found:
        assert len(outcome.accuracies) == 3
        assert all((21 * a) == pytest.approx(round(21 * a)) for a in outcome.accuracies)
        assert outcome.interval == interval(outcome.accuracies)
        assert set(outcome.as_json()) == {"method", "l2", "shots", "mean", "half", "accuracies"}
    assert told == [(n, 6) for n in range(1, 7)]


def test_an_accuracy_is_that_of_the_drawn_images() -> None:
    features = Features()
    found, _ = few_shot(FewShot(shots=(3, 5), seeds=2, methods=("ridge",)), TRAIN, TEST, features)
    for seed in (0, 1):
        chosen = np.concatenate(draw_shots(TRAIN, 3, seed))
        asked = features(TEST, np.arange(21))
        predicted = fewshot_predict(features(TRAIN, chosen), TRAIN.labels[chosen], asked, 3)
        assert found.accuracies[seed] == (predicted == TEST.labels).mean()
    assert found.accuracies[0] != found.accuracies[1]


def test_all_is_every_training_image_in_one_draw_whatever_the_classes_have() -> None:
    uneven, features = source([0, 0, 0, 0, 1, 2, 2]), Features()
    two, whole = few_shot(FewShot(shots=(1, "all"), seeds=2, methods=("ridge",)), uneven, TEST, features)
    assert (len(two.accuracies), len(whole.accuracies)) == (2, 1)
    predicted = fewshot_predict(features(uneven, np.arange(7)), uneven.labels, features(TEST, np.arange(21)), 3)
    assert whole.accuracies[0] == (predicted == TEST.labels).mean()
    assert whole.as_json()["shots"] == "all"


def test_features_are_asked_for_once_and_only_of_drawn_images() -> None:
    features = Features()
    few_shot(FewShot(shots=(1, 2), seeds=2), TRAIN, TEST, features)
    (train, drawn), (test, judged) = features.asked
    assert (train, test) == ("made", "judged")
    assert judged == list(range(21))
    assert sorted(set(drawn)) == drawn
    assert set(drawn) == {int(i) for seed in (0, 1) for rows in draw_shots(TRAIN, 2, seed) for i in rows}


def test_draws_are_nested_and_differ_by_seed() -> None:
    for seed in range(3):
        few, many = draw_shots(TRAIN, 2, seed), draw_shots(TRAIN, 5, seed)
        for label, (less, more) in enumerate(zip(few, many, strict=True)):
            assert less.tolist() == more[:2].tolist()
            assert len(set(more.tolist())) == 5
            assert set(TRAIN.labels[more]) == {label}
    assert len({tuple(np.concatenate(draw_shots(TRAIN, 3, seed))) for seed in range(6)}) == 6


def test_another_classs_images_do_not_move_a_draw() -> None:
    fewer = source([0, 1, 2, 2, 1, 0] * 4)
    fewer.labels[fewer.labels == 2] = 1
    assert draw_shots(fewer, 4, 0)[0].tolist() == draw_shots(TRAIN, 4, 0)[0].tolist()


def test_classes_are_matched_by_name() -> None:
    turned = source([2 - label for label in TEST.labels], "judged", CLASSES[::-1], first=100)
    aligned = Features()

    def features(s: Source, positions: np.ndarray) -> np.ndarray:
        return aligned(TEST if s is turned else s, positions)

    settings = FewShot(shots=(4,), seeds=2)
    expected = few_shot(settings, TRAIN, TEST, Features())
    assert few_shot(settings, TRAIN, turned, features) == expected
    assert max(o.interval.mean for o in expected) > 0.6


def test_classes_that_occur_nowhere_are_no_fault() -> None:
    named = (*CLASSES, "dodo")
    train, test = source(TRAIN.labels.tolist(), classes=named), source(TEST.labels.tolist(), "judged", named, 100)
    settings = FewShot(shots=(4,), seeds=2)
    assert few_shot(settings, train, test, Features()) == few_shot(settings, TRAIN, TEST, Features())


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        (source([0, 0, 0, 1, 2, 2, 2]), TEST, r"made has fewer than 3 images of bee \(1\)"),
        (source([0, 0, 0, 1, 1, 1]), TEST, r"fewer than 3 images of cat \(0\)"),
        (source([0, 0, 0]), source([0]), "of one class only"),
        (TRAIN, source([]), "no test images"),
        (TRAIN, source([0, 1], classes=("ant", "elk", "cat")), "lacks: bee; has besides: elk"),
        (TRAIN, source([0, 1], classes=("ant", "bee")), "lacks: cat"),
    ],
)
def test_data_that_will_not_do_is_refused_before_any_features(train: Source, test: Source, said: str) -> None:
    features = Features()
    with pytest.raises(DataError, match=said) as caught:
        few_shot(FewShot(shots=(1, 3), seeds=1), train, test, features)
    assert "\n" not in str(caught.value)
    assert features.asked == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"shots": (1, 0)}, r"shots is \(1, 0\), expected a whole number of at least 1"),
        ({"shots": (-5,)}, r"shots is \(-5,\)"),
        ({"shots": ()}, r"shots is \(\), expected 1 or more values"),
        ({"shots": (5, 5)}, "each once"),
        ({"seeds": 0}, "seeds is 0"),
        ({"l2": (0.0,)}, "expected numbers above 0"),
        ({"l2": (float("inf"),)}, "expected a number"),
        ({"methods": ("ridge", "svm")}, "methods is .*, expected one of ridge, knn, probe"),
        ({"neighbours": 0}, "neighbours is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        FewShot(**changed)


def test_each_setting_changes_something() -> None:
    def run(**changed: Any) -> list[Outcome]:
        settings = FewShot(**{"shots": (6,), "seeds": 4, **changed})
        return few_shot(settings, TRAIN, TEST, Features())

    usual = run()
    for changed in ({"shots": (2,)}, {"seeds": 3}, {"l2": (1e-3,)}, {"methods": ("ridge",)}, {"neighbours": 1}):
        accuracies, others = ([o.accuracies for o in found] for found in (run(**changed), usual))
        assert accuracies != others, changed
