"""The official flat .npz of vision_transformer and big_vision: ViT and hybrids (channels last, kernels in × out).

Read: the released numbering of a block's parts (LayerNorm_0, MultiHeadDotProductAttention_1, LayerNorm_2,
MlpBlock_3) and today's (_0, _0, _1, _0), big_vision's prefixes, stacked layers and positions without a class
row. Written: the released form, which every reader of these files knows, or big_vision's where only that can
say it. These files mean GELU by tanh, LayerNorm with eps 1e-6 and a tanh after `pre_logits`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from torch import Tensor

from vitascope.checkpoints.atomic import atomic_file
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.formats import bit
from vitascope.checkpoints.formats.express import refuse_inexpressible
from vitascope.checkpoints.formats.found import MAX_DEPTH, Draft, Found, numbered, shape_of, table_size
from vitascope.checkpoints.keys import Row, row, to_foreign
from vitascope.checkpoints.tensor_file import write_npz
from vitascope.checkpoints.unwrap import anchor
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError
from vitascope.models.config import BiTConfig, StemConfig, ViTConfig

ANCHOR = anchor("embedding/kernel|Transformer/encoder_norm/scale")
_POSITIONS = "Transformer/posembed_input/pos_embedding"
_BIG_VISION_POSITIONS = "pos_embedding"
_TODAY_TO_RELEASED = (
    ("MultiHeadDotProductAttention_0/", "MultiHeadDotProductAttention_1/"),
    ("LayerNorm_1/", "LayerNorm_2/"),
    ("MlpBlock_0/", "MlpBlock_3/"),
)
_ShapeOf = Callable[[str, int], tuple[int, ...]]
_KERNEL, _CONVOLUTION = (1, 0), (3, 2, 0, 1)


def read(found: Found) -> Draft:
    """Config and table for the tensors found; raises `CheckpointError` where something cannot be represented."""
    tensors = _released_form(found)
    config = _config(tensors, found)
    return Draft(config=config, rows=rows(config), tensors=tensors, preprocess=usual_preprocess(config))


def usual_preprocess(config: ViTConfig) -> Preprocess:
    """The official test pipeline (`input_pipeline.py`): both sides resized without antialiasing, to [−1, 1]."""
    return Preprocess(
        size=config.image_size, channels=config.channels, fit="squash", interpolation="bilinear", antialias=False
    )


def rows(config: ViTConfig) -> list[Row]:
    """The table, in the released numbering and without a prefix."""
    c = config
    positions = _BIG_VISION_POSITIONS if c.class_token and not c.class_row else _POSITIONS
    table = [
        *_stem_rows(c),
        row("patches.projection.weight", "embedding/kernel", axes=_CONVOLUTION),
        row("patches.projection.bias", "embedding/bias"),
        row("embedding.class_token", "cls"),
        row("embedding.positions.table", positions),
    ]
    for i in range(c.depth):
        table += _block_rows(f"encoder.blocks.{i}", f"Transformer/encoderblock_{i}", c.width, c.heads)
    return [
        *table,
        *_norm_rows("encoder.norm", "Transformer/encoder_norm"),
        *_dense_rows("head.hidden", "pre_logits"),
        *_dense_rows("head.linear", "head"),
    ]


def write(checkpoint: Checkpoint, path: Path, *, overwrite: bool = False) -> None:
    """One .npz, as released, or as big_vision where only that can say it (labels have no place in either).

    Raises `CheckpointError` for a model that these files have no way to say.
    """
    config = checkpoint.config
    if isinstance(config, BiTConfig):
        tensors = to_foreign(bit.rows(config), checkpoint.model.state_dict(), config)
    else:
        _refuse_inexpressible(config)
        tensors = to_foreign(rows(config), checkpoint.model.state_dict(), config)
        if _is_big_vision(config):
            tensors = {"params/" + _today(name): tensor for name, tensor in tensors.items()}
    with atomic_file(path, what="checkpoint", overwrite=overwrite) as temporary:
        write_npz(temporary, tensors)


def _refuse_inexpressible(c: ViTConfig) -> None:
    refuse_inexpressible(
        "google",
        (
            (f"{c.registers} register tokens", c.registers > 0),
            ("exact (erf) GELU, where Google files mean its tanh form", c.gelu != "tanh"),
            (f"LayerNorm eps {c.norm_eps:g} instead of 1e-06", c.norm_eps != 1e-6),
            ("LayerScale", c.layer_scale is not None),
            ("its last LayerNorm after the pooling", c.norm != "tokens"),
            (f"pooling {c.pooling} with a class token", c.class_token and c.pooling != "token"),
            ("no positions", c.positions == "none"),
            (
                f"{c.representation_activation} in the head's hidden layer instead of tanh",
                c.representation_size is not None and c.representation_activation != "tanh",
            ),
            ("a hybrid's stem with positions as in big_vision", c.stem is not None and _is_big_vision(c)),
            (f"images of {c.image_size[0]}×{c.image_size[1]}, not square", len(set(c.image_size)) > 1),
        ),
    )


def _is_big_vision(config: ViTConfig) -> bool:
    return config.positions == "sincos" or (config.class_token and not config.class_row)


def _today(name: str) -> str:
    for today, released in _TODAY_TO_RELEASED:
        name = name.replace(released, today)
    return name


def _released_form(found: Found) -> dict[str, Tensor]:
    # One name for each tensor, whichever numbering and stacking the file has.
    result: dict[str, Tensor] = {}
    for name, tensor in found.tensors.items():
        stacked = re.match(r"Transformer/encoderblock/(.+)", name)
        if stacked and tensor.ndim and len(tensor) <= MAX_DEPTH:
            pieces = {f"Transformer/encoderblock_{i}/{stacked[1]}": t for i, t in enumerate(tensor)}
        else:
            pieces = {name: tensor}
        for key, piece in pieces.items():
            if "encoderblock_" in key:
                for today, released in _TODAY_TO_RELEASED:
                    key = key.replace(today, released)
            if re.search(r"(^|/)gn(_root|_proj|\d)/", key) and piece.ndim == 1:
                piece = piece.reshape(1, 1, 1, -1)
            if key == _BIG_VISION_POSITIONS and "cls" not in found.tensors:
                key = _POSITIONS  # without a class token the two names mean the same
            if key in result:
                raise CheckpointError(f"{found.path}: {key} is there twice, under two numberings")
            result[key] = piece
    return result


def _config(tensors: Mapping[str, Tensor], found: Found) -> ViTConfig:
    shape = partial(shape_of, found, tensors)
    patch, _, inputs, width = shape("embedding/kernel", 4)
    first = "Transformer/encoderblock_0/"
    _, heads, _ = shape(first + "MultiHeadDotProductAttention_1/query/kernel", 3)
    depth = numbered(tensors, r"Transformer/encoderblock_(\d+)/")
    stem, channels = _stem(tensors, shape)
    class_token = "cls" in tensors
    step = patch * (stem.stride if stem else 1)
    positions, class_row = "learned", class_token
    big_vision = _BIG_VISION_POSITIONS in tensors
    if big_vision or _POSITIONS in tensors:
        name = _BIG_VISION_POSITIONS if big_vision else _POSITIONS
        size, class_row = table_size(
            found,
            shape(name, 3)[1],
            class_token=class_token,
            pixels_per_token=step,
            class_row=class_token and not big_vision,
        )
    else:
        positions, class_row = "sincos", False
        side = max(224 // step, 1) * step
        size = found.image_size or (found.model.image_size if found.model else (side, side))
    return ViTConfig(
        image_size=size,
        channels=channels if stem else inputs,
        patch=patch,
        width=width,
        depth=depth,
        heads=heads,
        hidden=shape(first + "MlpBlock_3/Dense_0/kernel", 2)[1],
        classes=shape("head/kernel", 2)[1] if "head/kernel" in tensors else 0,
        stem=stem,
        class_token=class_token,
        pooling="token" if class_token else "mean",
        positions="learned" if positions == "learned" else "sincos",
        class_row=class_row,
        representation_size=shape("pre_logits/kernel", 2)[1] if "pre_logits/kernel" in tensors else None,
        representation_activation="tanh" if "pre_logits/kernel" in tensors else "gelu",
        gelu="tanh",
        norm_eps=1e-6,
    )


def _stem(tensors: Mapping[str, Tensor], shape: _ShapeOf) -> tuple[StemConfig | None, int]:
    """The hybrid's stem, if there is one, and the channels of the image it takes (0 without)."""
    if "conv_root/kernel" not in tensors:
        return None, 0
    _, _, channels, root = shape("conv_root/kernel", 4)
    stages = numbered(tensors, r"block(\d+)/unit\d+/")
    units = tuple(numbered(tensors, rf"block{b}/unit(\d+)/") for b in range(1, stages + 1))
    return StemConfig(units=units, width_factor=root / 64), channels


