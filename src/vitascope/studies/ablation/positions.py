"""How positions are told, and where (Table 8, D.4)."""

from __future__ import annotations

from vitascope.studies.ablation.variant import ALIKE_TOLD, FEW, Base, Found, Kind, Variant, above, alike_accuracies
from vitascope.studies.evidence import Claim

_STEM, _EVERY, _SHARED = "stem", "every layer", "every layer, shared"
_PAPER = {
    "1-D": {_STEM: 0.64206, _EVERY: 0.63964, _SHARED: 0.64292},
    "2-D": {_STEM: 0.64001, _EVERY: 0.64046, _SHARED: 0.64022},
}
_FORMS = {"1-D": "learned", "2-D": "learned2d"}
_PLACES = {_STEM: "", _EVERY: "-layers", _SHARED: "-shared"}
NONE, RELATIVE = "none", "relative"


def variants(base: Base) -> list[Variant]:
    """None, 1-D and 2-D at three places, relative."""
    return [
        base.variant(NONE, fields={"positions": "none"}, paper=0.61382),
        *(
            base.variant(f"{form}, {place}", form, fields={"positions": _FORMS[form] + _PLACES[place]}, paper=value)
            for form, places in _PAPER.items()
            for place, value in places.items()
        ),
        base.variant(RELATIVE, fields={"positions": "relative"}, paper=0.64032),
    ]


def _any(found: Found) -> list[Claim]:
    names = [v.contender.name for v in found.variants]
    return [found.compare(name, NONE, above) for name in names if name != NONE]


def _forms(found: Found) -> list[Claim]:
    return [found.compare(name, f"1-D, {_STEM}", alike_accuracies) for name in (f"2-D, {_STEM}", RELATIVE)]


def _places(found: Found) -> list[Claim]:
    pairs = [(f"{form}, {place}", f"{form}, {_STEM}") for form in _PAPER for place in (_EVERY, _SHARED)]
    return [found.compare(name, other, alike_accuracies) for name, other in pairs]


KIND = Kind(
    where="Table 8",
    measure=FEW,
    variants=variants,
    statements={
        "Any positions are better than none": _any,
        f"1-D, 2-D and relative positions: {ALIKE_TOLD}": _forms,
        f"At the stem, in every layer, or shared by every layer: {ALIKE_TOLD}": _places,
    },
)
