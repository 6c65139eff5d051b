"""State dicts of torchvision's VisionTransformer: fused projections, exact GELU, LayerNorm with eps 1e-6.

Read from .pth or safetensors and written as either, by the ending of the file's name; on their side
`load_state_dict(torch.load("x.pth"))` or `load_state_dict(safetensors.torch.load_file("x.safetensors"))` reads it back.
"""

from __future__ import annotations

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.formats.note import note, noted, noted_preprocess
from vitascope.checkpoints.formats.raw import Draft, RawCheckpoint, labels_of, mapping
from vitascope.checkpoints.formats.sizes import Sizes, heads_for
from vitascope.checkpoints.translate import Layout
from vitascope.checkpoints.unwrap import anchor
from vitascope.data.preprocess import Preprocess
from vitascope.models.config import ViTConfig

ANCHOR = anchor(r"encoder\.layers\.encoder_layer_0\.ln_1\.weight")
_BLOCK, _OURS = "encoder.layers.encoder_layer_{0}", "encoder.blocks.*"
_LAYOUT = Layout(
    {
        "patches.projection": "conv_proj",
        "embedding.class_token": "class_token",
        "embedding.positions.table": "encoder.pos_embedding",
        f"{_OURS}.norm1": f"{_BLOCK}.ln_1",
        f"{_OURS}.attention.qkv.weight": f"{_BLOCK}.self_attention.in_proj_weight",
        f"{_OURS}.attention.qkv.bias": f"{_BLOCK}.self_attention.in_proj_bias",
        f"{_OURS}.attention.out": f"{_BLOCK}.self_attention.out_proj",
        f"{_OURS}.norm2": f"{_BLOCK}.ln_2",
        f"{_OURS}.mlp.fc1": f"{_BLOCK}.mlp.0",
        f"{_OURS}.mlp.fc2": f"{_BLOCK}.mlp.3",
        "encoder.norm": "encoder.ln",
        "head.hidden": "heads.pre_logits",
        "head.linear": "heads.head",
    }
)
_BEFORE_2022 = ((r"mlp\.linear_1\.", "mlp.0."), (r"mlp\.linear_2\.", "mlp.3."))


def read(raw: RawCheckpoint) -> Draft:
    """The model that the tensors are; raises `CheckpointError` where they are no such ViT."""
    tensors = raw.renamed(_BEFORE_2022)
    sizes = Sizes(raw, tensors, _LAYOUT)
    fields, said = sizes.fields(), noted(raw)
    config = ViTConfig(
        **fields,
        image_size=sizes.grid(fields["patch"], (True,))[0],
        heads=heads_for(raw, fields["width"], mapping(said.get("model")).get("heads")),
        gelu="erf",
        norm_eps=1e-6,
    )
    return Draft(
        config=config,
        layout=_LAYOUT,
        tensors=tensors,
        preprocess=noted_preprocess(said) or _usual_preprocess(config),
        labels=labels_of(said.get("labels"), config.classes),
    )


def write(checkpoint: Checkpoint) -> RawCheckpoint:
    """A state dict, with all that it cannot say as metadata."""
    return RawCheckpoint(
        tensors=_LAYOUT.to_theirs(checkpoint.model.state_dict(), checkpoint.config),
        metadata=note(checkpoint),
        model=checkpoint.config,
    )


def unsaid(c: ViTConfig) -> dict[str, bool]:
    """What torchvision's class cannot be, though the tensors could."""
    return {
        "no biases on q, k and v": not c.qkv_bias,
        f"images of {c.image_size[0]}×{c.image_size[1]}, not square": c.image_size[0] != c.image_size[1],
        f"{c.channels} channels instead of 3": c.channels != 3,
        "no head": c.classes == 0,
    }


def _usual_preprocess(config: ViTConfig) -> Preprocess:
    """The transforms of torchvision's published weights: 224 of 256 pixels, or all of a larger image."""
    small = max(config.image_size) <= 256
    return Preprocess(
        size=config.image_size,
        channels=config.channels,
        crop_fraction=0.875 if small else 1.0,
        interpolation="bilinear" if small else "bicubic",
    ).with_statistics("imagenet" if config.channels == 3 else None, None)
