"""The closed form: against the official code's predictions, scikit-learn's ridge and the formula written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as Peer

import vitascope as vs
import vitascope.evaluation.fewshot
from vitascope.errors import ConfigError
from vitascope.evaluation.fewshot import BIAS, Ridge, fewshot_predict

GOLDEN = Path(__file__).parents[1] / "golden"


def data(n: int, d: int, m: int = 50, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features around a centre per class, float32, on scales that differ by feature."""
    rng = np.random.default_rng(seed)
    centres, scales = rng.normal(size=(classes, d)), 10.0 ** rng.uniform(-2, 2, d)
    train_y = np.arange(n) % classes
    test_y = rng.integers(0, classes, m)
    train_x, test_x = (
        (scales * (3 + centres[y] + rng.normal(size=(len(y), d)))).astype(np.float32) for y in (train_y, test_y)
    )
    return train_x, train_y, test_x


@pytest.mark.parametrize("name", ["wide", "tall"])
@pytest.mark.parametrize(("l2", "least"), [(1024, 1.0), (1, 0.98)])
def test_predictions_of_the_official_code(name: str, l2: int, least: float) -> None:
    golden = np.load(GOLDEN / f"fewshot_{name}.npz")
    classes = int(golden["y_train"].max()) + 1
    predicted = vs.evaluation.fewshot_predict(
        golden["x_train"], golden["y_train"], golden["x_test"], classes, l2=float(l2)
    )
    same = float((predicted == golden[f"predictions_l2_{l2}"]).mean())
    print(f"{name}, l2 {l2}: {same:.2%} of the predictions agree")
    assert same >= least
    if l2 == 1024:
        assert (predicted == golden["y_test"]).mean() == pytest.approx(golden["accuracy_l2_1024"], abs=1e-6)
        default = fewshot_predict(golden["x_train"], golden["y_train"], golden["x_test"], classes)
        assert np.array_equal(default, predicted)


@pytest.mark.parametrize("n", [12, 21, 22, 200], ids=["wide", "n = d + 1", "n = d + 2", "tall"])
@pytest.mark.parametrize("l2", [1.0, 1024.0, 1e6])
def test_scores_are_those_of_scikit_learn_with_the_bias_as_a_feature(n: int, l2: float) -> None:
    train_x, train_y, test_x = data(n, 20)
    mean, std = train_x.mean(axis=0, dtype=np.float64), train_x.std(axis=0, dtype=np.float64) + 1e-5

    def augmented(x: np.ndarray) -> np.ndarray:
        return np.hstack([(x - mean) / std, np.full((len(x), 1), 100.0)])

    peer = Peer(alpha=l2, fit_intercept=False, solver="cholesky")
    peer.fit(augmented(train_x), 2.0 * np.eye(4)[train_y] - 1)
    got = Ridge.fit(train_x, train_y, 4).scores(test_x, l2)
    assert np.abs(got - peer.predict(augmented(test_x))).max() < 1e-8
    assert np.abs(Ridge.fit(train_x, train_y, 4).weights(l2) - peer.coef_.T).max() < 1e-8


def test_both_forms_are_the_normal_equations() -> None:
    for n in (10, 40):
        train_x, train_y, _ = data(n, 20)
        x = (train_x - train_x.mean(0, dtype=float)) / (train_x.std(0, dtype=float) + 1e-5)
        x = np.c_[x, np.full(n, BIAS)]
        w = np.linalg.solve(x.T @ x + 7 * np.eye(21), x.T @ np.where(train_y[:, None] == np.arange(4), 1.0, -1.0))
        fit = Ridge.fit(train_x, train_y, 4)
        assert len(fit.eigenvalues) == min(n, 21)
        assert np.abs(fit.weights(7) - w).max() < 1e-8


@pytest.mark.parametrize("n", [12, 80])
def test_the_order_of_images_and_the_names_of_classes_play_no_part(n: int) -> None:
    train_x, train_y, test_x = data(n, 30)
    rng = np.random.default_rng(1)
    order, asked, renamed = rng.permutation(n), rng.permutation(50), rng.permutation(4)
    expected = fewshot_predict(train_x, train_y, test_x, 4)
    assert len(set(expected.tolist())) == 4
    assert np.array_equal(fewshot_predict(train_x[order], train_y[order], test_x, 4), expected)
    assert np.array_equal(fewshot_predict(train_x, train_y, test_x[asked], 4), expected[asked])
    assert np.array_equal(fewshot_predict(train_x, renamed[train_y], test_x, 4), renamed[expected])


