"""What the numbers say about the paper's three statements on inductive bias (Section 3.1), in words and a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vitascope.studies.inductive_bias.equivariance import BORDER
from vitascope.studies.inductive_bias.measure import LayerResult, ModelResult
from vitascope.studies.verdicts import Outcome

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
    """A sentence of numbers for each of those models."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def read(models: Sequence[ModelResult]) -> tuple[Reading, Reading, Reading, Reading]:
    """The three statements, by what was measured of these models; the first of each layer, and of the way to it."""
    return _convolutions(models), _transformers(models), _two_dimensions(models), _path(models)


def _convolutions(models: Sequence[ModelResult]) -> Reading:
    statement = "By itself, every convolutional layer is local, two-dimensional and translation-equivariant."
    with_them = [(model, model.of("convolution")) for model in models if model.of("convolution")]
    if not with_them:
        why = "None of these models has convolutional layers; put a BiT-ResNet or a hybrid beside them."
        return Reading(statement=statement, verdict="not decidable here", rule=why)
    said = []
    for model, layers in with_them:
        said.append(
            f"{_name(model)}: each of {len(layers)} convolutional layers sees at most "
            f"{_most(layers, 'alone_rows'):g}×{_most(layers, 'alone_columns'):g} cells of its input; by itself its "
            f"equivariance error is {_number(_most(layers, 'error_alone_fixed'))} with GroupNorm's statistics "
            f"held fixed and {_number(_most(layers, 'error_alone'))} with them."
        )
    ok = all(_local(layer) and _below(layer.values["error_alone_fixed"]) for _, layers in with_them for layer in layers)
    rule = f"No layer sees more than {WIDEST} cells a side of its input, over rows and columns alike, and none "
    rule += (
        "errs by more than rounding when two windows of its input are a whole number of cells apart, where its padding "
    )
    rule += "does not reach and GroupNorm's statistics are those of one window. Of the way from the image see below."
    return Reading(statement=statement, verdict=_verdict(ok), rule=rule, found=tuple(said))


def _transformers(models: Sequence[ModelResult]) -> Reading:
    statement = (
        "By itself, an MLP of a ViT is local and translation-equivariant; self-attention is neither, but global."
    )
    with_them = [model for model in models if model.of("attention")]
    # In a map of one cell everything is local and everything is global.
    telling = [m for m in with_them if m.of("attention")[0].values["input_rows"] != 1]
    if not telling:
        why = "None of these models has attention between several patches; put a ViT beside them."
        return Reading(statement=statement, verdict="not decidable here", rule=why)
    ok = True
    said = []
    for model in telling:
        mlps, attentions = model.of("mlp"), model.of("attention")
        ok &= all(_cells(layer) == 1 and _below(layer.values["error_alone"]) for layer in mlps)
        ok &= all(_everything(layer) and not _below(layer.values["error_alone"]) for layer in attentions)
        said.append(
            f"{_name(model)}: an MLP sees {_most(mlps, 'alone_rows'):g}×{_most(mlps, 'alone_columns'):g} cell and errs "
            f"by {_number(_most(mlps, 'error_alone'))}; attention sees "
            f"{_most(attentions, 'alone_rows'):g}×{_most(attentions, 'alone_columns'):g} cells, all there are, errs by "
            f"{_number(_mean(attentions, 'error_alone'))} on average over its layers, and looks "
            f"{_number(attentions[0].values['distance_share'])} times as far as uniform attention in the first layer, "
            f"{_number(attentions[-1].values['distance_share'])} times in the last."
        )
    rule = "Every MLP sees one cell and errs by no more than rounding by itself, on two windows of its tokens; "
    rule += "every attention sees all cells and errs by more."
    return Reading(statement=statement, verdict=_verdict(ok), rule=rule, found=tuple(said))


