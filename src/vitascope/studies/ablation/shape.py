"""Depth, width, MLP and patch of a ViT, each by itself and all together, against computation (Figure 8, D.2)."""

from __future__ import annotations

from vitascope.studies.ablation.variant import FEW, Base, Found, Kind, Variant, above, below
from vitascope.studies.evidence import Claim

BASE = "base"
_TIMES: dict[str, dict[str, dict[str, float]]] = {
    "depth": {"½": {"depth": 0.5}, "2": {"depth": 2}, "4": {"depth": 4}},
    "width": {"½": {"width": 0.5, "heads": 0.5}, "2": {"width": 2, "heads": 2}},
    "MLP": {"½": {"hidden": 0.5}, "2": {"hidden": 2}, "4": {"hidden": 4}},
    "patch": {"2": {"patch": 2}, "½": {"patch": 0.5}},
    "all": {"½": {"depth": 0.5, "width": 0.5, "heads": 0.5, "hidden": 0.5, "patch": 2}},
}
"""What each is multiplied by; a wider model has more heads of the same width."""


def variants(base: Base) -> list[Variant]:
    """The base and each of `_TIMES`."""
    return [
        base.variant(BASE),
        *(
            base.variant(f"{group} × {factor}", group, times=times)
            for group, factors in _TIMES.items()
            for factor, times in factors.items()
        ),
    ]


def _deeper(found: Found) -> list[Claim]:
    return [found.compare(name, BASE, above) for name in ("depth × 2", "depth × 4")]


def _per_compute(found: Found) -> list[Claim]:
    return [found.compare("depth × 4", "width × 2", above)]


def _patches(found: Found) -> list[Claim]:
    return [found.compare("patch × ½", BASE, above), found.compare("patch × 2", BASE, below)]


def _all(found: Found) -> list[Claim]:
    return [found.compare("all × ½", BASE, below)]


KIND = Kind(
    where="Figure 8",
    measure=FEW,
    variants=variants,
    statements={
        "The deeper the better": _deeper,
        "More depth brings more than more width of less computation": _per_compute,
        "The smaller the patches the better": _patches,
        "All of them together bring more": _all,
    },
    x="operations of a forward pass of one image",
)