def test_scale_and_shift_of_features_play_no_part_but_l2_does() -> None:
    train_x, train_y, test_x = data(40, 10)
    fit = Ridge.fit(train_x, train_y, 4)
    moved = Ridge.fit(5 * train_x.astype(float) - 3, train_y, 4)
    assert np.allclose(moved.scores(5 * test_x.astype(float) - 3), fit.scores(test_x), atol=1e-3)  # but for the floor
    assert not np.allclose(fit.scores(test_x, 1.0), fit.scores(test_x, 1024.0), atol=0.05)


def test_one_factorisation_serves_every_l2() -> None:
    train_x, train_y, test_x = data(40, 10)
    fit = Ridge.fit(train_x, train_y, 4)
    for l2 in (0.5, 2.0, 1024.0):
        assert np.array_equal(fit.predict(test_x, l2), fewshot_predict(train_x, train_y, test_x, 4, l2))


def test_more_test_images_than_are_scored_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    train_x, train_y, test_x = data(12, 10)
    whole = Ridge.fit(train_x, train_y, 4).scores(test_x)
    monkeypatch.setattr(vitascope.evaluation.fewshot, "_ROWS", 7)
    assert np.allclose(Ridge.fit(train_x, train_y, 4).scores(test_x), whole, atol=1e-12)
    assert fewshot_predict(train_x, train_y, test_x[:0], 4).shape == (0,)


def test_tensors_and_lists_are_taken() -> None:
    train_x, train_y, test_x = data(12, 5)
    expected = fewshot_predict(train_x, train_y, test_x, 4)
    given = (torch.from_numpy(train_x), torch.from_numpy(train_y), torch.from_numpy(test_x))
    assert np.array_equal(fewshot_predict(*given, 4), expected)
    assert np.array_equal(fewshot_predict(train_x.tolist(), train_y.tolist(), test_x.tolist(), 4), expected)
    assert expected.dtype == np.int64


@pytest.mark.parametrize("n", [12, 80])
def test_features_that_never_change_and_classes_without_images_do_no_harm(n: int) -> None:
    train_x, train_y, test_x = data(n, 10)
    expected = fewshot_predict(train_x, train_y, test_x, 4)
    flat, tested = np.c_[train_x, np.full(n, 0.3)], np.c_[test_x, np.full(50, 0.3)]
    assert np.array_equal(fewshot_predict(flat, train_y, tested, 4), expected)
    assert np.array_equal(fewshot_predict(train_x, train_y + 1, test_x, 9), expected + 1)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"l2": 0.0}, "l2 is 0.0, expected a number above 0"),
    ({"l2": float("nan")}, "l2 is nan"),
    ({"classes": 0}, "classes is 0"),
    ({"classes": 3}, "labels from 0 to 3, expected 0 to 2"),
    ({"train_y": np.arange(12) - 1}, "labels from -1 to 10"),
    ({"train_y": np.zeros(11, int)}, "one whole number for each of 12 rows"),
    ({"train_y": np.zeros(12)}, "labels are float64"),
    ({"train_x": np.zeros((0, 5))}, "no training features"),
    ({"train_x": np.zeros(12)}, r"shape \(12,\)"),
    ({"train_x": np.full((12, 5), np.nan)}, "NaN or infinity"),
    ({"test_x": np.zeros((3, 4))}, r"shape \(3, 4\), expected \(images, 5\)"),
    ({"test_x": np.full((3, 5), np.inf)}, "NaN or infinity"),
]


@pytest.mark.parametrize(("changed", "said"), BAD)
def test_what_cannot_be_is_refused_in_one_line(changed: dict[str, Any], said: str) -> None:
    train_x, train_y, test_x = data(12, 5)
    given = {"train_x": train_x, "train_y": train_y, "test_x": test_x, "classes": 4, **changed}
    with pytest.raises(ConfigError, match=said) as caught:
        fewshot_predict(**given)
    assert "\n" not in str(caught.value)


def test_names_of_the_package_are_functions_also_after_their_files_were_imported() -> None:
    from vitascope import evaluation

    for name in evaluation.__all__:
        assert callable(getattr(evaluation, name))
        assert name in dir(evaluation)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = evaluation.nonsense
