"""Looking inside: every figure of the paper's Section 4.5 and Appendix D, one file each, for every ViT and hybrid.

Each file has a pure function that returns numbers and beside it a `draw_…` function that makes a matplotlib Figure
of them. Images are (B, C, H, W), normalised as the model wants them (`checkpoint.preprocess`). Layers count from 0 in
arrays and from 1 in figures. Numbers come as float32 tensors on the CPU, float64 where the model is.

Letters: B images, L layers, h heads, T tokens (N patches after the class token and registers), r×c the patch grid.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitascope.views.attention_maps import attention, class_attention, draw_attention, draw_class_attention
    from vitascope.views.attention_rollout import draw_rollout, overlaid, rollout
    from vitascope.views.attention_share import attended_share, draw_share
    from vitascope.views.distance import attention_distance, draw_distance, uniform_distance
    from vitascope.views.filters import draw_filters, embedding_filters
    from vitascope.views.lens import draw_lens, logit_lens
    from vitascope.views.look import Look, Scope, looks, scope
    from vitascope.views.norms import draw_norms, token_norms
    from vitascope.views.positions import Locality, draw_similarity, position_locality, position_similarity

__all__ = [
    "Locality",
    "Look",
    "Scope",
    "attended_share",
    "attention",
    "attention_distance",
    "class_attention",
    "draw_attention",
    "draw_class_attention",
    "draw_distance",
    "draw_filters",
    "draw_lens",
    "draw_norms",
    "draw_rollout",
    "draw_share",
    "draw_similarity",
    "embedding_filters",
    "logit_lens",
    "looks",
    "overlaid",
    "position_locality",
    "position_similarity",
    "rollout",
    "scope",
    "token_norms",
    "uniform_distance",
]

_IN = (
    "attention_maps",
    "attention_rollout",
    "attention_share",
    "distance",
    "filters",
    "lens",
    "look",
    "norms",
    "positions",
)


def __getattr__(name: str) -> Any:
    # On first use, so that a command's help does not wait for torch. No file is called like a function: Python would
    # put the file in its place.
    if name in __all__:
        modules = (import_module(f"vitascope.views.{file}") for file in _IN)
        return next(getattr(module, name) for module in modules if name in vars(module))
    raise AttributeError(f"module 'vitascope.views' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
