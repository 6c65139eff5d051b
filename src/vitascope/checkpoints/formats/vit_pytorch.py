"""State dicts of vit-pytorch's ViT and SimpleViT (lucidrains): LayerNorms around the patch embedding, no biases on q, k
and v, exact GELU, eps 1e-5, heads of 64 channels unless told otherwise.

Read from .pth or safetensors, of today and of before LayerNorms moved into attention and MLP (2023); written as today's
ViT, whose `load_state_dict` takes it. Older versions have a class token with mean pooling too, and average it in: such
a file is read as one that answers by its class token, because nothing in it tells.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import torch
from torch import Tensor

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.formats.note import note, noted, noted_preprocess
from vitascope.checkpoints.formats.raw import Draft, RawCheckpoint, labels_of, mapping, stated_size
from vitascope.checkpoints.formats.sizes import Sizes, heads_for, square_side
from vitascope.checkpoints.translate import Layout, Shape
from vitascope.checkpoints.unwrap import anchor
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError
from vitascope.layers.position import Positions
from vitascope.models.config import ViTConfig

log = logging.getLogger(__name__)

ANCHOR = anchor(r"transformer\.layers\.0\.0\.(?:fn\.)?to_qkv\.weight")
_HEAD_WIDTH = 64
_TABLE, _TOKEN = "pos_embedding", "cls_token"
_BLOCK, _OURS = "transformer.layers.{0}", "encoder.blocks.*"
_NAMES = {
    "patches.norm_pixels": "to_patch_embedding.1",
    "patches.projection": "to_patch_embedding.2",
    "patches.norm_token": "to_patch_embedding.3",
    "embedding.class_token": _TOKEN,
    "embedding.positions.table": _TABLE,
    f"{_OURS}.norm1": f"{_BLOCK}.0.norm",
    f"{_OURS}.attention.qkv": f"{_BLOCK}.0.to_qkv",
    f"{_OURS}.attention.out": f"{_BLOCK}.0.to_out.0",
    f"{_OURS}.norm2": f"{_BLOCK}.1.net.0",
    f"{_OURS}.mlp.fc1": f"{_BLOCK}.1.net.1",
    f"{_OURS}.mlp.fc2": f"{_BLOCK}.1.net.4",
    "encoder.norm": "transformer.norm",
    "head.norm": "pooled_norm",
    "head.linear": "mlp_head",
}
_LAYER = r"^(transformer\.layers\.\d+)"
_TODAY = (
    (rf"{_LAYER}\.0\.fn\.", r"\1.0."),
    (rf"{_LAYER}\.0\.to_out\.(weight|bias)$", r"\1.0.to_out.0.\2"),
    (rf"{_LAYER}\.1\.net\.3\.", r"\1.1.net.4."),
    (rf"{_LAYER}\.1\.norm\.", r"\1.1.net.0."),
    (rf"{_LAYER}\.1\.fn\.net\.0\.", r"\1.1.net.1."),
    (rf"{_LAYER}\.1\.fn\.net\.3\.", r"\1.1.net.4."),
    # A LayerNorm in the head comes after the pooling: of a class token it is that of all tokens.
    (r"^mlp_head\.0\.", "transformer.norm."),
    (r"^linear_head\.0\.", "pooled_norm."),
    (r"^(mlp|linear)_head\.(1\.)?", "mlp_head."),
)
"""Names of SimpleViT and of older versions → today's of ViT."""


def _leaf(own: str, shape: Shape) -> tuple[str, Shape | None, tuple[int, ...] | None]:
    return f".{own.rpartition('.')[2]}", None, (0, 3, 1, 2) if len(shape) == 4 else None  # P·P·C there


def _layout(normed: bool) -> Layout:
    alone = {} if normed else {"patches.projection": "to_patch_embedding.1"}
    return Layout({**_NAMES, **alone}, _leaf)


