"""Masked patch prediction against labels and against no pre-training (Section 4.6, B.1.2)."""

from __future__ import annotations

from typing import Any, Literal

from vitascope.models.masked_config import MaskedConfig
from vitascope.studies.ablation.variant import FEW, FINETUNED, Base, Found, Kind, Variant, above, below
from vitascope.studies.evidence import Claim

SCRATCH, LABELS = "from scratch", "labels"
_HALF, _SEVENTH = 0.5, 0.15


def _masked(target: Literal["colour", "colours", "pixels"], share: float) -> dict[str, Any]:
    # Its loss tells the best step, there being no classes.
    masked = MaskedConfig(autoencoder=False, target=target, share=share)
    return {"objective": "masked", "masked": masked, "best_by": "loss"}


def _name(target: str, share: float) -> str:
    said = {"colour": "mean colour", "colours": "4×4 colours", "pixels": "pixels"}[target]
    return f"{said}, {100 * share:.0f} % hidden"


_MEAN_COLOUR = _name("colour", _HALF)


def variants(base: Base) -> list[Variant]:
    """From scratch, with labels, and masked: three targets, and a smaller share of the first."""
    targets: tuple[Literal["colour", "colours", "pixels"], ...] = ("colour", "colours", "pixels")
    shares = [(target, _HALF) for target in targets] + [(targets[0], _SEVENTH)]
    return [
        base.variant(SCRATCH, of_target=True, paper=0.779),
        base.variant(LABELS, paper=0.84),
        *(
            base.variant(
                _name(target, share),
                learning=_masked(target, share),
                paper=0.799 if _name(target, share) == _MEAN_COLOUR else None,
            )
            for target, share in shares
        ),
    ]


def _gains(found: Found) -> list[Claim]:
    return [found.compare(_MEAN_COLOUR, SCRATCH, above)]


def _lags(found: Found) -> list[Claim]:
    return [found.compare(_MEAN_COLOUR, LABELS, below)]


def _targets(found: Found) -> list[Claim]:
    others = [_name("colours", _HALF), _name("pixels", _HALF)]
    return [found.compare(name, _MEAN_COLOUR, below, found.evidence.few) for name in others]


def _shares(found: Found) -> list[Claim]:
    return [found.compare(_name("colour", _SEVENTH), _MEAN_COLOUR, below)]


KIND = Kind(
    where="Section 4.6, Appendix B.1.2",
    measure=FINETUNED,
    variants=variants,
    statements={
        "Masked patch prediction is better than training from scratch": _gains,
        "Masked patch prediction is behind pre-training with labels": _lags,
        f"The mean colour is the best target by {FEW} accuracy": _targets,
        "Hiding 15 % of the patches is worse than hiding half": _shares,
    },
)