def _stem_rows(config: ViTConfig) -> list[Row]:
    if config.stem is None:
        return []
    table = [
        row("stem.root.weight", "conv_root/kernel", axes=_CONVOLUTION),
        *_group_norm_rows("stem.root_norm", "gn_root", config.stem.root_channels),
    ]
    for b, units in enumerate(config.stem.units):
        size = config.stem.root_channels * 2**b
        for u in range(units):
            own, foreign = f"stem.stages.{b}.{u}", f"block{b + 1}/unit{u + 1}"
            for i, channels in ((1, size), (2, size), (3, 4 * size)):
                table += [
                    row(f"{own}.conv{i}.weight", f"{foreign}/conv{i}/kernel", axes=_CONVOLUTION),
                    *_group_norm_rows(f"{own}.norm{i}", f"{foreign}/gn{i}", channels),
                ]
            table += [
                row(f"{own}.shortcut.weight", f"{foreign}/conv_proj/kernel", axes=_CONVOLUTION),
                *_group_norm_rows(f"{own}.shortcut_norm", f"{foreign}/gn_proj", 4 * size),
            ]
    return table


def _block_rows(own: str, foreign: str, width: int, heads: int) -> list[Row]:
    attention = f"{foreign}/MultiHeadDotProductAttention_1"
    projections = [f"{attention}/{part}" for part in ("query", "key", "value")]
    inside = (heads, width // heads)
    return [
        *_norm_rows(f"{own}.norm1", f"{foreign}/LayerNorm_0"),
        row(
            f"{own}.attention.qkv.weight",
            *(f"{p}/kernel" for p in projections),
            shape=(width, *inside),
            axes=(1, 2, 0),
        ),
        row(f"{own}.attention.qkv.bias", *(f"{p}/bias" for p in projections), shape=inside),
        row(f"{own}.attention.out.weight", f"{attention}/out/kernel", shape=(*inside, width), axes=(2, 0, 1)),
        row(f"{own}.attention.out.bias", f"{attention}/out/bias"),
        *_norm_rows(f"{own}.norm2", f"{foreign}/LayerNorm_2"),
        *_dense_rows(f"{own}.mlp.fc1", f"{foreign}/MlpBlock_3/Dense_0"),
        *_dense_rows(f"{own}.mlp.fc2", f"{foreign}/MlpBlock_3/Dense_1"),
    ]


def _norm_rows(own: str, foreign: str) -> list[Row]:
    return [row(f"{own}.weight", f"{foreign}/scale"), row(f"{own}.bias", f"{foreign}/bias")]


def _group_norm_rows(own: str, foreign: str, channels: int) -> list[Row]:
    shape = (1, 1, 1, channels)
    return [
        row(f"{own}.weight", f"{foreign}/scale", shape=shape),
        row(f"{own}.bias", f"{foreign}/bias", shape=shape),
    ]


def _dense_rows(own: str, foreign: str) -> list[Row]:
    return [row(f"{own}.weight", f"{foreign}/kernel", axes=_KERNEL), row(f"{own}.bias", f"{foreign}/bias")]
