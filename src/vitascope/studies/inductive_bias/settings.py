"""What the study of inductive bias is asked, and what its numbers mean; free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from vitascope.fields import Count, Range, check_fields


@dataclass(frozen=True, kw_only=True)
class InductiveBias:
    """Settings of the study."""

    step: Count | None = None
    """Pixels: the shift, and the side of the cells that are shuffled; a multiple of every model's pixels per token.
    None: the smallest common one if two fit in an image, else each model's own."""
    field_images: Count = 8
    """Images that receptive fields are averaged over, each of which takes a backward pass per layer."""
    batch: Count = 8
    """Images per pass."""
    seed: Annotated[int, Range(0)] = 0
    """Of the untrained models, the orders of the pieces, and the choice of images."""
    untrained: bool = True
    """Measure every model untrained as well."""

    def __post_init__(self) -> None:
        check_fields(self)


OF_LAYERS: dict[str, str] = {
    "error_step": "equivariance error of the path from the image to here, image shifted by the step",
    "error_alone": "equivariance error of this layer by itself, on two windows of its own input",
    "error_alone_fixed": "likewise with GroupNorm's statistics held fixed",
    "alone_rows": "rows of its input that its centre cell depends on, cells",
    "alone_columns": "columns of its input that its centre cell depends on, cells",
    "input_rows": "rows of its input, cells",
    "input_columns": "columns of its input, cells",
    "field_rows": "height of the box in the image that its centre cell depends on, pixels",
    "field_columns": "width of that box, pixels",
    "field_radius": "RMS distance of the gradient's energy from its centre, pixels",
    "field_radius_share": "that radius relative to the one of an energy spread evenly over the image",
    "distance": "mean attention distance over heads, pixels",
    "distance_share": "that distance relative to uniform attention",
}
"""Measures of a layer."""

OF_MODELS: dict[str, str] = {
    "shift_change": "change of the features when the image is shifted by the step; 1 is another image",
    "shuffle_change": "likewise when the image's cells are shuffled",
    "order_change": "likewise when tokens are reordered together with their positions",
    "positions_correlation": "correlation of position similarity with distance in the image; −1 is two-dimensional",
    "positions_raster_correlation": "likewise with distance along the row of tokens",
}
"""Measures of a whole model."""