def _two_dimensions(models: Sequence[ModelResult]) -> Reading:
    statement = "Behind the patches and positions nothing in a ViT knows of two dimensions."
    telling = [model for model in models if model.whole.get("order_change") is not None]
    if not telling:
        why = "None of these models has tokens whose order could be changed, or the images leave its features alike."
        return Reading(statement=statement, verdict="not decidable here", rule=why)
    ok = all(_below(model.whole["order_change"]) for model in telling)
    said = []
    for model in telling:
        whole = model.whole
        text = f"{_name(model)}: tokens reordered with their positions change the features by "
        text += f"{_number(whole['order_change'])}, cells of {model.step} pixels shuffled without by "
        text += f"{_number(whole['shuffle_change'])}"
        if whole.get("positions_correlation") is not None:
            text += f"; similarity of positions correlates {_number(whole['positions_correlation'])} with distance in "
            text += (
                f"the image and {_number(whole['positions_raster_correlation'])} with distance along the row of tokens"
            )
        said.append(f"{text}.")
    rule = "The features stay the same to rounding when the patch tokens are reordered together with their "
    rule += "positions, so nothing after the embedding knows what lies beside what. What is left are the patches "
    rule += "(and a hybrid's stem) and the positions; their resizing happens where sizes change and is not measured."
    return Reading(statement=statement, verdict=_verdict(ok), rule=rule, found=tuple(said))


def _path(models: Sequence[ModelResult]) -> Reading:
    """Of the very numbers that the figure's first panel draws for convolutional layers."""
    statement = "From the image to each of its convolutional layers a network is translation-equivariant."
    rule = f"No layer errs by more than {CLOSE:g} (0: equivariant, 1: unrelated places) at the step, a whole number of "
    rule += f"its cells, on those that both windows show but the {BORDER} outermost on each side, where there is room. "
    rule += "What padding carries further in, and GroupNorm's statistics of each window, count as errors."
    said, ok = [], True
    for model in models:
        layers = [layer for layer in model.of("convolution") if layer.values["error_step"] is not None]
        if not layers:
            continue
        beyond = [layer for layer in layers if (layer.values["error_step"] or 0.0) > CLOSE]
        ok &= not beyond
        text = (
            f"{_name(model)}, shifted by {model.step} pixels: {len(layers) - len(beyond)} of {len(layers)} layers are "
        )
        text += f"within {CLOSE:g}, the errors are {_number(min(_known(layers, 'error_step')))} to "
        text += f"{_number(_most(layers, 'error_step'))}"
        if beyond:
            text += f"; the first beyond is {beyond[0].name}, whose cells are {beyond[0].stride} pixels apart, with "
            text += _number(beyond[0].values["error_step"])
        between = _known(layers[-1:], "error_between")
        said.append(f"{text}{f'; at shifts between the cells of the last {_number(between[0])}' if between else ''}.")
    if not said:
        why = "None of these models has convolutional layers whose maps leave room for the step."
        return Reading(statement=statement, verdict="not decidable here", rule=why)
    return Reading(statement=statement, verdict=_verdict(ok), rule=rule, found=tuple(said))


def _verdict(ok: bool) -> Outcome:
    return "holds" if ok else "does not hold"


def _name(model: ModelResult) -> str:
    return f"{model.name} ({model.kind}, {'trained' if model.trained else 'untrained'})"


def _local(layer: LayerResult) -> bool:
    rows, columns = layer.values["alone_rows"] or 0, layer.values["alone_columns"] or 0
    return 0 < max(rows, columns) <= WIDEST and (rows == columns or _everything(layer))


def _everything(layer: LayerResult) -> bool:
    values = layer.values
    return (values["alone_rows"], values["alone_columns"]) == (values["input_rows"], values["input_columns"])


def _cells(layer: LayerResult) -> float:
    return (layer.values["alone_rows"] or 0) * (layer.values["alone_columns"] or 0)


def _below(error: float | None) -> bool:
    return error is None or error <= EXACT


def _known(layers: Iterable[LayerResult], measure: str) -> list[float]:
    return [value for layer in layers if (value := layer.values.get(measure)) is not None]


def _most(layers: Iterable[LayerResult], measure: str) -> float:
    return max(_known(layers, measure), default=float("nan"))


def _mean(layers: Iterable[LayerResult], measure: str) -> float:
    known = _known(layers, measure)
    return sum(known) / len(known) if known else float("nan")


def _number(value: float | None) -> str:
    """Three figures; rounding is called 0."""
    if value is None or value != value:
        return "(not known)"
    return "0" if abs(value) <= EXACT else f"{value:.3g}"
