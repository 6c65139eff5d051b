"""What an ablation varies: changes of one base model or of how it learns; free of torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vitascope.errors import ConfigError
from vitascope.models.catalogue import model_config
from vitascope.studies.analysis import FINETUNED
from vitascope.studies.evidence import ALIKE_TOLD, Claim, Evidence, Judge, above, alike_accuracies, below
from vitascope.studies.lineup import Contender

__all__ = [
    "ALIKE_TOLD",
    "FEW",
    "FINETUNED",
    "Base",
    "Found",
    "Kind",
    "Variant",
    "above",
    "alike_accuracies",
    "below",
]

FEW = "few-shot"
"""The judged measure of ablations that the paper tells by few-shot accuracy: that of the fewest shots."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of an ablation's table."""

    contender: Contender
    """The model, and how it learns."""
    group: str
    """Variants of a group are one line of the figure."""
    x: float | None = None
    """Where it stands on that line; None: at its operations an image, or alone."""
    paper: float | None = None
    """The paper's value of what is judged, for its own models and data, in [0, 1]."""
    of_target: bool = False
    """It learns from the target's training images from the start, as many as fine-tuning has."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """What variants are changes of."""

    model: str
    """Name in the catalogue."""
    fields: dict[str, Any] = field(default_factory=dict)
    """What its config changes of the catalogue's."""
    lr: float
    """The study's rate of pre-training."""
    weight_decay: float
    """The study's, decoupled: kernels shrink by rate · decay a step."""

    def variant(
        self,
        name: str,
        group: str = "",
        *,
        times: dict[str, float] | None = None,
        fields: dict[str, Any] | None = None,
        learning: dict[str, Any] | None = None,
        **told: Any,
    ) -> Variant:
        """The base with `fields` changed, and those in `times` multiplied; `learning` is its own way to pre-train."""
        made = {**self.fields, **(fields or {})}
        base = model_config(self.model, **made)
        for key, factor in (times or {}).items():
            value = getattr(base, key) * factor
            if value != int(value) or value < 1:
                raise ConfigError(f"the variant {name} has {key} {value:g}, expected a whole number; change the model")
            made[key] = int(value)
        contender = Contender(name=name, model=self.model, fields=made, learning=learning or {})
        return Variant(contender=contender, group=group or name, **told)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What an ablation's statements are held against."""

    evidence: Evidence
    """Its rows."""
    variants: Sequence[Variant]
    """All of them."""
    measure: str
    """What is judged."""

    @property
    def _place(self) -> int:
        return int(self.evidence.rows[0]["steps"])

    def compare(self, name: str, other: str, judge: Judge, measure: str | None = None) -> Claim:
        """What `judge` says of `name` less `other`; scatter is that of all disjoint pairs of variants of their kind."""
        told, at = measure or self.measure, self._place
        named, table = f"{told}: {name} against {other}", self.evidence.table(told)
        return self.evidence.claim_of((name, other), table, named, judge, lambda a, b: ((1, a, at), (-1, b, at)))

    @property
    def whole(self) -> bool:
        """Whether every variant was run with two seeds or more, so that the best of some are the best of all."""
        values = self.evidence.table(self.measure).values
        return all(len(values.get(v.contender.name, {}).get(self._place, [])) > 1 for v in self.variants)

    def best(self, group: str) -> str | None:
        """The variant of a group that is best on the images kept out of pre-training; None where none was run."""
        table = self.evidence.table("pre-training")
        means = {name: table.mean(name, self._place).mean for name in self._of(group) if table.places(name)}
        return max(means, key=lambda name: means[name], default=None)

    def compare_best(self, group: str, other: str, judge: Judge) -> list[Claim]:
        """What `judge` says of two groups, each at its best."""
        first, second = self.best(group), self.best(other)
        return self.unsettled(group, other) or [self.compare(str(first), str(second), judge)]

    def unsettled(self, *groups: str) -> list[Claim]:
        """Why the best of some groups is not known: nothing of it was run, or it lies at an end of what was."""
        told = []
        for group in groups:
            best = self.best(group)
            if best is None:
                told.append(f"{group} was not run")
            elif best in (self._of(group)[0], self._of(group)[-1]):
                told.append(f"{best} is the best of its kind and at an end of what was run")
        return [Claim(text=text) for text in told]

    def _of(self, group: str) -> list[str]:
        """Its variants that were run, in the order of what is varied."""
        names = [v.contender.name for v in sorted(self.variants, key=lambda v: v.x or 0.0) if v.group == group]
        ran = {row["model"] for row in self.evidence.rows}
        return [name for name in names if name in ran]


Claims = Callable[[Found], list[Claim]]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """An ablation: its table of variants, what is judged, and the paper's statements."""

    where: str
    """In the paper."""
    measure: str
    """FINETUNED or FEW."""
    variants: Callable[[Base], list[Variant]]
    """Of a base."""
    statements: dict[str, Claims]
    """What judges each."""
    own_models: bool = False
    """Its variants are no changes of the base's model."""
    x: str = ""
    """Name of the figure's axis; "" where variants are told apart by name alone."""
