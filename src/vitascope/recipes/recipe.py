"""The two recipes of the paper, pre-training (Table 3) and fine-tuning (Table 4), as typed settings; free of torch."""

from __future__ import annotations

from dataclasses import MISSING, Field, asdict, dataclass, field, fields, is_dataclass
from typing import Annotated, Any, ClassVar, Literal

from vitascope.fields import Count, FolderName, IdleError, Probability, Range, SizeText, height_width, refuse_idle
from vitascope.models.catalogue import model_config
from vitascope.models.config import BiTConfig, ViTConfig
from vitascope.models.learned import learned
from vitascope.models.masked_config import MaskedConfig
from vitascope.training.train_settings import FromZero, Optimizer, TrainSettings, memory_bytes


@dataclass(frozen=True, kw_only=True)
class Recipe(TrainSettings):
    """What pre-training and fine-tuning have in common."""

    data: str
    """Training data: a folder of class folders, a parquet file or folder, tar shards, or a name (`vitascope data`)."""
    out: FolderName
    """The run's folder; it must not exist yet, unless resumed or overwritten."""
    image_size: int | tuple[int, int] | None = None
    """Side in pixels of the images the model sees, or [height, width]; multiples of the patch."""
    holdout: Probability = 0.1
    """Share of the training set held out for validation where the data has no validation split; 0 for none."""
    group: str | None = None
    """What keeps images on one side of a hold-out, beside being copies: a column of the data's table, such as patient;
    else a regular expression on their paths. Its first group (or all that matches) is one patient, plant or video."""
    shrink: Count | None = None
    """Training images are shrunk until their shorter side has this many pixels, before anything else: less to keep and
    to read. None: as they are. 256 and up suit crops of 224."""
    disk_budget: SizeText = "0"
    """Decoded images that do not fit `memory_budget` are kept in files of the cache folder, together up to this size; 0
    for never."""
    on_error: Literal["raise", "skip"] = "raise"
    """Unreadable images: stop at the first, or leave them out and say how many."""
    keep_examples: Annotated[int, Range(0, 100)] = 6
    """Photographs it was judged on, kept small in --out (not in its model/) with their labels, for the page of `serve`;
    0 for none."""
    device: str | None = None
    """cpu, cuda, …; none: the GPU if there is one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        memory_bytes(self.disk_budget, "disk_budget")
        if self.image_size is not None:
            height_width(self.image_size, "image_size")


@dataclass(frozen=True, kw_only=True)
class PretrainRecipe(Recipe):
    """From scratch, with the paper's pre-training head; rate, decay and weight decay are ImageNet's (Table 3)."""

    FIRST: ClassVar[tuple[str, ...]] = (
        "out", "model", "image_size", "objective", "epochs", "time_budget", "batch", "lr", "holdout", "device",
    )  # fmt: skip

    model: str = "ViT-B/16"
    """Name in the catalogue (`vitascope models`); the patch number is free."""
    model_fields: dict[str, Any] = field(default_factory=dict)
    """Further fields of the model's config, such as depth or heads."""
    objective: Literal["classes", "masked"] = "classes"
    """Learn the classes of labelled images; or, of any images, to say what is hidden of them (Section 4.6)."""
    masked: MaskedConfig = field(default_factory=MaskedConfig)
    """What is hidden, and what is to be said of it."""
    mlp_head: bool = True
    """Pre-train with a hidden layer of the model's width in the head (Section 3.1); not for ResNets."""
    mean: tuple[float, ...] = (0.5,)
    """Subtracted from pixels in [0, 1]; one number, or one per channel. 0 keeps a black background at zero, where
    positions show best in short runs."""
    std: tuple[float, ...] = (0.5,)
    """Divides them afterwards."""
    whiten: Annotated[int, Range(0)] = 0
    """Start the patch projection from the whitening filters of this many training images; 0: from random ones."""
    zero_residuals: bool = False
    """Start every block as the identity, with zeros in the last matrix of either branch."""
    lr: FromZero = 3e-3
    weight_decay: FromZero = 0.3
    dropout: Probability | None = None
    """Dropout of the model; none: the catalogue's rate."""
    stochastic_depth: Probability = 0.0
    """Probability of dropping the last block's branches; grows linearly from the first."""
    holdout: Probability = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        config = model_config(self.model)
        if isinstance(config, BiTConfig):
            refuse_of_vits(self, self.model)
            for name in self.model_fields.keys() - {f.name for f in fields(config)}:
                if name in ViTConfig.__dataclass_fields__:  # a word of neither is told what is near
                    said = f"model_fields has {name} {self.model_fields[name]}, but {self.model} is a ResNet"
                    raise IdleError(
                        f"model_fields.{name}", None, f"{said}, which has none (`vitascope models --fields`)"
                    )
        if self.objective == "masked":
            why = "the objective is masked, which learns no classes"
            refuse_idle(self, why, "loss", "label_smoothing", "mlp_head")
            refuse_idle(self.augment, why, "mixup", "cutmix")
            refuse_idle(self, "the objective is masked, which says what is hidden (masked.share)", "drop_tokens")
        else:
            refuse_idle(self.masked, "the objective is classes; give --objective masked", *vars(self.masked))


