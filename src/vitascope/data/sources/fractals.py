"""Generated fractals: a labelled set of images of any size without a download.

A class is a function system (ifs.py); an instance is a perturbation of its parameters, a view and a way of painting
(fractal_paint.py). Everything about image i follows from (seed, i), so any image can be had alone, in any order and in
any process. After FractalDB (Kataoka et al., "Pre-training without Natural Images", ACCV 2020).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Annotated, Any

import numpy as np

from vitascope.data.source import Source, Splits
from vitascope.data.sources import fractal_paint, ifs
from vitascope.data.sources.uniforms import uniforms
from vitascope.errors import ConfigError, DataError
from vitascope.fields import Range, check_fields
from vitascope.wording import meant

STREAM = 1 << 20  # instances' random numbers; the systems' streams are small numbers
DRAWS = 192  # random numbers per image, of which some depend on options
_FEWEST_WORDS = 96  # a picture has words² points, four per pixel; with fewer than 96² small ones look like dust
_BLOCK = 64  # images whose parameters are handled together
_PIXELS = 1 << 16  # pixels painted together: their arrays stay in the processor's cache
_Maps = Annotated[int, Range(2, ifs.MAX_MAPS)]


@dataclass(frozen=True, kw_only=True)
class FractalConfig:
    """What to generate; the fields are the options of `fractals:key=value,…`."""

    classes: Annotated[int, Range(1, 1_000_000)] = 1000
    """Number of function systems (FractalDB-1k has 1,000)."""
    size: Annotated[int, Range(8, 1024)] = 32
    """Side of the square images, pixels."""
    instances: Annotated[int, Range(1, 10**9)] = 1000
    """Training images per class (FractalDB: 1,000)."""
    validation: Annotated[int, Range(0, 10**6)] = 10
    """Further images per class for the validation split; 0 for none."""
    colour: bool = False
    """Hues along the fractal's parts instead of grey."""
    background: bool = False
    """Plain, graded or noisy background instead of black."""
    jitter: Annotated[float, Range(0, 0.5)] = 0.15
    """Each parameter of each map is multiplied by a number within 1 ± this (1p-frac uses 0.1, FractalDB 0.2 to 1.8)."""
    rotation: Annotated[float, Range(0, 180)] = 30.0
    """Largest rotation to either side, degrees."""
    flips: bool = True
    """Flip images at random, both ways, as in FractalDB; without it a class keeps its orientation, as letters do."""
    fewest_maps: _Maps = 2
    """Fewest affine maps in a system (FractalDB: 2)."""
    most_maps: _Maps = 7
    """Most affine maps in a system (FractalDB: 7 or 8 by version; here at most 7)."""
    min_fill: Annotated[float, Range(0, 0.4)] = 0.2
    """Least share of its bounding box that a system covers (FractalDB: 0.2)."""
    max_fill: Annotated[float, Range(0.1, 1)] = 0.8
    """Largest such share: fuller ones are featureless blots."""
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0
    """Fixes all systems and all images."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.fewest_maps > self.most_maps:
            raise ConfigError(f"fewest_maps {self.fewest_maps} exceeds most_maps {self.most_maps}; swap them")
        if self.min_fill + 0.1 > self.max_fill:
            raise ConfigError(f"max_fill {self.max_fill} is less than 0.1 above min_fill {self.min_fill}; raise it")


class Fractals(Source):
    """A split of generated images: a Source whose image `index` has label index % classes.

    Images `first` to `first + count − 1` of the endless sequence that the configuration defines; `first` is a multiple
    of the number of classes. Function systems are found when first needed and kept.
    """

    together = True

    def __init__(
        self, config: FractalConfig, *, split: str = "train", first: int = 0, count: int | None = None
    ) -> None:
        self.config = config
        self.name = f"fractals {split}"
        self.classes = tuple(f"fractal-{i:04d}" for i in range(config.classes))
        self._first = first
        self._count = config.classes * config.instances if count is None else count
        words = max(_FEWEST_WORDS, 2 * config.size)
        self._words = words + -words % ifs.BASES
        self._known = np.zeros(config.classes, dtype=bool)
        self._maps = np.zeros((config.classes, ifs.MAX_MAPS, 6))
        self._table = np.zeros((config.classes, ifs.MAX_DEPTH, self._words), dtype=np.int8)

    @cached_property
    def labels(self) -> np.ndarray:  # type: ignore[override]  # made when asked for: there may be billions
        """Class of every image, int64 (len,)."""
        return np.arange(self._count, dtype=np.int64) % self.config.classes

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "labels"}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> np.ndarray:
        """Generate one image, uint8 (S, S, 3). Raises IndexError outside 0 … len − 1."""
        image: np.ndarray = self.read_many([index])[0]
        return image

    def identity(self) -> Iterable[bytes]:
        yield f"{self.config} {self._first} {self._count}".encode()

    def read_many(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Generate images, int (n,) → uint8 (n, S, S, 3), each the same as alone. Raises IndexError."""
        indices = np.asarray(indices, dtype=np.int64)
        if indices.size and not (indices.min() >= 0 and indices.max() < self._count):
            raise IndexError(
                f"{self.name} has images 0 to {self._count - 1}; received {indices.min()} to {indices.max()}"
            )
        size = self.config.size
        images = np.empty((len(indices), size, size, 3), dtype=np.uint8)
        for start in range(0, len(indices), _BLOCK):
            part = slice(start, start + _BLOCK)
            self._render(indices[part] + self._first, images[part])
        return images

    def _find_systems(self, labels: np.ndarray) -> None:
        missing = np.unique(labels[~self._known[labels]])
        if not len(missing):
            return
        c = self.config
        maps, shares = ifs.sample_systems(
            c.seed, missing, fewest=c.fewest_maps, most=c.most_maps, fill=(c.min_fill, c.max_fill)
        )
        self._maps[missing] = maps
        self._table[missing] = ifs.word_table(shares, self._words)
        self._known[missing] = True

    def _render(self, numbers: np.ndarray, out: np.ndarray) -> None:
        """Images by their numbers in the endless sequence, (n,), into `out`, uint8 (n, S, S, 3)."""
        c = self.config
        labels = numbers % c.classes
        self._find_systems(labels)
        u = uniforms(c.seed, STREAM, numbers, DRAWS)
        jitter = (1.0 + c.jitter * (2.0 * u[:, :42] - 1.0)).reshape(-1, ifs.MAX_MAPS, 6)
        maps = ifs.contract(self._maps[labels] * jitter)
        words = ifs.compose(maps, self._table[labels])  # (6, n, K)
        points = ifs.inner_points(maps, words)  # (n, B, 2, K)
        placed = ifs.follow(views(points, u[:, 42:50], c), words)
        at_once = max(1, _PIXELS // c.size**2)
        for start in range(0, len(numbers), at_once):
            part = slice(start, start + at_once)
            counts, sums = fractal_paint.count_points(placed[:, part], points[part], c.size, c.colour)
            fractal_paint.paint(counts, sums, u[part, 50:], c.colour, c.background, out[part])


def views(points: np.ndarray, u: np.ndarray, c: FractalConfig) -> np.ndarray:
    """Affine maps into pixels, (6, n) in the order a b c d e f: fit to the picture, flip, turn, zoom, shift.

    points (n, B, 2, K) tell where each attractor lies; u (n, 8) decides.
    """
    angle = np.deg2rad(c.rotation) * (2 * u[:, 0] - 1)
    mirrored = (u[:, 1:3] < 0.5) & c.flips
    flip_x, flip_y = np.where(mirrored, -1.0, 1.0).T
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([cos * flip_x, -sin * flip_y, sin * flip_x, cos * flip_y]).astype(np.float32)  # (4, n)
    x, y = points[:, :, 0].reshape(len(u), -1), points[:, :, 1].reshape(len(u), -1)
    view = np.empty((6, len(u)), dtype=np.float32)
    for axis in (0, 1):
        p, q = turn[2 * axis], turn[2 * axis + 1]
        along = p[:, None] * x + q[:, None] * y
        low, high = along.min(axis=1), along.max(axis=1)
        zoom = 0.7 + 0.3 * u[:, 3] + 0.15 * (u[:, 4 + axis] - 0.5)
        scale = (zoom * c.size / np.maximum(high - low, 1e-6)).astype(np.float32)
        shift = (u[:, 6 + axis] - 0.5) * 0.9 * np.maximum(1 - zoom, 0.1) * c.size
        view[2 * axis], view[2 * axis + 1] = p * scale, q * scale
        view[4 + axis] = c.size / 2 + shift - scale * (low + high) / 2
    return view


def open_fractals(name: str = "fractals", *, seed: str = "0", **options: str) -> Splits:
    """Open `fractals:key=value,…`: train, and validation with further instances of the same classes; no test split.

    Raises DataError for an unknown option or a value out of range.
    """
    kinds = {field.name: type(field.default) for field in fields(FractalConfig)}
    if unknown := next((key for key in options if key not in kinds), None):
        raise DataError(f"{name}: unknown option {unknown!r}; {meant(unknown, kinds)}")
    try:
        config = FractalConfig(**{key: _read(text, kinds[key]) for key, text in {"seed": seed, **options}.items()})
    except ConfigError as error:
        raise DataError(f"{name}: {error}") from None
    train = Fractals(config)
    if not config.validation:
        return Splits(train=train)
    further = Fractals(config, split="validation", first=len(train), count=config.classes * config.validation)
    return Splits(train=train, validation=further)


def _read(text: str, kind: type) -> Any:
    """An option's value; a text that is none stays one, and the check of fields says what it should be."""
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        return text
