"""The official flat .npz of vision_transformer and big_vision: ViT and hybrids (channels last, kernels in × out).

Read: the released numbering of a block's parts (LayerNorm_0, MultiHeadDotProductAttention_1, LayerNorm_2,
MlpBlock_3) and today's (_0, _0, _1, _0), big_vision's prefixes, stacked layers, positions without a class row and
attention pooling, alone or beside a text tower (SigLIP). Written: the released form, which every reader of these files
knows, or big_vision's where only that can say it. These files mean GELU by tanh, LayerNorm with eps 1e-6 and a tanh
after `pre_logits`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from torch import Tensor

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.formats.raw import Draft, RawCheckpoint
from vitascope.checkpoints.formats.sizes import Sizes
from vitascope.checkpoints.translate import Layout, Shape
from vitascope.checkpoints.unwrap import anchor
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError
from vitascope.models.config import ModelConfig, StemConfig, ViTConfig

ANCHOR = anchor("embedding/kernel|Transformer/encoder_norm/scale")
_POSITIONS, _BIG_VISION_POSITIONS = "Transformer/posembed_input/pos_embedding", "pos_embedding"
_NUMBERS = (("MultiHeadDotProductAttention", 0, 1), ("LayerNorm", 1, 2), ("MlpBlock", 0, 3))
"""Parts of a block that are numbered otherwise today and in the released files."""
_TODAY_TO_RELEASED = [(rf"(encoderblock_\d+)/{part}_{now}/", rf"\1/{part}_{then}/") for part, now, then in _NUMBERS]
_MAX_DEPTH = 1024
"""More blocks than this in one stacked tensor are taken for a damaged file."""
_BLOCK, _OURS = "Transformer/encoderblock_{0}", "encoder.blocks.*"
_ATTENTION = f"{_BLOCK}/MultiHeadDotProductAttention_1"
_UNIT, _OUR_UNIT = "block{2}/unit{3}", "stem.stages.*.*"
_POOL, _OUR_POOL = "MAPHead_0", "head.attention"
_NAMES: dict[str, str | tuple[str, ...]] = {
    "stem.root": "conv_root",
    "stem.root_norm": "gn_root",
    **{f"{_OUR_UNIT}.conv{i}": f"{_UNIT}/conv{i}" for i in (1, 2, 3)},
    **{f"{_OUR_UNIT}.norm{i}": f"{_UNIT}/gn{i}" for i in (1, 2, 3)},
    f"{_OUR_UNIT}.shortcut": f"{_UNIT}/conv_proj",
    f"{_OUR_UNIT}.shortcut_norm": f"{_UNIT}/gn_proj",
    "patches.projection": "embedding",
    "embedding.class_token": "cls",
    "embedding.positions.table": _POSITIONS,
    f"{_OURS}.norm1": f"{_BLOCK}/LayerNorm_0",
    f"{_OURS}.attention.qkv": tuple(f"{_ATTENTION}/{part}" for part in ("query", "key", "value")),
    f"{_OURS}.attention.out": f"{_ATTENTION}/out",
    f"{_OURS}.norm2": f"{_BLOCK}/LayerNorm_2",
    f"{_OURS}.mlp.fc1": f"{_BLOCK}/MlpBlock_3/Dense_0",
    f"{_OURS}.mlp.fc2": f"{_BLOCK}/MlpBlock_3/Dense_1",
    "encoder.norm": "Transformer/encoder_norm",
    f"{_OUR_POOL}.probe": f"{_POOL}/probe",
    f"{_OUR_POOL}.attention.qkv": tuple(
        f"{_POOL}/MultiHeadDotProductAttention_0/{part}" for part in ("query", "key", "value")
    ),
    f"{_OUR_POOL}.attention.out": f"{_POOL}/MultiHeadDotProductAttention_0/out",
    f"{_OUR_POOL}.norm": f"{_POOL}/LayerNorm_0",
    f"{_OUR_POOL}.mlp.fc1": f"{_POOL}/MlpBlock_0/Dense_0",
    f"{_OUR_POOL}.mlp.fc2": f"{_POOL}/MlpBlock_0/Dense_1",
    "head.hidden": "pre_logits",
    "head.linear": "head",
}


def _leaf(heads: int, own: str, shape: Shape) -> tuple[str, Shape | None, tuple[int, ...] | None]:
    bias, inside = own.endswith(".bias"), (heads, shape[-1] // heads)
    end = "/bias" if bias else "/scale" if len(shape) == 1 else "/kernel"
    if own.startswith("stem.") and len(shape) == 1:
        return end, (1, 1, 1, *shape), None
    if ".attention.qkv." in own:
        inside = heads, shape[0] // 3 // heads
        return (end, inside, None) if bias else (end, (shape[1], *inside), (1, 2, 0))
    if ".attention.out." in own and not bias:
        return end, (*inside, shape[0]), (2, 0, 1)
    return end, None, {2: (1, 0), 4: (3, 2, 0, 1)}.get(len(shape))


def layout(heads: int, big_vision: bool = False) -> Layout:
    """The released numbering, without a prefix; big_vision has positions of its own."""
    positions = {"embedding.positions.table": _BIG_VISION_POSITIONS} if big_vision else {}
    return Layout({**_NAMES, **positions}, partial(_leaf, heads))


def read(raw: RawCheckpoint) -> Draft:
    """The model that the tensors are; raises `CheckpointError` where something cannot be represented."""
    if (kernel := raw.tensors.get("embedding/kernel")) is not None and kernel.ndim == 2:
        raise CheckpointError(f"{raw.path}: a NaFlex ViT (SigLIP 2 of any size); take the model of a fixed size")
    tensors = replace(raw, tensors=_unstacked(raw.tensors)).renamed(_TODAY_TO_RELEASED)
    big_vision = _BIG_VISION_POSITIONS in tensors
    heads = Sizes(raw, tensors, layout(1)).shape("encoder.blocks.0.attention.qkv.weight", 2)[0]  # of the query
    table = layout(heads, big_vision)
    sizes = Sizes(raw, tensors, table)
    fields, stem = sizes.fields(), _stem(sizes)
    step = fields["patch"] * (stem.stride if stem else 1)
    learned, class_row = sizes.has("embedding.positions.table", 3), False
    if learned:
        size, class_row = sizes.grid(step, (fields["class_token"] and not big_vision,))
    else:
        side = max(224 // step, 1) * step
        size = raw.image_size or (raw.model.image_size if raw.model else (side, side))
    if stem:
        fields["channels"] = sizes.shape("stem.root.weight", 4)[1]
    config = ViTConfig(
        **fields,
        image_size=size,
        heads=heads,
        stem=stem,
        pooling=("token" if fields["class_token"] else "attention" if sizes.has(f"{_OUR_POOL}.probe", 3) else "mean"),
        positions="learned" if learned else "sincos",
        class_row=class_row,
        gelu="tanh",
        norm_eps=1e-6,
    )
    return Draft(config=config, layout=table, tensors=tensors, preprocess=official_preprocess(config))


def write(checkpoint: Checkpoint) -> RawCheckpoint:
    """As released, or as big_vision where only that can say it (labels have no place in either)."""
    c = checkpoint.config
    assert isinstance(c, ViTConfig)
    big_vision = _is_big_vision(c)
    tensors = layout(c.heads, big_vision).to_theirs(checkpoint.model.state_dict(), c)
    if big_vision:
        tensors = {"params/" + _today(name): tensor for name, tensor in tensors.items()}
    return RawCheckpoint(tensors=tensors, model=c)


def unsaid(c: ViTConfig) -> dict[str, bool]:
    """What nobody who reads these files could tell, though the tensors could be written."""
    return {
        "no biases on q, k and v": not c.qkv_bias,
        f"images of {c.image_size[0]}×{c.image_size[1]}, not square": c.image_size[0] != c.image_size[1],
        "a hybrid's stem with positions as in big_vision": c.stem is not None and _is_big_vision(c),
    }


def _is_big_vision(c: ViTConfig) -> bool:
    return c.positions == "sincos" or c.pooling == "attention" or (c.class_token and not c.class_row)


def official_preprocess(config: ModelConfig) -> Preprocess:
    """The official test pipeline (`input_pipeline.py`): both sides resized without antialiasing, to [−1, 1]."""
    return Preprocess(
        size=config.image_size, channels=config.channels, fit="squash", interpolation="bilinear", antialias=False
    )


def _today(name: str) -> str:
    for part, today, released in _NUMBERS:
        name = name.replace(f"{part}_{released}/", f"{part}_{today}/")
    return name


def _unstacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Blocks apart, and the stem's GroupNorm in four axes, however the file has them.
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        stacked = re.match(r"Transformer/encoderblock/(.+)", name)
        if stacked and tensor.ndim and len(tensor) <= _MAX_DEPTH:
            pieces = {f"Transformer/encoderblock_{i}/{stacked[1]}": t for i, t in enumerate(tensor)}
        elif re.search(r"(^|/)gn(_root|_proj|\d)/", name) and tensor.ndim == 1:
            pieces = {name: tensor.reshape(1, 1, 1, -1)}
        else:
            pieces = {name: tensor}
        if twice := pieces.keys() & result.keys():
            raise CheckpointError(f"{min(twice)} is there twice, stacked and by itself")
        result |= pieces
    return result


def _stem(sizes: Sizes) -> StemConfig | None:
    """The hybrid's stem, if there is one."""
    if not sizes.has("stem.root.weight", 4):
        return None
    units = sizes.units(f"{_OUR_UNIT}.conv1")
    width, _, kernel, _ = sizes.shape("stem.root.weight", 4)
    return StemConfig(units=units, width_factor=width / 64, small_images=kernel == 3)
