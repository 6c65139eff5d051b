"""State dicts of torchvision's VisionTransformer: fused projections, exact GELU, LayerNorm with eps 1e-6.

Read from .pth or safetensors and written as either, by the ending of the file's name; on their side
`load_state_dict(torch.load("x.pth"))` or `load_state_dict(safetensors.torch.load_file("x.safetensors"))` reads it back.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from vitascope.checkpoints.atomic import atomic_file
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.formats.express import labels_of, note, read_note, refuse_inexpressible, vit_only
from vitascope.checkpoints.formats.found import Draft, Found, heads_for, numbered, shape_of, table_size
from vitascope.checkpoints.keys import Row, pair, row, to_foreign
from vitascope.checkpoints.tensor_file import write_safetensors, write_torch
from vitascope.checkpoints.unwrap import anchor
from vitascope.data.preprocess import Preprocess
from vitascope.models.config import ViTConfig

log = logging.getLogger(__name__)

ANCHOR = anchor(r"encoder\.layers\.encoder_layer_0\.ln_1\.weight")


def read(found: Found) -> Draft:
    """Config and table for the tensors found; raises `CheckpointError` where they are no such ViT."""
    # Files of before 2022 name the layers of the MLP otherwise.
    renames = {"mlp.linear_1.": "mlp.0.", "mlp.linear_2.": "mlp.3."}
    tensors = {
        re.sub(r"mlp\.linear_[12]\.", lambda m: renames[m[0]], name): tensor for name, tensor in found.tensors.items()
    }
    width, channels, patch, _ = shape_of(found, tensors, "conv_proj.weight", 4)
    rows_of_positions = shape_of(found, tensors, "encoder.pos_embedding", 3)[1]
    size, _ = table_size(found, rows_of_positions, class_token=True, pixels_per_token=patch, class_row=True)
    said = read_note(found.metadata)
    hidden = "heads.pre_logits.weight" in tensors
    model = said.get("model")
    config = ViTConfig(
        image_size=size,
        channels=channels,
        patch=patch,
        width=width,
        depth=numbered(tensors, r"encoder\.layers\.encoder_layer_(\d+)\."),
        heads=heads_for(found, width, model.get("heads") if isinstance(model, dict) else None),
        hidden=shape_of(found, tensors, "encoder.layers.encoder_layer_0.mlp.0.weight", 2)[0],
        classes=shape_of(found, tensors, "heads.head.weight", 2)[0] if "heads.head.weight" in tensors else 0,
        representation_size=shape_of(found, tensors, "heads.pre_logits.weight", 2)[0] if hidden else None,
        representation_activation="tanh" if hidden else "gelu",
        gelu="erf",
        norm_eps=1e-6,
    )
    stated = said.get("preprocess")
    return Draft(
        config=config,
        rows=rows(config),
        tensors=tensors,
        preprocess=Preprocess.from_dict(stated) if isinstance(stated, dict) else usual_preprocess(config),
        labels=labels_of(said.get("labels"), config.classes),
    )


def usual_preprocess(config: ViTConfig) -> Preprocess:
    """The transforms of torchvision's published weights: 224 of 256 pixels, or all of a larger image."""
    small = max(config.image_size) <= 256
    return Preprocess(
        size=config.image_size,
        channels=config.channels,
        crop_fraction=0.875 if small else 1.0,
        interpolation="bilinear" if small else "bicubic",
    ).with_statistics("imagenet" if config.channels == 3 else None, None)


def rows(config: ViTConfig) -> list[Row]:
    """The table of names; every layout is ours."""
    table = [
        *pair("patches.projection", "conv_proj"),
        row("embedding.class_token", "class_token"),
        row("embedding.positions.table", "encoder.pos_embedding"),
    ]
    for i in range(config.depth):
        own, foreign = f"encoder.blocks.{i}", f"encoder.layers.encoder_layer_{i}"
        table += [
            *pair(f"{own}.norm1", f"{foreign}.ln_1"),
            row(f"{own}.attention.qkv.weight", f"{foreign}.self_attention.in_proj_weight"),
            row(f"{own}.attention.qkv.bias", f"{foreign}.self_attention.in_proj_bias"),
            *pair(f"{own}.attention.out", f"{foreign}.self_attention.out_proj"),
            *pair(f"{own}.norm2", f"{foreign}.ln_2"),
            *pair(f"{own}.mlp.fc1", f"{foreign}.mlp.0"),
            *pair(f"{own}.mlp.fc2", f"{foreign}.mlp.3"),
        ]
    return [
        *table,
        *pair("encoder.norm", "encoder.ln"),
        *pair("head.hidden", "heads.pre_logits"),
        *pair("head.linear", "heads.head"),
    ]


def write(checkpoint: Checkpoint, path: Path, *, overwrite: bool = False) -> None:
    """A .pth file, or safetensors with all that it cannot say; raises `CheckpointError` for what torchvision cannot."""
    c = vit_only("torchvision", checkpoint.config)
    refuse_inexpressible(
        "torchvision",
        (
            ("no class token, or pooling other than by it", c.pooling != "token"),
            ("positions without a class row, or fixed ones", c.positions != "learned" or not c.class_row),
            (f"{c.registers} register tokens", c.registers > 0),
            ("GELU by tanh, where torchvision's is exact", c.gelu != "erf"),
            (f"LayerNorm eps {c.norm_eps:g} instead of 1e-06", c.norm_eps != 1e-6),
            ("LayerScale", c.layer_scale is not None),
            ("its last LayerNorm after the pooling", c.norm != "tokens"),
            (
                f"{c.representation_activation} in the head's hidden layer instead of tanh",
                c.representation_size is not None and c.representation_activation != "tanh",
            ),
            (f"images of {c.image_size[0]}×{c.image_size[1]}, not square", len(set(c.image_size)) > 1),
            (f"{c.channels} channels instead of 3", c.channels != 3),
            ("no head", c.classes == 0),
        ),
    )
    tensors = to_foreign(rows(c), checkpoint.model.state_dict(), c)
    with atomic_file(path, what="checkpoint", overwrite=overwrite) as temporary:
        if path.suffix.lower() in (".pth", ".pt"):
            log.info("%s: holds weights alone; a .safetensors file also has labels, preprocessing and heads", path)
            write_torch(temporary, tensors)
        else:
            write_safetensors(temporary, tensors, note(checkpoint))
