"""Class token with the MLP head against the mean of the patches with a linear head, over rates (Figure 9, D.3)."""

from __future__ import annotations

from vitascope.studies.ablation.variant import ALIKE_TOLD, FEW, Base, Found, Kind, Variant, alike_accuracies, below
from vitascope.studies.evidence import Claim

TOKEN, MEAN = "class token", "mean of patches"
_RATES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Times the study's."""


def variants(base: Base) -> list[Variant]:
    """Both heads at every rate."""
    mean = {"class_token": False, "pooling": "mean"}
    return [
        base.variant(
            f"{group}, {factor * base.lr:g}",
            group,
            x=factor * base.lr,
            fields=fields,
            learning={"lr": factor * base.lr, "mlp_head": hidden},
        )
        for factor in _RATES
        for group, fields, hidden in ((TOKEN, {}, True), (MEAN, mean, False))
    ]


def _own_rates(found: Found) -> list[Claim]:
    return found.compare_best(MEAN, TOKEN, alike_accuracies)


def _other_rate(found: Found) -> list[Claim]:
    if open_still := found.unsettled(TOKEN, MEAN):
        return open_still
    token, mean = str(found.best(TOKEN)), str(found.best(MEAN))
    at_tokens = token.replace(TOKEN, MEAN)
    if at_tokens == mean:
        told = "both heads are best at the same of the rates that were run"
        return [Claim(text=told, outcome="does not hold" if found.whole else "not decidable here")]
    return [found.compare(at_tokens, mean, below), found.compare(at_tokens, token, below)]


KIND = Kind(
    where="Figure 9",
    measure=FEW,
    variants=variants,
    statements={
        f"Class token and mean of patches, each at its own best rate: {ALIKE_TOLD}": _own_rates,
        "At the class token's best rate the mean of patches is worse than at its own": _other_rate,
    },
    x="learning rate of pre-training",
)
