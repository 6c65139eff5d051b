"""Starts worth having."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Start:
    """One row."""

    name: str
    """What is typed for CHECKPOINT."""


STARTS: tuple[Start, ...] = (Start(name="timm/vit_small_patch16_224.augreg_in21k"),)
