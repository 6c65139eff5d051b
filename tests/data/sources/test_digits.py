"""The digits of scikit-learn: sizes, range, split."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from vitascope.data.kept import ArraySource
from vitascope.data.sources.digits import open_digits


def test_digits() -> None:
    splits = open_digits()
    assert {name: len(source) for name, source in splits.present().items()} == {"train": 1347, "test": 450}
    assert splits.classes == tuple("0123456789")
    values, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(values, labels, test_size=0.25, random_state=0, stratify=labels)
    for source, x, y in ((splits.train, train_x, train_y), (splits.test, test_x, test_y)):
        assert isinstance(source, ArraySource)
        assert isinstance(source.images, np.ndarray)
        assert source.images.shape == (len(y), 8, 8, 3)
        assert source.images.dtype == np.uint8
        assert np.array_equal(source.labels, y)
        grey = source.images[..., 0]
        assert (source.images == grey[..., None]).all()
        assert np.array_equal(grey.reshape(len(y), 64), np.rint(x * 255 / 16))
        assert (grey.min(), grey.max()) == (0, 255)
    assert splits.test is not None
    assert splits.test.describe(0).startswith("digits test[0] (row ")
