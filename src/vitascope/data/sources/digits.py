"""`digits`: 1,797 real handwritten digits, 8×8 grey, that scikit-learn carries; needs no network.

Source: the test part of the UCI "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak, 1998).
"""

from __future__ import annotations

import numpy as np

from vitascope.data.kept import ArraySource
from vitascope.data.source import Splits


def open_digits(name: str = "digits") -> Splits:
    """→ train (1,347) and test (450), uint8 (8, 8, 3); 0…16 is scaled to 0…255.

    The split is scikit-learn's train_test_split, a quarter for the test, stratified, random_state=0.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    values, labels = load_digits(return_X_y=True)
    grey = np.rint(values * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    images = np.repeat(grey[:, :, :, None], 3, axis=3)
    train, test = train_test_split(np.arange(len(labels)), test_size=0.25, random_state=0, stratify=labels)
    classes = tuple(str(digit) for digit in range(10))

    def part(name: str, rows: np.ndarray) -> ArraySource:
        places = [f"digits {name}[{i}] (row {row})" for i, row in enumerate(rows)]
        return ArraySource(f"digits {name}", classes, labels[rows].astype(np.int64), images[rows], places)

    return Splits(train=part("train", train), test=part("test", test))
