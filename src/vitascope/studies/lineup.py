"""Who is compared: contenders by name, with their kind; importing this needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vitascope.errors import ConfigError
from vitascope.models.catalogue import model_config
from vitascope.models.config import BiTConfig

Kind = Literal["ViT", "hybrid", "ResNet"]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A model as a study knows it."""

    name: str
    """In tables, figures and file names."""
    model: str
    """Name in the catalogue."""
    fields: dict[str, Any] = field(default_factory=dict, hash=False)
    """What its config changes of the catalogue's."""
    learning: dict[str, Any] = field(default_factory=dict, hash=False)
    """What its pre-training is told otherwise than all others: fields of `PretrainRecipe`."""

    @property
    def file_name(self) -> str:
        """`name` as part of a path."""
        return self.name.replace("/", "_").replace("½", "0.5").replace(", ", "_").replace(" ", "-")

    @property
    def kind(self) -> Kind:
        """On which side of the comparison it stands."""
        config = model_config(self.model, **self.fields)
        if isinstance(config, BiTConfig):
            return "ResNet"
        return "ViT" if config.stem is None else "hybrid"


# "small" is for images of 32 to 64 pixels on a CPU: the widths are in the names. ViT-128/8, the hybrid and
# BiT-R50x½ cost the same, 0.04 GFLOP an image of 32 pixels; BiT-R14x½ a third of it and ViT-256/8 four times as much.
# "paper" is what Figures 3 and 4 show, with the hybrid that comes next in cost.
LINEUPS: dict[str, tuple[Contender, ...]] = {
    lineup: tuple(Contender(name=name, model=name) for name in names)
    for lineup, names in {
        "small": ("ViT-128/8", "ViT-256/8", "R+ViT-128/8", "BiT-R14x½", "BiT-R50x½"),
        "paper": ("ViT-b/32", "ViT-B/32", "ViT-L/16", "R50+ViT-B/16", "BiT-R50x1", "BiT-R152x2"),
    }.items()
}


def lineup(text: str, own: Mapping[str, Mapping[str, Any]] | None = None) -> tuple[Contender, ...]:
    """ "small" or "paper", or names with commas between: of `own` (name → model and fields), of those, or of the
    catalogue; raises `ConfigError`."""
    if text in LINEUPS:
        if own:
            raise ConfigError(
                f"own_models has {', '.join(own)}, of which models {text!r} has none: name them in models"
            )
        return LINEUPS[text]
    known = {contender.name: contender for group in LINEUPS.values() for contender in group}
    for name, fields in (own or {}).items():
        if not isinstance(fields, Mapping) or not isinstance(fields.get("model"), str):
            raise ConfigError(f"own_models has {name}: {fields}, expected a model of the catalogue and fields of it")
        rest = {key: value for key, value in fields.items() if key != "model"}
        if "image_size" in rest:
            raise ConfigError(
                f"own_models has {name}: {fields}; leave image_size out, it is the study's and all models'"
            )
        known[name] = Contender(name=name, model=fields["model"], fields=rest)
    names = [name.strip() if name.strip() in known else name.strip().replace("x0.5", "x½") for name in text.split(",")]
    contenders = tuple(known.get(name) or Contender(name=name, model=name) for name in names)
    for contender in contenders:
        try:
            model_config(contender.model, **contender.fields)
        except ConfigError as error:
            besides = ", ".join((*LINEUPS, *(own or ())))
            raise ConfigError(f"models has {contender.name!r}: {error}; besides there are {besides}") from None
    if len({contender.file_name for contender in contenders}) < len(names):
        raise ConfigError(f"models is {text!r}, expected each once")
    return contenders
