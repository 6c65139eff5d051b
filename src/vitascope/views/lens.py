"""Prediction through the layers (the logit lens): what the head would have said, had the encoder ended earlier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.models.vit import ViT
from vitascope.views.capture import Capture, as_vit, captures
from vitascope.views.drawing import EVEN, INK, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST = 24


def logit_lens(model: nn.Module, images: Tensor) -> Tensor:
    """Logits by the model's own final LayerNorm, pooling and head after every layer, (B, C, H, W) → (B, L, K).

    The last layer's are the model's logits. Raises `ConfigError` for a model without a head.
    """
    model = as_vit(model)
    if model.head.linear is None:
        raise ConfigError("this model has no head to apply to its layers: fine-tune it first")
    return torch.cat([lens_by_image(model, c).cpu() for c in captures(model, images, tokens=True)])


@torch.no_grad()
def lens_by_image(model: ViT, capture: Capture) -> Tensor:
    """`logit_lens` of the captured images, (B, L, K)."""
    logits = torch.stack([model.head(model.encoder.norm(z)) for z in capture.tokens], dim=1)
    return logits if logits.dtype == torch.float64 else logits.float()


def draw_lens(lens: Sequence[Sequence[tuple[str, int, float]]]) -> Figure:
    """The best labels of every layer, last layer on top, coloured by probability; (label, index, probability) each."""
    depth, ranks = len(lens), len(lens[0])
    shown = torch.tensor([[probability for _, _, probability in layer] for layer in lens]).reshape(depth, ranks)
    longest = min(max(len(label) for layer in lens for label, _, _ in layer), _LONGEST)
    drawing = figure((0.07 * longest + 0.7) * ranks + 1.6, 0.3 * depth + 1.1)
    axes = drawing.subplots()
    painted = axes.imshow(shown.numpy(), cmap=EVEN, vmin=0, vmax=1, aspect="auto", origin="lower")
    for layer, rank in ((i, j) for i in range(depth) for j in range(ranks)):
        label, _, probability = lens[layer][rank]
        short = label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"
        ink = INK if probability > 0.55 else "white"
        text = f"{short}  {100 * probability:.0f}%".replace("$", r"\$")
        axes.text(rank, layer, text, ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(range(ranks), [f"{rank + 1}" for rank in range(ranks)])
    axes.set_yticks(range(depth), [f"{layer + 1}" for layer in range(depth)])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("rank of the prediction")
    axes.set_ylabel("layer")
    drawing.colorbar(painted, ax=axes, label="probability", shrink=0.9, aspect=22)
    return drawing
