"""What the numbers say about the paper's three statements on inductive bias (Section 3.1), in words and a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vitascope.studies.inductive_bias.equivariance import BORDER
from vitascope.studies.inductive_bias.study import LayerRow, Measured
from vitascope.studies.verdicts import Outcome

EXACT = 1e-6
"""Errors below are rounding: float32 leaves about 1e-12."""
CLOSE = 0.05
"""Error up to which the way from the image to a layer is called equivariant."""
WIDEST = 7
"""The widest kernel of a ResNet, its root's: a convolution that is local sees no more cells a side."""

Judged = tuple[bool, str] | None
"""Whether a model bears a statement out, and its numbers; None where it can say nothing."""


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
    """A sentence of numbers for each of those models."""


def read(models: Sequence[Measured]) -> tuple[Reading, ...]:
    """The three statements, by what was measured of these models; the first of each layer, and of the way to it."""
    readings = []
    for judge, (statement, rule, lacking) in STATEMENTS.items():
        judged = [(model, *said) for model in models if (said := judge(model))]
        outcome: Outcome = "holds" if all(ok for _, ok, _ in judged) else "does not hold"
        if not judged:
            outcome, rule = "not decidable here", lacking
        found = tuple(f"{model.name} ({model.kind}, {model.state}){text}." for model, _, text in judged)
        readings.append(Reading(statement=statement, verdict=outcome, rule=rule, found=found))
    return tuple(readings)


def _convolutions(model: Measured) -> Judged:
    layers = model.of("convolution")
    if not layers:
        return None
    small = all(0 < layer["alone_rows"] <= WIDEST and 0 < layer["alone_columns"] <= WIDEST for layer in layers)
    square = all(layer["alone_rows"] == layer["alone_columns"] or _sees_all(layer) for layer in layers)
    return small and square and _exact(layers, "error_alone_fixed"), (
        f": each of {len(layers)} convolutional layers sees at most {_seen(layers)} cells of its input; by itself its "
        f"equivariance error is {_most(layers, 'error_alone_fixed')} with GroupNorm's statistics held fixed and "
        f"{_most(layers, 'error_alone')} with them"
    )


def _transformers(model: Measured) -> Judged:
    mlps, attentions = model.of("mlp"), model.of("attention")
    if not attentions or attentions[0]["input_rows"] == 1:  # in a map of one cell everything is local and global
        return None
    local = all(layer["alone_rows"] * layer["alone_columns"] == 1 for layer in mlps) and _exact(mlps, "error_alone")
    spread = all(_sees_all(layer) and not _exact([layer], "error_alone") for layer in attentions)
    errors = _known(attentions, "error_alone")
    return local and spread, (
        f": an MLP sees {_seen(mlps)} cell and errs by {_most(mlps, 'error_alone')}; attention sees "
        f"{_seen(attentions)} cells, all there are, errs by {_number(sum(errors) / len(errors) if errors else None)} "
        f"on average over its layers, and looks {_number(attentions[0]['distance_share'])} times as far as uniform "
        f"attention in the first layer, {_number(attentions[-1]['distance_share'])} times in the last"
    )


def _two_dimensions(model: Measured) -> Judged:
    whole, changed = model.whole, model.whole["order_change"]
    if changed is None:
        return None
    text = f": tokens reordered with their positions change the features by {_number(changed)}, cells of "
    text += f"{model.step} pixels shuffled without by {_number(whole['shuffle_change'])}"
    if whole.get("positions_correlation") is not None:
        text += f"; similarity of positions correlates {_number(whole['positions_correlation'])} with distance in the "
        text += f"image and {_number(whole['positions_raster_correlation'])} with distance along the row of tokens"
    return changed <= EXACT, text


def _path(model: Measured) -> Judged:
    """Of the very numbers that the figure's first panel draws for convolutional layers."""
    layers = [layer for layer in model.of("convolution") if layer["error_step"] is not None]
    if not layers:
        return None
    beyond = [layer for layer in layers if layer["error_step"] > CLOSE]
    text = f", shifted by {model.step} pixels: {len(layers) - len(beyond)} of {len(layers)} layers are within "
    text += f"{CLOSE:g}, the errors are {_number(min(_known(layers, 'error_step')))} to {_most(layers, 'error_step')}"
    for first in beyond[:1]:
        text += f"; the first beyond is {first['name']}, whose cells are {first['stride']} pixels apart, with "
        text += _number(first["error_step"])
    return not beyond, text


def _exact(layers: Iterable[LayerRow], measure: str) -> bool:
    return all(error <= EXACT for error in _known(layers, measure))


def _sees_all(layer: LayerRow) -> bool:
    return all(layer[f"alone_{side}"] == layer[f"input_{side}"] for side in ("rows", "columns"))


def _known(layers: Iterable[LayerRow], measure: str) -> list[float]:
    return [value for layer in layers if (value := layer[measure]) is not None]


def _most(layers: Iterable[LayerRow], measure: str) -> str:
    return _number(max(_known(layers, measure), default=None))


def _seen(layers: Sequence[LayerRow]) -> str:
    return f"{_most(layers, 'alone_rows')}×{_most(layers, 'alone_columns')}"


def _number(value: float | None) -> str:
    """Three figures; rounding is called 0."""
    return "(not known)" if value is None else "0" if abs(value) <= EXACT else f"{value:.3g}"


STATEMENTS = {
    _convolutions: (
        "By itself, every convolutional layer is local, two-dimensional and translation-equivariant.",
        f"No layer sees more than {WIDEST} cells a side of its input, over rows and columns alike, and none errs by "
        "more than rounding when two windows of its input are a whole number of cells apart, where its padding does "
        "not reach and GroupNorm's statistics are those of one window. Of the way from the image see below.",
        "None of these models has convolutional layers; put a BiT-ResNet or a hybrid beside them.",
    ),
    _transformers: (
        "By itself, an MLP of a ViT is local and translation-equivariant; self-attention is neither, but global.",
        "Every MLP sees one cell and errs by no more than rounding by itself, on two windows of its tokens; every "
        "attention sees all cells and errs by more.",
        "None of these models has attention between several patches; put a ViT beside them.",
    ),
    _two_dimensions: (
        "Behind the patches and positions nothing in a ViT knows of two dimensions.",
        "The features stay the same to rounding when the patch tokens are reordered together with their positions, so "
        "nothing after the embedding knows what lies beside what. What is left are the patches (and a hybrid's stem) "
        "and the positions; their resizing happens where sizes change and is not measured.",
        "None of these models has tokens whose order could be changed, or the images leave its features alike.",
    ),
    _path: (
        "From the image to each of its convolutional layers a network is translation-equivariant.",
        f"No layer errs by more than {CLOSE:g} (0: equivariant, 1: unrelated places) at the step, a whole number of "
        f"its cells, on those that both windows show but the {BORDER} outermost on each side, where there is room. "
        "What padding carries further in, and GroupNorm's statistics of each window, count as errors.",
        "None of these models has convolutional layers whose maps leave room for the step.",
    ),
}
"""By what judges a model: the statement, when it holds, and why nothing can be said where no model tells."""
