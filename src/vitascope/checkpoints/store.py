"""Our own format: a folder of `model.safetensors`, `config.json`, `preprocessor.json` and `README.md`.

`config.json` holds the SHA-256 of the weights, of the preprocessing and of itself, so that a flipped bit, or files of
two different models, are noticed; the README is for people, and theirs to change. The folder is written atomically.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from torch import Tensor

from vitascope.checkpoints.adapt import assemble
from vitascope.checkpoints.card import model_card
from vitascope.checkpoints.checkpoint import Checkpoint, check_activation, read_from
from vitascope.checkpoints.json_file import dump_json, read_json
from vitascope.checkpoints.output import atomic_folder
from vitascope.checkpoints.shown import read_shown
from vitascope.checkpoints.tensor_file import halved, read_safetensors, write_safetensors
from vitascope.checkpoints.translate import check_tensors, own_shapes
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError, ConfigError
from vitascope.evaluation.sets import sets_from_json
from vitascope.models.config import ViTConfig, config_from_dict, config_to_dict
from vitascope.version import __version__

WEIGHTS, CONFIG, PREPROCESSOR, CARD = "model.safetensors", "config.json", "preprocessor.json", "README.md"
_MARK = "vitascope"


def is_own(folder: Path) -> bool:
    """Whether this is a folder in our format, by its config."""
    config = folder / CONFIG
    return config.is_file() and _MARK in read_json(config)


def write_folder(checkpoint: Checkpoint, path: Path, *, overwrite: bool = False, half: bool = False) -> None:
    """Writes the folder atomically; raises `CheckpointError` (exists, disk full, not permitted, beyond float16)."""
    state = {name: tensor.detach().float() for name, tensor in checkpoint.model.state_dict().items()}
    state = halved(state) if half else state
    preprocess = checkpoint.preprocess.to_dict()
    with atomic_folder(path, what="checkpoint", overwrite=overwrite) as folder:
        sha256 = write_safetensors(folder / WEIGHTS, state, {})
        config = {
            _MARK: __version__,
            "model": config_to_dict(checkpoint.config),
            "labels": list(checkpoint.labels),
            "activation": checkpoint.activation,
            "card": checkpoint.card,
            **({} if checkpoint.sets is None else {"sets": checkpoint.sets.as_json()}),
            "weights_sha256": sha256,
            "preprocessor_sha256": _sha256(preprocess),
            **({} if checkpoint.shown is None else {"shown": checkpoint.shown.write(folder)}),
        }
        config["config_sha256"] = _sha256(config)
        (folder / CONFIG).write_bytes(dump_json(config))
        (folder / PREPROCESSOR).write_bytes(dump_json(preprocess))
        (folder / CARD).write_text(model_card(checkpoint), encoding="utf-8")


def read_folder(folder: Path) -> Checkpoint:
    """Reads and verifies the folder; raises `CheckpointError` naming the file and what is wrong with it."""
    file = folder / CONFIG
    values = read_json(file)
    labels, card, stated = values.get("labels"), values.get("card", {}), values.get("weights_sha256")
    needed = {
        "labels must be a list of names, one for each class": _are_texts(labels),
        f"card is a {type(card).__name__}, expected an object": isinstance(card, dict),
        'lacks "model", the description of the architecture': isinstance(values.get("model"), dict),
        "lacks weights_sha256, without which nothing is trusted": isinstance(stated, str) and len(stated) == 64,
    }
    for what, is_there in needed.items():
        if not is_there:
            raise CheckpointError(f"{file}: {what}")
    described = read_json(folder / PREPROCESSOR)
    try:
        config, preprocess = config_from_dict(values["model"]), Preprocess.from_dict(described)
    except (ConfigError, CheckpointError, TypeError) as error:
        version = f"(written by vitascope {str(values[_MARK])[:32]}, this is {__version__})"
        raise CheckpointError(f"{folder}: {error} {version}") from error
    weights = _verified_weights(folder / WEIGHTS, str(stated))
    # Even a model without memory for its values costs some for each block, before shapes can be compared.
    blocks = config.depth if isinstance(config, ViTConfig) else sum(config.units)
    if blocks > len(weights):
        told = f"describes {blocks} blocks, the weights have {len(weights)} tensors"
        raise CheckpointError(f"{file}: {told}; the two do not belong together")
    check_tensors(weights, own_shapes(config), folder / WEIGHTS)
    with read_from(folder):
        checkpoint = Checkpoint(
            model=assemble(config, {name: tensor.float() for name, tensor in weights.items()}),
            preprocess=preprocess,
            labels=tuple(labels or ()),
            activation=check_activation(values.get("activation", "softmax")),
            card=card,
            shown=read_shown(folder, values.get("shown")),
            sets=sets_from_json(values["sets"]) if values.get("sets") else None,
        )
    _verify_descriptions(folder, values, described)  # last, because whatever else is wrong says more
    return checkpoint


def _are_texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _verified_weights(file: Path, stated: str) -> dict[str, Tensor]:
    if not file.is_file():
        raise CheckpointError(f"{file}: missing; copy the whole folder")
    content = read_safetensors(file)
    if content.sha256 != stated:
        raise CheckpointError(
            f"{file}: SHA-256 is {content.sha256[:12]}…, {CONFIG} says {stated[:12]}…: "
            "the weights were damaged or exchanged; copy the folder again or take an older checkpoint"
        )
    return content.tensors


def _verify_descriptions(folder: Path, config: dict[str, Any], preprocess: dict[str, Any]) -> None:
    held = {name: value for name, value in config.items() if name != "config_sha256"}
    stated = config.get("config_sha256"), config.get("preprocessor_sha256")
    if stated == (None, None):  # written before 2026-12, when only the weights had a sum
        return
    for name, said, content in zip((CONFIG, PREPROCESSOR), stated, (held, preprocess), strict=True):
        if said != _sha256(content):
            raise CheckpointError(
                f"{folder / name}: not as it was saved (SHA-256), damaged or edited; copy the folder again, or where "
                f"the edit is yours, delete config_sha256 and preprocessor_sha256 from {CONFIG}"
            )


def _sha256(values: dict[str, Any]) -> str:
    return hashlib.sha256(dump_json(values)).hexdigest()
