"""All streams of random numbers that are drawn from a seed, each under a name of its own, so that no two ever meet."""

from __future__ import annotations

import hashlib
from enum import Enum

import numpy as np


class Stream(Enum):
    """What is drawn, and what a draw depends on besides the seed."""

    INITIAL = "initial values"
    """Of a model."""
    FACTORS = "factors"
    """Of low rank, beside a model's kernels."""
    ORDER = "order"
    """Of the training images; epoch."""
    AUGMENT = "augmentation"
    """Of an image; epoch, index."""
    MIX = "mixing"
    """MixUp and CutMix of a step; step, process."""
    STEP = "dropout"
    """Dropout, stochastic depth and dropped tokens of a step; step, process."""
    MASK = "masked"
    """Which patches of a step's images are hidden, and what stands in their place; step."""
    JUDGED_MASK = "masked and judged"
    """The same of an image that a masked model is judged on; its place."""
    HOLDOUT = "held out"
    """Which training images validate; class."""
    JUDGED = "judged"
    """The order of what a run by the clock is judged on."""
    SHOTS = "shots"
    """Of few-shot evaluation; class."""
    FORECAST = "forecast"
    """The part of the images that is taught again; number of the draw."""
    FEW_LABELS = "few labels"
    """Of the demo; images per class."""
    TRIED = "tried"
    """On which images a choice is tried."""
    SUBSET = "subset"
    """Of a study's pre-training images."""
    STUDY_VALIDATION = "study's validation"
    """What a study keeps out of every subset."""
    STUDY_TEST = "study's test"
    """Which test images a study looks at."""
    STUDY_TARGET = "study's target"
    """Which images a study fine-tunes on."""
    COST = "cost"
    """Random images to measure a model's speed with."""
    PICTURES = "pictures"
    """Which images a study of inductive bias looks at."""
    PIECES = "pieces"
    """The order of an image's pieces; number of the image."""
    CELL_WEIGHTS = "weights of a cell"
    """By which the channels of a cell are added up for a receptive field."""
    CALIBRATION = "calibration"
    """Which images an int8 model is calibrated on."""
    PROBE = "probe"
    """Images on which two engines are compared."""


def generator(stream: Stream, seed: int, *key: int) -> np.random.Generator:
    """Random numbers that depend on the stream, the seed and the key, and on nothing else."""
    return np.random.default_rng(_number(stream, seed, key))


def seed_of(stream: Stream, seed: int, *key: int) -> int:
    """The same as a seed for PyTorch, below 2⁶³."""
    return _number(stream, seed, key) >> 65


def _number(stream: Stream, seed: int, key: tuple[int, ...]) -> int:
    """128 bits. NumPy's own mixing of several numbers takes (3, 5) for (3, 5, 0), and 2³² + 5 for (5, 1)."""
    text = " ".join([stream.value, *(str(int(number)) for number in (seed, *key))])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16])
