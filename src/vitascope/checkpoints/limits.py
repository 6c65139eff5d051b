"""How much a checkpoint may claim before it is refused."""

from __future__ import annotations

from vitascope.models.config import MOST_WEIGHTS

MAX_BYTES = 4 * MOST_WEIGHTS
"""Weights of one model, 32 GiB: ten times a ViT-H in float32."""
MAX_HEADER = 16 << 20
"""Header of a safetensors file or a JSON description, 16 MiB; a ViT-H's header takes 60 KB."""


def size_text(count: int) -> str:
    """2048 → "2.0 KiB"."""
    value, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{int(value)} bytes" if units[0] == "bytes" else f"{value:.1f} {units[0]}"