@dataclass(frozen=True, kw_only=True)
class FinetuneRecipe(Recipe):
    """From a checkpoint, with a new zero head; the defaults are Table 4's: SGD, cosine, clip 1, no weight decay."""

    FIRST: ClassVar[tuple[str, ...]] = (
        "out", "image_size", "epochs", "time_budget", "train", "lr", "sweep", "holdout", "group",
    )  # fmt: skip

    checkpoint: str
    """What to start from: a file, a folder or a run, in any format that loads; a name (`vitascope models --starts`); or
    auto. That is whichever of these suits the data, the time and this machine."""
    train: str = "all"
    """What learns: all; head, the new one alone; last:N, with it the last N blocks; lora:R, with it factors of rank R.
    The last N blocks (of a ResNet, stages) learn with the final norm; the factors stand beside every block's kernels
    and are merged into them in the end."""
    optimizer: Optimizer = "sgd"
    lr: FromZero = 0.01
    warmup: FromZero = 0.1
    dropout: Probability | None = None
    """Dropout of the model; none: as the checkpoint says."""
    stochastic_depth: Probability = 0.0
    """Probability of dropping the last block's branches; grows linearly from the first."""
    sweep: bool = False
    """Try every rate of `sweep_rates` on a held-out part first, then train on everything with the best."""
    sweep_rates: tuple[float, ...] = (0.003, 0.01, 0.03, 0.06)
    """Learning rates of the sweep; Table 4 has these for ImageNet, smaller ones elsewhere (see the presets)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if learned(self.train).part == "head":
            why = "the head alone learns"
            refuse_idle(self, why, "layer_decay", "dropout", "stochastic_depth", "checkpoint_activations")


def refuse_of_vits(recipe: PretrainRecipe | FinetuneRecipe, model: str) -> None:
    """`IdleError` where a recipe asks a ResNet for what only ViTs have; it would be ignored."""
    defaults = {f.name: f.default for f in fields(recipe)}
    for name in ("dropout", "stochastic_depth", "drop_tokens", "whiten", "zero_residuals"):
        if value := getattr(recipe, name, None):
            said = f"{name} is {value}, but {model} is a ResNet, which has none; leave it out"
            raise IdleError(name, defaults[name], said)


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """Plain values for YAML, every default written out."""
    return _plain(asdict(recipe))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _plain(v) if isinstance(v, dict) else list(v) if isinstance(v, tuple) else v for name, v in values.items()
    }


NOT_THE_RESULT = {
    "out", "device", "workers", "memory_budget", "disk_budget", "keep_checkpoints", "save_every", "tensorboard",
    "micro_batch", "checkpoint_activations", "keep_examples",
}  # fmt: skip
"""Options that change how the work is done or kept, and not its result."""

# What may differ when a run is resumed: where the same images lie too, of which what cannot be read may be left out.
_FREE = NOT_THE_RESULT | {"data", "on_error"}


# Options that earlier versions did not have: at their defaults they are not told, so that runs of those go on.
_LATER = {"objective", "masked", "train", "group"}

# What the first start decides where nothing was said.
_RESOLVED = {"precision", "eval_every", "steps"}


def fixed(recipe: Recipe) -> dict[str, Any]:
    """What of a resolved recipe must stay as it is while a run goes on."""
    later = {f.name: _default(f) for f in fields(recipe) if f.name in _LATER}
    return {
        name: value
        for name, value in to_dict(recipe).items()
        if name not in _FREE and (name not in later or value != later[name])
    }


def differences(stored: dict[str, Any], given: Recipe) -> list[str]:
    """Fields in which `given` contradicts a run's stored config, each as "lr: 0.1, was 0.01".

    What was left open and decided at the first start agrees with whatever that was; so does a time budget.
    """
    values = to_dict(given)
    result = []
    for f in fields(given):
        name, value = f.name, values[f.name]
        if name in _FREE | {"epochs", "time_budget"}:
            continue
        if name in _RESOLVED and value in (None, "auto"):
            continue
        was = stored.get(name, _default(f))  # a run older than the option had no other
        if was != value:
            result.append(f"{name}: {value}, was {was}")
    return result


def _default(option: Field[Any]) -> Any:
    """What a field is unless it is given, as `to_dict` writes it; nothing for one that must be."""
    value = option.default if option.default_factory is MISSING else option.default_factory()
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    return list(value) if isinstance(value, tuple) else value
