"""What the numbers say about the paper's three statements on inductive bias (Section 3.1): a verdict on each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vitascope.studies.evidence import Outcome
from vitascope.studies.inductive_bias.equivariance import BORDER
from vitascope.studies.inductive_bias.study import LayerRow, Measured

EXACT = 1e-6
"""Errors below are rounding: float32 leaves about 1e-12."""
CLOSE = 0.05
"""Error up to which the way from the image to a layer is called equivariant."""
WIDEST = 7
"""The widest kernel of a ResNet, its root's: a convolution that is local sees no more cells a side."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One statement of the paper, judged."""

    statement: str
    """The statement, in short."""
    verdict: Outcome
    """Whether all models that can say anything bear it out."""
    rule: str
    """When it holds; or why nothing can be said."""
    found: tuple[str, ...] = ()
    """Of each of those models: how many layers bear it out, and the numbers that say so."""


class Demand(NamedTuple):
    """What a statement demands of each layer of a kind, or of the whole "model".

    The first of the measures has to be known, or the model says nothing; all are told.
    """

    of: str
    measures: tuple[str, ...]
    met: Callable[[LayerRow], bool]


def read(models: Sequence[Measured]) -> tuple[Reading, ...]:
    """The statements, by what was measured of these models."""
    readings = []
    for statement, (rule, demands) in STATEMENTS.items():
        judged = [(model, *said) for model in models if (said := _judged(model, demands))]
        verdict: Outcome = "holds" if all(met for _, met, _ in judged) else "does not hold"
        if not judged:
            verdict, rule = (
                "not decidable here",
                "None of these models can tell; put a ViT and a BiT-ResNet beside them.",
            )
        found = tuple(f"{model.name} ({model.kind}, {model.state}): {text}." for model, _, text in judged)
        readings.append(Reading(statement=statement, verdict=verdict, rule=rule, found=found))
    return tuple(readings)


def _judged(model: Measured, demands: Sequence[Demand]) -> tuple[bool, str] | None:
    """Whether a model meets all demands, and its numbers; None where it cannot tell."""
    met, texts = [], []
    for demand in demands:
        rows: list[LayerRow] = [model.whole] if demand.of == "model" else model.of(demand.of)
        rows = [row for row in rows if row.get(demand.measures[0]) is not None]
        if not rows:
            return None
        met += (these := [demand.met(row) for row in rows])
        count = "" if demand.of == "model" else f"{sum(these)} of {len(rows)} layers ({demand.of}) bear it out: "
        known = {name: [row[name] for row in rows if row.get(name) is not None] for name in demand.measures}
        told = [
            f"{name} {_range(values)}" + (f" (of the {len(values)} that have room for it)" * (len(values) < len(rows)))
            for name, values in known.items()
            if values
        ]
        texts.append(count + ", ".join(told))
    return all(met), "; ".join(texts)


def _range(values: Sequence[float]) -> str:
    """The least and the most, to three figures; rounding is called 0."""
    ends = ("0" if abs(value) <= EXACT else f"{value:.3g}" for value in (min(values), max(values)))
    return " to ".join(dict.fromkeys(ends))


def _exact(layer: LayerRow, measure: str) -> bool:
    return layer[measure] is None or layer[measure] <= EXACT


def _sees_all(layer: LayerRow) -> bool:
    return all(layer[f"alone_{side}"] == layer[f"input_{side}"] for side in ("rows", "columns"))


def _local(mlp: LayerRow) -> bool:
    return mlp["alone_rows"] * mlp["alone_columns"] == 1 and _exact(mlp, "error_alone")


def _global(attention: LayerRow) -> bool:
    return _sees_all(attention) and not _exact(attention, "error_alone")


def _convolves(layer: LayerRow) -> bool:
    rows, columns = layer["alone_rows"], layer["alone_columns"]
    local = min(rows, columns) > 0 and max(rows, columns) <= WIDEST
    return local and (rows == columns or _sees_all(layer)) and _exact(layer, "error_alone_fixed")


STATEMENTS: dict[str, tuple[str, tuple[Demand, ...]]] = {
    "By itself, every convolutional layer is local, two-dimensional and translation-equivariant.": (
        f"No layer sees more than {WIDEST} cells a side of its input, over rows and columns alike, and none errs by "
        "more than rounding when two windows of its input are a whole number of cells apart, where its padding does "
        "not reach and GroupNorm's statistics are those of one window. Of the way from the image see below.",
        (Demand("convolution", ("alone_rows", "alone_columns", "error_alone_fixed", "error_alone"), _convolves),),
    ),
    "By itself, an MLP of a ViT is local and translation-equivariant; self-attention is neither, but global.": (
        "Every MLP sees one cell and errs by no more than rounding by itself, on two windows of its tokens; every "
        "attention sees all cells and errs by more.",
        (
            Demand("mlp", ("alone_rows", "alone_columns", "error_alone"), _local),
            Demand("attention", ("distance_share", "alone_rows", "alone_columns", "error_alone"), _global),
        ),
    ),
    "Behind the patches and positions nothing in a ViT knows of two dimensions.": (
        "The features stay the same to rounding when the patch tokens are reordered together with their positions, so "
        "nothing after the embedding knows what lies beside what. What is left are the patches (and a hybrid's stem) "
        "and the positions; their resizing happens where sizes change and is not measured.",
        (
            Demand(
                "model",
                ("order_change", "shuffle_change", "positions_correlation", "positions_raster_correlation"),
                lambda whole: whole["order_change"] <= EXACT,
            ),
        ),
    ),
    "From the image to each of its convolutional layers a network is translation-equivariant.": (
        f"No layer errs by more than {CLOSE:g} (0: equivariant, 1: unrelated places) at the step, a whole number of "
        f"its cells, on those that both windows show but the {BORDER} outermost on each side, where there is room. "
        "What padding carries further in, and GroupNorm's statistics of each window, count as errors.",
        # Of the very numbers that the figure's first panel draws.
        (Demand("convolution", ("error_step",), lambda layer: layer["error_step"] <= CLOSE),),
    ),
}
"""When each holds, and what it demands."""