def read(raw: RawCheckpoint) -> Draft:
    """The model that the tensors are; raises `CheckpointError` where something cannot be represented."""
    tensors, said = raw.renamed(_TODAY), noted(raw)
    model = mapping(said.get("model"))
    normed = "to_patch_embedding.3.weight" in tensors
    layout = _layout(normed)
    _in_our_axes(raw, tensors, f"{layout.names['patches.projection']}.weight")
    sizes = Sizes(raw, tensors, layout)
    fields = sizes.fields()
    qkv = sizes.shape("encoder.blocks.0.attention.qkv.weight", 2)
    inner = qkv[0] // 3
    heads = _heads(raw, inner, model.get("heads"))
    _outputs(tensors, fields["depth"], qkv, fields["width"])
    patch, learned = fields["patch"], sizes.has("embedding.positions.table", 3)
    size = raw.image_size or (raw.model.image_size if raw.model else (max(224 // patch, 1) * patch,) * 2)
    if learned:
        size = sizes.grid(patch, (fields["class_token"],), stated_size(model.get("image_size")))[0]
    config = ViTConfig(
        **fields,
        image_size=size,
        heads=heads,
        head_width=None if inner == fields["width"] else inner // max(heads, 1),
        patch_norms=normed,
        pooling="token" if fields["class_token"] else "mean",
        positions="learned" if learned else "sincos",
        gelu="erf",
        norm_eps=1e-5,
    )
    return Draft(
        config=config,
        layout=layout,
        tensors=tensors,
        preprocess=noted_preprocess(said) or raw.assume(Preprocess(size=config.image_size, channels=config.channels)),
        labels=labels_of(said.get("labels"), config.classes),
    )


def write(checkpoint: Checkpoint) -> RawCheckpoint:
    """A state dict of today's ViT, with all that it cannot say as metadata."""
    c, state = checkpoint.config, dict(checkpoint.model.state_dict())
    assert isinstance(c, ViTConfig)
    if c.positions == "sincos":  # SimpleViT has these, but no biases on attention's output
        state["embedding.positions.table"] = Positions(c)(c.grid)
        c = replace(c, positions="learned", class_row=c.has_class_row)
    tensors = _layout(c.patch_norms).to_theirs(state, c)
    kernel = f"{_layout(c.patch_norms).names['patches.projection']}.weight"
    tensors[kernel] = tensors[kernel].flatten(1)
    for name in (_TABLE, _TOKEN):
        tensors[name] = tensors[name][0] if name in tensors else torch.zeros(0, c.width)
    return RawCheckpoint(tensors=tensors, metadata=note(checkpoint), model=c)


def unsaid(c: ViTConfig) -> dict[str, bool]:
    """What today's ViT cannot be, though the tensors could."""
    return {
        "biases on q, k and v": c.qkv_bias,
        "no LayerNorms around the patch embedding": not c.patch_norms,
        "one head as wide as the model, which has no output there": c.heads == 1 and c.inner == c.width,
        "a LayerNorm after the pooling": c.norm == "pooled",
        "no positions": c.positions == "none",
    }


def _heads(raw: RawCheckpoint, inner: int, noted_heads: object) -> int:
    stated = raw.model.heads if isinstance(raw.model, ViTConfig) else noted_heads
    if stated is None and inner % _HEAD_WIDTH == 0:
        log.info("%s: does not say how many attention heads it has; assuming heads of 64", raw.path)
        stated = inner // _HEAD_WIDTH
    return heads_for(raw, inner, stated)


def _in_our_axes(raw: RawCheckpoint, tensors: dict[str, Tensor], projection: str) -> None:
    """The kernel (D, P·P·C) on four axes, positions and class token on three; an empty class token is none."""
    kernel = tensors.get(projection)
    if kernel is not None and kernel.ndim == 2:
        values = kernel.shape[1]
        channels = raw.model.channels if raw.model is not None else 1 if square_side(values) else 3
        side = square_side(values // channels)
        if side is None or side * side * channels != values:
            shapes = f"patches of {values} values are no squares of {channels} channels"
            raise CheckpointError(f"{raw.path}: {shapes}; say in Python what it is: vs.load(FILE, model=CONFIG)")
        tensors[projection] = kernel.reshape(len(kernel), side, side, channels)
    for name in (_TABLE, _TOKEN):
        if name in tensors and tensors[name].ndim == 2:
            tensors[name] = tensors[name][None]
    if _TOKEN in tensors and not tensors[_TOKEN].numel():
        del tensors[_TOKEN]


def _outputs(tensors: dict[str, Tensor], depth: int, qkv: Shape, width: int) -> None:
    """Attention's output where a block leaves out what it would add nothing to: biases (SimpleViT), or all of it."""
    square = qkv == (3 * width, width)  # so that what is made here is no larger than what the file holds
    same, nothing = torch.eye(width if square else 0), torch.zeros(width)
    for number in range(depth):
        out = f"{_BLOCK.format(number)}.0.to_out.0"
        if square:
            tensors.setdefault(f"{out}.weight", same)
        tensors.setdefault(f"{out}.bias", nothing)
